import { Readable } from 'node:stream'
import type { FastifyInstance, InjectOptions } from 'fastify'
import t from 'tap'
import { type TObject, Type } from 'typebox'
import { secret } from '../../src/config/secret.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createService, failure, serveThings } from '../helpers/app.ts'
import { onEach, serve } from './attached.ts'

const TASK = { 'x-async-task': '1' }

const told = async (app: FastifyInstance, request: InjectOptions) => {
  const response = await app.inject({ ...request, headers: { ...TASK, ...request.headers } })
  return [response.statusCode, response.json().code]
}

/** A resource, and how often it has run. */
function counting(async?: boolean) {
  const count = { runs: 0 }
  const resource = defineResource({
    summary: 'Count',
    method: 'POST',
    ...(async !== undefined && { async }),
    perform() {
      count.runs++
      return null
    },
  })
  return Object.assign(count, { resource })
}

t.test('clients may have run as a task what says so, and nothing else', async (t) => {
  const says = [undefined, true, false]
  for (const service of says) {
    for (const module of says) {
      for (const resource of says) {
        const { resource: one, runs } = counting(resource)
        const things = defineModule({
          prefix: '/things',
          resources: { one },
          ...(module !== undefined && { async: module }),
        })
        const { app } = await createService(
          t,
          {},
          { modules: { things }, ...(service !== undefined && { async: service }) },
        )
        const name = `service ${service}, module ${module}, resource ${resource}`
        const allowed = resource ?? module ?? service ?? false
        const expected = allowed ? [200, 0] : [400, 'TASK_REFUSED']
        t.strictSame(await told(app, { method: 'POST', url: '/things' }), expected, name)
        t.equal(runs, 0, 'a call that is refused is none')
        const { paths } = (await app.inject('/openapi.json')).json()
        const { parameters = [] } = paths['/things'].post
        const headers = parameters.map(({ name }: { name: string }) => name)
        t.strictSame(headers, allowed ? ['X-Async-Task', 'X-Task-Options'] : [], name)
      }
    }
  }
})

t.test('the refusal says what to do', async (t) => {
  const { resource: one } = counting()
  const app = await serve(t, { url: undefined }, { one })
  const response = await app.inject({ method: 'POST', url: '/things', headers: TASK })
  t.equal(
    response.json().message,
    'This call of things.one cannot become a task: neither it nor its module or service says async: true; send it without the header X-Async-Task',
  )
})

onEach(t, 'what is no JSON never becomes a task', async (t, attached) => {
  let runs = 0
  const upload = defineResource({
    summary: 'Upload',
    method: 'POST',
    async: true,
    perform: () => {
      runs++
      return null
    },
  })
  const app = await serve(
    t,
    attached,
    { upload },
    {
      plugin(app) {
        app.addContentTypeParser(['multipart/form-data', '*'], (_request, payload, done) => {
          payload.resume().on('end', () => done(null))
        })
      },
    },
  )
  const bodies = [
    ['multipart/form-data; boundary=x', '--x\r\n\r\na\r\n--x--\r\n'],
    ['application/octet-stream', 'abc'],
    ['application/jsonx', 'abc'],
    ['text/plain', 'abc'],
    ['', Readable.from(['abc'])],
  ] as const
  for (const [type, payload] of bodies) {
    // As a client sends what it does not know the length of.
    const headers = type ? { 'content-type': type } : { 'transfer-encoding': 'chunked' }
    const request = { method: 'POST', url: '/things', payload, headers } as const
    t.strictSame(await told(app, request), [400, 'TASK_REFUSED'], type || 'no type')
  }
  t.equal(runs, 0)
  t.strictSame(await (await app.tasks.driver()).queues(), [])
  for (const type of ['application/json', 'Application/JSON ; charset=utf-8']) {
    const headers = { 'content-type': type }
    const request = { method: 'POST', url: '/things', payload: '{}', headers } as const
    t.strictSame(await told(app, request), [200, 0], type)
  }
  t.strictSame(await told(app, { method: 'POST', url: '/things' }), [200, 0], 'no body')
})

