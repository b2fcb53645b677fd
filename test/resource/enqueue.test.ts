import t from 'tap'
import { Type } from 'typebox'
import { errors } from '../../src/errors.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createGate, failure, serveThings } from '../helpers/app.ts'
import { hangingOn } from '../helpers/hanging-on.ts'
import { until } from '../suites/task-fixture.ts'
import { logged, onEach, serve } from './attached.ts'

const add = defineResource({
  summary: 'Add',
  method: 'POST',
  path: '/add',
  request: Type.Object({ a: Type.Integer(), b: Type.Integer() }),
  response: Type.Integer(),
  perform: ({ a, b }) => a + b,
})

onEach(t, 'a task runs, and its result is waited for', async (t, attached) => {
  const app = await serve(t, attached, { add })
  const task = await app.run(() => add.enqueue({ a: 1, b: 2 }))
  t.match(task.task_id, /^default\.[\w-]{22}$/)
  t.equal(await task.result(), 3)
  t.strictSame(await task.status(), {
    task_id: task.task_id,
    is_completed: true,
    state: 'succeeded',
    message: null,
    data: 3,
  })
  t.equal(JSON.stringify(task), JSON.stringify({ task_id: task.task_id }))
  t.equal(await task.cancel(), false, 'it has ended')
  const bound = await app.resources.things?.add?.enqueue({ a: 2, b: 2 })
  t.equal(await bound?.result(), 4)
})

onEach(t, 'who has waited for results has left nothing on signals', async (t, attached) => {
  const { signal } = new AbortController()
  const counts: number[] = []
  const outer = defineResource({
    summary: 'Outer',
    path: '/outer',
    async perform(_, context) {
      const own = context.signal
      const tasks = await add.enqueueMany(Array.from({ length: 5 }, (_, a) => ({ a, b: 1 })))
      const results = await Promise.all(tasks.map((task) => task.result({ signal })))
      t.strictSame(results, [1, 2, 3, 4, 5])
      counts.push(hangingOn(own), hangingOn(signal))
      return null
    },
  })
  const app = await serve(t, attached, { add, outer })
  await app.run(() => outer())
  t.strictSame(counts, [0, 0])
})

onEach(t, 'whichever signal aborts first ends the waiting', async (t, attached) => {
  const gate = createGate()
  const wait = defineResource({
    summary: 'Wait',
    method: 'POST',
    path: '/wait',
    perform: () => gate.opened.then(() => null),
  })
  const given = new AbortController()
  const reasons: unknown[] = []
  const outer = defineResource({
    summary: 'Outer',
    path: '/outer',
    async perform(_, { signal }) {
      const task = await wait.enqueue()
      reasons.push(await failure(task.result({ signal: given.signal })), signal.aborted)
      return null
    },
  })
  const app = await serve(t, attached, { wait, outer })
  const late = { code: 'DEADLINE_EXCEEDED' }
  t.match(await failure(app.run(() => outer({}, { timeout: 1000 }))), late)
  await until(() => reasons.length > 0)
  const waiting = app.run(() => outer({}, { timeout: 60_000 }))
  given.abort(new Error('enough'))
  await waiting
  t.match(reasons, [late, true, { message: 'enough' }, false])
  gate.open()
})

onEach(t, 'a request that is not valid is not enqueued', async (t, attached) => {
  const app = await serve(t, attached, { add })
  t.strictSame(await failure(app.run(() => add.enqueue({ a: 1, b: '2' } as never))), {
    code: 'INVALID_REQUEST',
    message: 'The request to things.add is not valid; see errors',
    errors: [{ path: '/b', message: 'must be integer' }],
  })
  t.equal((await failure(add.enqueue({ a: 1, b: 2 }))).code, 'CONTEXT_MISSING')
  t.strictSame(await (await app.tasks.driver()).list('default', 'waiting', 0, 9), [])
})

