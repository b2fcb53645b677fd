import basicAuth from '@fastify/basic-auth'
import cookie from '@fastify/cookie'
import csrf from '@fastify/csrf-protection'
import jwt from '@fastify/jwt'
import multipart from '@fastify/multipart'
import rateLimit from '@fastify/rate-limit'
import sensible from '@fastify/sensible'
import underPressure from '@fastify/under-pressure'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { errors } from '../../src/errors.ts'
import type { EnvelopeName } from '../../src/http/envelope.ts'
import type { ResourceDefinition } from '../../src/resource/contract.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createService, type LogLine } from '../helpers/app.ts'
import { ask, listen } from '../helpers/wire.ts'
import { onEach, serve } from '../resource/attached.ts'
import { until } from '../suites/task-fixture.ts'

type Perform = ResourceDefinition<
  ReturnType<typeof Type.Object>,
  ReturnType<typeof Type.Null>
>['perform']

/** A service of one resource, listening. */
async function listening(
  t: Test,
  perform: Perform,
  plugin?: FastifyPluginAsync,
  envelope: EnvelopeName = 'standard',
): Promise<{ app: FastifyInstance; port: number; logs: LogLine[] }> {
  const get = defineResource({ summary: 'Get', perform })
  const { app, logs } = await createService(
    t,
    { get },
    { envelope, ...(plugin && { plugins: [fp(plugin)] }) },
  )
  const port = await listen(app)
  logs.length = 0
  return { app, port, logs }
}

const nothing = () => null

t.test('@fastify/jwt: what is wrong with the token', async (t) => {
  const { app, port } = await listening(t, nothing, async (app) => {
    await app.register(jwt, { secret: 'x'.repeat(32) })
    app.addHook('onRequest', async (request) => {
      await request.jwtVerify()
    })
  })
  const told = async (authorization?: string) => {
    const { status, json } = await ask(port, 'GET /things', authorization ? { authorization } : {})
    const { code, message } = json()
    return { status, code, message }
  }
  t.strictSame(await told(), {
    status: 401,
    code: 'FST_JWT_NO_AUTHORIZATION_IN_HEADER',
    message: 'No Authorization was found in request.headers',
  })
  const late = app.jwt.sign({ sub: '1', exp: 1 })
  t.match(await told(`Bearer ${late}`), {
    status: 401,
    code: 'FST_JWT_AUTHORIZATION_TOKEN_EXPIRED',
  })
  const foreign = `${app.jwt.sign({ sub: '1' }).slice(0, -4)}AAAA`
  t.match(await told(`Bearer ${foreign}`), {
    status: 401,
    code: 'FST_JWT_AUTHORIZATION_TOKEN_INVALID',
  })
  t.match(await told('Bearer a.b.c'), { status: 401, code: /^FST_JWT_/ })
  t.match(await told('Bearer x'), { status: 401, code: /^FST_JWT_/ })
  t.match(await told('Bearer a b'), { status: 400, code: 'FST_JWT_BAD_REQUEST' })
  t.match(await told(`Bearer ${app.jwt.sign({ sub: '1' })}`), { status: 200 })
})

t.test('@fastify/rate-limit: 429 with Retry-After, also with words of the service', async (t) => {
  const words = { statusCode: 429, message: 'secret words' }
  for (const errorResponseBuilder of [undefined, () => words, () => errors.TOO_MANY_REQUESTS()]) {
    const { port } = await listening(t, nothing, async (app) => {
      const options = { max: 1, ...(errorResponseBuilder && { errorResponseBuilder }) }
      await app.register(rateLimit, options)
    })
    const began = Date.now()
    t.equal((await ask(port, 'GET /things')).status, 200)
    const { status, headers, json } = await ask(port, 'GET /things')
    t.equal(status, 429)
    t.match(headers, { 'retry-after': /^\d+$/, 'x-ratelimit-remaining': '0' })
    const after = Number(headers['retry-after'])
    t.ok(after <= 60 && after >= Math.floor((60_000 - (Date.now() - began)) / 1000), `${after} s`)
    t.match(json(), { result: false, code: 'TOO_MANY_REQUESTS', message: /too many requests/i })
  }
})

