import Fastify from 'fastify'
import t from 'tap'
import { Type } from 'typebox'
import { giveContext } from '../../src/http/request-context.ts'
import { type Context, currentContext } from '../../src/resource/context.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createGate, serveThings } from '../helpers/app.ts'

const inner = defineResource({
  summary: 'Who asks',
  path: '/inner',
  response: Type.Unknown(),
  perform: (_, { requestId, user }) => ({ requestId, user: user?.id ?? null }),
})

t.test('a call within a request has its id, user, log and signal', async (t) => {
  const seen: Context[] = []
  const look = defineResource({
    summary: 'Look',
    path: '/look',
    perform: (_, context) => {
      seen.push(context)
      return null
    },
  })
  const outer = defineResource({
    summary: 'Outer',
    path: '/outer',
    async perform(_, context) {
      context.user = { id: 'ada' }
      await look()
      await look.bulk([{}])
      await context.app.resources.things?.look?.()
      return await look(undefined, { timeout: 1000 })
    },
  })
  const app = await serveThings(t, { outer, look }, { server: { genReqId: () => 'r-1' } })
  t.equal((await app.inject('/things/outer')).statusCode, 200)
  t.strictSame(
    seen.map(({ requestId, user, log, request }) => [
      requestId,
      user?.id,
      log === request?.log,
      request?.url,
    ]),
    Array(4).fill(['r-1', 'ada', true, '/things/outer']),
  )
  const [nested, bulked, bound, timed] = seen
  t.ok(nested === bulked && nested === bound, 'the very context')
  t.not(timed, nested, 'a call with a deadline of its own has a signal of its own')
})

t.test('requests at the same time do not mix', async (t) => {
  const both = createGate()
  let arrived = 0
  const outer = defineResource({
    summary: 'Outer',
    path: '/outer',
    request: Type.Object({ name: Type.String() }),
    response: Type.Unknown(),
    async perform({ name }, context) {
      context.user = { id: name }
      arrived += 1
      if (arrived === 2) both.open()
      await both.opened
      return await inner()
    },
  })
  const ids = ['r-1', 'r-2'].values()
  const app = await serveThings(
    t,
    { outer, inner },
    { server: { genReqId: () => ids.next().value ?? '' } },
  )
  const [a, b] = await Promise.all([
    app.inject('/things/outer?name=ada'),
    app.inject('/things/outer?name=bob'),
  ])
  t.strictSame(a?.json().data, { requestId: 'r-1', user: 'ada' })
  t.strictSame(b?.json().data, { requestId: 'r-2', user: 'bob' })
})

t.test('outside of requests each context has one id of its own', async (t) => {
  const app = await serveThings(t, { inner })
  const ids = () => app.run(async () => [await inner(), await inner()])
  const [[a, b] = [], [c] = []] = await Promise.all([ids(), ids()])
  t.match(a, { requestId: /^[\da-f-]{36}$/, user: null })
  t.strictSame(b, a)
  t.notSame(c, a)
  t.equal(
    app.run(() => currentContext()?.log),
    app.log,
  )
  t.equal(
    app.run(() => currentContext()?.signal.aborted),
    false,
  )
})

t.test('two apps with one resource each use their own', async (t) => {
  const names = defineResource({
    summary: 'Names',
    response: Type.Array(Type.String()),
    perform: (_, { app }) => Array.from(app.registry, ({ name }) => name),
  })
  const one = await serveThings(t, { names })
  const two = await serveThings(t, { other: names })
  t.strictSame(await one.run(() => two.resources.things?.other?.()), ['things.other'])
  t.strictSame(await one.run(() => names()), ['things.names'])
})

t.test('without a database db says what to do', async (t) => {
  const app = await serveThings(t, { inner })
  t.throws(() => app.run(() => currentContext()?.db), {
    code: 'DATABASE_MISSING',
    message: 'No database is attached: set DATABASE_URL, or register plinth/plugins/database',
  })
})

t.test(
  'the context of a request is there from the first hook until the answer is sent',
  async (t) => {
    const seen: unknown[] = []
    const note = (where: string) => {
      const context = currentContext()
      seen.push([where, context?.requestId, context?.user?.id, context?.signal.aborted])
    }
    const app = await serveThings(
      t,
      { inner },
      {
        server: { genReqId: () => 'r-1' },
        plugin(app) {
          giveContext(app)
          app.addHook('onRequest', async (request) => {
            note('onRequest')
            ;(request as { user?: unknown }).user = { id: 'ada' }
          })
          app.addHook('preHandler', async () => note('preHandler'))
          app.addHook('onSend', async () => note('onSend'))
          app.route({
            method: ['GET', 'POST'],
            url: '/plain',
            handler: async () => {
              note('handler')
              return await app.resources.things?.inner?.()
            },
          })
          app.post('/broken', async () => 'never')
        },
      },
    )
    const expected = (...places: string[]) => [
      ['onRequest', 'r-1', undefined, false],
      ...places.map((where) => [where, 'r-1', 'ada', false]),
    ]
    for (const method of ['GET', 'POST'] as const) {
      seen.length = 0
      const payload = method === 'POST' ? { payload: { a: 1 } } : {}
      const answer = await app.inject({ method, url: '/plain', ...payload })
      t.strictSame(answer.json(), { requestId: 'r-1', user: 'ada' }, 'the resource has its caller')
      t.strictSame(seen, expected('preHandler', 'handler', 'onSend'))
    }
    seen.length = 0
    t.equal(
      (await app.inject({ method: 'POST', url: '/broken', body: '{', headers: json })).statusCode,
      400,
    )
    t.strictSame(seen, expected('onSend'), 'where the body could not be read')
  },
)

const json = { 'content-type': 'application/json' }

t.test('error handlers of the service see the context', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  giveContext(app)
  app.setErrorHandler((_error, _request, reply) =>
    reply.code(418).send({ id: currentContext()?.requestId, user: currentContext()?.user?.id }),
  )
  app.addHook('onRequest', async (request) => {
    ;(request as { user?: unknown }).user = { id: 'ada' }
  })
  app.post('/', async () => Promise.reject(new Error('failed')))
  for (const body of ['{}', '{']) {
    const answer = await app.inject({ method: 'POST', url: '/', headers: json, body })
    t.match(answer.json(), { id: /^req-/, user: 'ada' })
    t.equal(answer.statusCode, 418)
  }
})
