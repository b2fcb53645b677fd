import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { PlinthError } from '../../src/errors.ts'
import {
  type ApiDefinition,
  defineApi,
  defineError,
  defineModule,
  defineResource,
  errors,
  UpstreamError,
} from '../../src/index.ts'
import { createService, failure, type ServiceOptions } from '../helpers/app.ts'
import { type AnswerOne, answerJson, serveUpstream } from '../helpers/upstream.ts'

const User = Type.Object({
  id: Type.Integer(),
  name: Type.String(),
  tags: Type.Optional(Type.Array(Type.Object({ name: Type.String() }))),
})
const Id = Type.Object({ id: Type.Integer() })

const CLOSED = defineError<[id: number]>('ACCOUNT_CLOSED', 409, 'The account %s is closed')

/** A service whose module `things` calls an API that the test answers for. */
async function serveApi(
  t: Test,
  answer: AnswerOne,
  settings: Partial<ApiDefinition> = {},
  options: ServiceOptions = {},
) {
  const upstream = await serveUpstream(t, answer)
  const api = defineApi({
    name: 'accounts',
    baseUrl: `${upstream.url}/v1/`,
    retry: { delay: 1, maxDelay: 2 },
    ...settings,
  })
  const get = api.resource({
    summary: 'A user',
    path: '/users/{id}',
    request: Type.Object({ id: Type.Integer(), fields: Type.Optional(Type.Array(Type.String())) }),
    response: User,
    cache: { ttl: 60_000, perUser: false },
  })
  const add = api.resource({
    summary: 'Add a user',
    method: 'POST',
    path: '/users',
    query: ['dry'],
    request: Type.Object({ name: Type.String(), dry: Type.Optional(Type.Boolean()) }),
    response: User,
  })
  const remove = api.resource({
    summary: 'Remove a user',
    method: 'DELETE',
    path: '/users/{id}',
    request: Type.Object({ id: Type.String(), force: Type.Optional(Type.Boolean()) }),
  })
  const show = defineResource({
    summary: 'Show a user',
    path: '/:id',
    request: Id,
    response: User,
    perform: ({ id }) => get.cacheless({ id }),
  })
  const { app, logs } = await createService(t, { get, add, remove, show }, options)
  return { app, logs, get, add, remove, got: upstream.got }
}

const ANN = { id: 1, name: 'Ann' }

t.test('1,000 calls at once and 64 steady ones are answered, by default', async (t) => {
  const answer: AnswerOne = (response, { url }) =>
    answerJson(response, { ...ANN, id: Number(url.split('/').at(-1)) })
  // How many may wait is the default, how long is not: that is a matter of the machine.
  const { app, get, got } = await serveApi(t, answer, { timeout: 60_000 })
  const ids = (count: number) => Array.from({ length: count }, (_, id) => id)
  await app.run(async () => {
    const calls = await Promise.all(ids(1000).map((id) => get.cacheless({ id })))
    t.strictSame(
      calls.map(({ id }) => id),
      ids(1000),
    )
    const steady = async () => {
      for (const id of ids(10)) t.equal((await get.cacheless({ id })).id, id)
    }
    await Promise.all(ids(64).map(steady))
  })
  t.equal(got.length, 1640)
})

t.test('path parameters leave query and body', async (t) => {
  const { app, get, add, remove, got } = await serveApi(t, (response, { method }) =>
    method === 'DELETE' ? response.writeHead(204).end() : answerJson(response, ANN),
  )
  await app.run(async () => {
    t.strictSame(await get({ id: 1, fields: ['a&b', 'c'] }), ANN)
    t.strictSame(await add({ name: 'Ann', dry: true }), ANN)
    t.equal(await remove({ id: 'a/b?', force: false }), null)
  })
  t.strictSame(
    got.map(({ method, url, body }) => [method, url, `${body}`]),
    [
      ['GET', '/v1/users/1?fields=a%26b&fields=c', ''],
      ['POST', '/v1/users?dry=true', '{"name":"Ann"}'],
      ['DELETE', '/v1/users/a%2Fb%3F?force=false', ''],
    ],
  )
  t.equal(got[1]?.headers['content-type'], 'application/json')
  t.equal(got[0]?.headers.accept, 'application/json')
})

