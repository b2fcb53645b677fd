import { randomUUID } from 'node:crypto'
import Fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import t, { type Test } from 'tap'
import rateLimit, { type RateLimitOptions } from '../../plugins/rate-limit.ts'
import redis from '../../plugins/redis.ts'
import { addStrategy } from '../../src/auth/authenticator.ts'
import { errors } from '../../src/errors.ts'
import { MemoryCounter } from '../../src/http/rate-counter.ts'
import { networkOf } from '../../src/http/rate-limiter.ts'
import { runChecks } from '../../src/plugin.ts'
import { defineModule } from '../../src/resource/module.ts'
import type { RateLimitSettings } from '../../src/resource/rate-limit.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createService, type LogLine, serveThings } from '../helpers/app.ts'
import { PATIENT, redisUrl } from '../helpers/drivers.ts'
import { poll } from '../helpers/network.ts'
import { ownRedis } from '../helpers/own-redis.ts'
import { ask, listen } from '../helpers/wire.ts'

const HOUR = 3_600_000

/** `x-user: ann`, with `x-app` and `x-token`; `wrong` is refused. */
const byHeader: FastifyPluginAsync = fp(async (app) => {
  addStrategy(app, {
    name: 'header',
    scheme: { type: 'apiKey', in: 'header', name: 'x-user' },
    authenticate({ headers }) {
      const id = headers['x-user']
      if (id === 'wrong') throw errors.UNAUTHENTICATED()
      if (typeof id !== 'string') return undefined
      const text = (name: string) => (headers[name] ? { [name.slice(2)]: `${headers[name]}` } : {})
      return { user: { id }, ...text('x-app'), ...text('x-token') }
    },
  })
})

const thing = (more: RateLimitSettings & { path?: string; auth?: 'public' } = {}) =>
  defineResource({ summary: 'Thing', auth: 'optional', perform: () => null, ...more })

type Headers = Record<string, string>

/** Asks for a path once for each of `all`; the statuses. */
async function statuses(port: number, path: string, ...all: Headers[]): Promise<number[]> {
  const found: number[] = []
  for (const headers of all) found.push((await ask(port, `GET ${path}`, headers)).status)
  return found
}

async function serve(t: Test, options: Parameters<typeof createService>[2]) {
  const { app, logs } = await createService(t, {}, { auth: true, plugins: [byHeader], ...options })
  return { app, logs, port: await listen(app) }
}

const things = (
  resources: Record<string, ReturnType<typeof thing>>,
  more: RateLimitSettings = {},
) => ({
  things: defineModule({ prefix: '/things', resources, ...more }),
})

const ann = { 'x-user': 'ann' }
const bob = { 'x-user': 'bob' }

t.test(
  'a user has so many requests, whatever they ask for, and is told how many are left',
  async (t) => {
    const { port } = await serve(t, {
      modules: things({ one: thing(), two: thing({ path: '/two' }) }),
      rateLimits: { max: 2, duration: HOUR },
    })
    const first = await ask(port, 'GET /things', ann)
    t.match(first, {
      status: 200,
      headers: { 'ratelimit-policy': '"user";q=2;w=3600', ratelimit: '"user";r=1;t=3600' },
    })
    t.match(await ask(port, 'GET /things/two', ann), { status: 200, headers: { ratelimit: /r=0/ } })
    const refused = await ask(port, 'GET /things', ann)
    t.equal(refused.status, 429)
    t.match(refused.headers, {
      ratelimit: /^"user";r=0;t=3[56]\d\d$/,
      'retry-after': /^3[56]\d\d$/,
    })
    t.match(refused.json(), {
      result: false,
      code: 'TOO_MANY_REQUESTS',
      errors: [{ path: '', message: 'user: at most 2 in 3600 s' }],
    })
    t.strictSame(await statuses(port, '/things', bob, bob, bob), [200, 200, 429])
    t.strictSame(
      await statuses(port, '/things', {}, {}, {}),
      [200, 200, 429],
      'nobody: the address',
    )
  },
)

t.test('resource, module and service add up; each counts what is in it', async (t) => {
  const { port } = await serve(t, {
    modules: things(
      {
        one: thing({ rateLimits: { by: 'all', max: 1, duration: HOUR } }),
        two: thing({ path: '/two' }),
        free: thing({ path: '/free', rateLimits: false }),
      },
      { rateLimits: { by: 'all', max: 2, duration: HOUR } },
    ),
    rateLimits: [{ by: 'address', max: 4, duration: HOUR }],
  })
  const first = await ask(port, 'GET /things')
  const policies = [
    '"address";q=4;w=3600',
    '"things.* all";q=2;w=3600',
    '"things.one all";q=1;w=3600',
  ]
  t.equal(first.headers['ratelimit-policy'], policies.join(', '))
  t.equal(
    first.headers.ratelimit,
    '"address";r=3;t=3600, "things.* all";r=1;t=3600, "things.one all";r=0;t=3600',
  )
  t.strictSame(await statuses(port, '/things', {}, {}), [429, 429])
  t.strictSame(
    await statuses(port, '/things/two', {}, {}),
    [200, 429],
    'what was refused has not counted',
  )
  const free = await ask(port, 'GET /things/free')
  t.equal(free.status, 200)
  t.notOk('ratelimit-policy' in free.headers)
  t.strictSame(
    await statuses(port, '/none', {}, {}, {}),
    [404, 404, 429],
    'nor goes there what no route answers',
  )
  t.strictSame(await statuses(port, '/healthz', {}, {}, {}), [200, 200, 200])
})