onEach(t, 'a HEAD, which could not tell the id, is refused', async (t, attached) => {
  const look = defineResource({ summary: 'Look', async: true, perform: () => null })
  const app = await serve(t, attached, { look })
  const response = await app.inject({ method: 'HEAD', url: '/things', headers: TASK })
  t.equal(response.statusCode, 400)
  t.strictSame(await (await app.tasks.driver()).queues(), [])
})

onEach(t, 'preconditions are evaluated before', async (t, attached) => {
  let runs = 0
  const of = (method: 'GET' | 'PUT') =>
    defineResource({
      summary: method,
      method,
      async: true,
      response: Type.Integer(),
      etag: () => 'now',
      lastModified: () => new Date('2026-01-01T00:00:00Z'),
      perform: () => ++runs,
    })
  const app = await serve(t, attached, { read: of('GET'), write: of('PUT') })
  const ask = (method: 'GET' | 'PUT', headers: object) =>
    app.inject({ method, url: '/things', headers: { ...TASK, ...headers } })
  const before = 'Wed, 31 Dec 2025 00:00:00 GMT'
  t.equal((await ask('PUT', { 'if-match': '"then"' })).statusCode, 412)
  t.equal((await ask('PUT', { 'if-unmodified-since': before })).statusCode, 412)
  t.equal((await ask('PUT', { 'if-none-match': '*' })).statusCode, 412)
  t.equal((await ask('GET', { 'if-none-match': '"now"' })).statusCode, 304)
  t.strictSame(await (await app.tasks.driver()).queues(), [], 'no task was added')
  for (const method of ['GET', 'PUT'] as const) {
    const response = await ask(method, { 'if-match': '"now"' })
    t.equal(response.statusCode, 200)
    t.notMatch(Object.keys(response.headers).join(), /etag|last-modified/)
    t.type(await app.tasks.result(response.json().data.task_id), 'number')
  }
})

const Login = Type.Object({ name: Type.String(), password: secret(Type.String()) })
const secrets: Record<string, { request?: TObject; response?: TObject }> = {
  secret: { request: Login },
  writeOnly: {
    request: Type.Object({ all: Type.Array(Type.Object({ p: Type.String({ writeOnly: true }) })) }),
  },
  password: { request: Type.Object({ p: Type.Optional(Type.String({ format: 'password' })) }) },
  response: { response: Type.Object({ token: secret(Type.String()) }) },
}

for (const [name, schemas] of Object.entries(secrets)) {
  t.test(`secrets are not kept in Redis: ${name}`, async (t) => {
    const definition = { summary: 'Log in', method: 'POST', ...schemas } as const
    const perform = () => ({ token: 'x' }) as never
    const login = defineResource({ ...definition, async: true, perform })
    t.match(await failure(serveThings(t, { login })), {
      code: 'RESOURCE_INVALID',
      message: /^The resource things\.login cannot be served: it is async: true and has a secret/,
    })
    const inherits = defineResource({ ...definition, perform })
    const { app } = await createService(t, { inherits }, { async: true })
    const payload = { name: 'ann', password: 'x', all: [{ p: 'x' }], p: 'x' }
    const fitting = Object.entries(payload).filter(([key]) => key in inherits.request.properties)
    const request = {
      method: 'POST',
      url: '/things',
      payload: Object.fromEntries(fitting),
    } as const
    t.strictSame(await told(app, request), [400, 'TASK_REFUSED'])
  })
}

const done = {
  'a stream': () => Readable.from(['a']),
  'what does not fit': () => ({ a: 'x' }),
  'what cannot be written': () => ({
    get a() {
      throw new Error('no')
    },
  }),
}

for (const [name, response] of Object.entries(done)) {
  onEach(t, `a task that gives ${name} has failed, once`, async (t, attached) => {
    let runs = 0
    const odd = defineResource({
      summary: 'Odd',
      async: true,
      response: Type.Object({ a: Type.Integer() }),
      task: { attempts: 3, backoff: { type: 'fixed', delay: 0 } },
      perform() {
        runs++
        return response() as never
      },
    })
    const app = await serve(t, attached, { odd })
    const { task_id } = (await app.inject({ url: '/things', headers: TASK })).json().data
    const { code, message } = await failure(app.tasks.result(task_id))
    t.equal(code, 'TASK_FAILED')
    t.match(message, name === 'what cannot be written' ? /The service failed/ : /does not fit/)
    t.equal(runs, 1)
  })
}
