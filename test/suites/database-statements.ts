import { sql } from 'kysely'
import type { Test } from 'tap'
import { isUniqueViolation } from '../../src/database/violations.ts'
import type { DatabaseDriver } from '../helpers/drivers.ts'
import { type Db, openWithTables } from './database-fixture.ts'

/** What statements tell of themselves. */
export async function databaseResults(t: Test, driver: DatabaseDriver): Promise<void> {
  const { db } = await openWithTables(t, driver)
  const values = ['a', 'b', 'c'].map((email) => ({ email }))
  for (const [index, value] of values.entries()) {
    const { insertId, numInsertedOrUpdatedRows } = await db
      .insertInto('owner')
      .values(value)
      .executeTakeFirst()
    t.strictSame([insertId, numInsertedOrUpdatedRows], [BigInt(index + 1), 1n])
  }
  const update = db.updateTable('owner').where('id', '>', 1)
  const renamed = await update.set({ email: sql`concat(email, '!')` }).executeTakeFirst()
  t.equal(renamed.numUpdatedRows, 2n)
  // As many as were found, also where nothing had to be changed.
  const same = await update.set((eb) => ({ email: eb.ref('email') })).executeTakeFirst()
  t.equal(same.numUpdatedRows, 2n)
  const gone = await db.deleteFrom('owner').where('email', '=', 'nobody').executeTakeFirst()
  t.equal(gone.numDeletedRows, 0n)
  t.strictSame(await db.selectFrom('owner').select(['id', 'email']).orderBy('id').execute(), [
    { id: 1, email: 'a' },
    { id: 2, email: 'b!' },
    { id: 3, email: 'c!' },
  ])
}

/** A constraint that is violated is an error, recognised where it is a matter of uniqueness. */
export async function databaseConstraints(t: Test, driver: DatabaseDriver): Promise<void> {
  const { db } = await openWithTables(t, driver)
  await db.insertInto('owner').values({ id: 1, email: 'a' }).execute()
  const fails = async (run: () => Promise<unknown>) =>
    await run().then(
      () => null,
      (error) => error,
    )
  const email = await fails(() => db.insertInto('owner').values({ email: 'a' }).execute())
  t.equal(isUniqueViolation(email), true)
  const id = await fails(() => db.insertInto('owner').values({ id: 1, email: 'b' }).execute())
  t.equal(isUniqueViolation(id), true)
  const owner = await fails(() => db.insertInto('pet').values({ owner_id: 99 }).execute())
  t.ok(owner instanceof Error)
  t.equal(isUniqueViolation(owner), false)
  t.equal(isUniqueViolation('no error'), false)
  t.strictSame(await db.selectFrom('pet').selectAll().execute(), [])
}

/** One statement at a time, and errors in it stay errors of SQL. */
export async function databaseWrongStatements(t: Test, driver: DatabaseDriver): Promise<void> {
  const { db } = await openWithTables(t, driver)
  await t.rejects(sql`select nonsense`.execute(db), { message: /nonsense/ })
  await t.rejects(sql`delete from owner; delete from pet`.execute(db))
  t.strictSame((await sql`select 1 as one; -- nothing more`.execute(db)).rows, [{ one: 1 }])
}

/** Rows come one after the other, and whoever stops early leaves a connection that works. */
export async function databaseStreaming(t: Test, driver: DatabaseDriver): Promise<void> {
  const { db } = await openWithTables(t, driver, { poolSize: 1 })
  const rows = Array.from({ length: 5000 }, (_, index) => ({ email: `${index}`.padStart(5, '0') }))
  await db.insertInto('owner').values(rows).execute()
  t.strictSame(await read(db, Number.POSITIVE_INFINITY), rows)
  t.strictSame(await read(db, 3), rows.slice(0, 3))
  t.strictSame(await db.selectFrom('owner').select(db.fn.countAll().as('n')).execute(), [
    { n: 5000 },
  ])
  const wrong = db.selectFrom('owner').select(sql`nonsense`.as('x')).stream()
  await t.rejects(async () => await wrong.next(), { message: /nonsense/ })
  t.strictSame(await db.selectFrom('owner').select(db.fn.countAll().as('n')).execute(), [
    { n: 5000 },
  ])
}

/** Whoever reads a stream slowly keeps nobody else from the database; what he reads is of one moment. */
export async function databaseSlowReader(t: Test, driver: DatabaseDriver): Promise<void> {
  const { db } = await openWithTables(t, driver, { poolSize: 3, acquireTimeout: 10_000 })
  const rows = Array.from({ length: 5000 }, (_, index) => ({ email: `${index}`.padStart(5, '0') }))
  await db.insertInto('owner').values(rows).execute()
  const all = db.selectFrom('owner').select('email').orderBy('email')
  const readers = [all.stream(100), all.stream(100)]
  const seen = await Promise.all(readers.map(async (reader) => [(await reader.next()).value]))
  t.equal((await all.execute()).length, 5000)
  await db.transaction().execute(async (trx) => {
    await trx.insertInto('owner').values({ email: 'new' }).execute()
    // In a transaction one sees what it does.
    let last: unknown
    for await (const row of trx.selectFrom('owner').select('email').orderBy('id').stream())
      last = row
    t.strictSame(last, { email: 'new' })
  })
  await db.connection().execute(async (own) => {
    for await (const row of own.selectFrom('owner').select('email').limit(2).stream()) t.ok(row)
    t.equal((await own.selectFrom('owner').select('id').execute()).length, 5001)
  })
  for (const [index, reader] of readers.entries()) {
    for await (const row of reader) seen[index]?.push(row)
    t.strictSame(seen[index], rows)
  }
  t.equal((await all.execute()).length, 5001)
}

async function read(db: Db, limit: number): Promise<unknown[]> {
  const read: unknown[] = []
  for await (const row of db.selectFrom('owner').select('email').orderBy('email').stream(100)) {
    if (read.push(row) >= limit) break
  }
  return read
}

/** Columns that a migration adds or drops are there at once, or gone. */
export async function databaseChangedTables(t: Test, driver: DatabaseDriver): Promise<void> {
  const { db } = await openWithTables(t, driver)
  await db.insertInto('owner').values({ email: 'a' }).execute()
  const all = () => db.selectFrom('owner').selectAll().execute()
  t.strictSame(await all(), [{ id: 1, email: 'a' }])
  await db.schema.alterTable('owner').addColumn('active', 'boolean').execute()
  t.strictSame(await all(), [{ id: 1, email: 'a', active: null }])
  await sql`update owner set active = ${true}`.execute(db)
  t.strictSame(await all(), [{ id: 1, email: 'a', active: true }])
  await db.schema.alterTable('owner').renameColumn('active', 'enabled').execute()
  t.strictSame(await all(), [{ id: 1, email: 'a', enabled: true }])
  await db.schema.alterTable('owner').dropColumn('enabled').execute()
  t.strictSame(await all(), [{ id: 1, email: 'a' }])
}
