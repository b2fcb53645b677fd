import { tracingChannel } from 'node:diagnostics_channel'
import { trace } from '@opentelemetry/api'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { sql } from '../../src/database/sql.ts'
import { defineApi, defineResource } from '../../src/index.ts'
import { createService, type ServiceOptions } from '../helpers/app.ts'
import { databaseDrivers, redisUrl } from '../helpers/drivers.ts'
import { poll } from '../helpers/network.ts'
import { answerJson, serveBytes, serveUpstream } from '../helpers/upstream.ts'
import { collector, treeOf } from './collector.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const PARENT = 'b7ad6b7169203331'
const Named = Type.Object({ name: Type.String() })

/** Resources that use all that a service has attached. */
function createResources(upstream: string, isTransaction = false) {
  const accounts = defineApi({ name: 'accounts', baseUrl: upstream })
  const account = accounts.resource({
    summary: 'An account',
    path: '/accounts/{name}',
    request: Named,
    response: Named,
  })
  const notify = defineResource({
    summary: 'Notify',
    request: Named,
    response: Type.Null(),
    task: { queue: 'notes' },
    async perform({ name }, { db, log }) {
      await sql`select 2 + 2 as found where ${name} <> ''`.execute(db)
      log.info('notified')
      return null
    },
  })
  const register = defineResource({
    summary: 'Register',
    method: 'POST',
    path: '/',
    request: Named,
    response: Named,
    async perform({ name }, context) {
      const { app } = context
      const work = async () => {
        await sql`select 1 as found where ${name} <> 's3cret-in-sql'`.execute(context.db)
        await notify.enqueue({ name })
      }
      await app.redis.set(`s3cret:${name}`, name, 'PX', 1000)
      const found = await account({ name })
      await (isTransaction ? context.db.transaction().execute(work) : work())
      return found
    },
  })
  return { account, notify, register }
}

async function startService(t: Test, resources: object, more: ServiceOptions) {
  const variables = { REDIS_URL: redisUrl(), CACHE_MEMORY: '0', ...more.variables }
  const { app, logs } = await createService(t, resources as never, { ...more, variables })
  return { app, logs }
}

async function forget(app: FastifyInstance, name: string): Promise<void> {
  const keys = await app.redis.keys(`{${name}}*`)
  if (keys.length > 0) await app.redis.del(keys)
}

for (const driver of databaseDrivers) {
  for (const isTransaction of [false, true]) {
    const how = isTransaction ? 'through the outbox' : 'at once'
    t.test(`one trace over ${driver.name}, Redis, an upstream and a task ${how}`, async (t) => {
      const collected = await collector(t)
      const upstream = await serveUpstream(t, (response) => answerJson(response, { name: 'ada' }))
      const name = `traced-${process.pid}-${driver.name}-${isTransaction}`
      const variables = { ...collected.variables, DATABASE_URL: await driver.url(t) }
      const own = { name, variables }
      const resources = () => createResources(upstream.url, isTransaction)
      const web = await startService(t, resources(), own)
      const worker = await startService(t, resources(), own)
      t.teardown(() => forget(web.app, name))
      await worker.app.tasks.work({ queues: ['notes'], concurrency: 1, schedules: false })

      const answer = await web.app.inject({
        method: 'POST',
        url: '/things',
        headers: { traceparent: `00-${TRACE}-${PARENT}-01`, 'x-request-id': 'one' },
        payload: { name: 'ada' },
      })
      t.match(answer.json(), { result: true, trace_id: TRACE, data: { name: 'ada' } })
      const spans = await collected.trace(TRACE, (spans) =>
        ['task things.notify', 'POST /things'].every((name) =>
          spans.some((one) => one.name === name),
        ),
      )
      const { 'POST /things': request, ...others } = treeOf(spans, PARENT)
      t.strictSame(others, {}, 'nothing is beside the request')
      const { 'things.register': register = {} } = request ?? {}
      t.match(register, { SELECT: {}, SET: {}, 'things.account': { GET: {} } })
      const enqueued = register['things.notify'] ?? {}
      t.match(enqueued, { 'task things.notify': { 'things.notify': { SELECT: {} } } })

      const [got] = upstream.got
      const asked = spans.find(({ name, attributes }) => name === 'GET' && attributes['url.full'])
      t.equal(got?.headers.traceparent, `00-${TRACE}-${asked?.spanId}-01`)
      const statement = spans.find(
        ({ name, attributes }) =>
          name === 'SELECT' && `${attributes['db.query.text']}`.startsWith('select ? as'),
      )
      t.equal(statement?.attributes['db.system.name'], driver.name)
      t.equal(statement?.attributes['db.query.text'], 'select ? as found where ? <> ?')
      t.notMatch(collected.sent(), /s3cret/)
      t.ok(spans.every(({ failed, service }) => !failed && service === name))
      await poll(async () => worker.logs.some(({ msg }) => msg === 'task done'))
      for (const logged of ['notified', 'task done'])
        t.match(
          worker.logs.find(({ msg }) => msg === logged),
          { trace_id: TRACE, request_id: 'one' },
        )
      t.match(
        web.logs.find(({ msg }) => msg === 'request'),
        { trace_id: TRACE },
      )
    })
  }
}

