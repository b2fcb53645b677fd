import { sql } from 'kysely'
import t from 'tap'
import { createMigrator } from '../../../src/database/migration/migrator.ts'
import { type AnyDatabase, folder, migration, onEveryDatabase, onMysql } from '../fixture.ts'
import { runAll } from '../inspect/schema.ts'

const key = `{ name: 'city_country_fkey', columns: ['country'], table: 'country', references: ['code'] }`
const country = migration(
  `m.createTable('country', { columns: { code: { type: 'varchar(2)' }, name: { type: 'varchar(20)', nullable: true } }, primaryKey: ['code'] })`,
)
const columns = `id: { type: 'integer' }, name: { type: 'varchar(20)' }, country: { type: 'varchar(2)' }`

async function collations(db: AnyDatabase): Promise<Record<string, string | null>> {
  const { rows } = await sql<{ place: string; collation: string | null }>`
    select concat(table_name, '.', column_name) as place, collation_name as collation
    from information_schema.columns where table_schema = database() and table_name in ('city', 'other')
    union all select table_name, table_collation from information_schema.tables
    where table_schema = database() and table_name in ('city', 'other')`.execute(db)
  return Object.fromEntries(rows.map(({ place, collation }) => [place, collation]))
}

/** A database with a collation of its own, and a table that others have made in it. */
async function adopt(db: AnyDatabase): Promise<void> {
  await runAll(db, [
    'alter database collate utf8mb4_unicode_ci',
    'create table country (code varchar(2) primary key, name varchar(20))',
    "insert into country values ('FR', 'France')",
  ])
}

const OWN = 'utf8mb4_unicode_ci'
const BINARY = /^utf8mb4_(nopad|0900)_bin$/

onMysql(t, 'a new table has the collation of its database', async (t, { db }) => {
  await adopt(db)
  const directory = folder(t, {
    '0001_country.ts': country,
    '0002_city.ts': migration(
      `m.createTable('city', { columns: { ${columns} }, primaryKey: ['id'], indexes: [{ name: 'i', columns: ['country'] }], foreignKeys: [${key}] })`,
    ),
    '0003_longer.ts': migration(
      `m.alterColumn('city', 'name', { from: { type: 'varchar(20)' }, to: { type: 'varchar(40)' } })`,
    ),
  })
  const migrator = createMigrator({ db, directory })
  await migrator.migrate({ fake: true, to: '0001' })
  await migrator.migrate()
  t.match(await collations(db), {
    city: OWN,
    'city.country': OWN,
    'city.name': BINARY,
  })
  await db.insertInto('city').values({ id: 1, name: 'Paris', country: 'FR' }).execute()
  await t.rejects(
    db.insertInto('city').values({ id: 2, name: 'x', country: 'XX' }).execute(),
    /a child row/,
  )
  const joined = db
    .selectFrom('city')
    .innerJoin('country', 'country.name', 'city.name')
    .select('city.id')
  t.strictSame(await joined.execute(), [], 'texts of both can be compared')
  await migrator.rollback({ steps: 2 })
  await migrator.migrate()
})

onMysql(t, 'a foreign key that is added later fits, too', async (t, { db }) => {
  await adopt(db)
  const directory = folder(t, {
    '0001_country.ts': country,
    '0002_city.ts': migration(
      `m.createTable('city', { columns: { ${columns} }, primaryKey: ['id'], indexes: [{ name: 'i', columns: ['country'] }] })`,
    ),
    '0003_row.ts': migration(
      `m.runData({ up: (db) => db.insertInto('city').values({ id: 1, name: 'a', country: 'FR' }).execute(), down: async () => {} })`,
    ),
    '0004_key.ts': migration(`m.addForeignKey('city', ${key})`),
  })
  const migrator = createMigrator({ db, directory })
  await migrator.migrate({ fake: true, to: '0001' })
  await migrator.migrate()
  t.match(await collations(db), { 'city.country': OWN, 'city.name': BINARY })
  t.match(await db.selectFrom('city').selectAll().execute(), [{ id: 1, name: 'a', country: 'FR' }])
  await t.rejects(db.deleteFrom('country').execute(), /a parent row/)
  await migrator.rollback({ steps: 1 })
  await db.deleteFrom('country').execute()
})

onMysql(t, 'a column keeps how its texts are compared', async (t, { db }) => {
  await runAll(db, [
    "create table other (id int primary key, name varchar(20) collate utf8mb4_unicode_ci not null default 'x')",
  ])
  const table = `m.createTable('other', { columns: { id: { type: 'integer' }, name: { type: 'varchar(20)', default: 'x' } }, primaryKey: ['id'] })`
  const from = `{ type: 'varchar(20)', default: 'x' }`
  const directory = folder(t, {
    '0001_other.ts': migration(table),
    '0002_longer.ts': migration(
      `m.alterColumn('other', 'name', { from: ${from}, to: { type: 'varchar(40)', default: 'x' } })`,
    ),
    '0003_case.ts': migration(
      `m.alterColumn('other', 'name', { from: { type: 'varchar(40)', default: 'x' }, to: { type: 'varchar(40)', default: 'x', comparison: 'ignoreCase' } })`,
    ),
  })
  const migrator = createMigrator({ db, directory })
  await migrator.migrate({ fake: true, to: '0001' })
  await migrator.migrate({ to: '0002' })
  t.match(await collations(db), { 'other.name': OWN })
  await migrator.migrate()
  t.match(await collations(db), { 'other.name': /^utf8mb4_(uca1400_nopad|0900)_as_ci$/ })
})

onEveryDatabase(t, 'the comparison of a column changes, with its rows', async (t, { db }) => {
  const binary = `{ type: 'varchar(20)' }`
  const folded = `{ type: 'varchar(20)', comparison: 'ignoreCase' }`
  const directory = folder(t, {
    '0001_tag.ts': migration(
      `m.createTable('tag', { columns: { id: { type: 'integer' }, name: ${binary} }, primaryKey: ['id'], unique: [{ name: 'tag_name_key', columns: ['name'] }] })`,
    ),
    '0002_fold.ts': migration(`m.alterColumn('tag', 'name', { from: ${binary}, to: ${folded} })`),
  })
  const migrator = createMigrator({ db, directory })
  await migrator.migrate({ to: '0001' })
  const names = ['a', 'A', 'a ', 'é', 'e']
  for (const [id, name] of names.entries())
    await db.insertInto('tag').values({ id, name }).execute()
  const find = async (name: string) =>
    (
      await db.selectFrom('tag').select('name').where('name', '=', name).orderBy('id').execute()
    ).map((row) => row.name)
  t.strictSame(await find('a'), ['a'])
  t.strictSame(await find('e'), ['e'])
  await t.rejects(migrator.migrate(), { code: 'MIGRATION_FAILED' }, 'two are the same then')
  await db.deleteFrom('tag').where('name', '=', 'A').execute()
  await migrator.migrate()
  t.strictSame(await find('A'), ['a'])
  t.strictSame(await find('a '), ['a '])
  t.strictSame(await find('E'), ['e'])
  await t.rejects(db.insertInto('tag').values({ id: 9, name: 'A' }).execute())
  await migrator.rollback({ steps: 1 })
  t.strictSame(await find('A'), [])
  await db.insertInto('tag').values({ id: 9, name: 'A' }).execute()
  t.strictSame(await find('A'), ['A'])
})
