import { sql } from 'kysely'
import t from 'tap'
import { createMigrator } from '../../../src/database/migration/migrator.ts'
import { folder, migration, onEveryDatabase } from '../fixture.ts'

/** From a text to a type: what it takes, and what both databases refuse. */
const CASES: readonly (readonly [
  type: string,
  fits: readonly string[],
  misfits: readonly string[],
])[] = [
  ['integer', ['7', '-7'], ['seven', '7x', '2147483648', '']],
  ['tinyint', ['-128'], ['128']],
  ['bigint', ['9000000000'], ['9.000.000']],
  ['double', ['7.5', '-0.25'], ['7,5', 'x']],
  ['json', ['{"a":1}', '7'], ['{a:1}']],
  ['date', ['2026-01-02'], ['2026-13-02', 'today']],
  ['time', ['10:00:00'], ['noon', '10:99:00']],
  ['decimal(4,2)', ['99.50'], ['100.00', 'much']],
  ['varchar(3)', ['abc', 'äöü'], ['abcd']],
]

let number = 0
for (const [type, fits, misfits] of CASES) {
  onEveryDatabase(t, `a text that becomes ${type}`, async (t, { db }) => {
    const text = `{ type: 'varchar(40)' }`
    const files = {
      '0001_thing.ts': migration(
        `m.createTable('thing', { columns: { id: { type: 'integer' }, x: ${text} }, primaryKey: ['id'] })`,
      ),
      '0002_retyped.ts': migration(
        `m.alterColumn('thing', 'x', { from: ${text}, to: { type: '${type}' } })`,
      ),
    }
    const migrator = createMigrator({ db, directory: folder(t, files, `files-${number++}`) })
    await migrator.migrate({ to: '0001' })
    const fill = (values: readonly string[]) =>
      db
        .insertInto('thing')
        .values(values.map((x, i) => ({ id: i + 1, x })))
        .execute()
    const read = async () => {
      const { rows } = await sql<{
        x: string
      }>`select cast(x as char(40)) as x from thing order by id`.execute(db)
      return rows.map(({ x }) => x)
    }
    for (const value of misfits) {
      await fill([...fits, value])
      await t.rejects(migrator.migrate(), { code: 'MIGRATION_FAILED' }, value)
      t.strictSame(await read(), [...fits, value], 'nothing is changed')
      await db.deleteFrom('thing').execute()
    }
    await fill(fits)
    await migrator.migrate()
    t.equal((await read()).length, fits.length)
    const numbers = (await read()).map(Number)
    if (/int|double|decimal/.test(type)) t.strictSame(numbers, fits.map(Number))
  })
}

onEveryDatabase(t, 'which rows do not fit', async (t, { db, driver }) => {
  const text = `{ type: 'varchar(40)' }`
  const files = {
    '0001_thing.ts': migration(
      `m.createTable('thing', { columns: { a: { type: 'integer' }, b: { type: 'integer' }, x: ${text} }, primaryKey: ['a', 'b'] })`,
    ),
    '0002_retyped.ts': migration(
      `m.alterColumn('thing', 'x', { from: ${text}, to: { type: 'integer' } })`,
    ),
  }
  const migrator = createMigrator({ db, directory: folder(t, files) })
  await migrator.migrate({ to: '0001' })
  const rows = [1, 2, 3, 4, 5].map((a) => ({ a, b: 7, x: a === 1 ? '1' : 'secret' }))
  await db.insertInto('thing').values(rows).execute()
  const error = await migrator.migrate().then(
    () => undefined,
    (error: Error) => error,
  )
  if (driver.name === 'sqlite') {
    t.match(
      error?.message,
      /4 rows of thing have a x that is no integer \(a\/b 2\/7, 3\/7, 4\/7, …\)/,
    )
    t.notMatch(error?.message, 'secret')
  } else t.match(error?.message, /x/)
})

const CASCADE = [
  `m.createTable('parent', { columns: { id: { type: 'integer' }, n: { type: 'integer' } }, primaryKey: ['id'] })`,
  `m.createTable('child', { columns: { id: { type: 'integer' }, parent: { type: 'integer' } }, primaryKey: ['id'],
    foreignKeys: [{ name: 'child_parent_fkey', columns: ['parent'], table: 'parent', references: ['id'], onDelete: 'cascade' }] })`,
]
const DELETE = `m.runData({ up: (db) => db.deleteFrom('parent').execute(), down: async () => {} })`
const LONGER = `m.alterColumn('parent', 'n', { from: { type: 'integer' }, to: { type: 'bigint' } })`

onEveryDatabase(t, 'code that deletes beside a rebuild', async (t, { db, driver }) => {
  const one = { '0001_tables.ts': migration(...CASCADE) }
  const together = folder(t, { ...one, '0002_both.ts': migration(LONGER, DELETE) }, 'together')
  const apart = folder(
    t,
    { ...one, '0002_longer.ts': migration(LONGER), '0003_delete.ts': migration(DELETE) },
    'apart',
  )
  const migrator = createMigrator({ db, directory: together })
  await migrator.migrate({ to: '0001' })
  await db.insertInto('parent').values({ id: 1, n: 1 }).execute()
  await db.insertInto('child').values({ id: 1, parent: 1 }).execute()
  if (driver.name === 'sqlite') {
    await t.rejects(migrator.migrate(), {
      code: 'MIGRATION_INVALID',
      message: /operation 2 \(runData\): .*child_parent_fkey.*a migration of its own/,
    })
    await createMigrator({ db, directory: apart }).migrate()
  } else await migrator.migrate()
  for (const table of ['parent', 'child'])
    t.strictSame(await db.selectFrom(table).selectAll().execute(), [])
})
