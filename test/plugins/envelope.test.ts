import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import envelopePlugin from '../../plugins/envelope.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createService, serveThings } from '../helpers/app.ts'

const get = defineResource({
  summary: 'Get',
  path: '/:id',
  request: Type.Object({ id: Type.Integer() }),
  response: Type.Object({ id: Type.Integer() }),
  perform: ({ id }) => ({ id }),
})
const text = defineResource({
  summary: 'Text',
  path: '/text',
  response: Type.String(),
  perform: () => 'so',
})
const nothing = defineResource({ summary: 'Nothing', path: '/nothing', perform: () => null })
const put = defineResource({ ...get.definition, method: 'PUT' })
const things = { get, put, text, nothing }

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
const server = { genReqId: () => 'r-1' }

t.test('the standard form', async (t) => {
  const app = await serveThings(t, things, { server })
  const ok = await app.inject({ url: '/things/7', headers: { traceparent } })
  t.equal(ok.headers['content-type'], 'application/json; charset=utf-8')
  t.strictSame(ok.json(), {
    result: true,
    code: 0,
    data: { id: 7 },
    message: null,
    request_id: 'r-1',
    trace_id: '0af7651916cd43dd8448eb211c80319c',
  })
  const bad = await app.inject({ url: '/things/x', headers: { traceparent } })
  t.equal(bad.headers['content-type'], 'application/json; charset=utf-8')
  t.strictSame(bad.json(), {
    result: false,
    code: 'INVALID_REQUEST',
    data: null,
    message: 'The request to things.get is not valid; see errors',
    errors: [{ path: '/id', message: 'must be integer' }],
    request_id: 'r-1',
    trace_id: '0af7651916cd43dd8448eb211c80319c',
  })
})

t.test('the form of problem details', async (t) => {
  const app = await serveThings(t, things, { server, envelope: 'problem' })
  const ok = await app.inject('/things/7')
  t.equal(ok.headers['content-type'], 'application/json; charset=utf-8')
  t.strictSame(ok.json(), { id: 7 })
  const bad = await app.inject('/things/x?secret=1')
  t.equal(bad.headers['content-type'], 'application/problem+json; charset=utf-8')
  t.strictSame(bad.json(), {
    type: 'about:blank',
    title: 'INVALID_REQUEST',
    status: 400,
    detail: 'The request to things.get is not valid; see errors',
    instance: '/things/x',
    errors: [{ path: '/id', message: 'must be integer' }],
    request_id: 'r-1',
  })
  const missing = await app.inject('/nope')
  t.strictSame(missing.json(), {
    type: 'about:blank',
    title: 'ROUTE_NOT_FOUND',
    status: 404,
    detail: 'Nothing answers GET /nope',
    instance: '/nope',
    request_id: 'r-1',
  })
})

t.test('a bare text or null is JSON, too', async (t) => {
  const app = await serveThings(t, things, { envelope: 'problem' })
  for (const [name, body] of [
    ['text', '"so"'],
    ['nothing', 'null'],
  ]) {
    const response = await app.inject(`/things/${name}`)
    t.equal(response.headers['content-type'], 'application/json; charset=utf-8')
    t.equal(response.body, body)
  }
})