onEach(t, 'a worker validates again: its release may be another', async (t, attached) => {
  let ran = false
  const strict = defineResource({
    summary: 'Strict',
    request: Type.Object({ n: Type.Integer() }),
    response: Type.Integer(),
    perform({ n }) {
      ran = true
      return n === 1 ? n : ('x' as never)
    },
  })
  const app = await serve(t, attached, { strict })
  const { createTask } = await import('../../src/task/new-task.ts')
  const data = { resource: 'things.strict', input: { n: 'old' }, user: null, requestId: 'r' }
  const task = { ...createTask(data, { attempts: 5 }, 1000, ''), children: [] }
  await app.tasks.submit(task)
  t.match(await failure(app.tasks.result(task.id)), { code: 'TASK_FAILED', message: /not valid/ })
  t.match(await app.tasks.find(task.id), {
    attempts_made: 1,
    failure: { code: 'INVALID_REQUEST' },
  })
  t.equal(ran, false)
  const odd = await app.run(() => strict.enqueue({ n: 2 }))
  await failure(odd.result())
  t.match(await app.tasks.find(odd.task_id), { failure: { code: 'INVALID_RESPONSE' } })
})

onEach(t, 'what cannot be a task is refused', async (t, attached) => {
  const any = defineResource({
    summary: 'Any',
    request: Type.Object({ value: Type.Optional(Type.Unknown()) }),
    perform: () => null,
  })
  const app = await serve(t, attached, { any }, { tasks: { payloadLimit: 10_000 } })
  const enqueue = (value: unknown, options = {}) =>
    failure(app.run(() => any.enqueue({ value }, options)))
  const circle: Record<string, unknown> = {}
  circle.self = circle
  for (const value of [1n, circle, { toJSON: () => raise(new Error('no')) }]) {
    t.match(await enqueue(value), {
      code: 'TASK_INVALID',
      message: /^The task things\.any cannot be enqueued: /,
    })
  }
  t.match(await enqueue('x'.repeat(10_000)), { code: 'PAYLOAD_TOO_LARGE', message: /10000 bytes/ })
  t.match(await enqueue('ü'.repeat(5000)), { code: 'PAYLOAD_TOO_LARGE' }, 'bytes, not characters')
  const bounds: [options: object, problem: RegExp][] = [
    [{ delay: -1 }, /delay is -1; expected whole milliseconds, or a text like '30s' .*, from 0/],
    [{ delay: '1.5ms' }, /delay is 1.5ms/],
    [{ keyFor: '0s', key: 'a' }, /keyFor is 0s; expected .*, from 1/],
    [{ delay: 0.5 }, /delay is 0.5/],
    [{ attempts: 0 }, /attempts is 0; expected a whole number from 1/],
    [{ attempts: Number.NaN }, /attempts is NaN/],
    [{ attempts: '3' }, /attempts is 3/],
    [{ priority: 0 }, /priority is 0; expected a whole number from 1 to 2097151/],
    [{ priority: 2_097_152 }, /priority is 2097152/],
    [{ backoff: { type: 'fixed', delay: -1 } }, /backoff\.delay is -1/],
    [{ queue: 'mail' }, /no queue is called mail; there are default\./],
    [{ queue: '' }, /queue is ""/],
    [{ queue: 'Mail' }, /queue is "Mail"/],
    [{ queue: 'a:b' }, /queue is "a:b"/],
    [{ queue: 'x'.repeat(41) }, /queue is "x+"/],
    [{ key: '' }, /key has to have 1 to 200 characters/],
    [{ user: '' }, /user is empty; expected the id of one, or null/],
    [{ key: 'x'.repeat(201) }, /key has to have 1 to 200 characters/],
  ]
  for (const [options, message] of bounds)
    t.match(await enqueue(1, options), { code: 'TASK_INVALID', message }, JSON.stringify(options))
})

function raise(error: Error): never {
  throw error
}