t.test('by app and by token; what has none is not counted', async (t) => {
  const limits = [
    { by: 'app', max: 2, duration: HOUR },
    { by: 'token', max: 1, duration: HOUR },
  ] as const
  const { port } = await serve(t, { modules: things({ one: thing() }), rateLimits: limits })
  const from = (app: string, token: string) => ({ ...ann, 'x-app': app, 'x-token': token })
  const asked = [from('a', '1'), from('a', '1'), from('a', '2'), from('a', '3'), from('b', '4')]
  t.strictSame(await statuses(port, '/things', ...asked), [200, 429, 200, 429, 200])
  t.strictSame(await statuses(port, '/things', ann, ann, ann), [200, 200, 200])
})

t.test(
  'attempts with wrong credentials count for their address, before they are looked at',
  async (t) => {
    const { port } = await serve(t, {
      modules: things({ one: thing() }),
      rateLimits: { by: 'address', max: 2, duration: HOUR },
    })
    const wrong = { 'x-user': 'wrong' }
    t.strictSame(await statuses(port, '/things', wrong, wrong, wrong, ann), [401, 401, 429, 429])
  },
)

t.test('the address is that of the client where the service trusts its proxy', async (t) => {
  const service = {
    modules: things({ one: thing() }),
    rateLimits: { by: 'address', max: 1, duration: HOUR },
  } as const
  const from = (address: string) => ({ 'x-forwarded-for': address })
  const asked = ['10.0.0.1', '10.0.0.2', '10.0.0.1'].map(from)
  const { port } = await serve(t, { ...service, variables: { TRUST_PROXY: 'loopback' } })
  t.strictSame(await statuses(port, '/things', ...asked), [200, 200, 429])
  const { port: other } = await serve(t, service)
  t.strictSame(await statuses(other, '/things', ...asked), [200, 429, 429], 'whoever says so')
})

t.test('of IPv6 it is the network of 64 bits', (t) => {
  const networks = {
    '127.0.0.1': '127.0.0.1',
    '::ffff:10.0.0.1': '10.0.0.1',
    '2001:DB8:0:1:2:3:4:5': '2001:db8:0:1::',
    '2001:db8:0000:0001::9': '2001:db8:0:1::',
    '2001:db8::1': '2001:db8:0:0::',
    '::1': '0:0:0:0::',
    'fe80::1%eth0': 'fe80:0:0:0::',
    unknown: 'unknown',
  }
  for (const [address, network] of Object.entries(networks)) t.equal(networkOf(address), network)
  t.equal(networkOf(undefined), '')
  t.end()
})

async function alone(t: Test, options: RateLimitOptions): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(rateLimit, options)
  return app
}

