import { readFileSync } from 'node:fs'
import Fastify, { type FastifyInstance } from 'fastify'
import { Counter } from 'prom-client'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import telemetry, { type TelemetryOptions } from '../../plugins/telemetry.ts'
import { definePermission } from '../../src/auth/permission.ts'
import { errors } from '../../src/errors.ts'
import { defineApi } from '../../src/index.ts'
import { definePlugin } from '../../src/plugin.ts'
import type { FailurePlace } from '../../src/resource/observer.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createGate, createService } from '../helpers/app.ts'
import { databaseDrivers, redisUrl } from '../helpers/drivers.ts'
import { ofMetric, readMetrics, type Told } from '../helpers/metrics.ts'
import { poll } from '../helpers/network.ts'
import { ownRedis } from '../helpers/own-redis.ts'
import { answerJson, serveUpstream } from '../helpers/upstream.ts'
import { listen, open } from '../helpers/wire.ts'

async function createPlain(t: Test, options: TelemetryOptions): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(telemetry, options)
  app.get('/things/:id', async (request) => (request.params as { id: string }).id)
  app.get('/fail', async () => {
    throw new Error('it broke')
  })
  return app
}

/** What `/metrics` says, which may be some moments old, once `isThere`. */
async function told(app: FastifyInstance, isThere: (told: Told) => boolean = () => true) {
  let found: Told = new Map()
  await poll(async () => {
    const answer = await app.inject('/metrics')
    if (answer.statusCode !== 200) throw new Error(answer.body)
    found = readMetrics(answer.body)
    return isThere(found)
  })
  return found
}

const requests = (told: Told) => ofMetric(told, 'http_request_duration_seconds_count')
const place = (method: string, route: string, status: number | string) =>
  `http_request_duration_seconds_count{method="${method}",route="${route}",status="${status}"}`

