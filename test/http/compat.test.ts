import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { defineError, errors, notFound, type PlinthError } from '../../src/errors.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createService, failure } from '../helpers/app.ts'
import { ask, listen, parse, request, send } from '../helpers/wire.ts'

interface Document {
  paths: Record<string, Record<string, { responses: Record<string, { description: string }> }>>
  components: { responses: Record<string, { content: object }> }
}

const login = { login_url: 'https://login.example/' }
const permission = { system_id: 'bk_cmdb', apply_url: 'https://iam.example/apply' }
const own = (code: string, status: number) => defineError(code, status, 'In its own words')

/** What a resource throws, with the code and the HTTP status that the original has for it. */
const THROWN: Record<string, [thrown: () => unknown, code: string, status: number]> = {
  nothing: [() => notFound('city', 7), '0000404', 404],
  stranger: [() => errors.UNAUTHENTICATED.with({ data: login }), '0000425', 401],
  login: [own('413', 403), '0000413', 403],
  forbidden: [errors.FORBIDDEN, '0000423', 403],
  locked: [own('CITY_LOCKED', 423), '0000433', 403],
  unforeseen: [() => new Error('secret'), '0000500', 500],
  busy: [() => errors.DATABASE_BUSY(5000), '0000501', 500],
  database: [() => errors.DATABASE_UNAVAILABLE('it is away'), '0000501', 500],
  network: [() => errors.CACHE_UNAVAILABLE('it is away'), '0000503', 503],
  upstream: [own('UPSTREAM_FAILED', 502), '0000513', 503],
  unreadable: [own('523', 503), '0000523', 503],
  local: [own('533', 500), '0000533', 500],
  lock: [() => errors.LOCK_HELD('report', 5), '0000543', 500],
  platform: [() => errors.BK_PLATFORM_AUTH_MISSING('cc'), '0000108', 500],
  permission: [() => errors.BK_PERMISSION_DENIED.with({ data: permission }), '9900403', 403],
  business: [own('0102123', 409), '0102123', 409],
  iam: [() => own('9900403', 403).with({ data: permission }), '9900403', 403],
  // What the original has nothing for keeps its status.
  conflict: [() => errors.CONFLICT('It is taken'), '0000400', 409],
  changed: [errors.PRECONDITION_FAILED, '0000400', 412],
  often: [errors.TOO_MANY_REQUESTS, '0000400', 429],
  late: [() => errors.DEADLINE_EXCEEDED(10), '0000500', 504],
}

const fail = defineResource({
  summary: 'Fail',
  path: '/fail/:how',
  request: Type.Object({ how: Type.String() }),
  errors: [errors.LOCK_HELD, own('0102123', 409)],
  perform({ how }) {
    throw THROWN[how]?.[0]()
  },
})
const City = Type.Object({ name: Type.String() })
const create = defineResource({
  summary: 'Create',
  method: 'POST',
  status: 201,
  async: true,
  request: City,
  response: City,
  perform: (city) => city,
})
const accept = defineResource({
  summary: 'Accept',
  method: 'PUT',
  status: 202,
  response: Type.Null(),
  perform: () => null,
})
const cached = defineResource({
  summary: 'Cached',
  path: '/cached',
  status: 201,
  cache: { ttl: 60_000, perUser: false },
  response: Type.Integer(),
  perform: () => 7,
})
const list = defineResource({ summary: 'List', perform: () => null })
const things = { fail, create, accept, cached, list }

const JSON_TYPE = { 'Content-Type': 'application/json' }

async function serve(t: Test, options: object = {}) {
  const { app, logs } = await createService(t, things, { compat: 'bk', ...options })
  return { app, logs, port: await listen(app) }
}

t.test('each success has the status 200 and the code 0', async (t) => {
  const { port } = await serve(t)
  const body = '{"name":"Ys"}'
  const cases = [
    ['GET /things', null],
    ['POST /things', { name: 'Ys' }, JSON_TYPE, body],
    ['PUT /things', null],
    ['GET /things/cached', 7],
    ['GET /things/cached', 7],
    ['POST /things', { task_id: String }, { ...JSON_TYPE, 'X-Async-Task': '1' }, body],
    ['GET /ping', 'pong'],
    ['GET /healthz', { healthy: true }],
    ['GET /readyz', { ready: true }],
  ] as const
  for (const [line, data, headers, sent] of cases) {
    const answer = await ask(port, line, { 'X-Request-Id': 'r-1', ...headers }, sent)
    t.equal(answer.status, 200, line)
    t.equal(answer.headers['content-type'], 'application/json; charset=utf-8')
    const { data: got, ...rest } = answer.json()
    t.match(got, data, line)
    t.strictSame(rest, {
      result: true,
      code: 0,
      message: null,
      request_id: 'r-1',
      trace_id: null,
    })
  }
})

t.test('what a resource throws has the code and the status of the original', async (t) => {
  const { port } = await serve(t)
  for (const [how, [thrown, code, status]] of Object.entries(THROWN)) {
    const answer = await ask(port, `GET /things/fail/${how}`, { 'X-Request-Id': 'r-1' })
    t.equal(answer.status, status, how)
    t.equal(answer.headers['content-type'], 'application/json; charset=utf-8')
    const told = how === 'nothing' ? errors.NOT_FOUND('city', 7) : (thrown() as PlinthError)
    t.strictSame(
      answer.json(),
      {
        result: false,
        code,
        data: told.data ?? null,
        message: how === 'unforeseen' ? errors.INTERNAL().message : told.message,
        errors: null,
        request_id: 'r-1',
        trace_id: null,
      },
      how,
    )
  }
  t.strictSame((await ask(port, 'GET /things/fail/iam')).json().data, permission)
  t.strictSame((await ask(port, 'GET /things/fail/stranger')).json().data, login)
})

