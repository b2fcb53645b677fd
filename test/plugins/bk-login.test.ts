import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import t, { type Test } from 'tap'
import bkLogin, { type BkLoginOptions } from '../../plugins/bk-login.ts'
import deadline from '../../plugins/deadline.ts'
import envelope from '../../plugins/envelope.ts'
import { LOGIN_LIMITS } from '../../src/auth/login-service.ts'
import { createGate, createService } from '../helpers/app.ts'
import { passTime } from '../helpers/pass-time.ts'
import { ask as askFor, listen } from '../helpers/wire.ts'
import { freePort } from '../servers/ready.ts'

interface Login {
  url: string
  /** The cookies that it was asked for, as they came. */
  asked: string[]
  answer: (cookie: string, reply: FastifyReply) => unknown
}

const yes = (bk_username: unknown) => ({
  result: true,
  code: 0,
  message: '',
  data: { bk_username },
})
const NO = { result: false, code: 1302100, message: '登录态已过期', data: {} }

/** A login service on a port of this machine: a cookie that begins with a name is of that user. */
async function login(t: Test): Promise<Login> {
  const app = Fastify({ forceCloseConnections: true })
  const made: Login = {
    url: '',
    asked: [],
    answer: (cookie) => (cookie.includes('-') ? yes(cookie.split('-')[0]) : NO),
  }
  app.get('/login/accounts/is_login/', ({ query }, reply) => {
    const { bk_token } = query as { bk_token: string }
    made.asked.push(bk_token)
    return made.answer(bk_token, reply)
  })
  t.teardown(() => app.close())
  made.url = `${await app.listen({ host: '127.0.0.1', port: 0 })}/login`
  return made
}

/** A service that asks `url`, and what it answers to a cookie. */
async function serve(t: Test, options: BkLoginOptions & { requestTimeout?: number }) {
  const { requestTimeout = 0, ...own } = options
  const log: string[] = []
  const app = Fastify({ logger: { stream: { write: (line: string) => log.push(line) } } })
  t.teardown(() => app.close())
  await app.register(envelope)
  await app.register(deadline, { timeout: requestTimeout })
  await app.register(bkLogin, own)
  const user = ({ user }: { user: unknown }) => ({ user })
  app.get('/me', { onRequest: app.auth.required }, user as never)
  app.get('/maybe', { onRequest: app.auth.optional }, user as never)
  app.post('/change', { onRequest: app.auth.required }, user as never)
  const port = await listen(app)
  const ask = (cookie: string, line = 'GET /me', headers = {}) =>
    askFor(port, line, { Cookie: cookie, ...headers })
  /** The id of the user, or the status. */
  const who = async (token: string) => {
    const answer = await ask(`bk_token=${token}`)
    return answer.status === 200 ? JSON.parse(answer.body).user.id : answer.status
  }
  return { app, port, log, ask, who }
}

const AWAY = {
  result: false,
  code: 'AUTH_UNAVAILABLE',
  message:
    'Who asks cannot be found out right now: the login service does not answer; try again later',
  data: null,
  errors: null,
}

t.test('the user is the one that the login service says, asked once a minute', async (t) => {
  const pass = passTime(t)
  const service = await login(t)
  const { who } = await serve(t, { url: service.url })
  t.strictSame(await Promise.all(['ann-1', 'bob-1', 'ann-1', 'bob-1', 'ann-1'].map(who)), [
    'ann',
    'bob',
    'ann',
    'bob',
    'ann',
  ])
  t.strictSame(service.asked.toSorted(), ['ann-1', 'bob-1'], 'one check for all who wait')
  pass(LOGIN_LIMITS.keep - 20_000)
  t.equal(await who('ann-1'), 'ann')
  t.equal(service.asked.length, 2)
  service.answer = () => NO
  pass(20_000)
  t.equal(await who('ann-1'), 401)
  t.equal(await who('ann-1'), 401)
  t.equal(service.asked.length, 3, 'that somebody has not logged in is kept')
  service.answer = () => yes('carl')
  pass(LOGIN_LIMITS.keepRefused)
  t.equal(await who('ann-1'), 'carl', 'and not for long')
})

