import Fastify, { type FastifyPluginAsync } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import bearer from '../plugins/bearer.ts'
import bkGateway from '../plugins/bk-gateway.ts'
import bkLogin from '../plugins/bk-login.ts'
import cache from '../plugins/cache.ts'
import database from '../plugins/database.ts'
import deadline from '../plugins/deadline.ts'
import health from '../plugins/health.ts'
import idempotency from '../plugins/idempotency.ts'
import loadShedding from '../plugins/load-shedding.ts'
import oidc from '../plugins/oidc.ts'
import rateLimit from '../plugins/rate-limit.ts'
import redis from '../plugins/redis.ts'
import resources from '../plugins/resources.ts'
import session from '../plugins/session.ts'
import signature from '../plugins/signature.ts'
import tasks from '../plugins/tasks.ts'
import telemetry from '../plugins/telemetry.ts'
import { retryTransaction } from '../src/database/transaction.ts'
import { type Duration, readTime, toMilliseconds } from '../src/duration.ts'
import { defineApi } from '../src/remote/api.ts'
import { createClient } from '../src/remote/client.ts'
import { defineModule } from '../src/resource/module.ts'
import { defineResource } from '../src/resource/resource.ts'
import { events } from '../src/resource/stream.ts'
import { retry } from '../src/resource/task-verdict.ts'
import { TestClock } from '../src/testing/clock.ts'
import { rsa } from './auth/tokens.ts'
import { createService } from './helpers/app.ts'

t.test('a time is milliseconds, or a text with its unit', async (t) => {
  const times: [Duration, number][] = [
    [0, 0],
    [0.5, 0.5],
    ['250ms', 250],
    ['30s', 30_000],
    ['1.1s', 1100],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
  ]
  for (const [given, milliseconds] of times) t.equal(toMilliseconds(given, 'x'), milliseconds)
  const none = ['', '5', '5 s', '5S', '-5s', '1e3s', 's', '5w', '٣s', null, undefined, {}, NaN, -1]
  for (const given of none) t.equal(readTime(given, {}), undefined, String(given))
  t.equal(readTime('0.5ms', { whole: true }), undefined)
  t.throws(() => toMilliseconds('367d', 'ttl'), {
    name: 'RangeError',
    message:
      "ttl is 367d; expected milliseconds, or a text like '30s' (ms, s, m, h, d), from 0, 31622400000 ms at most",
  })
})

/** `object` with `value` at `path`, in a copy. */
function put(object: object, path: string, value: unknown): never {
  const [first = '', ...rest] = path.split('.')
  const { [first]: inner = {} } = object as Record<string, object>
  return {
    ...object,
    [first]: rest.length > 0 ? put(inner, rest.join('.'), value) : value,
  } as never
}

/** What is done with a time that is one, or none. */
type Use = (t: Test, time: Duration) => unknown

const uses: Record<string, Use> = {}

/** The options of a plugin, each at its path. */
function ofPlugin(name: string, plugin: unknown, options: object, ...paths: string[]): void {
  for (const path of paths)
    uses[`${name} ${path}`] = async (t, time) => {
      const app = Fastify()
      t.teardown(() => app.close())
      if (name === 'oidc') await app.register(session, { secret: 's'.repeat(32) })
      await app.register(plugin as FastifyPluginAsync, put(options, path, time))
    }
}

const ACCOUNT = { secrets: { orders: 's'.repeat(32) } }
const ISSUER = { issuer: 'https://login.example.com', clientId: 'shop' }
const tracing = { endpoint: 'http://127.0.0.1:1/v1/traces' }
const IN_MEMORY = { url: 'sqlite::memory:' }
const limited = { rateLimits: { max: 1 } }

