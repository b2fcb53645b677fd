import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import database from '../../plugins/database.ts'
import envelope from '../../plugins/envelope.ts'
import redis from '../../plugins/redis.ts'
import session, { type SessionOptions, type SessionStore } from '../../plugins/session.ts'
import {
  createMemoryStore,
  createRedisStore,
  type RedisCommands,
} from '../../src/auth/session-store.ts'
import type { User } from '../../src/resource/context.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { onEveryDatabase } from '../database/fixture.ts'
import { createGate, createService, type LogLine } from '../helpers/app.ts'
import { PATIENT, redisUrl } from '../helpers/drivers.ts'
import { ownRedis } from '../helpers/own-redis.ts'
import { passTime } from '../helpers/pass-time.ts'
import { type Answer, ask as askFor, listen } from '../helpers/wire.ts'

const SECRET = 'a secret of sessions for tests alone'
const HOUR = 3_600_000
/** What a browser says of a request that a page of the service makes. */
const OWN = { 'Sec-Fetch-Site': 'same-origin' }

interface Given extends SessionOptions {
  attach?: (app: FastifyInstance) => Promise<unknown>
}

/** A service with a page to log in, on Redis unless it is told. */
async function serve(t: Test, { attach, ...options }: Given = {}) {
  const logs: LogLine[] = []
  const stream = { write: (line: string) => void logs.push(JSON.parse(line)) }
  const app = Fastify({ logger: { level: 'info', stream } })
  t.teardown(() => app.close())
  await app.register(envelope)
  if (!options.store) await (attach ?? onRedis)(app)
  await app.register(session, { secret: SECRET, ...options })
  app.post('/login/:id', async ({ params }, reply) => {
    await reply.login(params as { id: string })
    return 'in'
  })
  app.post('/join/:groups', async (request, reply) => {
    const { groups } = request.params as { groups: string }
    await app.sessions.begin(
      request,
      reply,
      { id: groups },
      {
        groups: groups.split('+'),
      },
    )
    return 'in'
  })
  app.post('/logout', async (_, reply) => {
    await reply.logout()
    return 'out'
  })
  const { required, optional } = app.auth
  app.get('/me', { onRequest: required }, ({ auth }) => auth?.user.id)
  app.get('/maybe', { onRequest: optional }, ({ auth }) => auth?.user.id ?? 'nobody')
  app.post('/change', { onRequest: required }, () => 'changed')
  app.get('/open', () => 'open')
  const port = await listen(app)
  return { app, logs, browser: () => new Browser(port) }
}

const onRedis = async (app: FastifyInstance) =>
  await app.register(redis, { url: redisUrl(), ...PATIENT })

/** Keeps the cookie, and is on a page of the service. */
class Browser {
  cookie = ''
  readonly #port: number

  constructor(port: number) {
    this.#port = port
  }

