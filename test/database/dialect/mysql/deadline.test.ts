import Fastify, { type FastifyInstance } from 'fastify'
import { Kysely, MysqlDialect, sql } from 'kysely'
import mysql2 from 'mysql2'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import databasePlugin, { type DatabaseOptions } from '../../../../plugins/database.ts'
import health from '../../../../plugins/health.ts'
import { BoundedPool } from '../../../../src/database/dialect/mysql/driver.ts'
import { DEFAULT_LIMITS } from '../../../../src/database/types.ts'
import { defineResource } from '../../../../src/resource/resource.ts'
import { failure, serveThings } from '../../../helpers/app.ts'
import { databaseDrivers } from '../../../helpers/drivers.ts'
import { poll } from '../../../helpers/network.ts'
import { ownServer } from './own-server.ts'

const [driver] = databaseDrivers.filter(({ name }) => name === 'mysql')
if (!driver) throw new Error('there is a driver for MySQL')

// Unlike sleep(), which answers 1 when it is interrupted, this is a statement that works.
const SLOW = sql`select /* slow */ count(*) from information_schema.columns a, information_schema.columns b, information_schema.columns c`
const LATE = { code: 'DEADLINE_EXCEEDED', statusCode: 504 }

let ended: Promise<unknown> = Promise.resolve()

/** Runs until it is given up; how that came is in `ended`. */
const slow = defineResource({
  summary: 'Slow',
  path: '/slow',
  timeout: 300,
  request: Type.Object({ within: Type.Boolean({ default: false }) }),
  async perform({ within }, { db }) {
    const work = within
      ? db.transaction().execute(async (trx) => {
          await sql`insert into item values (1)`.execute(trx)
          await SLOW.execute(trx)
        })
      : SLOW.execute(db)
    ended = work.then(
      () => 'it has run',
      (error) => error,
    )
    await work
    return null
  },
})

async function serve(t: Test, options: DatabaseOptions): Promise<FastifyInstance> {
  const app = await serveThings(
    t,
    { slow },
    { plugin: (app) => void app.register(databasePlugin, options) },
  )
  await sql`create table item (n integer)`.execute(app.db)
  return app
}

t.test('the deadline of a request ends its query, on the server, too', async (t) => {
  const app = await serve(t, { url: await driver.url(t), poolSize: 1 })
  for (const within of [false, true]) {
    t.equal((await app.inject(`/things/slow?within=${within}`)).statusCode, 504)
    t.match(await ended, LATE)
    t.strictSame((await sql`select n from item`.execute(app.db)).rows, [], 'it is undone')
    await untilGone(app)
  }
  t.match(await app.run(() => failure(slow({ within: false }, { timeout: 20 }))), {
    code: LATE.code,
  })
  t.match(await ended, LATE)
  await untilGone(app)
})

t.test('and its wait for a connection', async (t) => {
  for (const { url } of databaseDrivers) {
    const app = await serve(t, { url: await url(t), poolSize: 1 })
    const other = await app.db.startTransaction().execute()
    t.equal((await app.inject('/things/slow')).statusCode, 504)
    t.match(await ended, LATE)
    await other.rollback().execute()
    t.strictSame((await sql`select 1 as one`.execute(app.db)).rows, [{ one: 1 }])
  }
})

t.test('what is set for a transaction that begins too late is for no other', async (t) => {
  const connections = mysql2.createPool({ uri: await driver.url(t), connectionLimit: 1 })
  t.teardown(() => new Promise((resolve) => connections.end(resolve)))
  let left = Number.POSITIVE_INFINITY
  const pool = new BoundedPool(connections, DEFAULT_LIMITS, { timeLeft: () => left })
  const set: string[] = []
  const db = new Kysely({
    dialect: new MysqlDialect({ pool }),
    log({ level, query }) {
      if (level === 'error' || !query.sql.startsWith('set transaction')) return
      set.push(query.sql)
      left = 0
    },
  })
  await sql`create table item (n integer)`.execute(db)
  const late = db.transaction().setAccessMode('read only')
  await t.rejects(
    late.execute(async () => t.fail('it has not begun')),
    LATE,
  )
  t.strictSame(set, ['set transaction read only'])
  left = Number.POSITIVE_INFINITY
  await sql`insert into item values (1)`.execute(db)
  t.strictSame((await sql`select n from item`.execute(db)).rows, [{ n: 1 }])
})

t.test('what is done after an answer has no deadline', async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  let later: Promise<unknown> = Promise.resolve()
  const goOn = defineResource({
    summary: 'Go on',
    timeout: 300,
    perform(_, { db }) {
      later = promise.then(() => sql`select 1 as one`.execute(db))
      return null
    },
  })
  const url = await driver.url(t)
  const plugin = (app: FastifyInstance) => void app.register(databasePlugin, { url })
  const app = await serveThings(t, { goOn }, { plugin })
  t.equal((await app.inject('/things')).statusCode, 200)
  const passed = setTimeout(resolve, 350)
  await promise
  clearTimeout(passed)
  t.match(await later, { rows: [{ one: 1 }] })
})

t.test('a server that is frozen holds nobody, and the process is not ready', async (t) => {
  const server = await ownServer(t)
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(health, { timeout: 5000 })
  await app.register(databasePlugin, { url: server.url, poolSize: 2 })
  const isReady = async () => (await app.inject('/readyz')).statusCode === 200
  t.ok(await poll(isReady))
  const one = await serve(t, { url: server.url, poolSize: 2 })
  t.equal((await one.inject('/things/slow')).statusCode, 504)
  await server.silence()
  t.equal((await one.inject('/things/slow')).statusCode, 504)
  t.match(await ended, LATE)
  const answer = await app.inject('/readyz')
  t.match([answer.statusCode, answer.headers['retry-after']], [503, '1'])
  server.goOn()
  t.ok(await poll(isReady))
})

t.test('a database that is busy is told with the time to come again', async (t) => {
  const options = { url: 'sqlite::memory:', acquireTimeout: 20 }
  const app = await serve(t, options)
  const other = await app.db.startTransaction().execute()
  const answer = await app.inject('/things/slow')
  t.match([answer.statusCode, answer.json().code], [503, 'DATABASE_BUSY'])
  t.equal(answer.headers['retry-after'], '1')
  await other.rollback().execute()
})

/** The statement is gone from the server. */
async function untilGone({ db }: FastifyInstance): Promise<void> {
  const running = sql`select id from information_schema.processlist where info like 'select /* slow */%'`
  await poll(async () => (await running.execute(db)).rows.length === 0)
}
