import t from 'tap'
import { Type } from 'typebox'
import type { TaskConcurrency } from '../../src/resource/contract.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { failure, serveThings } from '../helpers/app.ts'
import { until } from '../suites/task-fixture.ts'
import { onEach, serve } from './attached.ts'

type Request = { tenant: string }

/** Runs until it is let go. */
function exporting(concurrency: TaskConcurrency<Request>, schedule?: string) {
  const begun: string[] = []
  const ends: (() => void)[] = []
  const all = defineResource({
    summary: 'Export',
    method: 'POST',
    request: Type.Object({ tenant: Type.String({ default: 'none' }) }),
    task: { concurrency },
    async: true,
    ...(schedule && { schedule: { cron: schedule, input: { tenant: 'none' } } }),
    async perform({ tenant }, { user }) {
      begun.push(`${tenant} ${user?.id ?? '-'}`)
      await new Promise<void>((resolve) => ends.push(resolve))
      return null
    },
  })
  const other = defineResource({
    summary: 'Export as well',
    method: 'POST',
    path: '/other',
    request: Type.Object({ tenant: Type.String() }),
    task: { concurrency },
    perform: ({ tenant }) => {
      begun.push(`other ${tenant}`)
      return null
    },
  })
  return { all, other, begun, ends }
}

onEach(t, 'so many tasks of a tenant run at once, of each resource', async (t, attached) => {
  const concurrency: TaskConcurrency<Request> = { limit: 1, key: ({ tenant }) => tenant }
  const { all, other, begun, ends } = exporting(concurrency)
  const app = await serve(t, attached, { all, other })
  const tasks = await app.run(() =>
    all.enqueueMany([{ tenant: 'a' }, { tenant: 'a' }, { tenant: 'b' }]),
  )
  await until(() => begun.length === 2)
  const another = await app.run(() => other.enqueue({ tenant: 'a' }))
  await another.result()
  t.strictSame(begun.toSorted(), ['a -', 'b -', 'other a'])
  t.match(await tasks[1]?.status(), { state: 'waiting', is_completed: false })
  for (const end of ends) end()
  await until(() => begun.length === 4)
  t.equal(begun[3], 'a -')
  ends.at(-1)?.()
  for (const task of tasks) await task.result()
})

onEach(t, 'the key may be of the user, and none of the service itself', async (t, attached) => {
  const { all, begun, ends } = exporting(
    { limit: 1, key: (_, { user }) => user?.id ?? 'service' },
    '0 0 1 1 *',
  )
  const app = await serve(t, attached, { all })
  const ask = (user: string) =>
    app.inject({
      ...{ method: 'POST', url: '/things', payload: { tenant: 'a' } },
      headers: { 'x-user': user, 'x-async-task': '1' },
    })
  for (const user of ['ann', 'ann', 'bob']) t.equal((await ask(user)).statusCode, 200)
  const schedules = await app.tasks.schedules()
  for (const _ of [1, 2]) await schedules.runNow('things.all')
  await until(() => begun.length === 3)
  t.strictSame(begun.toSorted(), ['a ann', 'a bob', 'none -'])
  for (const end of ends) end()
  await until(() => begun.length === 5)
  t.strictSame(begun.slice(3).toSorted(), ['a ann', 'none -'])
  for (const end of ends) end()
})

onEach(t, 'without a key all tasks of a resource count together', async (t, attached) => {
  const { all, begun, ends } = exporting({ limit: 2 })
  const app = await serve(t, attached, { all })
  const tasks = await app.run(() => all.enqueueMany(['a', 'b', 'c'].map((tenant) => ({ tenant }))))
  await until(() => begun.length === 2)
  t.strictSame(begun.toSorted(), ['a -', 'b -'])
  ends[0]?.()
  await until(() => begun.length === 3)
  for (const end of ends) end()
  for (const task of tasks) await task.result()
})

t.test('what is no limit, and no key, is refused', async (t) => {
  for (const limit of [0, 1.5, -1, Number.NaN, '3' as never]) {
    const { all } = exporting({ limit })
    t.match(await serveThings(t, { all }).catch((error) => error), {
      code: 'RESOURCE_INVALID',
      message: `of its task concurrency.limit is ${limit}; expected a whole number of at least 1`,
    })
  }
  for (const found of ['', 'x'.repeat(201), undefined as never, 7 as never]) {
    const { all } = exporting({ limit: 1, key: () => found })
    const app = await serve(t, { url: undefined }, { all })
    const refused = await failure(app.run(() => all.enqueue({ tenant: 'a' })))
    t.equal(refused.code, 'TASK_INVALID')
    t.match(refused.message, /its concurrency\.key gave .*; expected a text of 1 to 200 characters/)
  }
})