onEach(t, 'user, request id and trace are those of the caller', async (t, attached) => {
  const seen: object[] = []
  const inner = defineResource({
    summary: 'Inner',
    path: '/inner',
    method: 'POST',
    perform(_, { user, requestId, traceparent, request, reply, task, log }) {
      log.info('from the task')
      seen.push({ user, requestId, traceparent, request, reply, attempt: task?.attempt })
      return null
    },
  })
  const outer = defineResource({
    summary: 'Outer',
    method: 'POST',
    response: Type.Array(Type.String()),
    async perform() {
      const tasks = [
        await inner.enqueue(),
        await inner.enqueue({}, { user: 'cid' }),
        await inner.enqueue({}, { user: null }),
      ]
      return tasks.map(({ task_id }) => task_id)
    },
  })
  const { logs, server } = logged()
  const app = await serve(t, attached, { inner, outer }, { server })
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const headers = { 'x-user': 'ann', traceparent }
  const response = await app.inject({ method: 'POST', url: '/things', headers })
  const { data: ids, request_id } = response.json()
  for (const id of ids) await app.tasks.result(id)
  const told = { requestId: request_id, traceparent, attempt: 1 }
  const rest = { request: undefined, reply: undefined }
  const byUser = (id: string | undefined) =>
    seen.filter((one) => (one as { user?: { id: string } }).user?.id === id)
  t.strictSame(byUser('ann'), [{ user: { id: 'ann', name: 'ann, loaded' }, ...told, ...rest }])
  t.strictSame(byUser('cid'), [{ user: { id: 'cid', name: 'cid, loaded' }, ...told, ...rest }])
  t.strictSame(byUser(undefined), [{ user: undefined, ...told, ...rest }])
  const lines = logs.filter(({ msg }) => msg === 'from the task')
  t.equal(lines.length, 3)
  for (const line of lines) t.match(line, { request_id, resource: 'things.inner' })
  t.strictSame(lines.map(({ task_id }) => task_id).toSorted(), ids.toSorted())
})

onEach(t, 'a key makes two tasks one, also when it has ended', async (t, attached) => {
  let runs = 0
  const count = defineResource({
    summary: 'Count',
    request: Type.Object({ n: Type.Integer() }),
    response: Type.Integer(),
    perform: () => ++runs,
  })
  const app = await serve(t, attached, { count, add })
  const enqueue = (n: number, key: string) => app.run(() => count.enqueue({ n }, { key }))
  const [a, b] = await Promise.all([enqueue(1, 'k'), enqueue(1, 'k')])
  t.equal(a.task_id, b.task_id)
  t.equal(await a.result(), 1)
  const again = await enqueue(1, 'k')
  t.strictSame([again.task_id, await again.result()], [a.task_id, 1])
  t.not((await enqueue(1, 'l')).task_id, a.task_id)
  const other = await app.run(() => add.enqueue({ a: 1, b: 1 }, { key: 'k' }))
  t.equal(await other.result(), 2, 'a key is of its resource')
})

onEach(t, 'unique is of one user: nobody is given the id of another', async (t, attached) => {
  const app = await serve(t, attached, { add })
  const enqueue = (user: string | null) =>
    app.run(() => add.enqueue({ a: 1, b: 2 }, { unique: true, delay: 60_000, user }))
  const [ann, bob, nobody, again] = [
    await enqueue('ann'),
    await enqueue('bob'),
    await enqueue(null),
    await enqueue('ann'),
  ]
  t.equal(new Set([ann, bob, nobody].map(({ task_id }) => task_id)).size, 3)
  t.equal(again.task_id, ann.task_id)
})

onEach(t, 'unique adds none while an equal one has not ended', async (t, attached) => {
  const gate = createGate()
  const wait = defineResource({
    summary: 'Wait',
    request: Type.Object({ a: Type.Integer(), b: Type.Optional(Type.Integer()) }),
    response: Type.Integer(),
    async perform({ a }) {
      await gate.opened
      return a
    },
  })
  const app = await serve(t, attached, { wait })
  const enqueue = (input: { a: number; b?: number }) =>
    app.run(() => wait.enqueue(input, { unique: true }))
  const first = await enqueue({ a: 1, b: 2 })
  t.equal((await enqueue({ b: 2, a: 1 })).task_id, first.task_id)
  t.not((await enqueue({ a: 2 })).task_id, first.task_id)
  gate.open()
  t.equal(await first.result(), 1)
  const later = await enqueue({ a: 1, b: 2 })
  t.not(later.task_id, first.task_id)
  t.equal(await later.result(), 1)
})

