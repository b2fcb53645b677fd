import { sql } from 'kysely'
import t from 'tap'
import { retryTransaction } from '../../src/database/transaction.ts'
import { isTransactionConflict } from '../../src/database/violations.ts'
import { errors } from '../../src/errors.ts'
import { createGate } from '../helpers/app.ts'
import { type AnyDatabase, onEveryDatabase, onMysql } from './fixture.ts'

async function createAccounts(db: AnyDatabase): Promise<void> {
  await db.schema
    .createTable('account')
    .addColumn('id', 'integer', (id) => id.primaryKey())
    .addColumn('sum', 'integer', (sum) => sum.notNull())
    .execute()
  await db
    .insertInto('account')
    .values([
      { id: 1, sum: 0 },
      { id: 2, sum: 0 },
    ])
    .execute()
}

const add = (db: AnyDatabase, id: number, n: number) =>
  db
    .updateTable('account')
    .set({ sum: sql`sum + ${n}` })
    .where('id', '=', id)
    .execute()

const sums = async (db: AnyDatabase) =>
  (await db.selectFrom('account').select('sum').orderBy('id').execute()).map(({ sum }) => sum)

onMysql(t, 'a deadlock is tried again, and happens once', async (t, { db }) => {
  await createAccounts(db)
  const both = createGate()
  const failed: unknown[] = []
  let begun = 0
  const move = (from: number, to: number) =>
    retryTransaction(
      db,
      async (trx) => {
        try {
          await add(trx, from, -5)
          if (++begun === 2) both.open()
          await both.opened
          await add(trx, to, 5)
        } catch (error) {
          failed.push(error)
          throw error
        }
        return from
      },
      { delay: 1 },
    )
  t.strictSame(await Promise.all([move(1, 2), move(2, 1)]), [1, 2])
  t.equal(failed.length, 1)
  t.match(failed, [{ errno: 1213 }])
  t.strictSame(await sums(db), [0, 0])
})

onMysql(t, 'so is a lock that was not free in time', async (t, { db }) => {
  await createAccounts(db)
  const held = createGate()
  const done = createGate()
  const holder = db.transaction().execute(async (trx) => {
    await add(trx, 1, 1)
    held.open()
    await done.opened
  })
  await held.opened
  let tries = 0
  await retryTransaction(db, async (trx) => {
    if (++tries > 1) await holder
    await sql`set innodb_lock_wait_timeout = 1`.execute(trx)
    await add(trx, 2, 10)
    await add(trx, 1, 10).catch((error) => {
      done.open()
      throw error
    })
  })
  t.equal(tries, 2)
  t.strictSame(await sums(db), [11, 10], 'what the first try had done is taken back')
})

const deadlock = () => Object.assign(new Error('Deadlock found'), { errno: 1213 })

onEveryDatabase(t, 'it is tried so often, and nothing else is', async (t, { db }) => {
  await createAccounts(db)
  for (const [error, options, tries] of [
    [deadlock(), { delay: 1 }, 5],
    [new Error('told otherwise', { cause: deadlock() }), { delay: 1, attempts: 2 }, 2],
    [Object.assign(new Error('database is locked'), { errcode: 517 }), { delay: 1 }, 5],
    [errors.DATABASE_BUSY.with({ cause: Object.assign(new Error(), { errcode: 5 }) }, 5), {}, 1],
    [new Error('mine'), {}, 1],
  ] as const) {
    let count = 0
    const work = async (trx: AnyDatabase) => {
      count++
      await add(trx, 1, 1)
      throw error
    }
    await t.rejects(retryTransaction(db, work, options), error)
    t.equal(count, tries, error.message)
  }
  t.strictSame(await sums(db), [0, 0], 'nothing of any is left')
})

onEveryDatabase(t, 'a part of a transaction is its beginning’s to try again', async (t, { db }) => {
  await createAccounts(db)
  let count = 0
  const outer = db.transaction().execute(async (trx) => {
    await add(trx, 1, 1)
    await retryTransaction(trx as AnyDatabase, async (part) => {
      count++
      await add(part, 1, 1)
      throw deadlock()
    }).catch(() => {})
  })
  await outer
  t.equal(count, 1)
  t.strictSame(await sums(db), [1, 0])
})

onEveryDatabase(t, 'whoever waits for nothing any more ends it', async (t, { db }) => {
  const stop = new AbortController()
  const work = async () => {
    stop.abort(new Error('over'))
    throw deadlock()
  }
  const options = { delay: 1_000_000, signal: stop.signal }
  await t.rejects(retryTransaction(db, work, options), { name: 'AbortError' })
})

t.test('tells what may succeed when it is tried again', async (t) => {
  t.ok(isTransactionConflict(deadlock()))
  t.notOk(isTransactionConflict(Object.assign(new Error(), { errno: 1062 })))
  t.notOk(isTransactionConflict('x'))
})