t.test('a parameter that would name another path is refused', async (t) => {
  const { app, remove, got } = await serveApi(t, (response) => answerJson(response, ANN))
  for (const id of ['', '.', '..'])
    t.match(await failure(app.run(() => remove({ id }))), {
      code: 'INVALID_REQUEST',
      errors: [{ path: '/id', message: 'cannot be a part of a path' }],
    })
  t.equal(got.length, 0)
})

t.test('is a resource as any other: validated, cached, bulked, enqueued, unserved', async (t) => {
  const { app, get, got } = await serveApi(t, (response, { url }) =>
    answerJson(response, { id: Number(url.split('/')[3]), name: 'x' }),
  )
  await app.run(async () => {
    t.match(await failure(get({ id: 'x' } as never)), { code: 'INVALID_REQUEST' })
    await get({ id: 1 })
    await get({ id: 1 })
    t.equal(got.length, 1, 'cached')
    await get.refresh({ id: 1 })
    await get.cacheless({ id: 1 })
    t.equal(got.length, 3)
    await get.invalidate({ id: 1 })
    const users = await get.bulk([{ id: 1 }, { id: 2 }, { id: 3 }])
    t.strictSame(
      users.map(({ id }) => id),
      [1, 2, 3],
    )
    const task = await get.enqueue({ id: 7 })
    t.strictSame(await task.result(), { id: 7, name: 'x' })
  })
  t.equal((await app.inject('/things/users/1')).statusCode, 404)
  t.strictSame((await app.inject('/things/9')).json().data, { id: 9, name: 'x' })
})

t.test('fields that are not agreed are left out, those that lack are told', async (t) => {
  const answers: Record<string, unknown> = {
    1: { ...ANN, password: 'x', tags: [{ name: 'a', secret: 'b' }], __proto__: null },
    2: { id: 2 },
    3: { id: '3', name: 'x' },
    4: { id: 2 ** 60, name: 'x' },
  }
  for (const strict of ['test', 'production']) {
    const { app, get } = await serveApi(
      t,
      (response, { url }) => answerJson(response, answers[url.split('/')[3] as string]),
      {},
      { variables: { NODE_ENV: strict } },
    )
    const call = (id: number) => app.run(() => get.cacheless({ id }))
    t.strictSame(await call(1), { ...ANN, tags: [{ name: 'a' }] })
    for (const [id, problem] of [
      [2, '/name is required'],
      [3, '/id must be integer'],
      [4, '/id must be <= 9007199254740991'],
    ] as const) {
      const error = await call(id).catch((error) => error)
      t.match(error, { code: 'UPSTREAM_INVALID', statusCode: 502 })
      t.equal(error.upstream.problem, `its answer does not fit the schema: ${problem}`)
    }
  }
})

