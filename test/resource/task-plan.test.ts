import t from 'tap'
import { Type } from 'typebox'
import { errors } from '../../src/errors.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { chain, group, type TaskPlan } from '../../src/resource/task-plan.ts'
import type { EnqueueOptions } from '../../src/task/types.ts'
import { failure } from '../helpers/app.ts'
import { until } from '../suites/task-fixture.ts'
import { onEach, serve } from './attached.ts'

/** Resources of which one adds what it is given to the results it has waited for. */
function create() {
  const ran: string[] = []
  const add = defineResource({
    summary: 'Add',
    request: Type.Object({ n: Type.Integer() }),
    response: Type.Integer(),
    async perform({ n }, { task, user }) {
      ran.push(`${n} ${user?.id ?? '-'}`)
      if (n < 0) throw errors.CONFLICT('below zero')
      const before = (await task?.childResults()) as number[]
      return before.reduce((sum, one) => sum + one, n)
    },
  })
  const all = defineResource({
    summary: 'All',
    path: '/all',
    response: Type.Array(Type.Integer()),
    perform: async (_, { task }) => (await task?.childResults()) as number[],
  })
  return { ran, add, all }
}

onEach(t, 'a chain runs one after the other', async (t, attached) => {
  const { add, ran } = create()
  const app = await serve(t, attached, { add })
  const task = await app.run(() =>
    chain(add.task({ n: 1 }), add.task({ n: 2 }), add.task({ n: 3 })),
  )
  t.equal(await task.result(), 6)
  t.strictSame(ran, ['1 -', '2 -', '3 -'])
  t.equal(await (await app.run(() => chain(add.task({ n: 5 })))).result(), 5)
})

onEach(t, 'a group hands its results on in order', async (t, attached) => {
  const { add, all } = create()
  const app = await serve(t, attached, { add, all })
  const parts = [3, 1, 2].map((n, index) => add.task({ n }, { delay: 20 * (3 - index) }))
  const task = await app.run(() => group(parts, all.task()))
  t.strictSame(await task.result(), [3, 1, 2])
  const empty = await app.run(() => group([], all.task()))
  t.strictSame(await empty.result(), [])
  const bound = app.resources.things
  const plan = bound?.all?.task()
  t.strictSame(
    await (await app.run(() => chain(bound?.add?.task({ n: 4 }) as never, plan as never))).result(),
    [4],
  )
})

onEach(t, 'what waits for one that fails does not run', async (t, attached) => {
  const { add, all, ran } = create()
  const app = await serve(t, attached, { add, all })
  const plans = [add.task({ n: 1 }), add.task({ n: -1 })]
  const task = await app.run(() => group(plans, add.task({ n: 7 })))
  const told = await failure(task.result())
  t.equal(told.code, 'TASK_FAILED')
  t.match(told.message, /a task that needs its result cannot run/)
  t.match(await app.tasks.find(task.task_id), { state: 'failed', failure: { code: 'TASK_FAILED' } })
  t.notOk(ran.includes('7 -'))
  const long = [add.task({ n: -2 }), add.task({ n: 8 }), add.task({ n: 9 })] as const
  const last = await app.run(() => chain(...long))
  await t.rejects(last.result(), { code: 'TASK_FAILED' })
  t.notOk(ran.some((one) => /^[89]/.test(one)))
})

onEach(t, 'what waits for one that may fail runs without it', async (t, attached) => {
  const { add } = create()
  const told = defineResource({
    summary: 'Told',
    path: '/told',
    response: Type.Array(Type.Union([Type.String(), Type.Null()])),
    async perform(_, { task }) {
      const failures = (await task?.childFailures()) ?? []
      const results = (await task?.childResults()) ?? []
      return failures.map((failure, index) => failure?.code ?? `${results[index]}`)
    },
  })
  const app = await serve(t, attached, { add, told })
  const parts = [add.task({ n: 1 }), add.task({ n: -1 }, { ifFails: 'ignore' })]
  const task = await app.run(() => group(parts, told.task()))
  t.strictSame(await task.result(), ['1', 'CONFLICT'])
})

onEach(t, 'equal ones are throttled and debounced', async (t, attached) => {
  const { add, ran } = create()
  const app = await serve(t, attached, { add })
  const enqueue = (n: number, options: EnqueueOptions) =>
    app.run(async () => (await add.enqueue({ n }, options)).task_id)
  const first = await enqueue(1, { throttle: 60_000 })
  t.equal(await enqueue(1, { throttle: 60_000 }), first)
  t.not(await enqueue(2, { throttle: 60_000 }), first, 'with another request')
  t.not(await enqueue(1, { unique: true }), first, 'what is unique is something else')
  const late = { debounce: 5000, same: 'sums' }
  const meant = await enqueue(3, late)
  t.equal(await enqueue(4, late), meant)
  t.equal(await app.tasks.result(meant), 4, 'the last request')
  t.strictSame(ran.toSorted(), ['1 -', '1 -', '2 -', '4 -'])
  for (const options of [
    { throttle: 0 },
    { debounce: -1 },
    { throttle: 5, debounce: 5 },
    { debounce: 5, delay: 5 },
    { unique: true, throttle: 5 },
  ])
    await t.rejects(enqueue(5, options), { code: 'TASK_INVALID' }, JSON.stringify(options))
})

onEach(t, 'each part is checked before any is added', async (t, attached) => {
  const { add } = create()
  const app = await serve(t, attached, { add })
  const bad = add.task({ n: 'x' } as never)
  t.equal((await failure(app.run(() => chain(add.task({ n: 1 }), bad)))).code, 'INVALID_REQUEST')
  const late = add.task({ n: 1 }, { delay: -1 })
  t.equal((await failure(app.run(() => group([late], add.task({ n: 1 }))))).code, 'TASK_INVALID')
  t.strictSame(await (await app.tasks.driver()).queues(), [])
})

onEach(t, 'each part is of the user who asks', async (t, attached) => {
  const { add, all, ran } = create()
  const start = defineResource({
    summary: 'Start',
    method: 'POST',
    response: Type.String(),
    perform: async () => (await group([add.task({ n: 1 })], all.task())).task_id,
  })
  const app = await serve(t, attached, { add, all, start })
  const headers = { 'x-user': 'ann' }
  const { data: id } = (await app.inject({ method: 'POST', url: '/things', headers })).json()
  t.strictSame(await app.tasks.result(id), [1])
  t.strictSame(ran, ['1 ann'])
  t.equal((await app.inject({ url: `/tasks/${id}`, headers })).json().data.data[0], 1)
  t.equal((await app.inject(`/tasks/${id}`)).statusCode, 404)
})

onEach(t, 'a chain that is cancelled ends', async (t, attached) => {
  const { add, ran } = create()
  const app = await serve(t, attached, { add })
  const plans = [add.task({ n: 1 }, { delay: 3_600_000 }), add.task({ n: 2 })] as const
  const task = await app.run(() => chain(...plans))
  t.equal(await task.cancel(), true)
  await until(async () => (await task.status()).state === 'cancelled')
  t.strictSame(ran, [])
})

onEach(t, 'the resources of the app make tasks for a chain, too', async (t, attached) => {
  const app = await serve(t, attached, { add: create().add })
  const add = app.resources.things?.add
  const task = await app.run(() =>
    chain(add?.task({ n: 1 }) as TaskPlan, add?.task({ n: 2 }) as TaskPlan),
  )
  t.equal(await task.result(), 3)
})