t.test('a cookie is handed on as it came, and only what a browser sends is', async (t) => {
  const service = await login(t)
  const { ask, who } = await serve(t, { url: `${service.url}/` })
  service.answer = () => yes('ann')
  t.equal(await who('bkcrypt%24gAAA+B=='), 'ann')
  t.strictSame(service.asked, ['bkcrypt%24gAAA+B=='])
  t.equal((await ask('a=1; xbk_token=2; bk_token=x&y=1#z; bk_token=other')).status, 200)
  t.equal(service.asked.at(-1), 'x&y=1#z')
  for (const cookie of [
    '',
    'bk_token',
    'bk_token=',
    `bk_token=${'x'.repeat(5000)}`,
    'BK_TOKEN=a-1',
  ])
    t.equal((await ask(cookie)).status, 401, cookie)
  t.equal(service.asked.length, 2)
})

t.test('who has not logged in is told where, and a page is sent there', async (t) => {
  const service = await login(t)
  const { ask, port } = await serve(t, { url: service.url, origins: ['https://ui.example'] })
  const back = (address = '') => new URL(address).searchParams.get('c_url')
  const told = async (headers = {}) => {
    const { status, json } = await ask('bk_token=old', 'GET /me?a=1', headers)
    t.equal(status, 401)
    const { code, data } = json()
    t.equal(code, 'UNAUTHENTICATED')
    const { login_url } = data as { login_url: string }
    t.ok(login_url.startsWith(`${service.url}/?c_url=`))
    return back(login_url)
  }
  t.equal(await told(), 'http://test/')
  t.equal(await told({ Referer: 'http://test/list?page=2' }), 'http://test/list?page=2')
  t.equal(await told({ Referer: 'https://ui.example/x' }), 'https://ui.example/x')
  for (const Referer of [
    'https://evil.example/',
    'http://test.evil.example/',
    'http://test@evil.example/',
    'javascript://test/%0aalert(1)',
    '//evil.example',
    'http://test:81/',
    'http://',
  ])
    t.equal(await told({ Referer }), 'http://test/', Referer)

  for (const cookie of ['bk_token=old', 'a=1'])
    for (const path of ['/me?a=1&b=%2F', '//evil.example/%2e%2e/me']) {
      const page = await askFor(port, `GET ${path}`, { Cookie: cookie, Accept: 'text/html' })
      if (path.startsWith('//')) t.equal(page.status, 404)
      else {
        t.equal(page.status, 302)
        t.equal(back(page.headers.location), `http://test${path}`)
      }
    }
  t.equal((await ask('bk_token=old', 'GET /maybe')).body, '{"user":null}')
})

t.test('changes by pages of others are refused', async (t) => {
  const service = await login(t)
  const { ask } = await serve(t, { url: service.url, origins: ['https://ui.example'] })
  const change = async (headers: object, line = 'POST /change') =>
    (await ask('bk_token=ann-1', line, headers)).status
  const site = (name: string, Origin?: string) => ({
    'Sec-Fetch-Site': name,
    ...(Origin && { Origin }),
  })
  t.equal(await change(site('same-origin')), 200)
  t.equal(await change(site('none')), 200)
  t.equal(await change({ Origin: 'http://test' }), 200)
  t.equal(await change({ Origin: 'https://test' }), 200, 'TLS may end before the service')
  t.equal(await change(site('cross-site', 'https://ui.example')), 200)
  t.equal(await change({ Origin: 'https://ui.example' }), 200)
  const refused = [
    {},
    site('cross-site'),
    site('same-site', 'http://a.test'),
    site('cross-site', 'http://test'),
    site('odd'),
    site(''),
    { Origin: 'null' },
    { Origin: '' },
    { Origin: 'http://test:81' },
    { Origin: 'http://test.evil.example' },
    { Origin: 'https://ui.example.evil.example' },
    { Referer: 'http://test/' },
  ]
  for (const headers of refused) t.equal(await change(headers), 403, JSON.stringify(headers))
  const { json } = await ask('bk_token=ann-1', 'POST /change')
  t.equal(json().code, 'CROSS_ORIGIN')
  t.equal(await change(site('cross-site'), 'GET /me'), 200)
  const upgrade = { Upgrade: 'WebSocket', Connection: 'Upgrade, close' }
  t.equal(await change({ ...upgrade, Origin: 'https://evil.example' }, 'GET /me'), 403)
  t.equal(
    (await ask('bk_token=old', 'POST /change', site('cross-site'))).status,
    401,
    'of nobody it is just that',
  )
})