  async ask(line: string, headers: Record<string, string> = OWN): Promise<Answer> {
    const cookie: Record<string, string> = this.cookie ? { Cookie: this.cookie } : {}
    const answer = await askFor(this.#port, line, { ...cookie, ...headers })
    const [set = ''] = answer.headers['set-cookie']?.split(';') ?? []
    if (set) this.cookie = set.endsWith('=') ? '' : set
    return answer
  }

  async status(line: string, headers?: Record<string, string>): Promise<number> {
    return (await this.ask(line, headers)).status
  }

  /** The id of the user, or the status. */
  async who(): Promise<string | number> {
    const { status, body } = await this.ask('GET /me')
    return status === 200 ? body : status
  }
}

const AWAY = {
  code: 'AUTH_UNAVAILABLE',
  message: 'Who asks cannot be found out right now: the sessions cannot be read; try again later',
}

t.test('who has logged in is known until it logs out', async (t) => {
  const { browser } = await serve(t)
  const ann = browser()
  const bob = browser()
  const first = await ann.ask('GET /maybe')
  t.equal(first.body, 'nobody')
  t.notOk(first.headers['set-cookie'], 'nobody gets no cookie')
  const login = await ann.ask('POST /login/ann')
  t.match(
    login.headers['set-cookie'],
    /^session=[\w-]{43}\.[\w-]{43}; Max-Age=43200; Path=\/; HttpOnly; SameSite=Lax$/,
  )
  await bob.ask('POST /login/bob')
  t.strictSame([await ann.who(), await bob.who()], ['ann', 'bob'])
  t.equal((await ann.ask('GET /maybe')).body, 'ann')
  const kept = ann.cookie
  const logout = await ann.ask('POST /logout')
  t.equal(logout.headers['set-cookie'], 'session=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax')
  ann.cookie = kept
  t.equal(await ann.who(), 401, 'what somebody has kept is of no use')
  t.equal((await ann.ask('GET /maybe')).body, 'nobody')
  t.equal(await bob.who(), 'bob')
  t.equal(await browser().status('POST /logout'), 200)
})

t.test('a session that somebody has planted is another after login', async (t) => {
  const { browser } = await serve(t)
  const mallory = browser()
  await mallory.ask('POST /login/mallory')
  const victim = browser()
  victim.cookie = mallory.cookie
  await victim.ask('POST /login/ann')
  t.not(victim.cookie, mallory.cookie)
  t.equal(await victim.who(), 'ann')
  t.equal(await mallory.who(), 401)
  const again = victim.cookie
  await victim.ask('POST /login/ann')
  t.not(victim.cookie, again)
  for (const planted of ['session=fixed', 'session=fixed.fixed', `session=${'A'.repeat(43)}.x`]) {
    const other = browser()
    other.cookie = planted
    await other.ask('POST /login/ann')
    t.notMatch(other.cookie, planted.slice(8))
    t.equal(await other.who(), 'ann')
  }
})

/** A store that tells what it is asked. */
function watched(): SessionStore & { asked: string[]; values: string[] } {
  const store = createMemoryStore()
  const [asked, values]: [string[], string[]] = [[], []]
  return {
    asked,
    values,
    add: (key, value, ttl) => {
      values.push(`${key} ${value}`)
      return store.add(key, value, ttl)
    },
    read: (key, ttl) => {
      asked.push(key)
      return store.read(key, ttl)
    },
    delete: (key) => store.delete(key),
    deleteGroup: (name) => store.deleteGroup(name),
  }
}

t.test('a cookie that was tampered with is none, and asks no store', async (t) => {
  const store = watched()
  const { browser } = await serve(t, { store })
  const [ann, bob] = [browser(), browser()]
  await ann.ask('POST /login/ann')
  await bob.ask('POST /login/bob')
  const [id, signature] = ann.cookie.slice(8).split('.') as [string, string]
  const [other, otherSignature] = bob.cookie.slice(8).split('.')
  const flip = (text: string) => (text.startsWith('A') ? 'B' : 'A') + text.slice(1)
  const unsigned = (await serve(t, { store: watched(), secret: `${SECRET}!` })).browser()
  await unsigned.ask('POST /login/ann')
  for (const value of [
    '',
    id,
    `${id}.`,
    `.${signature}`,
    `${flip(id)}.${signature}`,
    `${id}.${flip(signature)}`,
    `${id}.${otherSignature}`,
    `${other}.${signature}`,
    `${id}.${signature}.${signature}`,
    `${id}.${signature}x`,
    `${id}x.${signature}`,
    `"${id}.${signature}"`,
    `${id}.${signature}`.toUpperCase(),
    unsigned.cookie.slice(8),
    'x'.repeat(5000),
    '__proto__.constructor',
  ]) {
    const mallory = browser()
    mallory.cookie = `session=${value}`
    t.equal(await mallory.who(), 401, value)
    t.equal((await mallory.ask('GET /maybe')).body, 'nobody')
  }
  t.strictSame(store.asked, [])
  t.equal(await ann.who(), 'ann')
  t.equal(store.asked.length, 1)
  for (const kept of store.values) {
    t.notMatch(kept, id, 'who reads the store has no cookie')
    t.notMatch(kept, signature)
  }
})

t.test('routes for everybody ask no store', async (t) => {
  const store = watched()
  const { browser } = await serve(t, { store })
  const ann = browser()
  await ann.ask('POST /login/ann')
  t.equal(await ann.status('GET /open'), 200)
  t.equal(await browser().who(), 401)
  t.strictSame(store.asked, [])
})

t.test('a secret takes the place of another', async (t) => {
  const store = createMemoryStore()
  const old = (await serve(t, { store })).browser()
  await old.ask('POST /login/ann')
  const secret = ['another secret of sessions that is new', SECRET]
  const both = (await serve(t, { store, secret })).browser()
  both.cookie = old.cookie
  t.equal(await both.who(), 'ann')
  await both.ask('POST /login/ann')
  t.equal(await old.who(), 401)
  const fresh = (await serve(t, { store, secret: secret.slice(0, 1) })).browser()
  fresh.cookie = both.cookie
  t.equal(await fresh.who(), 'ann', 'the first one signs')
})

/** One is idle, and one is used all the time. */
async function expire(
  t: Test,
  given: Given,
  pass = passTime(t, [performance, Date]),
): Promise<void> {
  const { browser } = await serve(t, { ...given, idle: 2 * HOUR, lifetime: 12 * HOUR })
  const [idle, used] = [browser(), browser()]
  await idle.ask('POST /login/ann')
  await used.ask('POST /login/bob')
  for (let hours = 1; hours < 12; hours++) {
    pass(HOUR)
    t.equal(await used.who(), 'bob', `after ${hours} hours`)
    if (hours === 1) t.equal(await idle.who(), 'ann')
    if (hours === 4) t.equal(await idle.who(), 401)
  }
  pass(HOUR)
  t.equal(await used.who(), 401, 'however much it is used')
}

t.test('a session ends when it is not used, or at last (memory)', (t) =>
  expire(t, { store: createMemoryStore() }),
)

onEveryDatabase(t, 'a session ends when it is not used, or at last', async (t, { url, db }) => {
  const pass = passTime(t, [performance, Date])
  await expire(t, { attach: async (app) => await app.register(database, { url }) }, pass)
  pass(2 * HOUR)
  const { browser } = await serve(t, {
    attach: async (app) => await app.register(database, { url }),
  })
  await browser().ask('POST /login/carl')
  const rows = await db.selectFrom('plinth_session').select(['id', 'value']).execute()
  t.strictSame(
    rows.map(({ value }) => JSON.parse(String(value)).user),
    [{ id: 'carl' }],
    'what is over is put away',
  )
})

t.test('a session ends when it is not used, or at last (redis)', async (t) => {
  const server = await ownRedis(t)
  const pass = passTime(t, [performance, Date])
  const { app, browser } = await serve(t, {
    attach: async (app) => await app.register(redis, { url: server.url, ...PATIENT }),
  })
  const ann = browser()
  await ann.ask('POST /login/ann')
  const [key = ''] = await app.redis.keys('*')
  t.match(key, /^plinth:session:[\w-]{43}$/)
  await app.redis.pexpire(key, HOUR)
  t.equal(await ann.who(), 'ann')
  const left = await app.redis.pttl(key)
  t.ok(left > HOUR && left <= 2 * HOUR, 'a request keeps it for another two hours')
  pass(12 * HOUR)
  t.equal(await ann.who(), 401, 'and not for ever')
  await ann.ask('POST /login/ann')
  for (const name of await app.redis.keys('*')) await app.redis.pexpire(name, 0)
  t.equal(await ann.who(), 401)
})

/** Sessions that have something in common. */
async function endTogether(t: Test, given: Given): Promise<FastifyInstance> {
  const { app, browser } = await serve(t, given)
  const [first, second, other] = [browser(), browser(), browser()]
  const all = async () => [await first.who(), await second.who(), await other.who()]
  await first.ask('POST /join/one+ann')
  await second.ask('POST /join/two+ann')
  await other.ask('POST /join/three+bob')
  await app.sessions.endGroup('ann+one')
  await app.sessions.endGroup('on')
  t.strictSame(await all(), ['one+ann', 'two+ann', 'three+bob'])
  await app.sessions.endGroup('one')
  t.strictSame(await all(), [401, 'two+ann', 'three+bob'])
  await first.ask('POST /join/one+ann')
  t.strictSame(await all(), ['one+ann', 'two+ann', 'three+bob'])
  await app.sessions.endGroup('ann')
  t.strictSame(await all(), [401, 401, 'three+bob'])
  await app.sessions.endGroup('ann')
  await second.ask('POST /join/two+ann')
  await second.ask('POST /logout')
  await app.sessions.endGroup('two')
  await second.ask('POST /login/ann')
  t.strictSame(await all(), [401, 'ann', 'three+bob'])
  return app
}

t.test('sessions end together (memory)', (t) => endTogether(t, { store: createMemoryStore() }))

onEveryDatabase(t, 'sessions end together', async (t, { url, db }) => {
  await endTogether(t, { attach: async (app) => await app.register(database, { url }) })
  const rows = await db.selectFrom('plinth_session').select(['id', 'value']).execute()
  const users = rows.flatMap(({ value }) => /"user":\{"id":"(.*?)"/.exec(String(value))?.[1] ?? [])
  t.strictSame(users.toSorted(), ['ann', 'three+bob'])
})

t.test('a session that begins just as its group ends still ends with it (redis)', async (t) => {
  const { app } = await serve(t, { attach: onRedis })
  const set = createGate()
  const go = createGate()
  const client = app.redis as unknown as RedisCommands
  const write = client.set.bind(client)
  client.set = async (...args) => {
    set.open()
    await go.opened
    return await write(...args)
  }
  const store = createRedisStore(client, randomUUID())
  const begins = store.add('new', 'ann', HOUR, { names: ['ann'], ttl: HOUR })
  await set.opened
  await store.deleteGroup('ann')
  go.open()
  await begins
  t.equal(await store.read('new', HOUR), 'ann', 'it came after it')
  await store.deleteGroup('ann')
  t.equal(await store.read('new', HOUR), undefined)
})

t.test('sessions end together (redis)', async (t) => {
  const server = await ownRedis(t)
  const { redis: own } = await endTogether(t, {
    attach: async (app) => await app.register(redis, { url: server.url, ...PATIENT }),
  })
  const groups = (await own.keys('*')).filter((key) => key.startsWith('plinth:session-group:'))
  t.equal(groups.length, 5, 'each is there until its sessions have ended in any case')
  for (const group of groups) {
    t.match(group, /:[\w-]{43}$/)
    const left = await own.pttl(group)
    t.ok(left > 11 * HOUR && left <= 12 * HOUR)
  }
  const pass = passTime(t, [Date])
  pass(13 * HOUR)
  const { app, browser } = await serve(t, {
    attach: async (app) => await app.register(redis, { url: server.url, ...PATIENT }),
  })
  await browser().ask('POST /join/one+two+ann+three+bob')
  const sizes = await Promise.all(groups.map(async (group) => await app.redis.zcard(group)))
  t.strictSame(sizes, [1, 1, 1, 1, 1], 'what is over is put away')
})

t.test('a store that is away lets nobody in, and ends no session', async (t) => {
  const server = await ownRedis(t)
  const { browser } = await serve(t, {
    attach: async (app) => await app.register(redis, { url: server.url, commandTimeout: 250 }),
  })
  const ann = browser()
  await until(async () => (await ann.status('POST /login/ann')) === 200)
  const { cookie } = ann
  const refused = async () => {
    for (const line of [
      'GET /me',
      'GET /maybe',
      'POST /change',
      'POST /login/ann',
      'POST /logout',
    ]) {
      const answer = await ann.ask(line)
      t.equal(answer.status, 503, line)
      t.match(answer.json(), AWAY)
      t.notOk(answer.headers['set-cookie'])
    }
    t.equal(await ann.status('GET /open'), 200)
    t.equal(await browser().who(), 401)
  }
  server.freeze()
  await refused()
  server.goOn()
  await until(async () => (await ann.who()) === 'ann')
  await server.kill()
  await refused()
  await server.restart()
  await until(async () => (await ann.who()) === 'ann')
  t.equal(ann.cookie, cookie)
})

/** Asks until it is so; the test ends it. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo()));
}

t.test('what a store has that is no session lets nobody in', async (t) => {
  const store = createMemoryStore()
  const { browser } = await serve(t, { store })
  const ann = browser()
  await ann.ask('POST /login/ann')
  for (const [value, status] of [
    ['{"user":', 503],
    ['{}', 401],
    ['null', 503],
    ['{"user":{"id":"ann"}}', 401],
    ['[]', 401],
  ] as const) {
    store.read = async () => value
    t.equal(await ann.who(), status, value)
  }
})

t.test('a session that ends while a request runs stays ended', async (t) => {
  const [begun, goOn] = [createGate(), createGate()]
  const store = createMemoryStore()
  const slow = Fastify()
  t.teardown(() => slow.close())
  await slow.register(session, { secret: SECRET, store })
  slow.post('/login', async (_, reply) => {
    await reply.login({ id: 'ann' })
    return 'in'
  })
  slow.post('/logout', async (_, reply) => {
    await reply.logout()
    return 'out'
  })
  slow.get('/me', { onRequest: slow.auth.required }, () => 'in')
  slow.get('/slow', { onRequest: slow.auth.required }, async () => {
    begun.open()
    await goOn.opened
    return 'done'
  })
  const ann = new Browser(await listen(slow))
  await ann.ask('POST /login')
  const { cookie } = ann
  const running = ann.ask('GET /slow')
  await begun.opened
  await ann.ask('POST /logout')
  goOn.open()
  t.equal((await running).body, 'done')
  ann.cookie = cookie
  t.equal(await ann.who(), 401)
})

t.test('changes by pages of others are refused, logging in as well', async (t) => {
  const { browser } = await serve(t, { origins: ['https://ui.example'] })
  const ann = browser()
  await ann.ask('POST /login/ann')
  const evil = { 'Sec-Fetch-Site': 'cross-site', Origin: 'https://evil.example' }
  for (const headers of [evil, {}, { Origin: 'null' }, { 'Sec-Fetch-Site': 'same-site' }])
    for (const line of ['POST /change', 'POST /logout', 'POST /login/mallory']) {
      const answer = await ann.ask(line, headers)
      t.equal(answer.status, 403, `${line} ${JSON.stringify(headers)}`)
      t.equal(answer.json().code, 'CROSS_ORIGIN')
    }
  t.equal(await ann.who(), 'ann')
  t.equal(await ann.status('GET /me', evil), 200)
  t.equal(await ann.status('POST /change'), 200)
  t.equal(await ann.status('POST /change', { Origin: 'http://test' }), 200)
  t.equal(await ann.status('POST /change', { ...evil, Origin: 'https://ui.example' }), 200)
})

t.test('processes share sessions', async (t) => {
  const { browser } = await serve(t)
  const path = fileURLToPath(new URL('./session-child.ts', import.meta.url))
  const child = spawn(process.execPath, [...process.execArgv, path, redisUrl(), SECRET], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill())
  const [line] = await once(child.stdout, 'data')
  const there = new Browser(Number(String(line)))
  const here = browser()
  await here.ask('POST /login/ann')
  there.cookie = here.cookie
  t.match((await there.ask('GET /me')).json(), { user: { id: 'ann' }, strategy: 'session' })
  t.equal(await there.status('POST /logout'), 200)
  t.equal(await here.who(), 401)
  const ended = once(child, 'exit')
  child.stdin.end()
  t.strictSame(await ended, [0, null])
})

t.test('a page is sent to log in, and told where to go from there', async (t) => {
  const { browser } = await serve(t, { store: createMemoryStore(), login: '/login' })
  const page = (line: string) => browser().ask(line, { Accept: 'text/html' })
  const { status, headers } = await page('GET /me?a=1&b=2')
  t.equal(status, 302)
  t.equal(headers.location, '/login?next=%2Fme%3Fa%3D1%26b%3D2')
  t.match((await browser().ask('GET /me')).json(), { data: { login_url: '/login' } })
  const other = Fastify({ rewriteUrl: () => '/me' })
  t.teardown(() => other.close())
  await other.register(session, { secret: SECRET, store: createMemoryStore(), login: '/login' })
  other.get('/me', { onRequest: other.auth.required }, () => 'in')
  const port = await listen(other)
  for (const path of ['//evil.example/me', '/\\evil.example/me']) {
    const answer = await askFor(port, `GET ${path}`, { Accept: 'text/html' })
    t.equal(answer.headers.location, '/login', path)
  }
})

t.test('a user may be somebody else by now, or nobody', async (t) => {
  const gone = new Set<string>()
  const { browser } = await serve(t, {
    toUser: async ({ id }) => (gone.has(id) ? null : { id: `${id}!` }),
  })
  const ann = browser()
  await ann.ask('POST /login/ann')
  t.equal(await ann.who(), 'ann!')
  gone.add('ann')
  t.equal(await ann.who(), 401)
})

t.test('a resource logs in, in a service', async (t) => {
  const login = defineResource({
    summary: 'Log in',
    method: 'POST',
    path: '/login',
    auth: 'public',
    request: Type.Object({ id: Type.String() }),
    perform: async ({ id }, { reply }) => {
      await reply?.login({ id, name: 'Ann' })
      return null
    },
  })
  const me = defineResource({
    summary: 'Who it is',
    path: '/me',
    auth: 'required',
    response: Type.Object({ id: Type.String(), name: Type.Optional(Type.String()) }),
    perform: (_, { user }) => user as User,
  })
  const { app, logs } = await createService(
    t,
    { login, me },
    {
      auth: true,
      plugins: [session()],
      variables: { SESSION_SECRET: `${SECRET}, another ${SECRET}` },
    },
  )
  const port = await listen(app)
  const headers = { 'Content-Type': 'application/json', ...OWN }
  const { headers: got } = await askFor(port, 'POST /things/login', headers, '{"id":"ann"}')
  const [Cookie = ''] = got['set-cookie']?.split(';') ?? []
  t.match((await askFor(port, 'GET /things/me', { Cookie })).json(), {
    data: { id: 'ann', name: 'Ann' },
  })
  const bad = await askFor(port, 'POST /things/login', headers, '{"id":""}')
  t.match([bad.status, bad.json().code], [500, 'USER_INVALID'])
  t.notMatch(JSON.stringify(logs), SECRET)
})

t.test('in production it wants a secret and a store, and its cookie HTTPS', async (t) => {
  const variables = { NODE_ENV: 'production', SESSION_SECRET: SECRET, DRAIN_DELAY: '0' }
  const start = async (given: object, options: SessionOptions = {}) =>
    await createService(t, {}, { plugins: [session(options)], variables: given as never })
  await t.rejects(start(variables), { code: 'REDIS_MISSING' })
  const { SESSION_SECRET: _, ...without } = { ...variables, REDIS_URL: redisUrl() }
  await t.rejects(start(without), { code: 'PLUGIN_OPTION_INVALID', message: /SESSION_SECRET/ })
  const login = async (app: FastifyInstance) => {
    app.post('/login', async (_, reply) => {
      await reply.login({ id: 'ann' })
      return 'in'
    })
  }
  const { app } = await createService(
    t,
    {},
    {
      plugins: [session(), login],
      variables: { ...variables, REDIS_URL: redisUrl() },
    },
  )
  const { headers } = await askFor(await listen(app), 'POST /login', OWN)
  t.match(headers['set-cookie'], /^__Host-session=.*; Path=\/; HttpOnly; SameSite=Lax; Secure$/)
})

t.test('in development it works without, and says so', async (t) => {
  const { logs, browser } = await serve(t, {
    attach: async () => {},
    secret: undefined as never,
  })
  t.strictSame(
    logs.filter(({ level }) => level === 40).map(({ msg }) => msg),
    [
      'sessions are in memory: they end with this process, and no other has them',
      'SESSION_SECRET is not set: sessions end with this process',
    ],
  )
  const ann = browser()
  await ann.ask('POST /login/ann')
  t.equal(await ann.who(), 'ann')
})

t.test('what is wrong with its options keeps an app from starting', async (t) => {
  const secret = 'one of at least 32 characters (SESSION_SECRET), or several'
  const span = "whole milliseconds, or a text like '30s' (ms, s, m, h, d), from 1"
  const cases: [options: object, told: string][] = [
    [{ secret: 'short' }, `secret is another text, expected ${secret}`],
    [{ secret: [SECRET, 'short'] }, `secret is a list, expected ${secret}`],
    [{ secret: [] }, 'secret is a list, expected a text, or a list of texts'],
    [{ secret: SECRET, idle: 0 }, `idle is 0, expected ${span}`],
    [{ secret: SECRET, lifetime: 1.5 }, `lifetime is 1.5, expected ${span}`],
    [{ secret: SECRET, cookie: 'a b' }, 'cookie is another text, expected a plain name'],
    [{ secret: SECRET, origins: '*' }, 'origins is "*", expected https://ui.example.com'],
  ]
  for (const [options, told] of cases) {
    const app = Fastify()
    t.teardown(() => app.close())
    await t.rejects(
      Promise.resolve(app.register(session, { store: createMemoryStore(), ...options } as never)),
      {
        code: 'PLUGIN_OPTION_INVALID',
        message: `plinth/plugins/session cannot be registered: its option ${told}`,
      },
    )
  }
  const late = Fastify()
  t.teardown(() => late.close())
  late.register(session, { secret: SECRET })
  late.register(redis, { url: redisUrl() })
  await t.rejects(Promise.resolve(late.ready()), { code: 'PLUGIN_ORDER' })
})