ofPlugin('bearer', bearer, { key: 's'.repeat(32), audience: false }, 'skew')
ofPlugin(
  'bearer',
  bearer,
  { jwks: 'https://login.example.com/keys', audience: false },
  ...['timeout', 'cooldown', 'retry', 'maxAge', 'maxStale'].map((name) => `jwksLimits.${name}`),
)
ofPlugin('bk-gateway', bkGateway, { keys: rsa().pem }, 'skew')
ofPlugin(
  'bk-login',
  bkLogin,
  { url: 'https://paas.example.com/login' },
  ...['timeout', 'keep', 'keepRefused'].map((name) => `limits.${name}`),
)
ofPlugin('cache', cache, {}, 'commandTimeout')
ofPlugin(
  'database',
  database,
  IN_MEMORY,
  ...['connectTimeout', 'acquireTimeout', 'queryTimeout', 'slowQuery'],
)
ofPlugin('deadline', deadline, {}, 'timeout')
ofPlugin('health', health, {}, 'timeout')
ofPlugin('idempotency', idempotency, {}, 'keepFor')
ofPlugin('load-shedding', loadShedding, {}, 'maxEventLoopDelay')
ofPlugin('oidc', oidc, ISSUER, 'timeout')
ofPlugin('rate-limit', rateLimit, limited, 'rateLimits.duration')
ofPlugin('rate-limit', rateLimit, {}, 'commandTimeout')
ofPlugin('redis', redis, { url: 'redis://127.0.0.1:1', connectTimeout: 50 }, 'commandTimeout')
ofPlugin('resources', resources, { modules: {} }, 'timeout')
ofPlugin('session', session, { secret: 's'.repeat(32) }, 'idle', 'lifetime')
ofPlugin('signature', signature, ACCOUNT, 'maxAge', 'skew')
ofPlugin('tasks', tasks, {}, 'unknownAge', 'stopTimeout', 'abortGrace')
ofPlugin('tasks', tasks, { limits: { mail: { max: 1 } } }, 'limits.mail.duration')
ofPlugin('telemetry', telemetry, {}, 'slowCall')
ofPlugin('telemetry', telemetry, { tracing }, 'tracing.timeout', 'tracing.queue.delay')
uses['redis connectTimeout'] = async (t, time) => {
  const app = Fastify()
  t.teardown(() => app.close())
  // It waits for the connection twice as long.
  const connectTimeout = time === GOOD ? '50ms' : time
  await app.register(redis, { url: 'redis://127.0.0.1:1', connectTimeout })
}

// What a resource says.
const said: Record<string, object> = {
  timeout: {},
  'task.timeout': {},
  'task.backoff.delay': { task: { backoff: { type: 'fixed' } } },
  'task.backoff.max': { task: { backoff: { type: 'fixed', delay: 1 } } },
  'task.keep.succeeded.age': {},
  'task.keep.failed.age': {},
  'schedule.jitter': { schedule: { cron: '0 3 1 1 *' } },
  'cache.ttl': {},
  'cache.stale': { cache: { ttl: 1000 } },
  'cache.softTimeout': { cache: { ttl: 1000 } },
  'cache.negative': { cache: { ttl: 1000 } },
  'cache.loadTimeout': { cache: { ttl: 1000 } },
  'cache.http.maxAge': { cache: { ttl: 1000, http: { scope: 'private' } } },
  'cache.anonymous.ttl': { cache: { ttl: 1000 } },
}
for (const [path, definition] of Object.entries(said))
  uses[`resource ${path}`] = async (t, time) => {
    const base = { summary: 'One', perform: () => null, ...definition }
    await createService(t, { one: defineResource(put(base, path, time)) })
  }
uses['resource rateLimits.duration'] = async (t, duration) => {
  const rateLimits = { max: 1, duration }
  const one = defineResource({ summary: 'One', rateLimits, perform: () => null })
  await createService(t, { one }, { rateLimits: { max: 9, duration: 1000 } })
}
uses['heartbeat of events'] = async (t, heartbeat) => {
  const response = events(Type.Object({}), { heartbeat })
  const one = defineResource({ summary: 'One', response, async *perform() {} })
  await createService(t, { one })
}
uses['deadline of a route'] = async (t, time) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(deadline, { timeout: 0 })
  app.get('/', { config: { deadline: time } }, () => 'ok')
}

// What a call says.
const one = defineResource({ summary: 'One', perform: () => null })
const inService = (
  use: (app: Awaited<ReturnType<typeof serve>>, time: Duration) => unknown,
): Use => {
  return async (t, time) => {
    const app = await serve(t)
    await app.run(async () => await use(app, time))
  }
}
const serve = async (t: Test) => (await createService(t, { one })).app
const load = () => 1
for (const name of ['delay', 'throttle', 'debounce'])
  uses[`enqueue ${name}`] = inService((_, time) => one.enqueue({}, put({}, name, time)))
uses['enqueue keyFor'] = inService((_, keyFor) => one.enqueue({}, { key: 'a', keyFor }))
uses['enqueue backoff'] = inService((_, delay) =>
  one.enqueue({}, { attempts: 2, backoff: { type: 'fixed', delay, max: delay } }),
)
uses['call timeout'] = inService((_, timeout) => one({}, { timeout }))
uses['retry delay'] = (_, delay) => {
  try {
    retry(new Error('again'), { delay })
  } catch (error) {
    if ((error as Error).message !== 'again') throw error
  }
}
uses['schedules.set jitter'] = inService((app, jitter) =>
  app.schedules.set('mine', { resource: 'things.one', cron: '0 3 1 1 *', jitter }),
)
for (const name of ['ttl', 'stale', 'timeout', 'softTimeout', 'loadTimeout'])
  uses[`cache ${name}`] = inService(({ cache }, time) =>
    cache.getOrSet('key', load, put({ ttl: 1000 }, name, time)),
  )
