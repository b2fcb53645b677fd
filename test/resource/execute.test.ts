import { tracingChannel } from 'node:diagnostics_channel'
import t from 'tap'
import { Type } from 'typebox'
import { errors } from '../../src/errors.ts'
import { type Context, currentContext } from '../../src/resource/context.ts'
import type { AnyDefined } from '../../src/resource/contract.ts'
import { type Answer, execute } from '../../src/resource/execute.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import type { Call, StepMessage } from '../../src/resource/steps.ts'
import { createService, failure } from '../helpers/app.ts'

/** A service whose `thing` is cached, conditional and may run as a task; what it has performed. */
async function create(t: Parameters<typeof createService>[0], authorize?: (call: Call) => void) {
  const performed: string[] = []
  const request = Type.Object({ id: Type.String() })
  const response = Type.Object({ id: Type.String() })
  const perform = ({ id }: { id: string }) => {
    performed.push(id)
    return { id }
  }
  const thing = defineResource({
    summary: 'A thing',
    path: '/thing/:id',
    request,
    response,
    cache: { ttl: 60_000, perUser: false },
    etag: ({ id }) => id,
    async: true,
    perform,
  })
  const plain = defineResource({ summary: 'Plain', path: '/:id', request, response, perform })
  const { app } = await createService(
    t,
    { thing, plain },
    {
      ...(authorize && { authorize }),
      loadUser: (id) => ({ id }),
      identify: ({ headers }) => (headers.user ? { id: `${headers.user}` } : undefined),
    },
  )
  return { app, performed, thing, plain }
}

const STEPS = ['call', 'authorize', 'precondition', 'cache', 'perform', 'check'] as const

/** What the channels tell while `t` runs: the steps in the order in which they begin, and what they end with. */
function listen(t: Parameters<typeof createService>[0]) {
  const begun: string[] = []
  const failed: unknown[] = []
  for (const name of STEPS) {
    const subscribers = {
      start: (message: unknown) => begun.push(`${name} ${(message as StepMessage).call.name}`),
      end() {},
      asyncStart() {},
      asyncEnd() {},
      error: (message: unknown) => failed.push([name, (message as StepMessage).error]),
    }
    const channel = tracingChannel(`plinth:${name}`)
    channel.subscribe(subscribers)
    t.teardown(() => channel.unsubscribe(subscribers))
  }
  return { begun, failed }
}

const onlyAda = (call: Call) => {
  if (call.context.user?.id !== 'ada') throw errors.FORBIDDEN()
}

t.test('authorize is asked by every way, before the cache answers', async (t) => {
  const { app, performed, thing, plain } = await create(t, onlyAda)
  const as = (user: string, url: string, headers = {}) =>
    app.inject({ url, headers: { user, ...headers } })
  t.equal((await as('ada', '/things/thing/a')).statusCode, 200)
  t.equal((await as('bob', '/things/thing/a')).statusCode, 403, 'what is cached, too')
  t.equal((await as('bob', '/things/thing/a', { 'x-async-task': '1' })).statusCode, 403)
  t.equal((await as('bob', '/things/b')).statusCode, 403)
  const asBob = <T>(work: () => T) =>
    app.run(() => {
      ;(currentContext() as { user: unknown }).user = { id: 'bob' }
      return work()
    })
  const forbidden = { code: 'FORBIDDEN' }
  t.match(await failure(asBob(() => plain({ id: 'c' }))), forbidden)
  t.match(await failure(asBob(() => thing({ id: 'a' }))), forbidden)
  t.match(await failure(asBob(() => thing.refresh({ id: 'a' }))), forbidden)
  t.match(await failure(asBob(() => plain({ id: 'd' }, { timeout: 1000 }))), forbidden)
  t.match(await failure(asBob(() => plain.bulk([{ id: 'e' }]))), forbidden)
  t.match(await failure(asBob(() => plain.enqueue({ id: 'f' }))), forbidden)
  t.strictSame(performed, ['a'])
})

