import t from 'tap'
import { createMigrator } from '../../../src/database/migration/migrator.ts'
import { type AnyDatabase, folder, migration, onEveryDatabase } from '../fixture.ts'

const computed = (expression: string, kind: string) =>
  `{ type: { mysql: 'int generated always as (${expression}) ${kind}', sqlite: 'int generated always as (${expression}) ${kind}' } }`
const TABLE = `m.createTable('thing', { columns: {
  id: { type: 'integer' }, a: { type: 'integer' }, twice: ${computed('a * 2', 'stored')} }, primaryKey: ['id'] })`
const LONGER = `m.alterColumn('thing', 'a', { from: { type: 'integer' }, to: { type: 'bigint' } })`

const read = async (db: AnyDatabase) =>
  (await db.selectFrom('thing').selectAll().orderBy('id').execute()).map((row) =>
    Object.fromEntries(Object.entries(row).map(([name, value]) => [name, Number(value)])),
  )

onEveryDatabase(t, 'computed columns, in a table with rows', async (t, { db }) => {
  const files = {
    '0001_thing.ts': migration(TABLE),
    '0002_longer.ts': migration(LONGER),
    '0003_stored.ts': migration(
      `m.addColumn('thing', 'sum', ${computed('a + 1', 'stored')})`,
      `m.addColumn('thing', 'n', { type: 'integer' }, { fill: 4 })`,
    ),
    '0004_virtual.ts': migration(
      `m.addColumn('thing', 'square', ${computed('a * a', 'virtual')})`,
      `m.alterColumn('thing', 'twice', { from: ${computed('a * 2', 'stored')}, to: ${computed('a * 3', 'stored')} })`,
    ),
    '0005_dropped.ts': migration(`m.dropColumn('thing', 'sum', ${computed('a + 1', 'stored')})`),
  }
  const migrator = createMigrator({ db, directory: folder(t, files) })
  await migrator.migrate({ to: '0001' })
  await db
    .insertInto('thing')
    .values([
      { id: 1, a: 5 },
      { id: 2, a: 6 },
    ])
    .execute()
  const rows = (more: (a: number) => object) => [5, 6].map((a, i) => ({ id: i + 1, a, ...more(a) }))
  const after = {
    1: rows((a) => ({ twice: a * 2 })),
    2: rows((a) => ({ twice: a * 2 })),
    3: rows((a) => ({ twice: a * 2, sum: a + 1, n: 4 })),
    4: rows((a) => ({ twice: a * 3, sum: a + 1, n: 4, square: a * a })),
    5: rows((a) => ({ twice: a * 3, n: 4, square: a * a })),
  }
  for (const number of [2, 3, 4, 5] as const) {
    await migrator.migrate({ to: `000${number}` })
    t.same(await read(db), after[number], `up to ${number}`)
  }
  for (const number of [4, 3, 2, 1] as const) {
    await migrator.rollback({ steps: 1 })
    t.same(await read(db), after[number], `back to ${number}`)
  }
  await db.updateTable('thing').set({ a: 7 }).where('id', '=', 2).execute()
  t.match((await read(db))[1], { twice: 14 })
})