t.test('nothing of a failure reaches our client but what the table says', async (t) => {
  const answers: Record<string, AnswerOne> = {
    1: (response) => answerJson(response, { code: 'GONE', message: 'secret of 1' }, 404),
    2: (response) => answerJson(response, { code: 'CLOSED', message: 'secret of 2' }, 400),
    3: (response) => response.writeHead(401).end('<html>secret of 3'),
    4: (response) => response.writeHead(302, { location: 'http://secret.test/of/4' }).end(),
    5: (response) => response.end('<html>secret of 5'),
    6: (response) => response.end('{"id":1,"name":"secret of 6'),
    7: (response) => response.writeHead(503).end('secret of 7'),
  }
  const { app, logs } = await serveApi(
    t,
    (response, got, count) => answers[got.url.split('/')[3] as string]?.(response, got, count),
    {
      errors: {
        404: ({ input }) => errors.NOT_FOUND('user', (input as { id: number }).id),
        CLOSED: ({ input }) => CLOSED((input as { id: number }).id),
      },
    },
  )
  const ask = async (id: number) => {
    const { statusCode, body, headers } = await app.inject(`/things/${id}`)
    t.notMatch(`${body}${JSON.stringify(headers)}`, /secret/)
    return [statusCode, JSON.parse(body).code, JSON.parse(body).message]
  }
  t.strictSame(await ask(1), [404, 'NOT_FOUND', 'There is no user 1'])
  t.strictSame(await ask(2), [409, 'ACCOUNT_CLOSED', 'The account 2 is closed'])
  t.match(await ask(3), [502, 'UPSTREAM_REFUSED', /^The system accounts, which this needs, has re/])
  t.match(await ask(4), [502, 'UPSTREAM_INVALID'])
  t.match(await ask(5), [502, 'UPSTREAM_INVALID'])
  t.match(await ask(6), [502, 'UPSTREAM_INVALID'])
  t.match(await ask(7), [503, 'UPSTREAM_UNAVAILABLE'])
  const told = logs.flatMap(({ err }) => (err as { upstream?: object })?.upstream ?? [])
  t.match(told, [
    {
      api: 'accounts',
      operation: 'things.get',
      method: 'GET',
      status: 401,
      message: /secret of 3/,
    },
    { status: 302, problem: 'it redirects, to http://secret.test' },
    { status: 200, problem: 'its answer, of no content type, is no JSON' },
    { status: 200, message: '{"id":1,"name":"secret of 6' },
    { status: 503, message: 'secret of 7', attempts: 3 },
  ])
})

t.test('an error of the table has what the upstream has said as its cause', async (t) => {
  const { app, get } = await serveApi(
    t,
    (response) => {
      response.setHeader('x-request-id', 'abc')
      answerJson(response, { code: 'GONE', message: 'no such user' }, 404)
    },
    { errors: { GONE: ({ message }) => errors.CONFLICT(`${message}`) } },
  )
  const error = await app.run(() => get({ id: 1 })).catch((error) => error)
  t.match([error.code, error.message], ['CONFLICT', 'no such user'])
  t.ok(PlinthError.is(error) && UpstreamError.is(error.cause))
  t.match(error.cause.upstream, { code: 'GONE', message: 'no such user', requestId: 'abc' })
})

t.test('envelopes are read by the same values that write them', async (t) => {
  let body: unknown
  let status = 200
  for (const envelope of ['standard', 'problem'] as const) {
    const { app, get } = await serveApi(t, (response) => answerJson(response, body, status), {
      envelope,
    })
    const call = () => app.run(() => get.cacheless({ id: 1 }))
    status = 200
    body = envelope === 'standard' ? { result: true, code: 0, data: ANN, message: null } : ANN
    t.strictSame(await call(), ANN)
    status = envelope === 'standard' ? 200 : 409
    body =
      envelope === 'standard'
        ? { result: false, code: 1901, message: 'is closed', data: null, request_id: 'r1' }
        : { title: '1901', detail: 'is closed', request_id: 'r1' }
    const error = await call().catch((error) => error)
    t.match(error, { code: 'UPSTREAM_REFUSED', statusCode: 502 })
    t.match(error.upstream, { status, code: '1901', message: 'is closed', requestId: 'r1' })
  }
  const { app, get } = await serveApi(
    t,
    (response, { url }) =>
      url.endsWith('/1')
        ? answerJson(response, ANN)
        : answerJson(response, { result: true, code: 0, data: ANN, message: null }, 500),
    { envelope: 'standard' },
  )
  t.match(await failure(app.run(() => get({ id: 1 }))), { code: 'UPSTREAM_INVALID' })
  t.match(await failure(app.run(() => get({ id: 2 }))), { code: 'UPSTREAM_REFUSED' })
})

t.test('request id, trace and language travel, and who the client is does not', async (t) => {
  const { app, got } = await serveApi(t, (response) => answerJson(response, ANN))
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  await app.inject({
    url: '/things/1',
    headers: {
      'x-request-id': 'abc-1',
      traceparent,
      'accept-language': 'zh',
      cookie: 'a=secret',
      authorization: 'Bearer secret',
    },
  })
  const [{ headers } = { headers: {} }] = got
  t.match(headers, { 'x-request-id': 'abc-1', traceparent, 'accept-language': 'zh' })
  t.notOk('cookie' in headers || 'authorization' in headers)
})

