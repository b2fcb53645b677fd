import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { type BkApiDefinition, defineBkApi, defineResource } from '../../src/index.ts'
import { runChecks } from '../../src/plugin.ts'
import { createService, failure, type ServiceOptions } from '../helpers/app.ts'
import {
  type AnswerOne,
  answerJson,
  type Got,
  serveTls,
  serveUpstream,
} from '../helpers/upstream.ts'
import { ask as askFor, listen } from '../helpers/wire.ts'

const SECRET = 'the-secret-of-the-app'
const HOST = { id: 7, name: 'db-1' }
const Host = Type.Object({ id: Type.Integer(), name: Type.String() })
const Id = Type.Object({ id: Type.Integer() })

const success = (data: unknown) => ({
  result: true,
  code: 0,
  message: 'OK',
  data,
  request_id: 'up-1',
})

interface Given extends ServiceOptions {
  api?: Partial<BkApiDefinition>
  platform?: 'always'
}

/** A service whose module `things` calls an API of a gateway that the test answers for; `x-user` says who its clients are. */
async function serve(
  t: Test,
  answer: AnswerOne,
  { api = {}, platform, variables, ...options }: Given = {},
) {
  const gateway = await serveUpstream(t, answer)
  const cmdb = defineBkApi({ name: 'bk-cmdb', retry: false, ...api })
  const found = { request: Id, response: Host, ...(platform && { platform }) }
  const getHost = cmdb.resource({ summary: 'A host', path: '/hosts/{id}/', ...found })
  const cached = cmdb.resource({
    summary: 'A host',
    path: '/hosts/{id}/',
    ...found,
    cache: { ttl: 60_000 },
  })
  const shared = cmdb.resource({
    summary: 'A host',
    path: '/hosts/{id}/',
    ...found,
    cache: { ttl: 60_000, perUser: false },
  })
  const add = cmdb.resource({
    summary: 'Add',
    method: 'POST',
    path: '/hosts/',
    request: Host,
    response: Host,
  })
  const show = (path: string, resource: typeof getHost) =>
    defineResource({
      summary: 'Show',
      path: `${path}/:id`,
      async: true,
      request: Id,
      response: Host,
      perform: ({ id }) => resource({ id }),
    })
  const resources = {
    getHost,
    cached,
    shared,
    add,
    show: show('/host', getHost),
    showCached: show('/cached', cached),
    showShared: show('/shared', shared),
  }
  const { app, logs } = await createService(t, resources, {
    identify: ({ headers }) => (headers['x-user'] ? { id: String(headers['x-user']) } : undefined),
    loadUser: (id) => ({ id }),
    variables: {
      BKPAAS_APP_ID: 'shop',
      BKPAAS_APP_SECRET: SECRET,
      BK_API_URL_TMPL: `${gateway.url}/api/{api_name}/`,
      BK_COMPONENT_API_URL: `${gateway.url}/`,
      ...variables,
    },
    ...options,
  })
  const port = await listen(app)
  const ask = (path: string, headers: Record<string, string> = {}) =>
    askFor(port, `GET /things${path}`, headers)
  return { app, logs, ask, got: gateway.got, getHost, cached, shared, add }
}

const right: AnswerOne = (response) => answerJson(response, success(HOST))

/** What the gateway was told of who calls. */
function said(one: Got | undefined): Record<string, string> {
  return JSON.parse(String(one?.headers['x-bkapi-authorization']))
}

const APP = { bk_app_code: 'shop', bk_app_secret: SECRET }

