import t from 'tap'
import { createMigrator } from '../../../src/database/migration/migrator.ts'
import { folder, migration, onEveryDatabase, tablesOf } from '../fixture.ts'

const TABLES = migration(
  `m.createTable('country', { columns: { code: { type: 'char(2)' } }, primaryKey: ['code'] })`,
  `m.createTable('city', {
    columns: { id: { type: 'integer' }, name: { type: 'varchar(80)' }, country: { type: 'char(2)' } },
    primaryKey: ['id'], indexes: [{ name: 'city_name_idx', columns: ['name'] }] })`,
)
const NAME = `{ type: 'varchar(80)' }`
const LONGER = `m.alterColumn('city', 'name', { from: ${NAME}, to: { type: 'varchar(200)' } })`
const KEY = `{ name: 'city_country_fkey', columns: ['country'], table: 'country', references: ['code'] }`

/** What one branch does, what the other does, and why they do not fit. */
const BRANCHES = {
  'both change a column': [
    LONGER,
    `m.alterColumn('city', 'name', { from: ${NAME}, to: { type: 'varchar(120)' } })`,
    /city\.name is \{"type":"varchar\(200\)"\}, and the operation was written for \{"type":"varchar\(80\)"\}/,
  ],
  'one changes what the other drops': [
    LONGER,
    `m.dropIndex('city', { name: 'city_name_idx', columns: ['name'] }), m.dropColumn('city', 'name', ${NAME})`,
    /city\.name is .*200/,
  ],
  'one changes a table that the other drops': [
    `m.addColumn('country', 'name', ${NAME})`,
    `m.dropTable('country', { columns: { code: { type: 'char(2)' } }, primaryKey: ['code'] })`,
    /country is .*"name"/,
  ],
  'one renames a column that the other indexes': [
    `m.renameColumn('city', 'country', 'country_code')`,
    `m.addIndex('city', { name: 'city_country_idx', columns: ['country'] })`,
    /there is no column city\.country/,
  ],
  'one renames a table that the other refers to': [
    `m.renameTable('country', 'land')`,
    `m.addForeignKey('city', ${KEY})`,
    /there is no table country/,
  ],
  'one renames a column that the other refers to': [
    `m.renameColumn('country', 'code', 'iso')`,
    `m.addForeignKey('city', ${KEY})`,
    /there is no column country\.code/,
  ],
  'both have an index of one name': [
    `m.dropIndex('city', { name: 'city_name_idx', columns: ['name'] }), m.addIndex('city', { name: 'city_name_idx', columns: ['country', 'name'] })`,
    `m.dropIndex('city', { name: 'city_name_idx', columns: ['name'] })`,
    /city_name_idx on city is .*"country","name"/,
  ],
} as const

let number = 0
for (const [name, [one, other, message]] of Object.entries(BRANCHES)) {
  onEveryDatabase(t, `${name}: told before anything runs`, async (t, { db }) => {
    const files = {
      '0001_tables.ts': TABLES,
      '0002_one.ts': migration(one),
      '0003_other.ts': migration(other),
    }
    const migrator = createMigrator({ db, directory: folder(t, files, `files-${number++}`) })
    await t.rejects(migrator.migrate(), { code: 'MIGRATION_INVALID', message })
    t.strictSame(await tablesOf(db), [])
  })
}