t.test('@fastify/rate-limit: who is banned is forbidden', async (t) => {
  const { port } = await listening(t, nothing, async (app) => {
    await app.register(rateLimit, { max: 1, ban: 0 })
  })
  await ask(port, 'GET /things')
  const { status, json } = await ask(port, 'GET /things')
  t.strictSame([status, json().code], [403, 'FORBIDDEN'])
})

t.test('@fastify/under-pressure: 503 with Retry-After', async (t) => {
  const { port } = await listening(t, nothing, async (app) => {
    await app.register(underPressure, { maxHeapUsedBytes: 1, sampleInterval: 10, retryAfter: 7 })
  })
  await until(async () => (await ask(port, 'GET /things')).status === 503)
  const answer = await ask(port, 'GET /things')
  t.equal(answer.headers['retry-after'], '7')
  t.match(answer.json(), { code: 'FST_UNDER_PRESSURE', message: 'Service Unavailable' })
})

t.test('@fastify/csrf-protection, @fastify/multipart: their statuses', async (t) => {
  const { port } = await listening(t, nothing, async (app) => {
    await app.register(cookie)
    await app.register(csrf)
    await app.register(multipart, { limits: { files: 0 } })
    app.get('/form', { onRequest: app.csrfProtection }, nothing)
    app.post('/upload', async (request) => {
      for await (const part of request.parts()) void part
      return null
    })
  })
  const refused = await ask(port, 'GET /form')
  t.strictSame([refused.status, refused.json().code], [403, 'FST_CSRF_MISSING_SECRET'])
  const form = '--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\na\r\n--x--\r\n'
  const type = { 'Content-Type': 'multipart/form-data; boundary=x' }
  const large = await ask(port, 'POST /upload', type, form)
  t.strictSame([large.status, large.json().code], [413, 'FST_FILES_LIMIT'])
})

t.test('@fastify/multipart: a broken body is 400, however it is read', async (t) => {
  const { port } = await listening(t, nothing, async (app) => {
    app.register(async (scope) => {
      await scope.register(multipart)
      scope.post('/parts', async (request) => {
        for await (const part of request.parts()) if (part.type === 'file') await part.toBuffer()
        return null
      })
      scope.post('/file', async (request) => {
        await (await request.file())?.toBuffer()
        return null
      })
    })
    app.register(async (scope) => {
      await scope.register(multipart, { attachFieldsToBody: true })
      scope.post('/attached', nothing)
    })
  })
  const head = '--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'
  const long = 'x'.repeat(300)
  for (const path of ['/parts', '/file', '/attached']) {
    for (const [boundary, form] of [
      ['; boundary=x', `${head}a`],
      ['; boundary=x', '--x\r\nContent-Dispo'],
      ['; boundary=x', 'garbage'],
      ['; boundary=x', `${head}a\r\n--y--\r\n`],
      ['; boundary=', `${head}a\r\n--x--\r\n`],
      [`; boundary=${long}`, `${head}a\r\n--x--\r\n`],
      ['', `${head}a\r\n--x--\r\n`],
    ] as const) {
      const type = { 'Content-Type': `multipart/form-data${boundary}` }
      const answer = await ask(port, `POST ${path}`, type, form)
      t.equal(answer.status, 400, `${path} ${boundary} ${form}`)
      t.match(answer.json(), { code: 'BAD_REQUEST', message: /multipart body is not complete/ })
    }
  }
})

t.test('@fastify/basic-auth: 401 with WWW-Authenticate, whoever made the error', async (t) => {
  const { port } = await listening(t, nothing, async (app) => {
    const validate = async () => {
      throw new Error('no row for ada in person')
    }
    await app.register(basicAuth, { validate, authenticate: { realm: 'shop' } })
    app.addHook('onRequest', app.basicAuth)
  })
  const none = await ask(port, 'GET /things')
  t.strictSame(
    [none.status, none.headers['www-authenticate'], none.json().code],
    [
      401,
      'Basic realm="shop", charset="UTF-8"',
      'FST_BASIC_AUTH_MISSING_OR_BAD_AUTHORIZATION_HEADER',
    ],
  )
  const bad = await ask(port, 'GET /things', { authorization: 'Basic eDp4' })
  t.match(bad.headers, { 'www-authenticate': 'Basic realm="shop", charset="UTF-8"' })
  t.strictSame(
    [bad.status, bad.json().code, bad.json().message],
    [401, 'UNAUTHENTICATED', 'Unauthorized'],
  )
})

