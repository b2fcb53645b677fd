import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { errors, PlinthError } from '../../src/errors.ts'
import type { ResourceDefinition } from '../../src/resource/contract.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { chain, group } from '../../src/resource/task-plan.ts'
import { fail, retry } from '../../src/resource/task-verdict.ts'
import { createGate, failure } from '../helpers/app.ts'
import { until } from '../suites/task-fixture.ts'
import { type Attached, logged, onEach, serve } from './attached.ts'

const QUICK = { attempts: 3, backoff: { type: 'fixed', delay: 1 } } as const

/** A resource that throws what `outcome` says, and how often it was tried. */
function failing(outcome: () => never, task: ResourceDefinition<never, never>['task'] = QUICK) {
  const tries: number[] = []
  const work = defineResource({
    summary: 'Work',
    ...(task && { task }),
    perform(_, context) {
      tries.push(context.task?.attempt ?? 0)
      outcome()
    },
  })
  return { work, tries }
}

const throws = (error: unknown) => () => {
  throw error
}

/** The tries of a task that fails so. */
async function triesOf(t: Test, attached: Attached, outcome: () => never, task = QUICK) {
  const { work, tries } = failing(outcome, task)
  const app = await serve(t, attached, { work })
  const added = await app.run(() => work.enqueue())
  const told = await failure(added.result())
  t.equal(told.code, 'TASK_FAILED')
  return { tries, record: await app.tasks.find(added.task_id) }
}

onEach(t, 'what passes is tried again, what lasts is not', async (t, attached) => {
  for (const status of [408, 409, 423, 425, 429, 500, 503]) {
    const { tries } = await triesOf(t, attached, throws(new PlinthError('X', status, 'x')))
    t.strictSame(tries, [1, 2, 3], `${status}`)
  }
  for (const status of [400, 401, 403, 404, 412, 422]) {
    const { tries } = await triesOf(t, attached, throws(new PlinthError('X', status, 'x')))
    t.strictSame(tries, [1], `${status}`)
  }
})

onEach(t, 'perform says itself whether another try is made, and when', async (t, attached) => {
  const lasting = errors.NOT_FOUND('city', 7)
  const again = await triesOf(t, attached, () => retry(lasting))
  t.strictSame(again.tries, [1, 2, 3])
  t.match(again.record, { failure: { code: 'NOT_FOUND', message: lasting.message } })
  const slow = { ...QUICK, backoff: { type: 'fixed', delay: 3_600_000 } } as unknown as typeof QUICK
  const soon = await triesOf(t, attached, () => retry(lasting, { delay: 1 }), slow)
  t.strictSame(soon.tries, [1, 2, 3])
  const passing = errors.CONFLICT('it is being changed')
  const final = await triesOf(t, attached, () => fail(passing))
  t.strictSame(final.tries, [1])
  t.match(final.record, { failure: { code: 'CONFLICT', message: passing.message } })
})

t.test('outside of a task both are the error itself', async (t) => {
  const error = errors.CONFLICT('it is there already')
  for (const verdict of [() => retry(error), () => fail(error)]) {
    const { work } = failing(verdict)
    const app = await serve(t, { url: undefined }, { work })
    t.equal(await app.run(() => work()).catch((thrown) => thrown), error)
    t.equal((await app.inject('/things')).statusCode, 409)
  }
})

onEach(t, 'hooks hear of the end of a task, in its context', async (t, attached) => {
  const heard: unknown[] = []
  const work = defineResource({
    summary: 'Work',
    request: Type.Object({ good: Type.Boolean() }),
    response: Type.Integer(),
    task: {
      ...QUICK,
      onSuccess: (result, { user, task }) => heard.push([result, user?.id, task?.attempt]),
      onFailure: (error, { user, task }) => heard.push([error.code, user?.id, task?.attempt]),
    },
    perform: ({ good }) => (good ? 7 : retry(errors.NOT_FOUND('city', 7))),
  })
  const bad = defineResource({
    summary: 'Its hook fails',
    path: '/bad',
    response: Type.Integer(),
    task: { onSuccess: throws(new Error('no hook')) },
    perform: () => 8,
  })
  const { logs, server } = logged()
  const app = await serve(t, attached, { work, bad }, { server })
  for (const good of [true, false]) {
    const task = await app.run(() => work.enqueue({ good }, { user: 'ann' }))
    await task.result().catch(() => {})
  }
  t.strictSame(heard, [
    [7, 'ann', 1],
    ['NOT_FOUND', 'ann', 3],
  ])
  t.equal(await (await app.run(() => bad.enqueue())).result(), 8)
  t.match(
    logs.find(({ msg }) => msg === 'onSuccess of the task has failed'),
    { level: 50, err: { message: 'no hook' } },
  )
})

