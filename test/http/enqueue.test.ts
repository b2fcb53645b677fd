import { randomUUID } from 'node:crypto'
import t from 'tap'
import { Type } from 'typebox'
import { notFound } from '../../src/errors.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createGate } from '../helpers/app.ts'
import { onEach, serve } from '../resource/attached.ts'
import { until } from '../suites/task-fixture.ts'

const OPTED_IN = { resources: { async: true } }

type App = Awaited<ReturnType<typeof serve>>

const edit = defineResource({
  summary: 'With a path, a query and a body',
  method: 'PUT',
  path: '/:id',
  request: Type.Object({
    id: Type.Integer(),
    dry: Type.Optional(Type.Boolean()),
    tags: Type.Array(Type.String()),
  }),
  query: ['dry'],
  response: Type.Object({ told: Type.String() }),
  perform: ({ id, dry, tags }) =>
    id === 0 ? notFound('thing', id) : { told: `${id} ${dry} ${tags.join()}` },
})

/** The end of a task as `GET /tasks/:id` tells it. */
async function ended(app: App, id: string, headers = {}) {
  return await until(async () => {
    const { data } = (await app.inject({ url: `/tasks/${id}`, headers })).json()
    return data.is_completed && data
  })
}

onEach(t, 'the header X-Async-Task makes any call a task', async (t, attached) => {
  const app = await serve(t, attached, { edit }, OPTED_IN)
  for (const value of ['1', 'false', '']) {
    const response = await app.inject({
      method: 'PUT',
      url: '/things/7?dry=true',
      headers: { 'x-async-task': value },
      payload: { tags: ['a', 'b'] },
    })
    const { data, request_id, ...rest } = response.json()
    t.strictSame(rest, { result: true, code: 0, message: null, trace_id: null })
    t.strictSame([response.statusCode, Object.keys(data)], [200, ['task_id']])
    t.strictSame(await ended(app, data.task_id), {
      task_id: data.task_id,
      is_completed: true,
      state: 'succeeded',
      message: null,
      data: { told: '7 true a,b' },
    })
    t.equal((await app.tasks.find(data.task_id)).data.requestId, request_id)
  }
})

onEach(t, 'what is not valid is refused at once', async (t, attached) => {
  const app = await serve(t, attached, { edit }, OPTED_IN)
  const call = { method: 'PUT', headers: { 'x-async-task': '1' } } as const
  const bad = [
    { url: '/things/x', payload: { tags: [] } },
    { url: '/things/1?dry=maybe', payload: { tags: [] } },
    { url: '/things/1', payload: { tags: [1] } },
    { url: '/things/1', payload: {} },
  ]
  for (const one of bad) {
    const response = await app.inject({ ...call, ...one })
    t.strictSame([response.statusCode, response.json().code], [400, 'INVALID_REQUEST'], one.url)
  }
  t.strictSame(await (await app.tasks.driver()).queues(), [])
})

onEach(t, 'how it is enqueued is said by another header', async (t, attached) => {
  const app = await serve(t, attached, { edit }, OPTED_IN)
  const enqueue = async (options: string) => {
    const headers = { 'x-async-task': '1', 'x-task-options': options }
    const call = { method: 'PUT', url: '/things/7', headers, payload: { tags: [] } } as const
    return (await app.inject(call)).json()
  }
  const first = await enqueue('{"key":"a"}')
  t.equal((await enqueue('{"key":"a"}')).data.task_id, first.data.task_id)
  t.not((await enqueue('{"key":"b"}')).data.task_id, first.data.task_id)
  for (const [options, problem] of [
    ['', /is not as it has to be/],
    ['[]', /is not as it has to be/],
    ['{"key":5}', /\/key must be string/],
    ['{"user":"ann"}', /\/user is not known here/],
    ['{"key":""}', /key has to have 1 to 200 characters/],
    ['{"delay":5}', /which only other services may say/],
  ] as const) {
    const { code, message } = await enqueue(options)
    t.match({ code, message }, { code: 'TASK_REFUSED', message: problem }, options)
  }
})

onEach(t, 'in the envelope of problems the answers are bare', async (t, attached) => {
  const options = { envelope: 'problem' } as const
  const app = await serve(t, attached, { edit }, { ...options, ...OPTED_IN })
  const response = await app.inject({
    method: 'PUT',
    url: '/things/0',
    headers: { 'x-async-task': '1' },
    payload: { tags: [] },
  })
  const { task_id } = response.json()
  const told = await until(async () => {
    const task = (await app.inject(`/tasks/${task_id}`)).json()
    return task.is_completed && task
  })
  t.strictSame(told, {
    task_id,
    is_completed: true,
    state: 'failed',
    message: 'There is no thing 0',
    data: null,
  })
  const none = await app.inject('/tasks/default.none')
  t.equal(none.headers['content-type'], 'application/problem+json; charset=utf-8')
  t.match(none.json(), { title: 'TASK_NOT_FOUND', status: 404 })
})