t.test(
  'plain Fastify: hooks of a route find the user first; HEAD counts once, as GET',
  async (t) => {
    const app = await alone(t, { rateLimits: { by: 'all', max: 100, duration: HOUR } })
    await app.register(byHeader)
    const config = { rateLimits: { max: 3, duration: 59_500 } }
    app.get('/me', { onRequest: app.auth.required, config }, () => 'me')
    const port = await listen(app)
    const one = await ask(port, 'GET /me', ann)
    t.equal(one.headers['ratelimit-policy'], '"all";q=100;w=3600, "GET /me user";q=3;w=60')
    t.match(one.headers.ratelimit, /^"all";r=99;t=3600, "GET \/me user";r=2;t=(60|59|58)$/)
    t.match((await ask(port, 'HEAD /me', ann)).headers.ratelimit, /^"all";r=98;.*user";r=1;/)
  },
)

t.test('what is wrong with a limit is told when the app starts', async (t) => {
  const refuses = async (rateLimits: unknown, told: string) =>
    await t.rejects(alone(t, { rateLimits } as RateLimitOptions), {
      code: 'RESOURCE_INVALID',
      message: `The resource * cannot be served: ${told}`,
    })
  await refuses(
    { by: 'ip', max: 1, duration: HOUR },
    'its rateLimits count by ip; expected all, address, user, app, token',
  )
  await refuses(
    { max: 0, duration: HOUR },
    'max of its rateLimits is 0; expected an integer of at least 1',
  )
  await refuses(
    { max: 1, duration: 60 },
    "duration of its rateLimits is 60; expected whole milliseconds, or a text like '30s' (ms, s, m, h, d), from 1000",
  )
  await refuses(
    [
      { max: 1, duration: 1000 },
      { max: 9, duration: HOUR },
    ],
    'two of its rateLimits count by user; give one a name',
  )
  await t.resolves(
    alone(t, {
      rateLimits: [
        { max: 1, duration: 1000 },
        { name: 'hour', max: 9, duration: HOUR },
      ],
    }),
  )
  await t.rejects(
    serveThings(t, { one: thing({ auth: 'public', rateLimits: { max: 1, duration: 1000 } }) }),
    {
      code: 'RESOURCE_INVALID',
      message:
        /^The resource things.one cannot be served: it has rateLimits, and nothing would count/,
    },
  )
  await t.rejects(alone(t, { maxKeys: 0 }), { code: 'PLUGIN_OPTION_INVALID' })
})

t.test(
  'in memory it begins anew when the time is over, and forgets whom nobody has asked for',
  (t) => {
    let now = 0
    const counter = new MemoryCounter(2, () => now)
    const take = (key: string) => counter.take([{ key, max: 1, duration: 1000 }])[0]
    t.strictSame(take('a'), { isOver: false, count: 1, left: 1000 })
    now = 600
    t.strictSame(take('a'), { isOver: true, count: 1, left: 400 })
    now = 1000
    t.strictSame(take('a'), { isOver: false, count: 1, left: 1000 })
    take('b')
    take('c')
    t.strictSame(take('a'), { isOver: false, count: 1, left: 1000 }, 'there is room for two')
    t.end()
  },
)

t.test('all processes count together in Redis, where it ends by itself', async (t) => {
  const prefix = randomUUID()
  const start = async () => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(rateLimit, {
      prefix,
      rateLimits: { by: 'address', max: 3, duration: HOUR },
      ...PATIENT,
    })
    await app.register(redis, { url: redisUrl(), ...PATIENT })
    app.get('/', () => 'here')
    return { app, port: await listen(app) }
  }
  const [one, two] = [await start(), await start()]
  const both = async () => [
    ...(await statuses(one.port, '/', {})),
    ...(await statuses(two.port, '/', {})),
  ]
  t.strictSame([...(await both()), ...(await both())], [200, 200, 200, 429])
  const keys = await one.app.redis.keys(`{${prefix}}:rate:*`)
  t.strictSame(keys, [`{${prefix}}:rate:address"127.0.0.1`])
  const left = await one.app.redis.pttl(keys[0] as string)
  t.ok(left > 0 && left <= HOUR, `${left}`)
  await one.app.redis.persist(keys[0] as string)
  t.strictSame(await both(), [429, 429])
  t.ok((await one.app.redis.pttl(keys[0] as string)) > 0, 'one that would not end gets an end')
  await one.app.redis.pexpire(keys[0] as string, 1)
  await poll(async () => (await statuses(one.port, '/', {}))[0] === 200)
})

for (const how of ['is away', 'hangs'] as const) {
  t.test(
    `where Redis ${how} each process counts by itself, at once, and together again when it is back`,
    async (t) => {
      const own = await ownRedis(t)
      const logs: LogLine[] = []
      const app = Fastify({
        logger: { stream: { write: (line: string) => void logs.push(JSON.parse(line)) } },
      })
      t.teardown(() => app.close())
      const patience = how === 'hangs' ? { commandTimeout: 5000 } : PATIENT
      const rateLimits = { by: 'address', max: 3, duration: HOUR } as const
      await app.register(rateLimit, { rateLimits, ...patience })
      await app.register(redis, { url: own.url, ...patience })
      app.get('/', () => 'here')
      const port = await listen(app)
      t.strictSame(await statuses(port, '/', {}), [200])
      if (how === 'is away') await own.kill()
      else own.freeze()
      t.strictSame(
        await statuses(port, '/', {}, {}, {}, {}, {}),
        [200, 200, 200, 429, 429],
        'limited, and no failure',
      )
      await poll(async () =>
        logs.some(({ msg }) => msg === 'The rate limiter goes on without Redis'),
      )
      if (how === 'is away') await own.restart()
      else own.goOn()
      await poll(async () => logs.some(({ msg }) => msg === 'The rate limiter uses Redis again'))
      const last = await ask(port, 'GET /')
      // One that hangs has been asked once, and does it when it goes on.
      const left = how === 'hangs' ? /r=0/ : /r=1/
      t.match(last, { status: 200, headers: { ratelimit: left } })
    },
  )
}

t.test('a service in production is told where each process counts by itself', async (t) => {
  const { app } = await serve(t, { modules: things({ one: thing() }), rateLimits: [] })
  const find = async (production: boolean) =>
    (await runChecks(app, production)).filter(({ check }) => check === 'rate-limit')
  t.match(await find(true), [{ level: 'warning', message: /REDIS_URL/ }])
  t.strictSame(await find(false), [])
})

t.test('the API document tells of it', async (t) => {
  const { app } = await serve(t, {
    modules: things({
      one: thing({ rateLimits: { max: 1, duration: HOUR } }),
      two: thing({ path: '/two' }),
    }),
    rateLimits: [],
    variables: { DOCS: 'true' },
  })
  const { paths } = (await app.inject('/openapi.json')).json()
  t.ok(paths['/things'].get.responses[429])
  t.notOk(paths['/things/two'].get.responses[429])
})