t.test('@fastify/sensible: errors of app.httpErrors are words of the service', async (t) => {
  const { port } = await listening(
    t,
    (_, { app, request }) => {
      const { httpErrors } = app
      const kind = request?.headers['x-kind']
      if (kind === 'gone') throw httpErrors.gone('It was here until May')
      if (kind === 'away') throw httpErrors.serviceUnavailable('10.0.0.7 does not answer')
      if (kind === 'broken') throw httpErrors.internalServerError('select * from person')
      const headers = { 'www-authenticate': 'Bearer' }
      throw Object.assign(httpErrors.unauthorized('Who are you?'), { headers })
    },
    async (app) => {
      await app.register(sensible)
    },
  )
  const told = async (kind: string) => {
    const { status, headers, json } = await ask(port, 'GET /things', { 'x-kind': kind })
    return [status, json().code, json().message, headers['www-authenticate']]
  }
  t.strictSame(await told('who'), [401, 'UNAUTHENTICATED', 'Who are you?', 'Bearer'])
  t.strictSame(await told('gone'), [410, 'GONE', 'It was here until May', undefined])
  const away = [503, 'SERVICE_UNAVAILABLE', 'Service Unavailable', undefined]
  t.strictSame(await told('away'), away, 'nothing of what is inside')
  const { code, message } = errors.INTERNAL()
  t.strictSame(await told('broken'), [500, code, message, undefined])
})

/** Errors as clients of other systems throw them: none of our clients is to know of them. */
const foreign = (): unknown[] => {
  const error = (fields: object) => Object.assign(new Error('token of billing@10.0.0.7'), fields)
  return [
    error({ statusCode: 401 }),
    error({ status: 403, code: 'FORBIDDEN' }),
    error({ statusCode: 404, code: 'FST_ERR_NOT_FOUND' }),
    error({ statusCode: 401, code: 'FST_JWT_NO_AUTHORIZATION_IN_HEADER', name: 'FastifyError' }),
    error({ statusCode: 400, validation: [{ instancePath: '/token', message: 'is secret' }] }),
    error({ statusCode: 429, headers: { 'retry-after': '9' } }),
    error({ statusCode: 410, status: 410, expose: true }),
    error({ statusCode: 503, headers: { 'www-authenticate': 'Internal' } }),
    { statusCode: 401, message: 'token of billing@10.0.0.7' },
  ]
}

for (const envelope of ['standard', 'problem'] as const) {
  t.test(
    `an error of an upstream or a library is none of the client's (${envelope})`,
    async (t) => {
      const all = foreign()
      const { port, logs } = await listening(
        t,
        (_, { request }) => {
          throw all[Number(request?.headers['x-index'])]
        },
        async (app) => {
          await app.register(sensible)
        },
        envelope,
      )
      for (const index of all.keys()) {
        const answer = await ask(port, 'GET /things', { 'x-index': String(index) })
        const { code, title } = answer.json()
        t.strictSame([answer.status, code ?? title], [500, 'INTERNAL'], String(index))
        t.notMatch(answer.body, /billing|10\.0\.0\.7|secret/)
        t.notOk('www-authenticate' in answer.headers || 'retry-after' in answer.headers)
      }
      const told = logs.filter(({ level }) => level === 50)
      t.equal(told.length, all.length)
      t.match(told[0]?.err, { message: 'token of billing@10.0.0.7' }, 'the log has it')
    },
  )
}