onEach(t, 'what a task reports is told while it runs', async (t, attached) => {
  const [first, second] = [createGate(), createGate()]
  const slow = defineResource({
    summary: 'Slow',
    response: Type.Integer(),
    async perform(_, { progress }) {
      await progress({ state: 'reading', message: '1 of 2', data: { done: [1] } })
      await first.opened
      await progress({ message: null, data: 2 })
      await second.opened
      return 3
    },
  })
  const app = await serve(t, attached, { slow })
  const { task_id } = await app.run(() => slow.enqueue())
  const look = async () => (await app.inject(`/tasks/${task_id}`)).json().data
  const when = async (wanted: unknown) =>
    await until(async () => {
      const { data } = await look()
      return JSON.stringify(data) === JSON.stringify(wanted)
    })
  await when({ done: [1] })
  const running = { task_id, is_completed: false }
  const told = { state: 'reading', message: '1 of 2', data: { done: [1] } }
  t.strictSame(await look(), { ...running, ...told })
  first.open()
  await when(2)
  t.strictSame(await look(), { ...running, state: 'running', message: null, data: 2 })
  second.open()
  t.match(await ended(app, task_id), { state: 'succeeded', message: null, data: 3 })
})

t.test('outside of tasks progress does nothing', async (t) => {
  const quick = defineResource({
    summary: 'Quick',
    response: Type.Boolean(),
    async perform(_, { progress, task }) {
      await progress({ state: 'there' })
      return task === undefined
    },
  })
  const app = await serve(t, { url: undefined }, { quick })
  t.equal((await app.inject('/things')).json().data, true)
})

onEach(t, 'DELETE cancels what waits and what runs', async (t, attached) => {
  const begun = createGate()
  const reasons: unknown[] = []
  let runs = 0
  const wait = defineResource({
    summary: 'Wait',
    task: { attempts: 5 },
    async perform(_, { signal }) {
      runs++
      begun.open()
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      reasons.push(signal.reason)
      throw signal.reason
    },
  })
  const app = await serve(t, attached, { wait })
  const cancel = async (id: string) =>
    (await app.inject({ method: 'DELETE', url: `/tasks/${id}` })).json().data
  const delayed = await app.run(() => wait.enqueue({}, { delay: 3_600_000 }))
  const cancelled = {
    task_id: delayed.task_id,
    is_completed: true,
    state: 'cancelled',
    message: `The task ${delayed.task_id} was cancelled before it had finished`,
    data: null,
  }
  t.strictSame(await cancel(delayed.task_id), cancelled)
  t.strictSame(await cancel(delayed.task_id), cancelled, 'it has ended already')
  await t.rejects(delayed.result(), { code: 'TASK_CANCELLED' })
  t.equal(runs, 0)
  const running = await app.run(() => wait.enqueue())
  await begun.opened
  await cancel(running.task_id)
  t.match(await ended(app, running.task_id), { state: 'cancelled' })
  t.strictSame([runs, reasons.length], [1, 1], 'it is not tried again')
})

onEach(t, 'tasks of another user, and what is none, are not there', async (t, attached) => {
  const app = await serve(t, attached, { edit }, OPTED_IN)
  const asked = await app.inject({
    method: 'PUT',
    url: '/things/1',
    headers: { 'x-async-task': '1', 'x-user': 'ann' },
    payload: { tags: [] },
  })
  const { task_id } = asked.json().data
  const own = { 'x-user': 'ann' }
  t.match(await ended(app, task_id, own), { state: 'succeeded' })
  for (const method of ['GET', 'DELETE'] as const) {
    for (const headers of [{ 'x-user': 'bob' }, {}]) {
      const response = await app.inject({ method, url: `/tasks/${task_id}`, headers })
      t.strictSame(
        [response.statusCode, response.json().code, response.json().message],
        [404, 'TASK_NOT_FOUND', `There is no task ${task_id}`],
      )
    }
    const ids = [
      'x',
      'default.x',
      'a:b',
      '%00',
      '..%2f',
      `none.${randomUUID()}`,
      'ü',
      '*',
      '__proto__',
    ]
    for (const id of ids) {
      const response = await app.inject({ method, url: `/tasks/${id}`, headers: own })
      t.strictSame([response.statusCode, response.json().code], [404, 'TASK_NOT_FOUND'], id)
    }
  }
  const anybody = await app.run(() => edit.enqueue({ id: 1, tags: [] }))
  t.match(await ended(app, anybody.task_id, { 'x-user': 'bob' }), { state: 'succeeded' })
})

onEach(t, 'tasks of schedules, whose ids can be worked out, are not there', async (t, attached) => {
  const nightly = defineResource({ summary: 'x', schedule: '0 3 * * *', perform: () => null })
  const app = await serve(t, attached, { nightly })
  const id = await (await app.tasks.schedules()).runNow('things.nightly')
  t.equal(await app.tasks.result(id), null)
  for (const method of ['GET', 'DELETE'] as const)
    t.equal((await app.inject({ method, url: `/tasks/${id}` })).statusCode, 404)
})