t.test('a plain Fastify app: requests by method, route and status', async (t) => {
  const app = await createPlain(t, { metrics: true })
  for (const id of ['a', 'b', '%22c%0A']) await app.inject(`/things/${id}`)
  await app.inject({ method: 'HEAD', url: '/things/a' })
  await app.inject('/fail')
  for (const path of ['/none', '/nowhere?token=secret', '/x/%22']) await app.inject(path)
  const answer = await app.inject('/metrics')
  t.equal(answer.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
  t.equal(answer.headers['cache-control'], 'no-store')
  const found = readMetrics(answer.body)
  t.strictSame(requests(found), {
    [place('GET', '/things/:id', 200)]: 3,
    [place('HEAD', '/things/:id', 200)]: 1,
    [place('GET', '/fail', 500)]: 1,
    [place('GET', '', 404)]: 3,
  })
  t.equal(found.get('http_requests_in_flight'), 1, 'this one')
  t.ok((found.get('process_cpu_seconds_total') as number) > 0)
  t.ok((found.get('nodejs_heap_size_used_bytes') as number) > 1_000_000)
})

t.test('a request whose client has gone is counted, too', async (t) => {
  const gate = createGate()
  const app = await createPlain(t, { metrics: true })
  app.get('/wait', async () => {
    await gate.opened
    return 'waited'
  })
  const { socket } = await open(await listen(app))
  socket.write('GET /wait HTTP/1.1\r\nHost: x\r\n\r\n')
  await told(app, (told) => told.get('http_requests_in_flight') === 2)
  socket.destroy()
  const aborted = place('GET', '/wait', 'aborted')
  const found = await told(app, (told) => told.has(aborted))
  t.equal(found.get(aborted), 1)
  t.equal(found.get('http_requests_in_flight'), 1)
  gate.open()
})

t.test('metrics of the service itself are told, whatever their labels are', async (t) => {
  const app = await createPlain(t, { metrics: true })
  const sold = new Counter({
    name: 'sold_total',
    help: 'Sold\n"things"',
    labelNames: ['what'],
    registers: [app.telemetry?.registry as never],
  })
  sold.inc({ what: 'a "b"\nc\\' }, 3)
  const found = await told(app)
  t.equal(found.get('sold_total{what="a \\"b\\"\\nc\\\\"}'), 3)
})

t.test('who asks often has it found out once', async (t) => {
  let asked = 0
  const counting = definePlugin({
    name: 'counting',
    metrics: [{ name: 'asked', help: 'Asked', type: 'gauge', collect: () => ++asked }],
  })
  const app = await createPlain(t, { metrics: true })
  await app.register(counting)
  const all = await Promise.all(Array.from({ length: 100 }, () => app.inject('/metrics')))
  t.strictSame(
    new Set(all.map(({ body }) => readMetrics(body).get('counting_asked'))),
    new Set([1]),
  )
})

t.test('a metric that fails or does not come is left out, and counted', async (t) => {
  const gate = createGate()
  let hanging = 0
  const lost = definePlugin({
    name: 'lost',
    metrics: [
      {
        name: 'hangs',
        help: 'Hangs',
        type: 'gauge',
        collect() {
          hanging++
          return gate.opened as never
        },
      },
      {
        name: 'fails',
        help: 'Fails',
        type: 'gauge',
        collect() {
          throw new Error('no')
        },
      },
      { name: 'works', help: 'Works', type: 'gauge', collect: () => 5 },
    ],
  })
  const app = await createPlain(t, { metrics: true })
  await app.register(lost)
  const found = await told(app)
  t.equal(found.get('telemetry_metrics_missing'), 2)
  t.equal(found.get('lost_works'), 5)
  t.notOk(found.has('lost_hangs'))
  await app.telemetry?.families()
  t.equal(hanging, 1, 'it is not asked again before it has answered')
  gate.open()
})

t.test('a process that is out of descriptors tells what it knew of its memory', async (t) => {
  const app = await createPlain(t, { metrics: true })
  const before = await told(app)
  // Node.js reads a file for it.
  t.intercept(process, 'memoryUsage', {
    get: () => () => {
      throw new Error('EMFILE')
    },
  })
  const families = (await app.telemetry?.families()) ?? []
  const { values = [] } =
    families.find(({ name }) => name === 'process_resident_memory_bytes') ?? {}
  t.strictSame(values, [{ labels: {}, value: before.get('process_resident_memory_bytes') }])
})

t.test('what is off is not there', async (t) => {
  const hooks = (app: FastifyInstance) => app.printRoutes({ includeHooks: true })
  const bare = Fastify()
  t.teardown(() => bare.close())
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(telemetry, { metrics: false })
  for (const one of [bare, app]) one.get('/', async () => 'here')
  await Promise.all([bare.ready(), app.ready()])
  t.equal(hooks(app), hooks(bare))
  t.notOk(app.hasDecorator('observer'))
  t.notOk(app.hasDecorator('telemetry'))
  const { app: service } = await createService(t, {})
  t.equal((await service.inject('/metrics')).statusCode, 404)
  t.notOk(service.hasDecorator('observer'))
})

const Id = Type.Object({ id: Type.Integer() })
const retrieve = defineResource({
  summary: 'One thing',
  path: '/:id',
  request: Id,
  response: Id,
  cache: { ttl: 60_000, perUser: false },
  perform({ id }) {
    if (id === 404) throw errors.NOT_FOUND('thing', '404')
    if (id === 500) throw new Error('it broke')
    return { id }
  },
})
const work = defineResource({
  summary: 'Works',
  method: 'POST',
  request: Id,
  response: Id,
  async: true,
  task: { queue: 'telemetry' },
  perform({ id }) {
    if (id === 500) throw new Error('it broke')
    return { id }
  },
})

const calls = (mode: string, outcome: string, resource = 'retrieve') =>
  `resource_duration_seconds_count{mode="${mode}",outcome="${outcome}",resource="things.${resource}"}`

t.test('a service: calls of resources, the cache and the database', async (t) => {
  const { app } = await createService(
    t,
    { retrieve, work },
    { variables: { METRICS: 'true', DATABASE_URL: 'sqlite::memory:' } },
  )
  for (const id of [1, 1, 404, 500]) await app.inject(`/things/${id}`)
  await app.inject('/things/none')
  await app.run(() => retrieve.refresh({ id: 2 }))
  await app.run(() => retrieve.cacheless({ id: 2 }))
  const task = await app.run(() => work.enqueue({ id: 1 }))
  await task.result()
  const failing = await app.run(() => work.enqueue({ id: 500 }))
  await failing.result().catch(() => {})
  const found = await told(app, (told) =>
    told.has('task_duration_seconds_count{outcome="failed",resource="things.work"}'),
  )
  t.strictSame(ofMetric(found, 'resource_duration_seconds_count'), {
    [calls('cached', 'ok')]: 2,
    [calls('cached', 'refused')]: 1,
    [calls('cached', 'failed')]: 1,
    [calls('refresh', 'ok')]: 1,
    [calls('cacheless', 'ok')]: 1,
    [calls('enqueue', 'ok', 'work')]: 2,
    [calls('task', 'ok', 'work')]: 1,
    [calls('task', 'failed', 'work')]: 1,
  })
  t.equal(found.get(place('GET', '/things/:id', 500)), 1)
  t.equal(found.get(place('GET', '/things/:id', 400)), 1)
  t.strictSame(ofMetric(found, 'cache_hits_total'), {
    'cache_hits_total{level="memory"}': 1,
    'cache_hits_total{level="redis"}': 0,
  })
  t.equal(found.get('cache_misses_total'), 1)
  t.equal(found.get('cache_failures_total'), 2)
  t.equal(found.get('database_connections_max'), 1)
  t.equal(found.get('database_waiting'), 0)
  t.equal(found.get('task_wait_seconds_count{queue="telemetry"}'), 2)
})

for (const driver of databaseDrivers) {
  t.test(`connections of ${driver.name}: used, and waited for`, async (t) => {
    const { app } = await createService(
      t,
      {},
      {
        variables: {
          METRICS: 'true',
          DATABASE_URL: await driver.url(t),
          DATABASE_POOL_SIZE: '1',
        },
      },
    )
    const gate = createGate()
    const holder = app.db.transaction().execute(async () => await gate.opened)
    const waiter = app.db.introspection.getTables()
    const found = await told(app, (told) => (told.get('database_waiting') as number) >= 1)
    t.equal(found.get('database_connections_used'), 1)
    t.equal(found.get('database_connections_max'), 1)
    await told(app, (told) => (told.get('database_waited_seconds') as number) > 0)
    gate.open()
    await Promise.all([holder, waiter])
    await told(app, (told) => told.get('database_waiting') === 0)
  })
}

t.test('calls of other systems, by what came of them', async (t) => {
  const upstream = await serveUpstream(t, (response, { url }) =>
    url === '/one' ? answerJson(response, 1) : answerJson(response, {}, 404),
  )
  const api = (baseUrl: string) => ({
    name: 'counters',
    baseUrl,
    envelope: 'bare' as const,
    retry: false as const,
  })
  const there = defineApi(api(upstream.url))
  const gone = defineApi({ ...api('http://127.0.0.1:1'), name: 'gone' })
  const of = (one: typeof there, path: string) =>
    one.resource({ summary: 'One', path, response: Type.Integer() })
  const resources = { one: of(there, '/one'), none: of(there, '/none'), away: of(gone, '/one') }
  const { app } = await createService(t, resources, { variables: { METRICS: 'true' } })
  await app.run(() => Promise.allSettled(Object.values(resources).map((one) => one())))
  const found = await told(app, (told) => told.has(calls('cached', 'failed', 'away')))
  t.strictSame(ofMetric(found, 'upstream_duration_seconds_count'), {
    'upstream_duration_seconds_count{api="counters",status="200"}': 1,
    'upstream_duration_seconds_count{api="counters",status="404"}': 1,
    'upstream_duration_seconds_count{api="gone",status="UPSTREAM_UNAVAILABLE"}': 1,
  })
})

t.test('a service with Redis: its queues, outbox and schedules', async (t) => {
  const nightly = defineResource({
    summary: 'Runs at night',
    schedule: { cron: '0 3 1 1 *' },
    response: Type.Null(),
    perform: () => null,
  })
  const { app } = await createService(
    t,
    { work, nightly },
    {
      name: `test-${process.pid}`,
      variables: { METRICS: 'true', DATABASE_URL: 'sqlite::memory:', REDIS_URL: redisUrl() },
    },
  )
  t.teardown(async () => {
    const keys = await app.redis.keys(`{test-${process.pid}}*`)
    if (keys.length > 0) await app.redis.del(keys)
  })
  await app.run(() => work.bulk([]))
  for (const delay of [0, 0, 60_000]) await app.run(() => work.enqueue({ id: 1 }, { delay }))
  const state = (name: string) => `tasks_in_queue{queue="telemetry",state="${name}"}`
  const found = await told(
    app,
    (told) =>
      told.has(state('waiting')) &&
      (told.get('tasks_oldest_seconds{queue="telemetry"}') ?? 0) > 0 &&
      told.has('tasks_schedule_paused{schedule="things.nightly"}'),
  )
  t.strictSame(
    ['waiting', 'delayed', 'running', 'failed'].map((name) => found.get(state(name))),
    [2, 1, 0, 0],
  )
  t.equal(found.get('tasks_schedule_paused{schedule="things.nightly"}'), 0)
  await app.tasks.work({ queues: ['telemetry'], concurrency: 1, schedules: false })
  const ran = await told(
    app,
    (told) => told.get('task_wait_seconds_count{queue="telemetry"}') === 2,
  )
  t.equal(ran.get('task_duration_seconds_count{outcome="succeeded",resource="things.work"}'), 2)
  await app.db.transaction().execute(() => app.run(() => work.enqueue({ id: 2 })))
  // What is not counted in time is left out of a page.
  const moved = await told(
    app,
    (told) =>
      told.get('tasks_outbox_messages{state="waiting"}') === 0 &&
      told.has('tasks_outbox_oldest_seconds'),
  )
  t.equal(moved.get('tasks_outbox_oldest_seconds'), 0)
  t.equal(moved.get('tasks_outbox_messages{state="refused"}'), 0)
})

t.test('a Redis that hangs keeps nothing else from being told', async (t) => {
  const redis = await ownRedis(t)
  const { app } = await createService(
    t,
    { work },
    { variables: { METRICS: 'true', REDIS_URL: redis.url, DATABASE_URL: 'sqlite::memory:' } },
  )
  await told(app, (told) => told.has('tasks_in_queue{queue="default",state="waiting"}'))
  redis.freeze()
  const found = await told(
    app,
    (told) => !told.has('tasks_in_queue{queue="default",state="waiting"}'),
  )
  t.ok((found.get('telemetry_metrics_missing') as number) > 0)
  t.ok(found.has('process_resident_memory_bytes'))
  redis.goOn()
})

t.test('docs/telemetry.md lists what there is', async (t) => {
  const document = readFileSync(new URL('../../docs/telemetry.md', import.meta.url), 'utf8')
  const listed = [...document.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name)
  const { app } = await createService(
    t,
    {},
    { variables: { METRICS: 'true', DATABASE_URL: 'sqlite::memory:' } },
  )
  const families = (await app.telemetry?.families()) ?? []
  t.strictSame(listed.sort(), families.map(({ name }) => name).sort())
})

t.test('who may see it is decided as of other routes of the kit', async (t) => {
  const variables = { METRICS: 'true' }
  const isNobody = definePermission({ name: 'nobody', reason: 'no', allows: () => false })
  const closed = await createService(
    t,
    {},
    { auth: { routes: { metrics: { permissions: isNobody } } }, variables },
  )
  t.equal((await closed.app.inject('/metrics')).statusCode, 401)
  const open = await createService(
    t,
    {},
    { auth: true, variables, routes: { metrics: '/_/metrics' } },
  )
  t.equal((await open.app.inject('/_/metrics')).statusCode, 200)
  const alone = await createService(t, {}, { variables: { ...variables, METRICS_PORT: '9464' } })
  t.equal((await alone.app.inject('/metrics')).statusCode, 404)
})

t.test(
  "onError is told once of each failure that is not its caller's, and fails nothing",
  async (t) => {
    const seen: [unknown, FailurePlace][] = []
    const onError: TelemetryOptions['onError'] = (error, place) => {
      seen.push([error, place])
      if (seen.length === 1) throw new Error('not today')
      if (seen.length === 2) return Promise.reject(new Error('nor this day')) as never
    }
    const { app, logs } = await createService(
      t,
      { retrieve, work },
      { plugins: [telemetry({ onError })], variables: { DATABASE_URL: 'sqlite::memory:' } },
    )
    const headers = { 'x-request-id': 'one' }
    const answer = await app.inject({ url: '/things/500', headers })
    t.equal(answer.statusCode, 500)
    for (const url of ['/things/404', '/things/x', '/none']) await app.inject(url)
    const task = await app.run(() =>
      work.enqueue({ id: 500 }, { attempts: 2, backoff: { type: 'fixed', delay: 1 } }),
    )
    await task.result().catch(() => {})
    t.match(seen, [
      [{ message: 'it broke' }, { requestId: 'one', request: { url: '/things/500' } }],
      [
        { message: 'it broke' },
        { task: { id: task.task_id, resource: 'things.work', attempt: 2 } },
      ],
    ])
    t.equal(seen.length, 2)
    await poll(async () => logs.filter(({ msg }) => /onError/.test(msg)).length === 2)
  },
)
