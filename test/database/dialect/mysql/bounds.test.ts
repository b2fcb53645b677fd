import { promisify } from 'node:util'
import { sql } from 'kysely'
import mysql2 from 'mysql2'
import t from 'tap'
import { BoundedPool } from '../../../../src/database/dialect/mysql/driver.ts'
import { prepareSessions, sessionSql } from '../../../../src/database/dialect/mysql/open.ts'
import { DEFAULT_LIMITS } from '../../../../src/database/types.ts'
import { databaseDrivers } from '../../../helpers/drivers.ts'
import { type Db, open, openWithTables } from '../../../suites/database-fixture.ts'

const [driver] = databaseDrivers.filter(({ name }) => name === 'mysql')
if (!driver) throw new Error('there is a driver for MySQL')

/** Holds the only connection until `release` is called. */
async function occupy(db: Db) {
  const held = Promise.withResolvers<void>()
  const { promise, resolve: release } = Promise.withResolvers<void>()
  const done = db.connection().execute(async () => {
    held.resolve()
    await promise
  })
  await held.promise
  return { release, done }
}

t.test('bounds the queue and the wait for a connection', async (t) => {
  const url = await driver.url(t)
  const { db, app } = await open(t, { url, poolSize: 1, queueLimit: 2, acquireTimeout: 50 })
  const one = async () => (await sql`select 1 as one`.execute(db)).rows
  const { release, done } = await occupy(db)
  const queued = [one(), one()]
  await t.rejects(one(), { code: 'DATABASE_BUSY', statusCode: 503, message: /within 0 ms/ })
  for (const query of queued) {
    await t.rejects(query, { code: 'DATABASE_BUSY', statusCode: 503, message: /within 50 ms/ })
  }
  release()
  await done
  // The places of those who gave up are free again, and so is the connection.
  for (let time = 0; time < 5; time++) t.strictSame(await one(), [{ one: 1 }])
  await app.close()
})

t.test('closes once the last who waits is told that no connection can be made', async (t) => {
  let answer: (error: Error) => void = () => t.fail('a connection is asked for')
  const pool = new BoundedPool(
    {
      getConnection: (take: typeof answer) => {
        answer = take
      },
    } as never,
    { ...DEFAULT_LIMITS, queryTimeout: 0 },
  )
  let told: unknown
  pool.getConnection((error) => {
    told = error
  })
  const drained = pool.drain()
  answer(new Error('refused'))
  await drained
  t.match(told, { code: 'DATABASE_UNAVAILABLE', cause: { message: 'refused' } })
  t.equal(pool.usage().waiting, 0)
})

t.test('ends a statement that takes too long, and keeps its connection', async (t) => {
  const url = await driver.url(t)
  const { db } = await open(t, { url, poolSize: 1, queryTimeout: 3000 })
  const id = async () => (await sql`select connection_id() as id`.execute(db)).rows
  const before = await id()
  // It only computes, so that it can be ended at any moment. Sleep() answers 1 on MySQL when it is interrupted.
  const slow = sql`with recursive number (n) as (select 1 union all select n + 1 from number where n < 1000)
    select count(*) from number a, number b, number c, number d`
  await t.rejects(slow.execute(db), {
    code: 'DEADLINE_EXCEEDED',
    statusCode: 504,
    message: 'There was no answer within the deadline of 3000 ms',
    cause: { sqlState: String },
  })
  t.strictSame(await id(), before)
})

t.test('gives every session our settings, whoever uses it', async (t) => {
  const url = await driver.url(t)
  const { db, app } = await open(t, { url, poolSize: 3, queryTimeout: 15_500 })
  const settings = sql<object>`select connection_id() as id, @@time_zone as zone, @@sql_mode as mode,
    @@character_set_client as client, @@character_set_results as results`
  const rows = await Promise.all(
    Array.from({ length: 3 }, async () => {
      const { rows } = await settings.execute(db)
      return rows[0] as { id: number; mode: string }
    }),
  )
  t.equal(new Set(rows.map(({ id }) => id)).size, 3)
  for (const { mode, id: _, ...rest } of rows) {
    t.strictSame(rest, { zone: '+00:00', client: 'utf8mb4', results: 'utf8mb4' })
    t.strictSame(mode.split(',').sort(), [
      'ERROR_FOR_DIVISION_BY_ZERO',
      'NO_ENGINE_SUBSTITUTION',
      'NO_ZERO_DATE',
      'NO_ZERO_IN_DATE',
      'STRICT_TRANS_TABLES',
    ])
  }
  const limits = await sql<{
    Value: string
  }>`show variables where variable_name in ('max_statement_time', 'max_execution_time')`.execute(db)
  t.strictSame(
    limits.rows.map(({ Value }) => Number(Value)),
    [limits.rows.length && (await isMariaDb(db)) ? 15.5 : 15_500],
  )
  const direct = await new Promise((resolve, reject) => {
    app.mysql?.query('select @@time_zone as zone', (error, rows) =>
      error ? reject(error) : resolve(rows),
    )
  })
  t.match(direct, [{ zone: '+00:00' }])
})

const isMariaDb = async (db: Db) => {
  const { rows } = await sql<{ version: string }>`select version() as version`.execute(db)
  return rows[0]?.version.includes('MariaDB') ?? false
}

t.test('uses no connection whose session could not be prepared', async (t) => {
  const url = await driver.url(t)
  const { db } = await open(t, { url })
  await sql`create table item (n integer)`.execute(db)
  const pool = mysql2.createPool({ uri: url })
  t.teardown(() => new Promise((resolve) => pool.end(resolve)))
  const query = promisify<string, unknown>(pool.query.bind(pool))
  await query('insert into item values (0)')
  await t.rejects(prepareSessions(pool, 'set no_such_setting = 1'), {
    code: 'ER_UNKNOWN_SYSTEM_VARIABLE',
  })
  for (const n of [1, 2]) await t.rejects(query(`insert into item values (${n})`))
  t.strictSame((await sql`select n from item`.execute(db)).rows, [{ n: 0 }])
  t.match(sessionSql(0), /max_statement_time = 0 .*max_execution_time = 0 /)
})

t.test('refuses what does not fit a column', async (t) => {
  const { db } = await openWithTables(t, driver)
  const insert = (values: object) =>
    db
      .insertInto('sample')
      .values({ doc: null, ...values })
      .execute()
  const refused: [object, number[]][] = [
    [{ name: 'more than twenty characters' }, [1406]],
    [{ small: 2 ** 31 }, [1264]],
    [{ born: '2026-02-30' }, [1292]],
    [{ born: '0000-00-00' }, [1292]],
    [{ price: 'twelve' }, [1366]],
    // MariaDB's check constraint, MySQL's type
    [{ doc: '{' }, [4025, 3140]],
  ]
  for (const [values, numbers] of refused) {
    const error = await insert(values).then(
      () => null,
      (error) => error,
    )
    t.ok(numbers.includes(error?.errno), `${JSON.stringify(values)}: ${error?.message}`)
  }
  t.strictSame(await db.selectFrom('sample').selectAll().execute(), [])
})