t.test('where an API is follows of its name, its stage and the environment', async (t) => {
  for (const [api, variables, url] of [
    [{}, {}, '/api/bk-cmdb/stag/hosts/7/'],
    [{}, { BKPAAS_ENVIRONMENT: 'stag' }, '/api/bk-cmdb/stag/hosts/7/'],
    [{}, { BKPAAS_ENVIRONMENT: 'dev' }, '/api/bk-cmdb/stag/hosts/7/'],
    [{}, { BKPAAS_ENVIRONMENT: 'prod' }, '/api/bk-cmdb/prod/hosts/7/'],
    [{ stage: 'prod', api: 'cmdb' }, {}, '/api/cmdb/prod/hosts/7/'],
    [{ esb: true, api: 'cc' }, {}, '/api/c/compapi/v2/cc/hosts/7/'],
  ] as [Partial<BkApiDefinition>, Record<string, string>, string][]) {
    const { app, got, getHost } = await serve(t, right, { api, variables })
    t.strictSame(await app.run(() => getHost({ id: 7 })), HOST)
    t.strictSame([got[0]?.url, said(got[0])], [url, APP])
  }
  const other = await serveUpstream(t, right)
  const { app, getHost } = await serve(t, right, { api: { baseUrl: `${other.url}/s-mart` } })
  await app.run(() => getHost({ id: 7 }))
  t.strictSame([other.got[0]?.url, said(other.got[0])], ['/s-mart/hosts/7/', APP])
})

t.test('what is missing keeps the service from starting', async (t) => {
  for (const [variables, problem, api] of [
    [{ BKPAAS_APP_SECRET: '' }, 'BKPAAS_APP_ID and BKPAAS_APP_SECRET are not both set'],
    [{ BK_API_URL_TMPL: '' }, 'BK_API_URL_TMPL is not set'],
    [{ BK_COMPONENT_API_URL: '' }, 'BK_COMPONENT_API_URL is not set', { esb: true }],
  ] as [Record<string, string>, string, Partial<BkApiDefinition>?][])
    t.match(await failure(serve(t, right, { variables, ...(api && { api }) })), {
      code: 'API_INVALID',
      message: `The API bk-cmdb cannot be used: ${problem}`,
    })
  t.match(await failure(serve(t, right, { variables: { BK_API_URL_TMPL: 'http://host/api' } })), {
    code: 'CONFIG_INVALID',
  })
})

t.test("a client's call is made for it, and nothing else of it goes on", async (t) => {
  const { ask, got } = await serve(t, right)
  const answer = await ask('/host/7', {
    'X-User': 'ann',
    Cookie:
      'session=s3cret; bk_token=bkcrypt%24A+b==; blueking_language=zh-cn; django_language=x; csrftoken=c',
    Authorization: 'Bearer of-the-client',
    'X-Request-Id': 'r-1',
    'Accept-Language': 'en',
  })
  t.strictSame(answer.json().data, HOST)
  const { headers } = got[0] as Got
  t.strictSame(said(got[0]), { ...APP, bk_token: 'bkcrypt%24A+b==', bk_username: 'ann' })
  t.equal(headers.cookie, 'blueking_language=zh-cn; django_language=x')
  t.equal(headers['blueking-language'], 'zh-cn')
  t.equal(headers['x-request-id'], 'r-1')
  t.equal(headers['accept-language'], 'en')
  t.equal(headers.authorization, undefined)
})