t.test('says who it is', async (t) => {
  const says = async (settings: Partial<ApiDefinition>) => {
    const { app, get, got } = await serveApi(t, (response) => answerJson(response, ANN), settings)
    await app.run(() => get({ id: 1 }))
    return got[0]?.headers ?? {}
  }
  t.match(await says({ auth: { bearer: 'abc' } }), { authorization: 'Bearer abc' })
  t.match(await says({ auth: { bearer: async () => 'later' } }), { authorization: 'Bearer later' })
  t.match(await says({ auth: { basic: { user: 'a', password: 'ü' } } }), {
    authorization: `Basic ${Buffer.from('a:ü').toString('base64')}`,
  })
  t.match(await says({ auth: { signature: { app: 'shop', secret: 'x' } } }), {
    'signature-input': /keyid="shop"/,
    signature: /./,
  })
  const key: ApiDefinition['auth'] = ({ headers }) => {
    headers['x-key'] = 'k'
  }
  t.match(await says({ auth: key }), { 'x-key': 'k' })
  t.match(await says({ headers: { 'X-Tenant': 'a' } }), { 'x-tenant': 'a' })
  const asked = await says({
    headers: ({ requestId }) => ({ 'x-mine': requestId, accept: undefined }),
  })
  t.equal(asked['x-mine'], asked['x-request-id'])
  t.notOk('accept' in asked)
})

t.test('hooks change what is sent and read what comes', async (t) => {
  const { app, add, got } = await serveApi(
    t,
    (response) => answerJson(response, { answer: ANN, ok: true }),
    {
      hooks: {
        buildData: (data) => ({ ...(data as object), extra: 1 }),
        buildUrl: async (path) => `${path}?v=2`,
        buildHeaders: (headers) => ({ ...headers, 'x-a': '1' }),
        beforeRequest(request, { operation }) {
          request.headers['x-operation'] = operation
          request.body = `${request.body} `
        },
        parseResponse({ body, status }) {
          const { ok, answer } = JSON.parse(`${body}`)
          return status === 200 && ok ? { ok: true, data: answer } : undefined
        },
      },
    },
  )
  t.strictSame(await app.run(() => add({ name: 'Ann' })), ANN)
  t.match(got, [
    {
      url: '/v1/users?v=2',
      headers: { 'x-a': '1', 'x-operation': 'things.add' },
      body: Buffer.from('{"name":"Ann","extra":1} '),
    },
  ])
})

t.test('the deadline of the request ends the call, and so does its own', async (t) => {
  const { app, get } = await serveApi(t, () => {}, { timeout: 30 })
  t.match(await failure(app.run(() => get({ id: 1 }))), { code: 'UPSTREAM_TIMEOUT' })
  const { app: brief } = await serveApi(t, () => {}, {}, { variables: { REQUEST_TIMEOUT: '50' } })
  const { statusCode, body } = await brief.inject('/things/1')
  t.strictSame([statusCode, JSON.parse(body).code], [504, 'DEADLINE_EXCEEDED'])
})