const talk = defineResource({
  summary: 'Talk',
  response: Type.String(),
  perform(_, { log, traceparent }) {
    log.info('talking')
    return traceparent ?? 'none'
  },
})
const fail = defineResource({
  summary: 'Fail',
  path: '/fail',
  perform() {
    throw new Error('s3cret')
  },
})
const own = defineResource({
  summary: 'Spans of its own',
  path: '/own',
  response: Type.String(),
  perform: () =>
    trace.getTracer('mine').startActiveSpan('mine', async (span) => {
      const [id] = [span.spanContext().traceId]
      await trace.getTracer('mine').startActiveSpan('inner', async (inner) => inner.end())
      span.end()
      return id
    }),
})

const CHANNELS = ['plinth:task', 'plinth:sqlite', 'mysql2:query', 'ioredis:command']

t.test('a failure is told without its words', async (t) => {
  const collected = await collector(t)
  const { app } = await createService(t, { fail }, { variables: collected.variables })
  const { trace_id } = (await app.inject('/things/fail')).json()
  t.match(trace_id, /^[\da-f]{32}$/)
  const spans = await collected.trace(trace_id, (spans) => spans.length === 2)
  t.match(
    spans.map(({ name, failed, attributes }) => [name, failed, attributes['error.type']]).sort(),
    [
      ['GET /things/fail', true, '500'],
      ['things.fail', true, 'Error'],
    ],
  )
  t.notMatch(collected.sent(), /s3cret/)
})

t.test('spans of the service itself are within those of the kit', async (t) => {
  const collected = await collector(t)
  const { app } = await createService(t, { own }, { variables: collected.variables })
  const { trace_id, data } = (await app.inject('/things/own')).json()
  t.equal(data, trace_id)
  const spans = await collected.trace(trace_id, (spans) => spans.length === 4)
  t.strictSame(treeOf(spans, undefined), {
    'GET /things/own': { 'things.own': { mine: { inner: {} } } },
  })
})

t.test('spans outside of requests are traces of their own', async (t) => {
  const collected = await collector(t)
  await createService(t, { talk }, { variables: collected.variables })
  for (const name of ['first', 'second']) trace.getTracer('mine').startSpan(name).end()
  await poll(async () => collected.spans.length === 2)
  const [first, second] = collected.spans
  t.match(first?.traceId, /^(?!0+$)[\da-f]{32}$/)
  t.not(first?.traceId, second?.traceId)
})

t.test('a trace that is not kept has an id, and no spans', async (t) => {
  const collected = await collector(t)
  const variables = {
    ...collected.variables,
    OTEL_TRACES_SAMPLER: 'traceidratio',
    OTEL_TRACES_SAMPLER_ARG: '0',
  }
  const { app, logs } = await createService(t, { talk, own }, { variables })
  const { trace_id, data } = (await app.inject('/things')).json()
  t.match(data, new RegExp(`^00-${trace_id}-[\\da-f]{16}-00$`))
  t.match(
    logs.find(({ msg }) => msg === 'talking'),
    { trace_id },
  )
  t.equal((await app.inject('/things/own')).statusCode, 200)
  await app.close()
  t.strictSame(collected.spans, [])
})