t.test(
  'who the user is, and in which language it reads, is told as far as it is known',
  async (t) => {
    const { ask, got } = await serve(t, right)
    const last = async (headers: Record<string, string>) => {
      t.equal((await ask('/host/7', headers)).status, 200)
      const { headers: sent } = got.at(-1) as Got
      const { bk_app_code: _, bk_app_secret: __, ...who } = said(got.at(-1))
      return [who, sent['blueking-language'], sent.cookie]
    }
    t.strictSame(await last({}), [{}, undefined, undefined])
    t.strictSame(await last({ 'X-User': 'ann' }), [{ bk_username: 'ann' }, undefined, undefined])
    t.strictSame(await last({ 'X-User': 'app:billing' }), [{}, undefined, undefined])
    t.strictSame(await last({ Cookie: 'bk_token=t' }), [{ bk_token: 't' }, undefined, undefined])
    t.equal((await last({ 'Accept-Language': 'zh-CN,en;q=0.5' }))[1], 'zh-cn')
    t.equal((await last({ 'Accept-Language': 'de' }))[1], 'en')
    t.equal((await last({ Cookie: 'blueking_language=a b"' }))[1], undefined)

    const own = await serve(t, right, {
      api: {
        cookies: ['theme'],
        tokens: { bk_ticket: 'ticket', uin: 'u' },
        username: ({ id }) => id.split('/')[1],
      },
    })
    await own.ask('/host/7', {
      'X-User': 'a/ann',
      Cookie: 'theme=dark; ticket=t; bk_token=no; u=1',
    })
    t.strictSame(said(own.got[0]), { ...APP, bk_ticket: 't', uin: '1', bk_username: 'ann' })
    t.equal(own.got[0]?.headers.cookie, 'theme=dark')

    const han = await serve(t, right, { api: { username: () => '张三 "é😀' } })
    t.equal((await han.ask('/host/7', { 'X-User': 'ann' })).status, 200)
    t.strictSame(said(han.got[0]), { ...APP, bk_username: '张三 "é😀' })
    t.match(han.got[0]?.headers['x-bkapi-authorization'], /^[\x20-\x7e]+$/)
  },
)

t.test(
  'what is cached for a user is asked by its own credentials, what is cached for all by none',
  async (t) => {
    const { ask, got } = await serve(t, right)
    for (const user of ['ann', 'bob', 'ann'])
      t.equal(
        (await ask('/cached/7', { 'X-User': user, Cookie: `bk_token=of-${user}` })).status,
        200,
      )
    t.strictSame(got.map(said), [
      { ...APP, bk_token: 'of-ann', bk_username: 'ann' },
      { ...APP, bk_token: 'of-bob', bk_username: 'bob' },
    ])
    got.length = 0
    await ask('/shared/7', { 'X-User': 'ann', Cookie: 'bk_token=of-ann' })
    await ask('/cached/8', { Cookie: 'bk_token=of-nobody-who-is-known' })
    t.strictSame(got.map(said), [APP, APP])
  },
)

const PLATFORM = {
  BK_PLATFORM_AUTH: 'true',
  BK_PLATFORM_ACCESS_TOKEN: 'token-of-the-platform',
  BK_PLATFORM_USERNAME: 'admin',
}
const AS_PLATFORM = { ...APP, access_token: 'token-of-the-platform', bk_username: 'admin' }

t.test(
  'what no client has asked is called in the name of the platform, where that is wanted',
  async (t) => {
    const { app, ask, got, getHost, cached } = await serve(t, right, { variables: PLATFORM })
    await app.run(() => getHost({ id: 7 }))
    await app.run(() => cached({ id: 7 }))
    t.strictSame(got.splice(0).map(said), [AS_PLATFORM, AS_PLATFORM])
    const headers = { 'X-User': 'ann', Cookie: 'bk_token=t' }
    for (const path of ['/host/7', '/cached/8']) {
      const task = await ask(path, { ...headers, 'X-Async-Task': '1' })
      await app.tasks.result((task.json().data as { task_id: string }).task_id)
    }
    t.strictSame(got.splice(0).map(said), [AS_PLATFORM, AS_PLATFORM], 'tasks of users')
    await ask('/host/7', headers)
    await ask('/cached/9', headers)
    t.strictSame(
      got.splice(0).map(said),
      Array(2).fill({ ...APP, bk_token: 't', bk_username: 'ann' }),
      'a client is itself',
    )
    await ask('/host/7')
    await ask('/cached/10')
    await ask('/shared/11', headers)
    t.strictSame(got.splice(0).map(said), [APP, APP, APP], 'nobody is not the platform')

    for (const [variables, who] of [
      [{ BK_PLATFORM_ACCESS_TOKEN: '' }, { bk_username: 'admin' }],
      [{ BK_PLATFORM_USERNAME: '' }, { access_token: 'token-of-the-platform' }],
      [{ BK_PLATFORM_AUTH: '' }, {}],
    ] as const) {
      const one = await serve(t, right, { variables: { ...PLATFORM, ...variables } })
      await one.app.run(() => one.getHost({ id: 7 }))
      t.strictSame(said(one.got[0]), { ...APP, ...who })
    }
  },
)

