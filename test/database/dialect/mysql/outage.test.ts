import { sql } from 'kysely'
import t from 'tap'
import { poll } from '../../../helpers/network.ts'
import { type Db, open } from '../../../suites/database-fixture.ts'
import { ownServer } from './own-server.ts'

const LOST = { code: 'DATABASE_UNAVAILABLE', statusCode: 503, cause: Error }
// Of these the queries' is waited for; it is short, and more than a busy machine takes.
const LIMITS = { poolSize: 2, connectTimeout: 30_000, acquireTimeout: 60_000, queryTimeout: 5000 }

t.test('a server that goes away and comes back', async (t) => {
  const server = await ownServer(t)
  const { db, app } = await open(t, { url: server.url, ...LIMITS })
  const one = async () => (await sql`select 1 as one`.execute(db)).rows
  await sql`create table item (n integer)`.execute(db)
  const stream = async (afterFirst: () => Promise<void>, limit = 10_000) => {
    let count = 0
    for await (const _ of manyRows(db).limit(limit).stream()) if (++count === 1) await afterFirst()
    return count
  }

  await t.test('is killed while a query runs', async (t) => {
    const patient = await open(t, { url: server.url, ...LIMITS, queryTimeout: 20_000 })
    const [running] = await Promise.all([
      sql`select sleep(10)`.execute(patient.db).then(
        () => null,
        (error) => error,
      ),
      untilRunning(patient.db).then(() => server.kill()),
    ])
    t.match(running, { ...LOST, message: /the connection was lost$/ })
    // That those of the pool have ended may not have been seen yet.
    for (let n = 0; n < LIMITS.poolSize; n++) await one().catch(() => {})
    t.match(await one().catch((error) => error), { ...LOST, message: /no connection can be made$/ })
    await t.rejects(
      db.transaction().execute(async () => t.fail('it has not begun')),
      LOST,
    )
    await server.restart()
    t.strictSame(await one(), [{ one: 1 }])
    t.strictSame(await Promise.all([one(), one(), one()]), Array(3).fill([{ one: 1 }]))
  })

  await t.test('is killed within a transaction', async (t) => {
    const transaction = db.transaction().execute(async (trx) => {
      await sql`insert into item values (-1)`.execute(trx)
      await server.kill()
      await server.restart()
      await sql`insert into item values (-2)`.execute(trx)
    })
    await t.rejects(transaction, LOST)
    const { rows } = await sql`select n from item where n < 0`.execute(db)
    t.strictSame(rows, [])
  })

  await t.test('is killed while rows are streamed', async (t) => {
    await t.rejects(stream(server.kill), LOST)
    await server.restart()
    t.equal(await stream(async () => {}, 100), 100)
  })

  await t.test('goes silent', async (t) => {
    await Promise.all([one(), one()])
    await server.silence()
    const began = performance.now()
    await t.rejects(one(), { ...LOST, message: /it does not answer$/ })
    t.ok(performance.now() - began < 30_000, 'within the query timeout and its grace')
    server.goOn()
    t.strictSame(await Promise.all([one(), one(), one()]), Array(3).fill([{ one: 1 }]))
  })

  await t.test('goes silent while rows are streamed', async (t) => {
    await t.rejects(stream(server.silence), { ...LOST, message: /it does not answer$/ })
    server.goOn()
    t.equal(await stream(async () => {}, 100), 100)
  })

  await t.test('is silent when the app closes', async (t) => {
    await one()
    await server.silence()
    const stuck = one().catch((error) => error)
    await app.close()
    t.match(await stuck, LOST)
    server.goOn()
  })
})

async function untilRunning(db: Db): Promise<void> {
  const running = sql`select 1 from information_schema.processlist where info like 'select sleep%'`
  await poll(async () => (await running.execute(db)).rows.length > 0)
}

/**
 * 10,000 rows, more than fits in sockets' buffers, that need no table: a server that is killed may lose what
 * it has stored.
 */
function manyRows(db: Db) {
  const digits = sql`(select 0 as n${sql.raw(' union all select 1'.repeat(9))})`
  const tables = ['a', 'b', 'c', 'd'].map((name) => digits.as(name))
  return db.selectFrom(tables as never).select(sql`repeat('x', 1000)`.as('text'))
}
