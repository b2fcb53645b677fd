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
