import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import Fastify from 'fastify'
import { type Kysely, sql } from 'kysely'
import t, { type Test } from 'tap'
import database, { type DatabaseOptions } from '../../../../plugins/database.ts'
import health from '../../../../plugins/health.ts'

const ROWS = 20_000
const MANY = sql`with recursive n(n) as (select 1 union all select n + 1 from n where n < ${ROWS})
  insert into item select n, ${'x'.repeat(500)} from n`

type Items = Kysely<{ item: { n: number; text: string } }>

async function open(t: Test, options: Partial<DatabaseOptions> = {}) {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(health)
  await app.register(database, { url: `sqlite:${join(t.testdir(), 'test.db')}`, ...options })
  const db = app.db as unknown as Items
  await sql`create table item (n integer, text text)`.execute(db)
  await MANY.execute(db)
  return { app, db, rows: db.selectFrom('item').selectAll() }
}

t.test('a slow reader of an export stops nobody', async (t) => {
  const { app, db, rows } = await open(t)
  app.get('/export', (_, reply) => {
    const lines = async function* () {
      for await (const { n, text } of rows.stream()) yield `${n},${text}\n`
    }
    return reply.type('text/csv').send(Readable.from(lines()))
  })
  app.get('/count', async () => (await rows.execute()).length)
  app.post('/', async () => {
    await db
      .transaction()
      .execute((trx) => trx.insertInto('item').values({ n: 0, text: '' }).execute())
    return 'added'
  })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const [slow] = (await once(get(`${url}/export`), 'response')) as [IncomingMessage]
  await once(slow, 'readable')
  // He has read a little, and reads no further.
  t.equal(await (await fetch(`${url}/count`)).text(), String(ROWS))
  t.equal(await (await fetch(url, { method: 'POST' })).text(), 'added')
  t.equal((await fetch(`${url}/readyz`)).status, 200)
  const lines = (await text(slow)).split('\n')
  t.equal(lines.length, ROWS + 1)
})

t.test('a bounded number is read at once', async (t) => {
  const { rows } = await open(t, { poolSize: 2, acquireTimeout: 50 })
  const first = [rows.stream(10), rows.stream(10)]
  for (const reader of first) await reader.next()
  await t.rejects(rows.stream().next(), { code: 'DATABASE_BUSY', message: /within 50 ms/ })
  t.equal((await rows.execute()).length, ROWS)
  for (const reader of first) await reader.return?.()
  for (let turn = 0; turn < 5; turn++) for await (const row of rows.stream()) if (row) break
})

t.test('what still reads when the app closes is cut off', async (t) => {
  const { app, rows } = await open(t, { acquireTimeout: 50 })
  const reader = rows.stream(10)
  await reader.next()
  await app.close()
  const rest = async () => {
    for await (const _ of reader);
  }
  await t.rejects(rest(), { code: 'DATABASE_UNAVAILABLE', message: /it has been closed$/ })
  await t.rejects(rows.stream().next(), { code: 'DATABASE_UNAVAILABLE' })
})

t.test('of a database in memory all rows are read at once', async (t) => {
  const { rows } = await open(t, { url: 'sqlite::memory:', acquireTimeout: 50 })
  const reader = rows.stream(10)
  let count = 0
  for await (const _ of reader) {
    if (count++ === 0) t.equal((await rows.execute()).length, ROWS)
  }
  t.equal(count, ROWS)
})

t.test('a stream of a statement that writes has the connection', async (t) => {
  const { db } = await open(t)
  let count = 0
  const added = db.insertInto('item').values({ n: -1, text: '' }).returningAll()
  for await (const row of added.stream()) count += row.n
  t.equal(count, -1)
  t.equal((await db.selectFrom('item').select('n').where('n', '=', -1).execute()).length, 1)
})

t.test('others have their turn between statements that take long', async (t) => {
  const { db } = await open(t)
  const slow = sql`select count(*) from item a, item b where a.n % 4000 = 0 and b.text > ''`
  let turns = 0
  const timer = setInterval(() => turns++, 1)
  t.teardown(() => clearInterval(timer))
  await Promise.all(Array.from({ length: 10 }, () => slow.execute(db)))
  t.ok(turns > 0, 'timers run')
})