onEach(
  t,
  'what fails is tried again, unless another try would end the same',
  async (t, attached) => {
    const attempts: number[] = []
    const flaky = defineResource({
      summary: 'Flaky',
      request: Type.Object({ final: Type.Boolean() }),
      response: Type.Integer(),
      task: { attempts: 3, backoff: { type: 'fixed', delay: 5 } },
      perform({ final }, { task }) {
        const attempt = task?.attempt ?? 0
        attempts.push(attempt)
        if (final) throw errors.NOT_FOUND('thing', 7)
        if (attempt < 3) throw new Error('a secret of the service')
        return attempt
      },
    })
    const { logs, server } = logged()
    const app = await serve(t, attached, { flaky }, { server })
    const mended = await app.run(() => flaky.enqueue({ final: false }))
    t.equal(await mended.result(), 3)
    t.strictSame(attempts.splice(0), [1, 2, 3])
    const final = await app.run(() => flaky.enqueue({ final: true }))
    t.strictSame(await failure(final.result()), {
      code: 'TASK_FAILED',
      message: `The task ${final.task_id} failed: There is no thing 7`,
      errors: null,
    })
    t.strictSame(attempts.splice(0), [1])
    const over = await app.run(() => flaky.enqueue({ final: false }, { attempts: 2 }))
    const told = await failure(over.result())
    t.equal(told.code, 'TASK_FAILED')
    t.notMatch(told.message, 'secret')
    t.strictSame(attempts, [1, 2])
    const failures = logs.filter(({ msg }) => msg === 'task failed')
    t.strictSame(
      failures.map(({ level }) => level),
      [40, 40, 50, 40, 50],
    )
    t.match(failures[0], {
      err: { message: 'a secret of the service' },
      code: 'INTERNAL',
      attempt: 1,
    })
  },
)

onEach(t, 'a task of a resource that this release has not is handed back', async (t, attached) => {
  const prefix = `unknown-${process.pid}-${attached.name}`
  const { logs, server } = logged()
  const app = await serve(t, attached, { add }, { prefix, server })
  const { createTask } = await import('../../src/task/new-task.ts')
  const data = { resource: 'things.newer', input: {}, user: null, requestId: 'r' }
  const task = { ...createTask(data, {}, 1000, ''), children: [] }
  await app.tasks.submit(task)
  await until(() => logs.some(({ msg }) => /^this release has no such resource/.test(msg)))
  await until(async () => (await app.tasks.find(task.id)).state === 'delayed')
  t.match(await app.tasks.find(task.id), { attempts_made: 0, failure: null })
  t.match(await app.tasks.status(task.id), { is_completed: false, state: 'delayed' })
  await app.tasks.cancel(task.id)
})

t.test('without the plugin it is told what is missing', async (t) => {
  const app = await serveThings(t, { add }, { resources: { async: true } })
  const { code } = await failure(app.run(() => add.enqueue({ a: 1, b: 2 })))
  t.equal(code, 'TASKS_MISSING')
  const { chain, group } = await import('../../src/resource/task-plan.ts')
  const plan = add.task({ a: 1, b: 2 })
  t.equal((await failure(app.run(() => chain(plan)))).code, 'TASKS_MISSING')
  t.equal((await failure(group([plan], plan))).code, 'CONTEXT_MISSING')
  const asked = await app.inject({
    method: 'POST',
    url: '/things/add',
    headers: { 'x-async-task': '1' },
    payload: { a: 1, b: 2 },
  })
  t.strictSame([asked.statusCode, asked.json().code], [500, 'TASKS_MISSING'])
})

t.test('in memory, what can run does when the app closes, what is left is told', async (t) => {
  const done: number[] = []
  const begun = createGate()
  const quick = defineResource({
    summary: 'Quick',
    request: Type.Object({ n: Type.Integer() }),
    async perform({ n }, { signal }) {
      begun.open()
      await new Promise((resolve) => setTimeout(resolve, 10))
      signal.throwIfAborted()
      done.push(n)
      return null
    },
  })
  const { logs, server } = logged()
  const app = await serve(t, { url: undefined }, { quick }, { server, tasks: { concurrency: 2 } })
  for (let n = 0; n < 6; n++) await app.run(() => quick.enqueue({ n }))
  await app.run(() => quick.enqueue({ n: 9 }, { delay: 3_600_000 }))
  await begun.opened
  await app.close()
  t.strictSame(done.toSorted(), [0, 1, 2, 3, 4, 5])
  t.match(
    logs.filter(({ level }) => level === 40),
    [
      { msg: /^tasks are kept in memory/ },
      { msg: 'tasks are lost: without Redis or a database none are kept', tasks: 1 },
    ],
  )
})