t.test(
  'an API, or a resource of it, may always be called in the name of the platform',
  async (t) => {
    for (const given of [{ api: { platform: 'always' } }, { platform: 'always' }] as Given[]) {
      const { ask, got } = await serve(t, right, { ...given, variables: PLATFORM })
      await ask('/host/7', { 'X-User': 'ann', Cookie: 'bk_token=t; blueking_language=en' })
      await ask('/shared/8', { 'X-User': 'ann', Cookie: 'bk_token=t' })
      t.strictSame(got.map(said), [AS_PLATFORM, AS_PLATFORM])
      t.equal(got[0]?.headers['blueking-language'], 'en')
    }
  },
)

t.test('without a name of the platform nothing is called: 108 of the original', async (t) => {
  const variables = { BK_PLATFORM_AUTH: 'true' }
  const { app, got, getHost } = await serve(t, right, { variables })
  t.match(await failure(app.run(() => getHost({ id: 7 }))), { code: 'BK_PLATFORM_AUTH_MISSING' })
  const bk = await serve(t, right, { variables, compat: 'bk', platform: 'always' })
  const { status, json } = await bk.ask('/host/7')
  t.equal(status, 500)
  t.match(json(), {
    result: false,
    code: '0000108',
    data: null,
    message: /^The API bk-cmdb is called/,
  })
  t.strictSame([got.length, bk.got.length], [0, 0])
})

const permission = { system_id: 'bk_cmdb', actions: [{ id: 'view_host' }] }

t.test('which permission is missing is told to our client', async (t) => {
  for (const [body, status, data] of [
    [{ result: false, code: 9900403, message: 'no', data: { permission } }, 200, { permission }],
    [
      { result: false, code: '9900403', message: 'no', data: null, permission },
      403,
      { permission },
    ],
    [
      { code: 9900403, data: { apply_url: 'https://iam' }, permission },
      403,
      { apply_url: 'https://iam', permission },
    ],
    [{ code: 9900403, data: ['view_host'] }, 200, ['view_host']],
    [{ code: 9900403, data: 'view_host', permission }, 200, { permission }],
    [{ code: 9900403 }, 403, null],
  ] as const)
    for (const envelope of ['standard', 'bare'] as const) {
      const { ask, logs } = await serve(
        t,
        (response) => {
          response.setHeader('x-bkapi-request-id', 'gateway-1')
          answerJson(response, body, status)
        },
        { api: { envelope } },
      )
      const answer = await ask('/host/7')
      t.equal(answer.status, 403)
      t.match(answer.json(), { code: 'BK_PERMISSION_DENIED', data })
      t.notMatch(answer.body, 'gateway-1')
      t.match(JSON.stringify(logs), 'gateway-1')
    }
  const bk = await serve(
    t,
    (response) => answerJson(response, { result: false, code: 9900403, permission }),
    { compat: 'bk' },
  )
  const { status, json } = await bk.ask('/host/7')
  t.equal(status, 403)
  t.match(json(), { result: false, code: '9900403', data: { permission } })
})

t.test('only a failure with a code is one; all others are of the log', async (t) => {
  const answers: Record<string, unknown> = {
    1: { result: false, code: 0, data: HOST },
    2: { result: true, code: 500, data: HOST },
    3: { result: false, code: '1640001', message: 'app has no permission', data: null },
    4: { result: false, code: 1199048, message: 'host is away', request_id: 'body-1', data: null },
  }
  const { ask, logs } = await serve(t, (response, { url }) => {
    response.setHeader('x-bkapi-request-id', 'gateway-1')
    answerJson(response, answers[url.split('/').at(-2) ?? ''])
  })
  for (const id of [1, 2]) t.strictSame((await ask(`/host/${id}`)).json().data, HOST)
  for (const [id, code, request] of [
    [3, '1640001', 'gateway-1'],
    [4, '1199048', 'body-1'],
  ]) {
    const { status, json, body } = await ask(`/host/${id}`)
    t.equal(status, 502)
    t.match(json(), { code: 'UPSTREAM_REFUSED', data: null })
    t.notMatch(body, /away|permission|1640001|gateway-1/)
    const line = logs.find((line) => JSON.stringify(line).includes(String(code)))
    t.match(JSON.stringify(line), `"requestId":"${request}"`)
  }
})

