import t from 'tap'
import { Type } from 'typebox'
import { notFound } from '../../src/errors.ts'
import type { LoadUser, User } from '../../src/resource/context.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { chain, group } from '../../src/resource/task-plan.ts'
import { failure } from '../helpers/app.ts'
import { logged, onEach, serve } from './attached.ts'

type Member = User & { role: string }

const orders = [
  { id: 1, of: 'ann' },
  { id: 2, of: 'bob' },
]

/** A filter that, given half a user, shows everything. */
function listing() {
  const count = { runs: 0 }
  const list = defineResource({
    summary: 'Orders',
    method: 'POST',
    response: Type.Array(Type.Object({ id: Type.Integer(), of: Type.String() })),
    async: true,
    task: { attempts: 3, backoff: { type: 'fixed', delay: 0 } },
    perform(_, context) {
      count.runs++
      const user = context.user as Member
      return user.role === 'customer' ? orders.filter(({ of }) => of === user.id) : orders
    },
  })
  return Object.assign(count, { list })
}

const NO_LOADING = { loadUser: undefined as never }

const ANN = { 'x-user': 'ann' }
const call = { method: 'POST', url: '/things', headers: { ...ANN, 'x-async-task': '1' } } as const

onEach(t, 'a task runs for the whole user, as loaded where it runs', async (t, attached) => {
  const asked: unknown[] = []
  const loadUser: LoadUser = (id, context) => {
    asked.push([id, context.user, context.task?.attempt, [...context.app.registry].length])
    return { id, role: id === 'root' ? 'admin' : 'customer' } as Member
  }
  const { list } = listing()
  const app = await serve(t, attached, { list }, { tasks: { loadUser } })
  const { task_id } = (await app.inject(call)).json().data
  t.strictSame(await app.tasks.result(task_id), [{ id: 1, of: 'ann' }])
  t.strictSame(asked, [['ann', undefined, 1, 1]])
  const all = await app.run(() => list.enqueue({}, { user: 'root' }))
  t.strictSame(await all.result(), orders)
})

const missing: [name: string, loadUser: LoadUser, message: RegExp, runs: number][] = [
  ['nobody', () => undefined, /for the user ann: loadUser knows none/, 1],
  ['null', () => null, /for the user ann: loadUser knows none/, 1],
  ['another', () => ({ id: 'bob' }), /for the user ann: loadUser gave another one/, 1],
  ['no id', () => ({ name: 'ann' }) as never, /^It cannot be told who asks/, 3],
  ['a 404', () => notFound('user', 'ann'), /^There is no user ann$/, 1],
  ['a failure', () => Promise.reject(new Error('s3cret')), /could not be loaded/, 3],
]

for (const [name, load, message, tries] of missing) {
  onEach(t, `it fails where loadUser has ${name}`, async (t, attached) => {
    const { logs, server } = logged()
    let loads = 0
    const loadUser: LoadUser = (...args) => {
      loads++
      return load(...args)
    }
    const counted = listing()
    const app = await serve(t, attached, { list: counted.list }, { tasks: { loadUser }, server })
    const { task_id } = (await app.inject(call)).json().data
    const told = await failure(app.tasks.result(task_id))
    t.equal(told.code, 'TASK_FAILED')
    const { data } = (await app.inject({ url: `/tasks/${task_id}`, headers: ANN })).json()
    t.match(data, { state: 'failed', message, data: null })
    t.strictSame([counted.runs, loads], [0, tries], 'it never runs')
    t.ok(logs.some(({ msg }) => msg === 'task failed'))
  })
}

onEach(t, 'a user that can be loaded later is', async (t, attached) => {
  let loads = 0
  const loadUser: LoadUser = async (id) => {
    if (++loads === 1) throw new Error('away')
    return { id, role: 'customer' } as Member
  }
  const { list } = listing()
  const app = await serve(t, attached, { list }, { tasks: { loadUser } })
  const { task_id } = (await app.inject(call)).json().data
  t.strictSame(await app.tasks.result(task_id), [{ id: 1, of: 'ann' }])
})