t.test(
  'reply.code() and a throw: the status is the service’s, the words are not told',
  async (t) => {
    const { port, logs } = await listening(t, (_, { request, reply }) => {
      reply?.code(Number(request?.headers['x-status']))
      throw new Error('row 7 of person')
    })
    for (const [status, code, message] of [
      [403, 'FORBIDDEN', 'Forbidden'],
      [404, 'NOT_FOUND', 'Not Found'],
      [409, 'CONFLICT', 'Conflict'],
      [418, 'IM_A_TEAPOT', "I'm a Teapot"],
      [429, 'TOO_MANY_REQUESTS', 'Too Many Requests'],
      [499, 'BAD_REQUEST', 'Refused'],
      [503, 'SERVICE_UNAVAILABLE', 'Service Unavailable'],
      [200, 'INTERNAL', errors.INTERNAL().message],
      [500, 'INTERNAL', errors.INTERNAL().message],
    ] as const) {
      const answer = await ask(port, 'GET /things', { 'x-status': String(status) })
      t.equal(answer.status, status === 200 ? 500 : status)
      t.match(answer.json(), { code, message })
      t.notMatch(answer.body, 'person')
    }
    t.match(logs[0]?.err, { message: 'row 7 of person' }, 'the log has it')
  },
)

t.test(
  'tracing gives the reply the status of an error: it is not taken for the service’s',
  async (t) => {
    const { subscribe, unsubscribe } = await import('node:diagnostics_channel')
    const ignore = () => {}
    subscribe('tracing:fastify.request.handler:error', ignore)
    t.teardown(() => unsubscribe('tracing:fastify.request.handler:error', ignore))
    const { port } = await listening(t, (_, { request, reply }) => {
      const own = request?.headers['x-own']
      if (own) reply?.code(Number(own))
      throw foreign()[0]
    })
    t.equal((await ask(port, 'GET /things')).status, 500)
    t.equal((await ask(port, 'GET /things', { 'x-own': '403' })).status, 403)
  },
)

t.test('an error of the kit keeps its own status', async (t) => {
  const { port } = await listening(t, (_, { reply }) => {
    reply?.code(403)
    throw errors.CONFLICT('It is taken')
  })
  t.match((await ask(port, 'GET /things')).json(), { code: 'CONFLICT', message: 'It is taken' })
})

t.test('a nested call throws what it throws: the same is told', async (t) => {
  const inner = defineResource({
    summary: 'Inner',
    path: '/inner',
    request: Type.Object({ index: Type.Integer() }),
    perform({ index }, { request }) {
      if (index >= 0) throw foreign()[index]
      return request?.jwtVerify() as never
    },
  })
  const outer = defineResource({
    summary: 'Outer',
    request: inner.request,
    perform: (request) => inner(request),
  })
  const jwtPlugin = fp(async (app: FastifyInstance) => {
    await app.register(jwt, { secret: 'x'.repeat(32) })
  })
  const { app } = await createService(t, { inner, outer }, { plugins: [jwtPlugin] })
  for (const index of foreign().keys()) {
    const answer = await app.inject(`/things?index=${index}`)
    t.strictSame([answer.statusCode, answer.json().code], [500, 'INTERNAL'])
    t.notMatch(answer.body, 'billing')
  }
  const answer = await app.inject('/things?index=-1')
  t.strictSame([answer.statusCode, answer.json().code], [401, 'FST_JWT_NO_AUTHORIZATION_IN_HEADER'])
})

onEach(t, 'a task that an upstream has refused is tried again', async (t, attached) => {
  let tries = 0
  const call = defineResource({
    summary: 'Call',
    method: 'POST',
    task: { attempts: 2, backoff: { type: 'fixed', delay: 1 } },
    perform() {
      tries++
      if (tries === 1) throw foreign()[0]
      return null
    },
  })
  const app = await serve(t, attached, { call })
  const task = await app.run(() => call.enqueue({}))
  t.equal(await task.result(), null)
  t.equal(tries, 2)
})

onEach(t, 'what an upstream says is not the failure of a task', async (t, attached) => {
  const call = defineResource({
    summary: 'Call',
    method: 'POST',
    task: { attempts: 1 },
    perform() {
      throw foreign()[0]
    },
  })
  const app = await serve(t, attached, { call })
  const task = await app.run(() => call.enqueue({}))
  await task.result().catch(() => {})
  const { failure } = await app.tasks.find(task.task_id)
  t.match(failure, { code: 'INTERNAL' })
  t.notMatch(JSON.stringify(failure), 'billing')
})
