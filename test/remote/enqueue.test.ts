import t, { type Test } from 'tap'
import { Type } from 'typebox'
import signature from '../../plugins/signature.ts'
import { defineService } from '../../src/define-service.ts'
import { type ClientOptions, createClient } from '../../src/remote/client.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createService, failure } from '../helpers/app.ts'
import { answerJson, serveUpstream } from '../helpers/upstream.ts'

const SECRET = 's'.repeat(32)
const HOUR = 3_600_000
const SIGNED = { signature: { app: 'orders', secret: SECRET } }

const long = defineResource({
  summary: 'A task',
  method: 'POST',
  path: '/long',
  async: true,
  request: Type.Object({ id: Type.Integer() }),
  response: Type.Integer(),
  perform: ({ id }) => id,
})
const atlas = defineService({
  name: 'atlas',
  auth: true,
  modules: {
    cities: defineModule({ prefix: '/cities', auth: 'optional', resources: { long } }),
  },
  plugins: [signature({ secrets: { orders: SECRET } })],
  loadUser: (id) => ({ id }),
  taskQueues: ['slow'],
})

/** The other service, and one that calls it. */
async function serve(t: Test, options: Partial<ClientOptions>) {
  const { app: there } = await createService(t, {}, { ...atlas } as never)
  const url = options.url ?? (await there.listen({ host: '127.0.0.1', port: 0 }))
  const { app } = await createService(t, {}, { name: 'orders' })
  const contract = (await there.inject('/contract.json')).json()
  const client = createClient<typeof atlas>({ contract, breaker: false, ...options, url })
  type Options = Parameters<typeof client.cities.long.enqueue>[1]
  const enqueue = (given?: Options) => app.run(() => client.cities.long.enqueue({ id: 7 }, given))
  return { there, app, enqueue }
}

t.test('a task there is enqueued as it is in process', async (t) => {
  const { there, app, enqueue } = await serve(t, { auth: SIGNED })
  const task = await enqueue({
    delay: HOUR,
    attempts: 3,
    priority: 7,
    key: 'Zoë\n1',
    queue: 'slow',
  })
  t.match(await there.tasks.find(task.task_id), {
    queue: 'slow',
    state: 'delayed',
    attempts: 3,
    data: { input: { id: 7 }, user: 'app:orders' },
  })
  t.equal((await enqueue({ key: 'Zoë\n1', queue: 'slow' })).task_id, task.task_id)
  t.not((await enqueue({ key: 'Zoe', queue: 'slow' })).task_id, task.task_id)
  t.match(await app.run(() => task.status()), { state: 'delayed' })
  t.equal(await app.run(() => task.cancel()), true)
  const backoff = { type: 'fixed', delay: 5 } as const
  const unique = await enqueue({ delay: HOUR, unique: true, backoff })
  t.equal((await enqueue({ unique: true })).task_id, unique.task_id)
  t.equal(await app.run(async () => await (await enqueue()).result()), 7)
})

t.test('whoever has not proven to be a service may save work, and no more', async (t) => {
  const { there, enqueue } = await serve(t, {})
  t.equal((await enqueue({ key: 'a' })).task_id, (await enqueue({ key: 'a' })).task_id)
  for (const given of [{ delay: 5 }, { priority: 1 }, { attempts: 2 }, { queue: 'slow' }])
    t.match(await failure(enqueue(given)), {
      code: 'TASK_REFUSED',
      message: new RegExp(`has ${Object.keys(given)[0]}, which only other services may say`),
    })
  t.strictSame(
    (await (await there.tasks.driver()).queues()).map((queue) => queue),
    ['default'],
  )
})

t.test('options that cannot be are refused, here where it is known', async (t) => {
  const { enqueue } = await serve(t, { auth: SIGNED })
  t.match(await failure(enqueue({ delay: -1 })), { code: 'TASK_INVALID', message: /delay is -1/ })
  t.match(await failure(enqueue({ user: null })), { code: 'REMOTE_INVALID' })
  t.match(await failure(enqueue({ queue: 'other' })), {
    code: 'TASK_REFUSED',
    message: /names the queue other, which is not there/,
  })
})

t.test('with a key it may be asked for again', async (t) => {
  const upstream = await serveUpstream(t, (response, _, count) =>
    count % 2 === 1
      ? answerJson(response, {}, 503)
      : answerJson(response, { result: true, code: 0, data: { task_id: 'x' }, message: null }),
  )
  const { enqueue } = await serve(t, { url: upstream.url, retry: { delay: 1 } })
  t.equal((await enqueue({ key: 'é' })).task_id, 'x')
  t.strictSame(
    upstream.got.map(({ headers }) => [headers['x-async-task'], headers['x-task-options']]),
    [
      ['1', '{"key":"\\u00e9"}'],
      ['1', '{"key":"\\u00e9"}'],
    ],
  )
  t.equal((await failure(enqueue())).code, 'UPSTREAM_UNAVAILABLE')
  t.equal(upstream.got.length, 3)
  t.equal(upstream.got[2]?.headers['x-task-options'], undefined)
})

t.test('who waits for one that was given up there is told so', async (t) => {
  const message = 'The task x is given up: the process that ran it has died 5 times'
  const end = { task_id: 'x', is_completed: true, state: 'crashed', message, data: null }
  const upstream = await serveUpstream(t, (response, _, count) => {
    const data = count === 1 ? { task_id: 'x' } : end
    answerJson(response, { result: true, code: 0, data, message: null })
  })
  const { app, enqueue } = await serve(t, { url: upstream.url })
  const task = await enqueue()
  const told = await failure(app.run(() => task.result()))
  t.strictSame(told, { code: 'TASK_CRASHED', message, errors: null })
})