for (const name of ['ttl', 'wait'])
  uses[`lock ${name}`] = inService(async ({ cache }, time) => {
    await (await cache.lock('name', put({ ttl: 1000 }, name, time))).release()
  })
uses['retryTransaction delay'] = inService(({ db }, delay) =>
  retryTransaction(db, async () => {}, { delay }),
)
uses['clock.advance'] = async (t, time) => {
  const clock = new TestClock()
  t.teardown(() => clock.close())
  await clock.advance(time)
}

// What is said of another system.
uses['remotes timeout'] = async (t, timeout) => {
  const things = defineModule({
    prefix: '/things',
    resources: { one },
    remote: 'http://127.0.0.1:1',
  })
  await createService(t, {}, { modules: { things }, remotes: { timeout } })
}
for (const path of [
  'timeout',
  'retry.delay',
  'retry.maxDelay',
  'breaker.window',
  'breaker.pause',
]) {
  uses[`defineApi ${path}`] = (_, time) =>
    defineApi(put({ name: 'geo', baseUrl: 'https://geo.example.com' }, path, time))
  uses[`createClient ${path}`] = (_, time) =>
    createClient(put({ url: 'https://geo.example.com' }, path, time))
}

const GOOD = '90s'

for (const [name, use] of Object.entries(uses))
  t.test(`${name} is a time`, async (t) => {
    await t.resolves((async () => await use(t, GOOD))(), GOOD)
    for (const time of ['soon', '5', -1])
      await t.rejects(
        (async () => await use(t, time as never))(),
        { message: /expected (whole )?milliseconds, or a text like '30s' \(ms, s, m, h, d\), / },
        String(time),
      )
  })

t.test('a text is as long as it says', async (t) => {
  const slow = defineResource({
    summary: 'Slow',
    path: '/slow',
    timeout: '1.5s',
    cache: { ttl: '1m', stale: '1h', http: { scope: 'private', maxAge: '30s' } },
    rateLimits: { max: 5, duration: '2m' },
    task: {
      timeout: '3m',
      backoff: { type: 'fixed', delay: '4s', max: '1h' },
      keep: { failed: { age: '5d' } },
    },
    perform: () => null,
  })
  const limits = { mail: { max: 1, duration: '1h' } } as const
  const { app } = await createService(t, { one, slow }, { limits, rateLimits: [] })
  const { timeout, task, cache } = app.registry.find('things.slow')
  t.strictSame(
    [timeout, cache],
    [1500, { ttl: 60_000, stale: 3_600_000, http: { scope: 'private', maxAge: 30_000 } }],
  )
  t.strictSame(task, {
    timeout: 180_000,
    backoff: { type: 'fixed', delay: 4000, max: 3_600_000 },
    keep: { failed: { age: 432_000_000 } },
  })
  const { headers } = await app.inject('/things/slow')
  t.match(headers['ratelimit-policy'], /;w=120$/)
  t.match(headers['cache-control'], /max-age=30\b.*stale-while-revalidate=(3600|3599)\b/)
  await app.run(async () => {
    const { task_id } = await one.enqueue({}, { delay: '2h' })
    const { enqueued_at, due_at } = await app.tasks.find(task_id)
    const waits = Date.parse(due_at) - Date.parse(enqueued_at)
    t.ok(waits >= 7_200_000 && waits < 7_260_000, `${waits} ms`)
    await t.rejects(slow({}, { timeout: '0.5ms' }), { code: 'RESOURCE_INVALID' })
  })
})

t.test('variables, too', async (t) => {
  const variables = { REQUEST_TIMEOUT: '1m', DRAIN_DELAY: '0s', SLOW_CALL: '1.5s' }
  const { app } = await createService(t, { one }, { variables })
  const { REQUEST_TIMEOUT, DRAIN_DELAY, SLOW_CALL } = app.config
  t.strictSame([REQUEST_TIMEOUT, DRAIN_DELAY, SLOW_CALL], [60_000, 0, 1500])
  const production = { NODE_ENV: 'production', HOST: '127.0.0.1' }
  const bad = { ...production, REQUEST_TIMEOUT: '30 s', SLOW_CALL: '0.5ms', DRAIN_DELAY: '25d' }
  for (const variables of [bad, { ...bad, NODE_ENV: 'test' }]) {
    const expected = (least: number) =>
      `expected milliseconds from ${least} to 2147483647, or with a unit: 30s (ms, s, m, h, d)`
    await t.rejects(createService(t, { one }, { variables }), {
      code: 'CONFIG_INVALID',
      errors: [
        { path: '/DRAIN_DELAY', message: `got "25d" from the environment, ${expected(0)}` },
        { path: '/SLOW_CALL', message: `got "0.5ms" from the environment, ${expected(0)}` },
        { path: '/REQUEST_TIMEOUT', message: `got "30 s" from the environment, ${expected(1)}` },
      ],
    })
  }
})