t.test('who asks decides', async (t) => {
  const collected = await collector(t)
  const { app } = await createService(t, { talk }, { variables: collected.variables })
  const ask = async (flags: string) => {
    const traceparent = `00-${TRACE}-${PARENT}-${flags}`
    return (await app.inject({ url: '/things', headers: { traceparent } })).json()
  }
  t.match(await ask('00'), { trace_id: TRACE, data: `00-${TRACE}-${PARENT}-00` })
  t.match(await ask('01'), { trace_id: TRACE, data: new RegExp(`^00-${TRACE}-[\\da-f]{16}-01$`) })
  const invalid = { traceparent: `00-${'0'.repeat(32)}-${PARENT}-01` }
  const anew = (await app.inject({ url: '/things', headers: invalid })).json()
  t.match(anew.trace_id, /^(?!0+$)[\da-f]{32}$/)
  t.not(anew.trace_id, TRACE)
  await app.close()
  // Closing waits for them two seconds at most.
  await collected.trace(anew.trace_id, (spans) => spans.length === 2)
  t.equal(collected.spans.filter(({ name }) => name === 'GET /things').length, 2)
})

t.test('what is sent by protobuf, and with headers', async (t) => {
  const { url, got } = await serveUpstream(t, (response) => response.writeHead(200).end())
  const variables = {
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${url}/own`,
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20abc, x-tenant=one',
    OTEL_SERVICE_NAME: 'named',
  }
  const { app } = await createService(t, { talk }, { variables })
  await app.inject('/things')
  await app.close()
  await poll(async () => got.length > 0)
  t.match(got, [
    {
      url: '/own',
      headers: {
        authorization: 'Bearer abc',
        'x-tenant': 'one',
        'content-type': 'application/x-protobuf',
      },
    },
  ])
  t.ok(got[0]?.body.includes('named'))
})

t.test(
  'a collector that hangs or refuses fails nothing, and keeps nothing from ending',
  async (t) => {
    const hanging = await serveBytes(t, () => {})
    for (const url of [hanging, 'http://127.0.0.1:1']) {
      const variables = {
        OTEL_EXPORTER_OTLP_ENDPOINT: url,
        OTEL_BSP_SCHEDULE_DELAY: '1',
        OTEL_BSP_MAX_QUEUE_SIZE: '10',
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '5',
        OTEL_EXPORTER_OTLP_TIMEOUT: '600000',
      }
      const { app } = await createService(t, { talk }, { variables })
      for (let i = 0; i < 50; i++) t.equal((await app.inject('/things')).statusCode, 200)
      await app.close()
    }
  },
)

t.test('what does not take spans is told once, and once that it does again', async (t) => {
  const { url, got } = await serveUpstream(t, (response, _, count) =>
    response.writeHead(count > 3 ? 200 : 404).end(),
  )
  const variables = {
    OTEL_EXPORTER_OTLP_ENDPOINT: url.replace('//', '//ann:s3cret@'),
    OTEL_BSP_SCHEDULE_DELAY: '1',
  }
  const { app, logs } = await createService(t, { talk }, { variables })
  const told = () => logs.filter(({ msg }) => msg.startsWith('spans '))
  await poll(async () => {
    await app.inject('/things')
    return got.length > 6 && told().length === 2
  })
  const endpoint = `${url}/v1/traces`
  t.match(told(), [
    { msg: /^spans are lost/, endpoint, problem: '404 Not Found' },
    { msg: 'spans are sent again', endpoint },
  ])
  t.notMatch(JSON.stringify(logs), 's3cret')
})

t.test('whoever looks after the process leaves no traces', async (t) => {
  const collected = await collector(t)
  const variables = { ...collected.variables, METRICS: 'true' }
  const { app } = await createService(t, { talk }, { variables })
  for (const url of ['/healthz', '/readyz', '/ping', '/metrics']) await app.inject(url)
  t.match((await app.inject('/healthz')).json(), { trace_id: /^[\da-f]{32}$/ })
  await app.close()
  t.strictSame(collected.spans, [])
})

t.test('it can be turned off, whatever else is set', async (t) => {
  const collected = await collector(t)
  const variables = { ...collected.variables, OTEL_SDK_DISABLED: 'true' }
  const { app } = await createService(t, { talk }, { variables })
  t.match((await app.inject('/things')).json(), { trace_id: null, data: 'none' })
  for (const name of CHANNELS) t.notOk(tracingChannel(name).hasSubscribers, name)
})