onEach(t, 'result and progress are bounded in bytes', async (t, attached) => {
  let runs = 0
  const large = defineResource({
    summary: 'Large',
    request: Type.Object({ length: Type.Integer() }),
    response: Type.String(),
    task: QUICK,
    perform({ length }) {
      runs++
      // Two bytes each.
      return 'ü'.repeat(length)
    },
  })
  const told: unknown[] = []
  const telling = defineResource({
    summary: 'Telling',
    path: '/telling',
    async perform(_, { progress }) {
      await progress({ data: 'x' })
      told.push(await failure(progress({ data: 'x'.repeat(100) })))
      return null
    },
  })
  const app = await serve(t, attached, { large, telling }, { tasks: { resultLimit: 100 } })
  const fits = await app.run(() => large.enqueue({ length: 49 }))
  t.equal((await fits.result()).length, 49)
  runs = 0
  const task = await app.run(() => large.enqueue({ length: 50 }))
  await failure(task.result())
  const message = 'The result of the task has 102 bytes, of which at most 100 are kept'
  t.match(await app.tasks.find(task.task_id), { failure: { code: 'TASK_TOO_LARGE', message } })
  t.equal(runs, 1, 'the work is done')
  await (await app.run(() => telling.enqueue())).result()
  t.match(told, [{ code: 'TASK_TOO_LARGE', message: /progress of the task has 111 bytes/ }])
})

onEach(t, 'a key holds for one input', async (t, attached) => {
  const echo = defineResource({
    summary: 'Echo',
    method: 'POST',
    request: Type.Object({ n: Type.Integer() }),
    response: Type.Integer(),
    async: true,
    perform: ({ n }) => n,
  })
  const app = await serve(t, attached, { echo })
  const enqueue = (n: number) => app.run(() => echo.enqueue({ n }, { key: 'k', keyFor: 60_000 }))
  const one = await enqueue(1)
  t.equal((await enqueue(1)).task_id, one.task_id)
  const reused = { code: 'TASK_KEY_REUSED', message: new RegExp(one.task_id) }
  t.match(await failure(enqueue(2)), reused)
  t.equal(await one.result(), 1)
  t.match(await failure(enqueue(2)), reused)
  const asked = (n: number) =>
    app.inject({
      method: 'POST',
      url: '/things',
      headers: { 'x-async-task': '1', 'x-task-options': '{"key":"of-a-client"}' },
      payload: { n },
    })
  t.equal((await asked(1)).statusCode, 200)
  t.equal((await asked(2)).statusCode, 409)
})

onEach(t, 'many are enqueued at once, in order', async (t, attached) => {
  const sums: number[] = []
  const add = defineResource({
    summary: 'Add',
    request: Type.Object({ n: Type.Integer({ minimum: 0 }) }),
    response: Type.Integer(),
    perform: ({ n }) => sums.push(n) && n + 1,
  })
  const app = await serve(
    t,
    attached,
    { add },
    {
      plugin(app) {
        app.decorate('authorize', ({ input }: { input: unknown }) => {
          if ((input as { n: number }).n === 13) throw errors.FORBIDDEN()
        })
      },
    },
  )
  const requests = Array.from({ length: 1100 }, (_, n) => ({ n: n + 20 }))
  const tasks = await app.run(() => add.enqueueMany(requests, { delay: 1, user: 'ann' }))
  await until(() => sums.length === 1100)
  for (const index of [0, 999, 1000, 1099]) t.equal(await tasks[index]?.result(), index + 21)
  t.equal(new Set(sums).size, 1100)
  t.match(await app.tasks.find(tasks[1099]?.task_id as string), { data: { user: 'ann' } })
  t.strictSame(await app.run(() => add.enqueueMany([])), [])

  const keyed = () =>
    app.run(() => add.enqueueMany([{ n: 1 }, { n: 2 }, { n: 1 }], { key: ({ n }) => `${n}` }))
  const first = (await keyed()).map(({ task_id }) => task_id)
  t.equal(new Set(first).size, 2)
  t.strictSame(
    (await keyed()).map(({ task_id }) => task_id),
    first,
  )
  const driver = await app.tasks.driver()
  const before = await driver.counts('default')
  const refused: [requests: { n: number }[], options: object, code: string][] = [
    [[{ n: 1 }, { n: -1 }], {}, 'INVALID_REQUEST'],
    [[{ n: 1 }, { n: 13 }], {}, 'FORBIDDEN'],
    [[{ n: 1 }], { attempts: 0 }, 'TASK_INVALID'],
    [[{ n: 5 }, { n: 6 }], { key: () => 'same' }, 'TASK_KEY_REUSED'],
    [
      [{ n: 7 }, { n: 8 }],
      { key: ({ n }: { n: number }) => (n === 7 ? 'new' : '1') },
      'TASK_KEY_REUSED',
    ],
  ]
  for (const [requests, options, code] of refused)
    t.equal((await failure(app.run(() => add.enqueueMany(requests, options)))).code, code)
  const sum = ({ waiting, running, succeeded }: typeof before) => waiting + running + succeeded
  t.equal(sum(await driver.counts('default')), sum(before), 'all of them or none')
})