const useless: Record<string, (cookie: string, reply: FastifyReply) => unknown> = {
  '500': (_, reply) => reply.code(500).send(yes('ann')),
  '404': (_, reply) => reply.code(404).send(NO),
  'a page': (_, reply) => reply.type('text/html').send('<html>Log in</html>'),
  nothing: (_, reply) => reply.send(''),
  null: (_, reply) => reply.type('application/json').send('null'),
  'a list': () => [yes('ann')],
  'half of it': (_, reply) => reply.send(JSON.stringify(yes('ann')).slice(0, -3)),
  'no result': () => ({ data: { bk_username: 'ann' } }),
  'another result': () => ({ ...yes('ann'), result: 'true' }),
  'no data': () => ({ result: true }),
  'no name': () => yes(''),
  'a name that is none': () => yes({ id: 'ann' }),
  'a number': () => yes(7),
  'the name of an app': () => yes('app:billing'),
  'too much': () => ({ ...yes('ann'), more: 'x'.repeat(100_000) }),
  'a redirect': (_, reply) => reply.redirect('/login/accounts/is_login/?bk_token=ann-1'),
  'a connection that breaks': (_, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-length': 1000 })
    reply.raw.write('{"result":true')
    setImmediate(() => reply.raw.destroy())
  },
  silence: (_, reply) => void reply.hijack(),
  'a head, and then silence': (_, reply) => {
    reply.hijack()
    reply.raw.writeHead(200)
    reply.raw.write('{"result":')
  },
  'a drip': (_, reply) => {
    reply.hijack()
    const drip = setInterval(() => reply.raw.write(' '), 20)
    reply.raw.on('close', () => clearInterval(drip))
  },
}

for (const [what, answer] of Object.entries(useless))
  t.test(`what a login service answers is no answer: ${what}`, async (t) => {
    const service = await login(t)
    // On a busy machine a service that is well has to answer within it, too.
    const timeout = /silence|drip/.test(what) ? 5000 : 10_000
    const { ask, who } = await serve(t, { url: service.url, limits: { timeout } })
    service.answer = answer
    for (const path of ['/me', '/maybe']) {
      const { status, json } = await ask('bk_token=ann-1', `GET ${path}`, { Accept: 'text/html' })
      t.equal(status, 503)
      t.match(json(), AWAY)
    }
    service.answer = () => yes('ann')
    t.equal(await who('ann-1'), 'ann', 'the next request asks again')
  })

t.test('a login service that is away lets nobody in, and is told once', async (t) => {
  const port = await freePort()
  const { ask, who, log } = await serve(t, { url: `http://127.0.0.1:${port}/login` })
  t.match((await ask('bk_token=s3cret-1')).json(), AWAY)
  t.equal(await who('s3cret-1'), 503)
  t.equal((await ask('other=1')).status, 401)
  const told = log.map((line) => JSON.parse(line)).filter(({ msg }) => /login service/.test(msg))
  t.strictSame(
    told.filter(({ level }) => level < 50).map(({ level, msg }) => [level, msg]),
    [[40, 'the login service fails']],
  )
  t.notMatch(log.join('\n'), 's3cret')
})