t.test('a task is authorized again where it runs, as its user', async (t) => {
  const asked: unknown[] = []
  let isAllowed = true
  const { app, performed, plain } = await create(t, ({ context, name, input }) => {
    asked.push([name, context.user?.id, context.task !== undefined, input])
    if (!isAllowed) throw errors.FORBIDDEN()
  })
  const task = await app.run(async () => {
    ;(currentContext() as { user: unknown }).user = { id: 'ada' }
    const task = await plain.enqueue({ id: 'a' }, { delay: 20 })
    isAllowed = false
    return task
  })
  t.match(await failure(task.result()), { code: 'TASK_FAILED' })
  t.strictSame(asked, [
    ['things.plain', 'ada', false, { id: 'a' }],
    ['things.plain', 'ada', true, { id: 'a' }],
  ])
  t.strictSame(performed, [])
})

t.test('the channels tell the steps of each way to call', async (t) => {
  const { app, thing, plain } = await create(t, () => {})
  const { begun, failed } = listen(t)
  const stepsOf = async (work: () => unknown) => {
    begun.length = 0
    await work()
    return begun.map((one) => one.replace(/ things\.(thing|plain)$/, ''))
  }
  const whole = ['call', 'authorize', 'precondition', 'cache']
  t.strictSame(await stepsOf(() => app.inject('/things/thing/a')), [...whole, 'perform'])
  t.strictSame(await stepsOf(() => app.inject('/things/thing/a')), whole, 'a hit')
  t.strictSame(await stepsOf(() => app.run(() => thing({ id: 'a' }))), [
    'call',
    'authorize',
    'cache',
  ])
  const uncached = ['call', 'authorize', 'perform', 'check']
  t.strictSame(await stepsOf(() => app.inject('/things/a')), uncached)
  t.strictSame(await stepsOf(() => app.run(() => plain({ id: 'a' }))), uncached)
  t.strictSame(await stepsOf(() => app.run(() => plain.bulk([{ id: 'a' }]))), uncached)
  const asTask = () => app.run(async () => (await plain.enqueue({ id: 'a' })).result())
  t.strictSame(await stepsOf(asTask), ['call', 'authorize', ...uncached])
  t.strictSame(failed, [])
})

t.test('without authorize, and with nobody who listens, a hit is there at once', async (t) => {
  const { app, thing, performed } = await create(t)
  await app.run(() => thing({ id: 'a' }))
  t.strictSame(await app.run(() => thing({ id: 'a' })), { id: 'a' })
  t.strictSame(performed, ['a'])
})

t.test('what is performed at once is answered at once, and a promise is waited for', async (t) => {
  const response = Type.Object({ n: Type.Integer() })
  const now = defineResource({ summary: 'Now', response, perform: () => ({ n: 1 }) })
  const soon = defineResource({ summary: 'Soon', response, perform: async () => ({ n: 2 }) })
  const never = defineResource({
    summary: 'Never',
    perform() {
      throw errors.CONFLICT('It is taken')
    },
  })
  const { app } = await createService(
    t,
    {},
    { modules: { at: defineModule({ resources: { now, soon, never }, expose: false }) } },
  )
  const answer: Answer<unknown> = {
    text: ({ text }) => text,
    data: (value) => value,
    check: (value) => value,
  }
  const call = (resource: AnyDefined) =>
    app.run(() => {
      const context = currentContext() as Context
      return execute({ resource, name: 'at.x', input: {}, context, mode: 'cached' }, answer)
    })
  t.strictSame(call(now), { n: 1 })
  t.type(call(soon), Promise)
  t.strictSame(await call(soon), { n: 2 })
  t.throws(() => call(never), { code: 'CONFLICT' })
  listen(t)
  t.type(call(now), Promise, 'who listens is told of an end')
})

t.test('a step that fails is told with its error', async (t) => {
  const { app } = await create(t, () => {
    throw errors.FORBIDDEN()
  })
  const { failed } = listen(t)
  t.equal((await app.inject('/things/a')).statusCode, 403)
  t.match(failed, [
    ['authorize', { code: 'FORBIDDEN' }],
    ['call', { code: 'FORBIDDEN' }],
  ])
})
