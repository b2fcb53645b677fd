import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { mock } from 'node:test'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { Statements } from '../../../../src/database/dialect/sqlite/values.ts'
import { databaseDrivers } from '../../../helpers/drivers.ts'
import { open, openWithTables } from '../../../suites/database-fixture.ts'

const [driver] = databaseDrivers.filter(({ name }) => name === 'sqlite')

async function withTables(t: Test) {
  if (!driver) throw new Error('there is a driver for SQLite')
  return await openWithTables(t, driver)
}

t.test('opens a file with our settings', async (t) => {
  const { db } = await withTables(t)
  const pragma = async (name: string) =>
    Object.values((await sql.raw(`pragma ${name}`).execute(db)).rows[0] ?? {})
  t.strictSame(await pragma('journal_mode'), ['wal'])
  t.strictSame(await pragma('foreign_keys'), [1])
  t.strictSame(await pragma('synchronous'), [1])
  t.strictSame(await pragma('busy_timeout'), [25])
})

t.test('reads what SQLite itself writes as dates', async (t) => {
  const { db } = await open(t, { url: 'sqlite::memory:' })
  await sql`create table log (id integer, at datetime default current_timestamp, day date)`.execute(
    db,
  )
  await sql`insert into log values (1, '2026-11-22 10:00:00', ${new Date('2026-11-22T10:00:00Z')})`.execute(
    db,
  )
  await sql`insert into log values (2, '2026-11-22 10:00:00.5', '2026-11-22'), (3, 'nonsense', null)`.execute(
    db,
  )
  await sql`insert into log (id) values (4)`.execute(db)
  const { rows } = await sql<{ at: string }>`select at, day from log order by id`.execute(db)
  t.strictSame(rows.slice(0, 3), [
    { at: '2026-11-22T10:00:00.000Z', day: '2026-11-22' },
    { at: '2026-11-22T10:00:00.500Z', day: '2026-11-22' },
    { at: 'nonsense', day: null },
  ])
  t.match(rows[3]?.at, /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z$/)
})

t.test('does not check lengths and ranges, as MySQL does', async (t) => {
  const { db } = await withTables(t)
  const name = 'more than twenty characters'
  await db
    .insertInto('sample')
    .values({ name, small: 2 ** 40, doc: null })
    .execute()
  t.strictSame(await db.selectFrom('sample').select(['name', 'small']).execute(), [
    { name, small: 2 ** 40 },
  ])
})

t.test('runs an insert that returns a big id once', async (t) => {
  const { db } = await withTables(t)
  const id = 2n ** 53n + 1n
  const insert = db.insertInto('owner').values({ id: id as never, email: 'a' })
  t.strictSame(await insert.returningAll().execute(), [{ id, email: 'a' }])
  t.strictSame(await db.selectFrom('owner').selectAll().execute(), [{ id, email: 'a' }])
  const { insertId } = await db.insertInto('owner').values({ email: 'b' }).executeTakeFirstOrThrow()
  t.equal(insertId, id + 1n)
})

t.test('shows the error that made SQLite roll back', async (t) => {
  const { db } = await withTables(t)
  await db.insertInto('owner').values({ email: 'a' }).execute()
  const twice = db.transaction().execute(async (trx) => {
    await sql`insert or rollback into owner (email) values ('a')`.execute(trx)
  })
  await t.rejects(twice, { message: 'UNIQUE constraint failed: owner.email' })
  t.strictSame(await db.selectFrom('owner').select('email').execute(), [{ email: 'a' }])
})

t.test('sees within a second what another process has migrated', async (t) => {
  const file = join(t.testdir(), 'test.db')
  const now = performance.now.bind(performance)
  let ahead = 0
  const clock = mock.method(performance, 'now', () => now() + ahead)
  t.teardown(() => clock.mock.restore())
  const { db } = await open(t, { url: `sqlite:${file}` })
  await sql`create table item (a integer, b integer)`.execute(db)
  await sql`insert into item values (1, 2)`.execute(db)
  const all = async () => (await sql`select * from item`.execute(db)).rows
  t.strictSame(await all(), [{ a: 1, b: 2 }])
  const other = new DatabaseSync(file)
  t.teardown(() => other.close())
  other.exec('alter table item rename column a to z')
  ahead += 1000
  t.strictSame(await all(), [{ z: 1, b: 2 }])
  other.exec('alter table item add column c boolean default 1')
  ahead += 1000
  t.strictSame(await all(), [{ z: 1, b: 2, c: true }])
  other.exec('alter table item drop column z')
  ahead += 1000
  t.strictSame(await all(), [{ b: 2, c: true }])
})

t.test('keeps a bounded number of prepared statements, those used last', async (t) => {
  const database = new DatabaseSync(':memory:')
  t.teardown(() => database.close())
  const statements = new Statements(database, 2)
  const one = statements.get('select 1')
  const two = statements.get('select 2')
  t.equal(statements.get('select 1'), one)
  statements.get('select 3')
  t.equal(statements.get('select 1'), one)
  t.not(statements.get('select 2'), two)
})

t.test('says why a file cannot be opened', async (t) => {
  const folder = t.testdir({
    'no.db': 'This is no database, but longer than the header of one. '.repeat(20),
  })
  for (const [path, reason] of [
    [folder, /unable to open database file/],
    [join(folder, 'no.db'), /file is not a database/],
    [join(folder, 'no.db', 'sub.db'), /EEXIST|ENOTDIR/],
  ] as const) {
    const error = await open(t, { url: `sqlite:${path}` }).then(
      () => null,
      (error) => error,
    )
    t.match(error, { code: 'DATABASE_UNAVAILABLE', message: reason, cause: Error })
    t.ok(error.message.includes(`${path} cannot be opened: `))
  }
})
