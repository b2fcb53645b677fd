import t from 'tap'
import { Type } from 'typebox'
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
    perform: (_, { app }) => [...app.resourceNames.values()],
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
