import t from 'tap'
import { Type } from 'typebox'
import type { ResourceDefinition } from '../../src/resource/contract.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createGate, failure } from '../helpers/app.ts'
import { onEach, serve } from './attached.ts'

/** So long a deaf task may take once it has been aborted. */
const tasks = { abortGrace: 30, concurrency: 3 }

const quick = defineResource({
  summary: 'Quick',
  path: '/quick',
  response: Type.Integer(),
  perform: () => 1,
})

/** A resource that does not hear of its signal, and is done when `until` is. */
function createDeaf(until: Promise<unknown>, task: ResourceDefinition<never, never>['task']) {
  const signals: AbortSignal[] = []
  const deaf = defineResource({
    summary: 'Deaf',
    path: '/deaf',
    response: Type.String(),
    timeout: 60_000,
    ...(task && { task }),
    async perform(_, { signal, progress }) {
      signals.push(signal)
      await until
      await progress({ message: 'too late' })
      return 'late'
    },
  })
  return { deaf, signals }
}

const late = { code: 'DEADLINE_EXCEEDED', message: /deadline of 20 ms/ }

onEach(t, 'hung tasks fail in time, and leave their places to others', async (t, attached) => {
  const gate = createGate()
  const { deaf, signals } = createDeaf(gate.opened, { timeout: 20 })
  const app = await serve(t, attached, { deaf, quick }, { tasks })
  const hung = await Promise.all(Array.from({ length: 6 }, () => app.run(() => deaf.enqueue())))
  const next = await app.run(() => quick.enqueue())
  t.equal(await next.result(), 1)
  for (const task of hung) {
    t.match(await failure(task.result()), { code: 'TASK_FAILED', message: late.message })
    t.match(await app.tasks.find(task.task_id), { failure: late, attempts_made: 1, progress: null })
  }
  for (const { reason } of signals) t.match(reason, late)
  t.equal(app.tasks.stuck.count, 6, 'they go on')
  await app.tasks.stuck.reach(6)
  gate.open()
  const last = await app.run(() => quick.enqueue())
  await last.result()
  t.equal(app.tasks.stuck.count, 0)
  for (const task of hung) {
    const record = await app.tasks.find(task.task_id)
    t.match(record, { state: 'failed', result: null, progress: null }, 'what comes late is ignored')
  }
})

onEach(t, 'a try that was given up is one of the attempts', async (t, attached) => {
  const gate = createGate()
  const backoff = { type: 'fixed', delay: 1 } as const
  const { deaf, signals } = createDeaf(gate.opened, { timeout: 20, attempts: 2, backoff })
  const app = await serve(t, attached, { deaf }, { tasks })
  const task = await app.run(() => deaf.enqueue())
  await failure(task.result())
  t.match(await app.tasks.find(task.task_id), { failure: late, attempts_made: 2 })
  t.equal(signals.length, 2)
  gate.open()
})

onEach(
  t,
  'the timeout of a task is that of its resource unless it says another',
  async (t, attached) => {
    const heeding = (
      path: string,
      definition: Pick<ResourceDefinition<never, never>, 'task' | 'timeout'>,
    ) =>
      defineResource({
        summary: path,
        path,
        ...definition,
        perform: (_, { signal }) =>
          new Promise<null>((_, reject) => {
            // What it throws is its own; why it was aborted is what counts.
            signal.addEventListener('abort', () => reject(new Error('aborted')))
          }),
      })
    const gate = createGate()
    const own = heeding('/own', { timeout: 20 })
    const other = heeding('/other', { timeout: 60_000, task: { timeout: 20 } })
    const endless = defineResource({
      summary: 'Endless',
      path: '/endless',
      response: Type.Boolean(),
      timeout: 20,
      task: { timeout: 0 },
      async perform(_, { signal }) {
        await gate.opened
        return signal.aborted
      },
    })
    // Longer than the test: these end as soon as they are aborted.
    const long = { abortGrace: 600_000 }
    const app = await serve(t, attached, { own, other, endless }, { tasks: long })
    const last = await app.run(() => endless.enqueue())
    for (const resource of [own, other]) {
      const task = await app.run(() => resource.enqueue())
      await failure(task.result())
      t.match(await app.tasks.find(task.task_id), { failure: late })
    }
    gate.open()
    t.equal(await last.result(), false)
  },
)

onEach(t, 'what may take its time within the grace succeeds', async (t, attached) => {
  const slow = defineResource({
    summary: 'Slow',
    response: Type.String(),
    task: { timeout: 20 },
    perform: (_, { signal }) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => resolve('just in time'))
      }),
  })
  const app = await serve(t, attached, { slow }, { tasks: { abortGrace: 600_000 } })
  const task = await app.run(() => slow.enqueue())
  t.equal(await task.result(), 'just in time')
})

t.test('a timeout that is none is refused', async (t) => {
  for (const timeout of [-1, 1.5, Number.NaN, 2 ** 31]) {
    const { deaf } = createDeaf(Promise.resolve(), { timeout })
    const refused = await failure(serve(t, { url: undefined }, { deaf }))
    t.match(refused, { code: 'RESOURCE_INVALID', message: /things\.deaf.*timeout/ }, `${timeout}`)
  }
})