t.test('so has what is answered before and beside resources', async (t) => {
  const { app, port, logs } = await serve(t, { variables: { BODY_LIMIT: '64' } })
  const create = 'POST /things'
  const large = JSON.stringify({ name: 'x'.repeat(100) })
  const cases = [
    ['0000400', 400, create, JSON_TYPE, '{'],
    ['0000400', 400, create, JSON_TYPE, '{"name":7}'],
    ['0000401', 400, create, JSON_TYPE, '{}'],
    ['0000400', 400, create, JSON_TYPE, '{"age":7}'],
    ['0000400', 400, 'GET /things/%ff'],
    ['0000400', 415, create, { 'Content-Type': 'text/plain' }, 'so'],
    ['0000400', 413, create, JSON_TYPE, large],
    ['0000404', 404, 'GET /nothing'],
    ['0000404', 404, 'GET /tasks/1'],
    ['0000405', 405, 'DELETE /things'],
  ] as const
  for (const [code, status, line, headers, sent] of cases) {
    const answer = await ask(port, line, headers, sent)
    t.equal(answer.status, status, line)
    t.match(answer.json(), { result: false, code, data: null }, `${line} ${sent}`)
  }
  const missing = await ask(port, create, JSON_TYPE, '{}')
  t.strictSame(missing.json().errors, [{ path: '/name', message: 'is required' }])

  const broken = parse(await send(port, 'no HTTP\r\n\r\n'))
  t.equal(broken.status, 400)
  t.match(broken.json(), { result: false, code: '0000400' })
  const huge = parse(await send(port, request('GET /ping', { 'X-Long': 'x'.repeat(20_000) })))
  t.equal(huge.status, 431)
  t.match(huge.json(), { result: false, code: '0000400' })

  app.draining.since = new Date()
  const draining = await ask(port, 'GET /readyz')
  t.equal(draining.status, 503)
  t.match(draining.json(), { code: '0000503', data: { ready: false, draining: true } })
  t.match(
    logs.find(({ path }) => path === '/nothing'),
    { code: 'ROUTE_NOT_FOUND', status: 404 },
    'the log has the code of the catalogue',
  )
})

t.test(
  'a client error that the form answers with another status is logged with that',
  async (t) => {
    const { standardEnvelope } = await import('../../src/http/envelope.ts')
    const envelope = { ...standardEnvelope, failureStatus: () => 418 }
    const { port, logs } = await serve(t, { compat: undefined, envelope })
    t.equal(parse(await send(port, 'no HTTP\r\n\r\n')).status, 418)
    t.match(
      logs.find(({ code }) => code === 'BAD_REQUEST'),
      { status: 418 },
    )
  },
)

t.test('a service has the digits of its platform and module', async (t) => {
  const digits = { kind: 'bk', platform: '01', module: '02' } as const
  const { port } = await serve(t, { compat: digits })
  const code = async (line: string) => (await ask(port, line)).json().code
  t.equal(await code('GET /nothing'), '0102404')
  t.equal(await code('GET /things/fail/local'), '0102533')
  t.equal(await code('GET /things/fail/iam'), '9900403')
  const one = await serve(t, { compat: { kind: 'bk', module: '07' } })
  t.equal((await ask(one.port, 'GET /nothing')).json().code, '0007404')
})

t.test('what no compat is, and one beside an envelope, is refused', async (t) => {
  const expected = "bk, or { kind: 'bk', platform: '01', module: '02' }, two digits each"
  for (const [compat, got] of [
    ['django', 'another text'],
    [{ kind: 'bk', platform: '1' }, 'an object'],
    [{ kind: 'bk', module: 12 }, 'an object'],
    [{ kind: 'bk', modul: '02' }, 'an object'],
    [{ platform: '01' }, 'an object'],
  ]) {
    const { code, message } = await failure(createService(t, things, { compat } as object))
    t.equal(code, 'PLUGIN_OPTION_INVALID')
    t.match(message, `its option compat is ${got}, expected ${expected}`)
  }
  const both = await failure(createService(t, things, { compat: 'bk', envelope: 'problem' }))
  t.equal(both.code, 'PLUGIN_OPTION_INVALID')
  t.match(both.message, 'its option envelope is another text, expected none beside compat')
})

t.test('the API document tells of these codes and statuses', async (t) => {
  const { port } = await serve(t, { variables: { DOCS: 'true', DATABASE_URL: 'sqlite::memory:' } })
  const document = (await ask(port, 'GET /openapi.json')).json() as unknown as Document
  const { paths, components } = document
  const of = (path: string, method: string) => paths[path]?.[method]?.responses ?? {}
  t.strictSame(Object.keys(of('/things', 'post')), [
    '200',
    '400',
    '413',
    '415',
    '500',
    '504',
    'default',
  ])
  t.strictSame(Object.keys(of('/things', 'put')).slice(0, 2), ['200', '400'])
  const failing = of('/things/fail/{how}', 'get')
  t.equal(failing[500]?.description, '`0000543`')
  t.equal(failing[409]?.description, '`0102123`')
  t.match(components.responses.NotFound?.content, {
    'application/json': { example: { result: false, code: '0000404', data: null } },
  })
})
