import t from 'tap'
import { readSchema } from '../../../src/database/inspect/differences.ts'
import { addIndex } from '../../../src/database/migration/index.ts'
import { listMigrations, loadMigrations } from '../../../src/database/migration/loader.ts'
import { createMigrator } from '../../../src/database/migration/migrator.ts'
import { compileAll } from '../../../src/database/migration/operations/index.ts'
import type { Operation } from '../../../src/database/migration/operations/operation.ts'
import { trialsOf } from '../../../src/database/migration/preflight.ts'
import { render } from '../../../src/database/migration/writer.ts'
import { folder, migration, onEveryDatabase, onMysql } from '../fixture.ts'

const country = `{ columns: { code: { type: 'char(2)' } }, primaryKey: ['code'] }`
const city = `{ columns: { id: { type: 'integer' }, name: { type: 'varchar(40)', nullable: true },
  size: { type: 'integer' }, country: { type: 'char(2)' }, kind: { type: 'varchar(8)' } },
  primaryKey: ['id'], indexes: [{ name: 'city_country_idx', columns: ['country'] }] }`
const TABLES = migration(`m.createTable('country', ${country})`, `m.createTable('city', ${city})`)
const ROWS = [
  { id: 1, name: 'a', size: 1, country: 'FR', kind: 'town' },
  { id: 2, name: 'a', size: 40_000, country: 'XX', kind: 'hamlet' },
  { id: 3, name: null, size: 3, country: 'FR', kind: 'town' },
]
const FIRST = `m.dropIndex('city', { name: 'city_country_idx', columns: ['country'] })`
const alter = (column: string, from: string, to: string) =>
  `m.alterColumn('city', '${column}', { from: ${from}, to: ${to} })`

/** What fails behind something else, and what is said of it where that is not a transaction. */
const FAILING: Readonly<Record<string, readonly [operation: string, problem: RegExp]>> = {
  'values that are there twice': [
    `m.addUnique('city', { name: 'city_name_key', columns: ['name'] })`,
    /in step 2 of 2, 1 values of city \(name\) are there more than once/,
  ],
  'rows that refer to nothing': [
    `m.addForeignKey('city', { name: 'city_country_fkey', columns: ['country'], table: 'country', references: ['code'] })`,
    /1 rows of city \(country\) refer to none of country/,
  ],
  'rows without a value': [
    alter('name', `{ type: 'varchar(40)', nullable: true }`, `{ type: 'varchar(40)' }`),
    /1 rows of city have a name that does not fit/,
  ],
  'texts that are too long': [
    alter('kind', `{ type: 'varchar(8)' }`, `{ type: 'varchar(4)' }`),
    /1 rows of city have a kind that does not fit/,
  ],
  'numbers that are too large': [
    alter('size', `{ type: 'integer' }`, `{ type: 'smallint' }`),
    /1 rows of city have a size that does not fit/,
  ],
  'texts that are no numbers': [
    alter('kind', `{ type: 'varchar(8)' }`, `{ type: 'integer' }`),
    /3 rows of city have a kind that does not fit/,
  ],
  'values that are not in the list': [
    alter('kind', `{ type: 'varchar(8)' }`, `{ type: 'varchar(8)', values: ['town', 'city'] }`),
    /1 rows of city have a kind that does not fit/,
  ],
  'a column that needs a value': [
    `m.addColumn('city', 'area', { type: 'integer' })`,
    /3 rows of city would have no area: give it a default or a fill/,
  ],
}

let number = 0
for (const [name, [operation, problem]] of Object.entries(FAILING)) {
  onEveryDatabase(t, `${name}: nothing happens`, async (t, { db, driver }) => {
    const directory = folder(
      t,
      { '0001_tables.ts': TABLES, '0002_change.ts': migration(FIRST, operation) },
      `preflight-${number++}`,
    )
    const migrator = createMigrator({ db, directory })
    await migrator.migrate({ to: '0001' })
    await db.insertInto('country').values({ code: 'FR' }).execute()
    await db.insertInto('city').values(ROWS).execute()
    const before = await readSchema(db)
    const message = driver.name === 'mysql' ? problem : /0002_change failed/
    await t.rejects(migrator.migrate(), { code: 'MIGRATION_FAILED', message })
    await t.rejects(migrator.migrate(), { message: /Nothing of it stays/ })
    t.strictSame(await readSchema(db), before)
    t.strictSame(await migrator.pending(), ['0002_change'])
    await db.deleteFrom('city').execute()
    t.equal((await migrator.migrate()).length, 1, 'mended, it is applied')
  })
}