t.test('an app with an API that cannot be does not start', async (t) => {
  const start = (baseUrl: unknown, other?: unknown) => {
    const apis = [baseUrl, other].filter(Boolean).map((one) =>
      defineApi({ name: 'accounts', baseUrl: one as string }).resource({
        summary: 'One',
        path: '/one',
      }),
    )
    return createService(t, { ...apis } as never).then(() => 'started')
  }
  for (const [baseUrl, problem] of [
    [() => undefined, 'its baseUrl is no URL; expected https://host or http://host'],
    ['ftp://host', 'its baseUrl is no URL; expected https://host or http://host'],
    ['http://u:secret@host', 'its baseUrl has a user or password; say auth: { basic } instead'],
    ['http://host/?a=1', 'its baseUrl has a query or a fragment; expected a path at most'],
  ] as const)
    await t.rejects(start(baseUrl), {
      code: 'API_INVALID',
      message: `The API accounts cannot be used: ${problem}`,
    })
  await t.rejects(start('http://a', 'http://b'), {
    message: /another API of this app is called so/,
  })
  t.equal(await start('http://a'), 'started')
  const api = defineApi({ name: 'accounts', baseUrl: 'http://a' })
  const make = (path: string) => () => api.resource({ summary: 'One', path, request: Id })
  t.throws(make('/{key}'), { code: 'API_INVALID', message: /has key, its request schema has not/ })
  t.throws(make('users'), { code: 'API_INVALID', message: /does not begin with/ })
  t.throws(make('/users?id={id}'), { code: 'API_INVALID', message: /has a query/ })
})

t.test('a base URL may be a variable of the service', async (t) => {
  const { url, got } = await serveUpstream(t, (response) => answerJson(response, ANN))
  const api = defineApi({
    name: 'accounts',
    baseUrl: ({ config }) => (config as { ACCOUNTS_URL?: string }).ACCOUNTS_URL as string,
  })
  const get = api.resource({ summary: 'One', path: '/a', response: User })
  const { app } = await createService(
    t,
    {},
    {
      modules: { accounts: defineModule({ resources: { get } }) },
      variables: { ACCOUNTS_URL: url },
      ...({ env: Type.Object({ ACCOUNTS_URL: Type.String() }) } as object),
    },
  )
  t.strictSame(await app.run(() => get()), ANN)
  t.equal(got.length, 1)
})

t.test('where a call goes may be in its data: to public addresses alone', async (t) => {
  const { url, got } = await serveUpstream(t, (response) => answerJson(response, null))
  const api = defineApi({ name: 'hooks' })
  const definition = {
    summary: 'Tell',
    method: 'POST',
    path: '',
    request: Type.Object({ url: Type.String(), text: Type.String() }),
    origin: ({ url }: { url: string }) => url,
    hooks: { buildData: ({ text }: { text: string }) => ({ text }) },
  } as const
  const tell = api.resource(definition)
  const tellAny = api.resource({ ...definition, addresses: 'any' })
  const { app } = await createService(t, { tell, tellAny })
  const request = { url: `${url}/hook`, text: 'hi' }
  const error = await app.run(() => tell(request)).catch((error) => error)
  t.match(error, { code: 'UPSTREAM_UNAVAILABLE' })
  t.match(error.upstream.problem, /127\.0\.0\.1, which is no address of the internet/)
  t.equal(got.length, 0)
  t.equal(await app.run(() => tellAny(request)), null)
  t.match(got, [{ url: '/hook', body: Buffer.from('{"text":"hi"}') }])
  for (const wrong of ['file:///etc/passwd', 'http://a:b@c', '/relative'])
    t.match(await failure(app.run(() => tellAny({ ...request, url: wrong }))), {
      code: 'INVALID_REQUEST',
    })
})

t.test('numbers that cannot be are refused when they are said', async (t) => {
  for (const [settings, problem] of [
    [{ timeout: -1 }, 'timeout is -1'],
    [{ timeout: Number.NaN }, 'timeout is NaN'],
    [{ retry: { attempts: 0 } }, 'retry.attempts is 0'],
    [{ breaker: { failures: 1 } }, 'breaker.failures is 1; expected above 0 and below 1'],
    [{ limit: { connections: 1.5 } }, 'limit.connections is 1.5'],
    [{ maxBytes: '1' as never }, 'maxBytes is 1'],
  ] as const) {
    const wrong = { code: 'API_INVALID', message: new RegExp(problem) }
    t.throws(() => defineApi({ name: 'a', baseUrl: 'http://a', ...settings }), wrong)
    const api = defineApi({ name: 'a', baseUrl: 'http://a' })
    t.throws(() => api.resource({ summary: 'x', path: '/', ...settings }), wrong)
  }
})