onEach(t, 'a flow tells its children, and cancels them', async (t, attached) => {
  const gate = createGate()
  const ran: number[] = []
  const step = defineResource({
    summary: 'Step',
    request: Type.Object({ n: Type.Integer() }),
    async perform({ n }, { signal }) {
      ran.push(n)
      if (n === 0) await gate.opened
      signal.throwIfAborted()
      return null
    },
  })
  const app = await serve(t, attached, { step })
  const flow = await app.run(() =>
    chain(step.task({ n: 0 }), step.task({ n: 1 }), step.task({ n: 2 })),
  )
  t.equal(flow.children.length, 2)
  await until(() => ran.length === 1)
  t.equal(await flow.cancel(), true)
  gate.open()
  for (const task of [flow, ...flow.children])
    t.equal((await failure(task.result())).code, 'TASK_CANCELLED')
  t.strictSame(ran, [0])
  const parts = [step.task({ n: 3 }), step.task({ n: 4 })]
  const all = await app.run(() => group(parts, step.task({ n: 5 })))
  t.equal(await all.result(), null)
  for (const child of all.children) t.equal((await child.status()).state, 'succeeded')
  t.equal(new Set([all, ...all.children].map(({ task_id }) => task_id)).size, 3)
})

onEach(t, 'who waits for a result that nobody wants any more gives up', async (t, attached) => {
  const never = defineResource({ summary: 'Never', path: '/never', perform: () => null })
  const waits = defineResource({
    summary: 'Waits',
    path: '/waits',
    timeout: 1000,
    async perform() {
      const task = await never.enqueue({}, { delay: 3_600_000 })
      ended.open(await failure(task.result()))
      return null
    },
  })
  const ended = createGate<unknown>()
  const app = await serve(t, attached, { never, waits })
  t.equal((await failure(app.run(() => waits()))).code, 'DEADLINE_EXCEEDED')
  t.match(await ended.opened, { code: 'DEADLINE_EXCEEDED' })
})

onEach(t, 'a resource is found by what it was called, until it is too old', async (t, attached) => {
  const renamed = defineResource({
    summary: 'Renamed',
    aliases: ['things.old', 'gone.older'],
    response: Type.String(),
    perform: () => 'done',
  })
  const app = await serve(t, attached, { renamed }, { tasks: { unknownAge: 1 } })
  const { createTask } = await import('../../src/task/new-task.ts')
  const submit = async (resource: string) => {
    const data = { resource, input: {}, user: null, requestId: 'r' }
    return await app.tasks.submit({ ...createTask(data, { attempts: 5 }, 1000, ''), children: [] })
  }
  for (const name of ['things.old', 'gone.older', 'things.renamed'])
    t.equal(await app.tasks.result(await submit(name)), 'done', name)
  // Its age is counted from when it could run: that was a moment ago.
  const driver = await app.tasks.driver()
  await driver.pause('default', true)
  const unknown = await submit('things.removed')
  const { enqueued_at } = await app.tasks.find(unknown)
  await until(() => Date.now() > Date.parse(enqueued_at) + 1)
  await driver.pause('default', false)
  t.equal((await failure(app.tasks.result(unknown))).code, 'TASK_FAILED')
  t.match(await app.tasks.find(unknown), {
    attempts_made: 1,
    failure: { code: 'TASK_UNKNOWN', message: /things\.removed/ },
  })
})

t.test('an alias is a name of nobody else', async (t) => {
  const one = defineResource({ summary: 'One', aliases: ['things.old'], perform: () => null })
  const two = (alias: string) =>
    defineResource({ summary: 'Two', path: '/two', aliases: [alias], perform: () => null })
  for (const alias of ['things.one', 'things.old']) {
    const told = await failure(serve(t, { url: undefined }, { one, two: two(alias) }))
    t.match(told, { code: 'RESOURCE_INVALID', message: new RegExp(`its alias ${alias} is a name`) })
  }
  const keep = { succeeded: { age: 0 } }
  const bad = defineResource({ summary: 'Bad', task: { keep }, perform: () => null })
  t.match(await failure(serve(t, { url: undefined }, { bad })), {
    code: 'RESOURCE_INVALID',
    message: /keep\.succeeded\.age is 0/,
  })
})
