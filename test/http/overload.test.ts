import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import type { FastifyInstance } from 'fastify'
import { type Kysely, sql } from 'kysely'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { defineList } from '../../src/crud/list.ts'
import { portable } from '../../src/database/portable.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createService } from '../helpers/app.ts'
import { databaseDrivers, redisUrl } from '../helpers/drivers.ts'
import { listen } from '../helpers/wire.ts'

const Item = Type.Object({ id: Type.Integer(), name: Type.String() })
const items = defineList(Item, { order: ['id'], key: 'id', pageSize: 20 })
type Tables = Kysely<{ item: { id: number; name: string } }>

const list = defineResource({
  summary: 'List',
  request: items.request,
  response: items.response,
  perform: (input, { db }) =>
    items.paginate((db as unknown as Tables).selectFrom('item').selectAll(), input),
})

/** Several queries of a request at once. */
const many = defineResource({
  summary: 'Many',
  path: '/many',
  response: Type.Integer(),
  async perform(_, { db }) {
    const counts = Array.from({ length: 4 }, () =>
      sql<{ n: number }>`select count(*) as n from item`.execute(db),
    )
    return (await Promise.all(counts)).length
  },
})

const write = defineResource({
  summary: 'Write',
  path: '/write',
  async perform(_, { db }) {
    const item = { name: 'written' }
    await db.transaction().execute(async (trx) => {
      await (trx as unknown as Tables)
        .insertInto('item')
        .values(item as never)
        .execute()
    })
    return null
  },
})

const cached = defineResource({
  summary: 'Cached',
  path: '/cached/:id',
  request: Type.Object({ id: Type.Integer() }),
  response: Type.Integer(),
  cache: { ttl: 60_000, perUser: false },
  async perform({ id }, { db }) {
    const { rows } = await sql<{ n: number }>`select count(*) as n from item`.execute(db)
    return id + (rows[0]?.n ?? 0)
  },
})

const enqueued = defineResource({
  summary: 'Enqueue',
  path: '/enqueued',
  response: Type.String(),
  perform: async () => (await noted.enqueue()).task_id,
})

const noted = defineResource({ summary: 'Note', path: '/noted', perform: () => null })

const locked = defineResource({
  summary: 'Lock',
  path: '/locked/:name',
  request: Type.Object({ name: Type.String({ maxLength: 20 }) }),
  async perform({ name }, { app }) {
    await using _ = await app.cache.lock(`overload-${process.pid}-${name}`, {
      ttl: 30_000,
      wait: 300_000,
    })
    return null
  },
})

const paid = defineResource({
  ...{ summary: 'Pay', method: 'POST', path: '/paid/:to', idempotency: 'required' },
  request: Type.Object({ to: Type.String() }),
  perform: () => null,
})

/** Each at its own path, so that none waits for another's result. */
const PATHS: Record<string, (index: number) => string> = {
  'a list': () => '/things',
  'four queries at once': () => '/things/many',
  'a transaction that writes': () => '/things/write',
  'a cached result each': (index) => `/things/cached/${index}`,
  'one cached result': () => '/things/cached/100000',
  'a task each': () => '/things/enqueued',
  'a lock each': (index) => `/things/locked/${index}`,
  'one lock, waited for': () => '/things/locked/one',
  'an Idempotency-Key each': (index) => `/things/paid/${index}`,
}

const sides = databaseDrivers.flatMap((database) => [
  {
    database,
    broker: 'Redis',
    variables: () => ({ REDIS_URL: redisUrl(), REDIS_TIMEOUT: undefined }),
  },
  { database, broker: 'memory', variables: () => ({}) },
])

/** How much may wait is the defaults', how long is not: what of a burst is done within seconds is a matter of the machine. */
const PATIENCE = {
  REQUEST_TIMEOUT: '5m',
  DATABASE_CONNECT_TIMEOUT: '5m',
  DATABASE_ACQUIRE_TIMEOUT: '5m',
}

for (const { database, broker, variables } of sides) {
  t.test(`the defaults serve ordinary load (${database.name}, ${broker})`, async (t) => {
    await t.test('1,000 requests at once', async (t) => {
      const app = await start(t, {
        DATABASE_URL: await database.url(t),
        ...variables(),
        ...PATIENCE,
      })
      const port = await listen(app)
      for (const [name, path] of Object.entries(PATHS)) {
        t.strictSame(await ask(t, port, path, { lanes: 1000, each: 1 }), { 200: 1000 }, name)
      }
    })
    await t.test('64 steady connections', async (t) => {
      const app = await start(t, { DATABASE_URL: await database.url(t), ...variables() })
      const path = PATHS['a list'] as () => string
      t.strictSame(await ask(t, await listen(app), path, { lanes: 64, each: 10 }), { 200: 640 })
    })
  })
}

async function start(t: Test, variables: NodeJS.ProcessEnv): Promise<FastifyInstance> {
  const resources = { list, many, write, cached, enqueued, noted, locked, paid }
  const { app } = await createService(t, resources, { variables, name: `load-${process.pid}` })
  const { createTable, types } = portable(app.db)
  await createTable('item')
    .addColumn('id', types.id, (id) => id.primaryKey().autoIncrement())
    .addColumn('name', 'varchar(20)')
    .execute()
  const rows = Array.from({ length: 100 }, (_, n) => ({ id: n + 1, name: `item ${n}` }))
  await (app.db as unknown as Tables).insertInto('item').values(rows).execute()
  return app
}

/** How many answers had which status, and which error. */
async function ask(
  t: Test,
  port: number,
  path: (index: number) => string,
  { lanes, each }: { lanes: number; each: number },
): Promise<Record<string, number>> {
  const agent = new Agent({ keepAlive: true, maxSockets: lanes })
  t.teardown(() => agent.destroy())
  const statuses: Record<string, number> = {}
  const lane = async (_: unknown, index: number) => {
    for (let n = 0; n < each; n++) {
      const at = path(index)
      const method = at.startsWith('/things/paid') ? 'POST' : 'GET'
      const headers = { 'idempotency-key': `${process.pid}-${index}` }
      const asked = request({ host: '127.0.0.1', port, path: at, agent, method, headers }).end()
      const [response] = (await once(asked, 'response')) as [IncomingMessage]
      const body = await text(response)
      const code = response.statusCode === 200 ? '' : ` ${JSON.parse(body).code}`
      const status = `${response.statusCode}${code}`
      statuses[status] = (statuses[status] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  return statuses
}