t.test('one that fails on a cookie keeps out nobody else', async (t) => {
  const service = await login(t)
  const { who } = await serve(t, { url: service.url })
  service.answer = (cookie, reply) =>
    cookie === 'bad-1' ? reply.code(500).send('no') : yes(cookie.split('-')[0])
  t.equal(await who('bad-1'), 503)
  t.equal(await who('ann-1'), 'ann')
})

t.test(
  'a request waits no longer than it may take, and not for more than a hundred others',
  async (t) => {
    const service = await login(t)
    service.answer = (_, reply) => void reply.hijack()
    const slow = await serve(t, { url: service.url, requestTimeout: 300 })
    t.match((await slow.ask('bk_token=ann-1')).json(), AWAY)

    const gate = createGate()
    const { app } = await serve(t, { url: service.url, limits: { timeout: 60_000 } })
    let waiting = 0
    const all = createGate()
    service.answer = async (cookie) => {
      if (++waiting === 100) all.open()
      await gate.opened
      return yes(cookie.split('-')[0])
    }
    const get = (at: number) => app.inject({ url: '/me', cookies: { bk_token: `u${at}-1` } })
    const first = Array.from({ length: 100 }, (_, at) => get(at))
    await all.opened
    t.equal((await get(100)).statusCode, 503)
    gate.open()
    const names = await Promise.all(first)
    t.strictSame(
      names.map((answer) => answer.json().user?.id),
      names.map((_, at) => `u${at}`),
    )
    t.equal((await get(100)).json().user.id, 'u100')
  },
)

t.test('a service may say who it is, by another cookie and path, by variables', async (t) => {
  const service = await login(t)
  service.answer = () => ({ result: true, data: { username: 'ann', tenant_id: 'a' } })
  const me = async (app: FastifyInstance) => {
    app.get('/me', { onRequest: app.auth.required }, (request) => request.auth)
  }
  const { app } = await createService(
    t,
    {},
    {
      plugins: [
        bkLogin({
          path: '/accounts/../accounts/is_login/',
          cookie: 'bk_ticket',
          toUser: async ({ username, data }) =>
            data.tenant_id === 'a' ? { id: `${data.tenant_id}/${username}` } : undefined,
        }),
        me,
      ],
      variables: { BK_LOGIN_URL: 'https://paas.example/login', BK_LOGIN_API_URL: service.url },
    },
  )
  const port = await listen(app)
  const ask = (value: string) => askFor(port, 'GET /me', { Cookie: `bk_ticket=${value}` })
  t.strictSame((await ask('1')).json(), { user: { id: 'a/ann' }, strategy: 'bk-login' })
  service.answer = () => ({ result: true, data: { username: 'ann', tenant_id: 'b' } })
  t.match((await ask('2')).json(), {
    code: 'UNAUTHENTICATED',
    data: { login_url: 'https://paas.example/login/?c_url=http%3A%2F%2Ftest%2F' },
  })
})