onEach(t, 'without loadUser nothing is enqueued for a user', async (t, attached) => {
  const enqueue = (how: string) =>
    defineResource({
      summary: how,
      method: 'POST',
      path: `/${how}`,
      response: Type.String(),
      async perform() {
        const plan = list.task()
        if (how === 'chain') return (await chain(plan)).task_id
        if (how === 'group') return (await group([plan], plan)).task_id
        return (await list.enqueue({}, how === 'nobody' ? { user: null } : {})).task_id
      },
    })
  const { list } = listing()
  const resources = {
    list,
    call: enqueue('call'),
    chain: enqueue('chain'),
    group: enqueue('group'),
    nobody: enqueue('nobody'),
  }
  const app = await serve(t, attached, resources, { tasks: NO_LOADING })
  const post = (url: string, headers = {}) => app.inject({ method: 'POST', url, headers })
  const refused = [call.url, '/things/call', '/things/chain', '/things/group']
  for (const url of refused) {
    const response = await post(
      url,
      call.headers.valueOf() && url === call.url ? call.headers : ANN,
    )
    t.match(response.json(), { code: 'TASK_INVALID', message: /loadUser.*\{ user: null \}/ }, url)
  }
  t.match(await failure(app.run(() => list.enqueue({}, { user: 'ann' }))), { code: 'TASK_INVALID' })
  t.strictSame(await (await app.tasks.driver()).queues(), [])
  const id = (await post('/things/nobody', ANN)).json().data
  await failure(app.tasks.result(id))
  t.equal((await app.tasks.find(id)).data.user, null)
})

onEach(t, 'a task that an earlier release has enqueued for a user fails', async (t, attached) => {
  const counted = listing()
  const app = await serve(t, attached, { list: counted.list }, { tasks: NO_LOADING })
  const data = { resource: 'things.list', input: {}, user: 'ann', requestId: 'r' }
  const { createTask } = await import('../../src/task/new-task.ts')
  const task = createTask(data, {}, 1000, '')
  await app.tasks.submit({ ...task, children: [] })
  t.match(await failure(app.tasks.result(task.id)), { message: /this service has no loadUser/ })
  t.equal(counted.runs, 0)
})

onEach(t, 'a key and what is unique are of one user', async (t, attached) => {
  const wait = defineResource({
    summary: 'Wait',
    request: Type.Object({ n: Type.Integer() }),
    perform: () => null,
  })
  const app = await serve(t, attached, { wait })
  const ids = async (options: object, users: readonly (string | null)[]) => {
    const tasks = users.map((user) => {
      const how = { delay: 3_600_000, user, ...options }
      return app.run(() => wait.enqueue({ n: 1 }, how))
    })
    return (await Promise.all(tasks)).map(({ task_id }) => task_id)
  }
  const users = ['ann', 'bob', null, 'ann', 'bob', null]
  for (const options of [{ key: 'k' }, { unique: true }]) {
    const all = await ids(options, users)
    t.equal(new Set(all).size, 3, JSON.stringify(options))
    t.strictSame(all.slice(0, 3), all.slice(3))
  }
  // However they are put together.
  const [one] = await ids({ key: 'b\0c' }, ['a'])
  const [other] = await ids({ key: 'c' }, ['a\0b'])
  t.not(one, other)
})

onEach(t, 'only who has enqueued it reads a task, or cancels it', async (t, attached) => {
  const wait = defineResource({ summary: 'Wait', perform: () => null })
  const app = await serve(t, attached, { wait })
  const statuses = async (id: string) => {
    const told: number[] = []
    for (const method of ['GET', 'DELETE'] as const)
      for (const headers of [{}, { 'x-user': 'bob' }, ANN])
        told.push((await app.inject({ method, url: `/tasks/${id}`, headers })).statusCode)
    return told
  }
  const add = async (options: object) =>
    (await app.run(() => wait.enqueue({}, { delay: 3_600_000, ...options }))).task_id
  t.strictSame(await statuses(await add({ user: 'ann' })), [404, 404, 200, 404, 404, 200])
  t.strictSame(await statuses(await add({ user: 'ann', key: 'k' })), [404, 404, 200, 404, 404, 200])
  const anybody = 'nobody can guess its id'
  t.strictSame(await statuses(await add({})), [200, 200, 200, 200, 200, 200], anybody)
  const nobody = 'its id follows from its key'
  t.strictSame(await statuses(await add({ key: 'k' })), [404, 404, 404, 404, 404, 404], nobody)
})