t.test('the trace id is of a valid traceparent, or null', async (t) => {
  const app = await serveThings(t, things)
  const traced = async (header: string) =>
    (await app.inject({ url: '/things/1', headers: { traceparent: header } })).json().trace_id
  const id = '0af7651916cd43dd8448eb211c80319c'
  t.equal(await traced(`00-${id}-b7ad6b7169203331-00`), id)
  t.equal(await traced(`cc-${id}-b7ad6b7169203331-01-what-later-versions-say`), id)
  for (const wrong of [
    `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
    `00-${id}-${'0'.repeat(16)}-01`,
    `ff-${id}-b7ad6b7169203331-01`,
    `00-${id.toUpperCase()}-b7ad6b7169203331-01`,
    `00-${id}-b7ad6b7169203331-01-more`,
    `00-${id}x-b7ad6b7169203331-01`,
    id,
    '',
  ]) {
    t.equal(await traced(wrong), null, wrong)
  }
})

t.test('the request id is taken where it is harmless, else replaced', async (t) => {
  const { app } = await createService(t, things)
  const ids = async (given: string) => {
    const response = await app.inject({ url: '/things/1', headers: { 'x-request-id': given } })
    t.equal(response.headers['x-request-id'], response.json().request_id)
    return response.json().request_id
  }
  for (const good of [
    'a',
    'A-1_b.c:d/e+f=',
    '0b0e6c2a-7a0f-4a55-9d1b-2f6f6d0c8e51',
    'x'.repeat(128),
  ]) {
    t.equal(await ids(good), good)
  }
  const uuid = /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/
  for (const bad of ['', 'x'.repeat(129), 'a b', 'a"b', '<b>', 'é', 'a, b', 'a;b', '%0a']) {
    t.match(await ids(bad), uuid, bad)
  }
})

t.test(
  'every answer has the request id: 200, 304, 4xx, 5xx, before a route and without one',
  async (t) => {
    const fail = defineResource({
      summary: 'Fail',
      path: '/fail',
      perform() {
        throw new Error('x')
      },
    })
    const tagged = defineResource({
      summary: 'Tagged',
      path: '/tagged',
      etag: () => 'a',
      perform: () => null,
    })
    const { app } = await createService(t, { ...things, fail, tagged })
    const cases = [
      ['GET', '/things/1', 200],
      ['GET', '/things/tagged', 304],
      ['HEAD', '/things/1', 200],
      ['GET', '/things/x', 400],
      ['GET', '/things/%ff', 400],
      ['GET', `/things/${'1'.repeat(101)}`, 400],
      ['GET', '/nope', 404],
      ['DELETE', '/things/1', 405],
      ['GET', '/things/fail', 500],
    ] as const
    for (const [method, url, status] of cases) {
      const headers = { 'x-request-id': 'mine', 'if-none-match': '"a"' }
      const response = await app.inject({ method, url, headers })
      t.equal(response.statusCode, status, url)
      t.equal(response.headers['x-request-id'], 'mine', url)
      if (response.body) t.equal(response.json().request_id, 'mine', url)
    }
  },
)

t.test('nothing there is 404', async (t) => {
  const app = await serveThings(t, things)
  const response = await app.inject({ method: 'POST', url: '/nope?token=secret' })
  t.equal(response.statusCode, 404)
  t.match(response.json(), { code: 'ROUTE_NOT_FOUND', message: 'Nothing answers POST /nope' })
  t.notOk('allow' in response.headers)
})

t.test('a wrong method is 405 with what is possible', async (t) => {
  const { app } = await createService(t, things)
  const cases = [
    ['DELETE', '/things/1', 'GET, HEAD, PUT'],
    ['DELETE', '/things/1/', 'GET, HEAD, PUT'],
    ['POST', '/things/text?x=1', 'GET, HEAD, PUT'],
    ['OPTIONS', '/things/1', 'GET, HEAD, PUT'],
    ['PROPFIND', '/things/1', 'GET, HEAD, PUT'],
    ['PUT', '/ping', 'GET, HEAD'],
  ] as const
  for (const [method, url, allow] of cases) {
    const response = await app.inject({ method: method as 'DELETE', url })
    const path = url.split('?')[0]
    t.equal(response.statusCode, 405, `${method} ${url}`)
    t.equal(response.headers.allow, allow)
    t.equal(response.json().message, `${method} is not possible on ${path}; possible: ${allow}`)
  }
})

t.test('a service answers with and without the slash at the end', async (t) => {
  const list = defineResource({ summary: 'List', perform: () => null })
  const { app } = await createService(t, { ...things, list })
  for (const url of ['/things', '/things/', '/things/1', '/things/1/', '/ping/', '/healthz/']) {
    t.equal((await app.inject(url)).statusCode, 200, url)
  }
  t.equal((await app.inject('/things//1')).statusCode, 404)
})

/** An app with the envelope and nothing else of the kit. */
async function createPlain(
  t: Test,
  routes: (app: FastifyInstance) => void,
  options: FastifyServerOptions = {},
): Promise<FastifyInstance> {
  const app = Fastify(options)
  t.teardown(() => app.close())
  await app.register(envelopePlugin)
  routes(app)
  await app.ready()
  return app
}

t.test('works alone, for routes that are no resources', async (t) => {
  const app = await createPlain(
    t,
    (app) => {
      app.get('/mine', async () => ({ mine: true }))
      app.get(
        '/checked',
        { schema: { querystring: { type: 'object', required: ['a'], properties: { a: {} } } } },
        async () => null,
      )
    },
    server,
  )
  t.strictSame((await app.inject('/mine')).json(), { mine: true }, 'their successes are their own')
  t.equal((await app.inject('/mine')).headers['x-request-id'], 'r-1')
  t.match((await app.inject('/checked')).json(), {
    code: 'INVALID_REQUEST',
    message: 'The request to /checked is not valid; see errors',
    errors: [{ path: '/a', message: 'is required' }],
  })
  t.equal((await app.inject({ method: 'POST', url: '/mine' })).statusCode, 405)
})

t.test('what answers every OPTIONS makes no path one that exists', async (t) => {
  const app = await createPlain(t, (app) => {
    app.options('*', async (_, reply) => reply.code(204).send())
    app.get('/mine', async () => null)
  })
  const nope = await app.inject({ method: 'POST', url: '/nope' })
  t.match(nope.json(), { code: 'ROUTE_NOT_FOUND' })
  t.notOk('allow' in nope.headers)
  t.equal((await app.inject({ method: 'POST', url: '/mine' })).headers.allow, 'GET, HEAD')
  t.equal((await app.inject({ method: 'OPTIONS', url: '/nope' })).statusCode, 204)
})

t.test('a method counts where its route has the constraints of the request', async (t) => {
  const app = await createPlain(t, (app) => {
    app.get('/by-version', { constraints: { version: '1.2.0' } }, async () => null)
    app.get('/by-host', { constraints: { host: /\.example$/ } }, async () => null)
    app.put('/by-host', { constraints: { host: 'other' } }, async () => null)
    app.delete('/both', { constraints: { host: 'other' } }, async () => null)
    app.get('/both', async () => null)
  })
  const ask = async (method: 'GET' | 'POST', url: string, headers: Record<string, string> = {}) => {
    const { statusCode, headers: got } = await app.inject({ method, url, headers })
    return [statusCode, got.allow]
  }
  t.strictSame(await ask('GET', '/by-version'), [404, undefined])
  t.strictSame(await ask('GET', '/by-version', { 'accept-version': '2.x' }), [404, undefined])
  t.strictSame(await ask('GET', '/by-version', { 'accept-version': '1.x' }), [200, undefined])
  t.strictSame(await ask('POST', '/by-version', { 'accept-version': '1.x' }), [405, 'GET, HEAD'])
  t.strictSame(await ask('GET', '/by-host'), [404, undefined])
  t.strictSame(await ask('POST', '/by-host', { host: 'a.example' }), [405, 'GET, HEAD'])
  t.strictSame(await ask('GET', '/by-host', { host: 'other' }), [405, 'PUT'])
  t.strictSame(await ask('POST', '/both'), [405, 'GET, HEAD'])
  t.strictSame(await ask('POST', '/both', { host: 'other' }), [405, 'DELETE, GET, HEAD'])
})

for (const [title, byOptions] of [
  ['given to Fastify', true],
  ['added', false],
] as const) {
  t.test(`a constraint strategy of the app, ${title}: 404, not 500`, async (t) => {
    const secret = {
      name: 'secret',
      storage: () => {
        const handlers = new Map()
        return {
          get: (key: string) => handlers.get(key) ?? null,
          set: (key: string, handler: unknown) => void handlers.set(key, handler),
          del: (key: string) => void handlers.delete(key),
          empty: () => handlers.clear(),
        }
      },
      deriveConstraint: (request: { headers: Record<string, unknown> }) =>
        request.headers['x-secret'],
    }
    const app = Fastify(byOptions ? ({ routerOptions: { constraints: { secret } } } as object) : {})
    t.teardown(() => app.close())
    if (!byOptions) app.addConstraintStrategy(secret as never)
    await app.register(envelopePlugin)
    app.get('/mine', { constraints: { secret: 'alpha' } }, async () => 'mine')
    app.get('/other', async () => null)
    const right = await app.inject({ url: '/mine', headers: { 'x-secret': 'alpha' } })
    t.equal(right.body, 'mine')
    t.match((await app.inject('/mine')).json(), { code: 'ROUTE_NOT_FOUND' })
    t.match((await app.inject('/nope')).json(), { code: 'ROUTE_NOT_FOUND' })
    t.equal((await app.inject({ method: 'POST', url: '/other' })).statusCode, 405)
  })
}

t.test('an app with the envelope reads bodies as it did', async (t) => {
  const app = await createPlain(t, (app) => {
    app.post('/text', async ({ body }) => ({ body }))
  })
  const headers = { 'content-type': 'text/plain' }
  const text = await app.inject({ method: 'POST', url: '/text', headers, payload: 'so' })
  t.strictSame(text.json(), { body: 'so' })
})

t.test('a webhook reads JSON as it comes, in its scope; resources read it strictly', async (t) => {
  const create = defineResource({
    summary: 'Create',
    method: 'POST',
    request: Type.Object({ name: Type.String() }),
    perform: () => null,
  })
  const webhook = async (app: FastifyInstance) => {
    app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_, body, done) =>
      done(null, body),
    )
    app.post('/hook', async ({ body }) => (body as Buffer).toString())
  }
  const text = async (app: FastifyInstance) => {
    app.post('/text', async ({ body }) => body)
  }
  const { app } = await createService(t, { create }, { plugins: [webhook, text] })
  const payload = '{ "name":\t"x" }'
  for (const type of ['application/json', 'application/json; charset=utf-8']) {
    const headers = { 'content-type': type }
    t.equal((await app.inject({ method: 'POST', url: '/hook', headers, payload })).body, payload)
    const strict = {
      method: 'POST',
      url: '/things',
      headers,
      payload: '{"name":"\\u0000"}',
    } as const
    t.equal((await app.inject(strict)).statusCode, 400)
  }
  const headers = { 'content-type': 'text/plain' }
  t.equal((await app.inject({ method: 'POST', url: '/text', headers, payload: 'so' })).body, 'so')
  t.equal(
    (await app.inject({ method: 'POST', url: '/things', headers, payload: 'so' })).statusCode,
    415,
  )
})

t.test('a single-page app answers what is not found, under its prefix or everywhere', async (t) => {
  const under = async (app: FastifyInstance) => {
    app.register(
      async (scope) => {
        scope.setNotFoundHandler((_, reply) => reply.type('text/html').send('<app>'))
      },
      { prefix: '/app' },
    )
  }
  const { app } = await createService(t, things, { plugins: [under] })
  t.equal((await app.inject('/app/deep/link')).body, '<app>')
  t.match((await app.inject('/nope')).json(), { code: 'ROUTE_NOT_FOUND' })
  t.equal((await app.inject({ method: 'DELETE', url: '/things/1' })).statusCode, 405)

  const everywhere = async (app: FastifyInstance) => {
    app.setNotFoundHandler((request, reply) => {
      if (request.headers.accept !== 'text/html') return app.answerNotFound(request, reply)
      return reply.type('text/html').send('<app>')
    })
  }
  const whole = await createService(t, things, { plugins: [everywhere] })
  const html = { accept: 'text/html' }
  t.equal((await whole.app.inject({ url: '/deep/link', headers: html })).body, '<app>')
  t.match((await whole.app.inject('/nope')).json(), { code: 'ROUTE_NOT_FOUND' })
})