t.test('it is asked by the API gateway, as this app, where that is wanted', async (t) => {
  const gateway = Fastify({ forceCloseConnections: true })
  t.teardown(() => gateway.close())
  const asked: { token: string; headers: Record<string, unknown> }[] = []
  let answer: (reply: FastifyReply) => unknown = () => ({})
  gateway.get(
    '/api/bk-login/prod/login/api/v3/open/bk-tokens/verify/',
    ({ query, headers }, reply) => {
      asked.push({ token: (query as { bk_token: string }).bk_token, headers })
      return answer(reply)
    },
  )
  const url = await gateway.listen({ host: '127.0.0.1', port: 0 })
  const me = async (app: FastifyInstance) => {
    app.get('/me', { onRequest: app.auth.required }, (request) => request.auth)
  }
  const variables = {
    BKPAAS_LOGIN_URL: 'https://paas.example/login/',
    BK_API_URL_TMPL: `${url}/api/{api_name}`,
    BKPAAS_APP_ID: 'shop',
    BKPAAS_APP_SECRET: 'the secret of the app',
  }
  const toUser = ({ username, data }: { username: string; data: object }) => ({
    id: username,
    name: JSON.stringify(data),
  })
  const plugins = [bkLogin({ gateway: true, limits: { keepRefused: 0 }, toUser }), me]
  const { app, logs } = await createService(t, {}, { plugins, variables })
  const port = await listen(app)
  const ask = (token: string) => askFor(port, 'GET /me', { Cookie: `bk_token=${token}` })
  const data = { bk_username: 'nteuuhzx', tenant_id: 'system' }
  answer = () => ({ data })
  t.match((await ask('bkcrypt%24A')).json(), {
    user: { id: 'nteuuhzx', name: JSON.stringify(data) },
  })
  t.equal(asked[0]?.token, 'bkcrypt%24A')
  t.strictSame(JSON.parse(String(asked[0]?.headers['x-bkapi-authorization'])), {
    bk_app_code: 'shop',
    bk_app_secret: 'the secret of the app',
  })
  t.equal(asked[0]?.headers['x-bk-tenant-id'], 'default')
  answer = (reply) =>
    reply.code(400).send({ error: { code: 'VALIDATION_ERROR', message: '登录态已过期' } })
  const old = await ask('old')
  t.equal(old.status, 401)
  t.match(old.json().data, { login_url: /^https:\/\/paas\.example\/login\/\?c_url=/ })
  for (const [status, body] of [
    [200, {}],
    [200, { result: false, data: {} }],
    [200, { data, error: { code: 'X' } }],
    [400, { code: 1640001, message: 'app code cannot be empty' }],
    [401, { error: { code: 'X' } }],
    [403, { error: { code: 'X' } }],
    [500, { data }],
  ] as const) {
    answer = (reply) => reply.code(status).send(body)
    t.match((await ask('ann')).json(), AWAY, JSON.stringify([status, body]))
  }
  t.notMatch(JSON.stringify(logs), 'the secret of the app')

  const { BK_API_URL_TMPL: _, ...few } = variables
  await t.rejects(createService(t, {}, { plugins: [bkLogin({ gateway: true })], variables: few }), {
    code: 'PLUGIN_OPTION_INVALID',
    message: /its option gateway is true, expected BK_API_URL_TMPL/,
  })
})

t.test('what is wrong with its options keeps an app from starting', async (t) => {
  const url = 'https://paas.example/login'
  const wanted = 'expected a URL with http or https, and without a query'
  const cases: [options: object, told: string][] = [
    [{}, `url is missing, ${wanted} (BK_LOGIN_URL)`],
    [{ url: 'paas.example' }, `url is another text, ${wanted} (BK_LOGIN_URL)`],
    [{ url: 'http://a:b:c/' }, `url is another text, ${wanted} (BK_LOGIN_URL)`],
    [{ url: `${url}?a=1` }, `url is another text, ${wanted} (BK_LOGIN_URL)`],
    [{ url, apiUrl: 'ftp://paas' }, `apiUrl is another text, ${wanted}`],
    [{ url, path: 'is_login' }, 'path is another text, expected a path'],
    [{ url, origins: [] }, 'origins is a list, expected a text, or a list of texts'],
    [
      { url, origins: ['https://ui.example/path'] },
      'origins is "https://ui.example/path", expected https://ui.example.com',
    ],
    [{ url, origins: '*' }, 'origins is "*", expected https://ui.example.com'],
    [
      { url, limits: { keep: -1 } },
      "keep is -1, expected milliseconds, or a text like '30s' (ms, s, m, h, d), from 0",
    ],
    [{ url, toUser: 'ann' }, 'toUser is another text, expected a function'],
  ]
  for (const [options, told] of cases) {
    const app = Fastify()
    t.teardown(() => app.close())
    await t.rejects(Promise.resolve(app.register(bkLogin, options as never)), {
      code: 'PLUGIN_OPTION_INVALID',
      message: `plinth/plugins/bk-login cannot be registered: its option ${told}`,
    })
  }
})