onEveryDatabase(t, 'what a step before it mends is not tried', async (t, { db }) => {
  const mend = `m.runData({ up: (db) => db.updateTable('city').set({ name: 'b' }).where('id', '=', 2).execute(), down: async () => {} })`
  const [unique] = FAILING['values that are there twice'] as readonly [string, RegExp]
  const [null_] = FAILING['rows without a value'] as readonly [string, RegExp]
  const files = {
    '0001_tables.ts': TABLES,
    '0002_change.ts': migration(FIRST, mend, unique),
    '0003_fill.ts': migration(
      `m.dropUnique('city', { name: 'city_name_key', columns: ['name'] })`,
      null_.replace(/ \}\)$/, `, fill: 'x' })`),
    ),
  }
  const migrator = createMigrator({ db, directory: folder(t, files, `preflight-${number++}`) })
  await migrator.migrate({ to: '0001' })
  await db.insertInto('city').values(ROWS).execute()
  t.equal((await migrator.migrate()).length, 2)
})

onEveryDatabase(t, 'a rollback is tried, too', async (t, { db, driver }) => {
  const files = {
    '0001_tables.ts': TABLES,
    '0002_change.ts': migration(
      `m.dropColumn('city', 'size', { type: 'integer' })`,
      `m.addIndex('city', { name: 'city_kind_idx', columns: ['kind'] })`,
    ),
  }
  const migrator = createMigrator({ db, directory: folder(t, files, `preflight-${number++}`) })
  await migrator.migrate()
  await db.insertInto('city').values({ id: 1, country: 'FR', kind: 'town' }).execute()
  const before = await readSchema(db)
  const message = driver.name === 'mysql' ? /1 rows of city would have no size/ : /size/
  await t.rejects(migrator.rollback({ steps: 1 }), { code: 'MIGRATION_FAILED', message })
  t.strictSame(await readSchema(db), before, 'the index is there')
})

onMysql(t, 'one that fails behind what it has filled in is taken back', async (t, { db }) => {
  const files = {
    '0001_tables.ts': TABLES,
    '0002_change.ts': migration(
      FIRST,
      // Nothing behind it is tried.
      `m.runSql({ up: [], down: [] })`,
      `m.alterColumn('city', 'name', { from: { type: 'varchar(40)', nullable: true }, to: { type: 'integer' }, fill: 7 })`,
    ),
  }
  const migrator = createMigrator({ db, directory: folder(t, files, `preflight-${number++}`) })
  await migrator.migrate({ to: '0001' })
  await db.insertInto('city').values(ROWS).execute()
  const before = await readSchema(db)
  await t.rejects(migrator.migrate(), { code: 'MIGRATION_FAILED', message: /migrate rollback/ })
  t.match(await migrator.rollback({ steps: 1 }), [{ name: '0002_change', direction: 'down' }])
  t.strictSame(await readSchema(db), before)
  t.strictSame(await migrator.pending(), ['0002_change'])
})

t.test('a column of a type of each database with a fill is written as it is', async (t) => {
  const type = { mysql: 'mediumint', sqlite: 'integer' }
  const operation = {
    type: 'addColumn',
    table: 'city',
    column: 'n',
    definition: { type },
    fill: 7,
  } as const
  const directory = folder(t, { '0001_column.ts': render([operation]) }, `preflight-${number++}`)
  const [loaded] = await loadMigrations(await listMigrations(directory))
  t.strictSame(loaded?.operations, [operation])
})

const NULLABLE = { type: 'integer', nullable: true } as const

t.test('what the first statement does is left to it', async (t) => {
  const integer = { type: 'integer' } as const
  const state = {
    thing: { columns: { id: integer, a: integer, b: integer, c: NULLABLE }, primaryKey: ['id'] },
  }
  const shorter = (column: string, more = {}) =>
    ({
      type: 'alterColumn',
      table: 'thing',
      column,
      from: { type: 'integer' },
      to: { type: 'smallint' },
      ...more,
    }) as const
  const tried = (operations: Operation[]) =>
    trialsOf(operations, state, compileAll(operations, state, 'mysql').steps).map(
      ({ operation }) => operation,
    )
  t.strictSame(tried([shorter('a'), shorter('b')]), [], 'one statement')
  t.strictSame(
    tried([shorter('a'), addIndex('thing', { name: 'thing_b_idx', columns: ['b'] }), shorter('b')]),
    [2],
    'behind another',
  )
  t.strictSame(
    tried([shorter('c', { from: NULLABLE, fill: 7 }), shorter('b')]),
    [0, 1],
    'behind rows that are filled in',
  )
})