t.test('what a gateway tells of what it was sent is in no log and no answer', async (t) => {
  const echo: Record<string, AnswerOne> = {
    1: (response, { headers }) =>
      answerJson(response, {
        result: false,
        code: 1,
        message: `got ${headers['x-bkapi-authorization']}`,
        data: headers,
      }),
    2: (response, { headers }) =>
      response.writeHead(500).end(`<pre>${headers['x-bkapi-authorization']}`),
    3: (response, { headers }) =>
      response.writeHead(200).end(`<pre>${headers['x-bkapi-authorization']}`),
    4: (response) => response.destroy(),
    5: (response, { headers }) =>
      answerJson(response, success({ id: headers['x-bkapi-authorization'] })),
  }
  const answer: AnswerOne = (response, one, count) =>
    echo[one.url.split('/').at(-2) ?? '']?.(response, one, count)
  for (const platform of ['always', undefined] as const) {
    const given = platform ? { platform, variables: PLATFORM } : {}
    const { ask, logs, got } = await serve(t, answer, given)
    for (const id of Object.keys(echo)) {
      const { status, body } = await ask(`/host/${id}`, {
        'X-User': 'ann',
        Cookie: 'bk_token=t0ken-of-ann',
      })
      t.ok(status >= 500)
      t.notMatch(body, /secret-of|t0ken|token-of/)
    }
    t.equal(got.length, 5)
    t.match(JSON.stringify(logs), /got .*\*\*\*/)
    t.notMatch(JSON.stringify(logs), /secret-of|t0ken|token-of/)
  }
})

t.test(
  'hooks of an API and of a resource see the call as it is sent, and what is sent by POST is JSON',
  async (t) => {
    const { app, got, add } = await serve(t, right, {
      api: {
        headers: { 'x-bk-tenant-id': 'system' },
        hooks: {
          beforeRequest(request) {
            request.headers['x-seen'] = String(
              Object.keys(said({ headers: request.headers } as never)),
            )
          },
        },
      },
    })
    await app.run(() => add(HOST))
    const { headers, body, method } = got[0] as Got
    t.strictSame([method, JSON.parse(`${body}`)], ['POST', HOST])
    t.equal(headers['x-seen'], 'bk_app_code,bk_app_secret')
    t.equal(headers['x-bk-tenant-id'], 'system')
  },
)

t.test('certificates are checked unless that is switched off', async (t) => {
  const { url, ca } = await serveTls(t, (response) => answerJson(response, success(HOST)))
  const variables = { BK_API_URL_TMPL: `${url}/api/{api_name}` }
  const strict = await serve(t, right, { variables })
  t.match(await failure(strict.app.run(() => strict.getHost({ id: 7 }))), {
    code: 'UPSTREAM_UNAVAILABLE',
  })
  const known = await serve(t, right, { variables, api: { tls: { ca } } })
  t.strictSame(await known.app.run(() => known.getHost({ id: 7 })), HOST)
  const open = await serve(t, right, { variables: { ...variables, BK_API_VERIFY_TLS: 'false' } })
  t.strictSame(await open.app.run(() => open.getHost({ id: 7 })), HOST)
  const found = async (app: typeof open.app, production: boolean) =>
    (await runChecks(app, production)).filter(({ message }) => /BK_API_VERIFY_TLS/.test(message))
  t.match(await found(open.app, true), [{ check: 'upstream', level: 'warning' }])
  t.strictSame([await found(open.app, false), await found(strict.app, true)], [[], []])
})
