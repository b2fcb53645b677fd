import { randomUUID } from 'node:crypto'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import redis from '../../plugins/redis.ts'
import resources from '../../plugins/resources.ts'
import tasks from '../../plugins/tasks.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { newTaskId } from '../../src/task/id.ts'
import { createService, failure } from '../helpers/app.ts'
import { PATIENT, redisUrl } from '../helpers/drivers.ts'
import { until } from '../suites/task-fixture.ts'

function ticking(schedule: unknown, ran: unknown[] = []) {
  return defineResource({
    summary: 'Tick',
    method: 'POST',
    request: Type.Object({ n: Type.Optional(Type.Integer()) }),
    schedule: schedule as string,
    perform({ n }) {
      ran.push(n)
      return null
    },
  })
}

function bare(t: Test) {
  const app = Fastify()
  t.teardown(() => app.close())
  return app
}

for (const url of [undefined, redisUrl()]) {
  const name = url ? 'redis' : 'memory'

  t.test(`works alone in a Fastify app (${name})`, async (t) => {
    const app = bare(t)
    if (url) await app.register(redis, { url, ...PATIENT })
    app.register(tasks, { prefix: `{${randomUUID()}}` })
    await app.listen({ host: '127.0.0.1', port: 0 })
    const none = await app.inject(`/tasks/${newTaskId('default')}`)
    t.strictSame([none.statusCode, none.json().code], [404, 'TASK_NOT_FOUND'])
    t.equal((await app.tasks.driver()).kind, name)
  })

  t.test(`with resources it runs them (${name})`, async (t) => {
    const app = bare(t)
    if (url) await app.register(redis, { url, ...PATIENT })
    const add = defineResource({ summary: 'x', response: Type.Integer(), perform: () => 5 })
    const modules = { things: defineModule({ prefix: '/things', resources: { add } }) }
    app.register(tasks, { prefix: `{${randomUUID()}}` })
    app.register(resources, { modules, async: true })
    await app.ready()
    const task = await app.run(() => add.enqueue())
    if (url) {
      const working = await app.tasks.work({
        queues: ['default'],
        concurrency: 1,
        schedules: false,
      })
      t.equal(await task.result(), 5)
      t.strictSame(await working.stop(1000), { handedBack: 0 })
    } else t.equal(await task.result(), 5)
    const asked = await app.inject({ url: '/things', headers: { 'x-async-task': '1' } })
    t.type(asked.json().data.task_id, 'string')
  })
}

t.test('a schedule runs by itself in a server without Redis', async (t) => {
  const ran: unknown[] = []
  const tick = ticking({ cron: '* * * * * *', input: { n: 7 } }, ran)
  const { app } = await createService(t, { tick })
  t.strictSame(ran, [])
  await app.listen({ host: '127.0.0.1', port: 0 })
  await until(() => ran.length > 0)
  t.equal(ran[0], 7)
})

t.test(
  'a schedule that can never come, or whose input is not valid, is told at the start',
  async (t) => {
    const bad: [schedule: unknown, code: string][] = [
      ['every day', 'SCHEDULE_INVALID'],
      ['0 0 30 2 *', 'SCHEDULE_INVALID'],
      ['', 'SCHEDULE_INVALID'],
      [{ cron: '0 0 * * *', timezone: 'Mars/Base' }, 'SCHEDULE_INVALID'],
      [{ cron: '0 0 * * *', jitter: -1 }, 'SCHEDULE_INVALID'],
      [{ cron: '0 0 * * *', input: { n: 'x' } }, 'INVALID_REQUEST'],
    ]
    for (const [schedule, code] of bad) {
      const told = await failure(createService(t, { tick: ticking(schedule) }))
      t.equal(told.code, code, JSON.stringify(schedule))
      t.match(told.message, /things\.tick/)
    }
  },
)

t.test('stag and prod on one Redis do not mix, unless they are told to', async (t) => {
  const add = defineResource({ summary: 'Add', response: Type.Integer(), perform: () => 1 })
  const name = `mixed-${randomUUID()}`
  const open = async (BKPAAS_ENVIRONMENT: string, more = {}) => {
    const variables = { REDIS_URL: redisUrl(), BKPAAS_ENVIRONMENT, ...more }
    const keys = { NODE_ENV: 'production', SECRET_KEY: 'x'.repeat(64) }
    return (await createService(t, { add }, { name, variables: { ...variables, ...keys } })).app
  }
  const [stag, prod] = [await open('stag'), await open('prod')]
  const { task_id } = await stag.run(() => add.enqueue())
  await stag.cache.set('key', 'of stag', { ttl: 60_000 })
  t.equal((await stag.tasks.find(task_id)).state, 'waiting')
  t.equal((await failure(prod.tasks.find(task_id))).code, 'TASK_NOT_FOUND')
  t.equal(await prod.cache.get('key'), undefined)
  const REDIS_PREFIX = `shared-${name}`
  const [one, other] = [await open('stag', { REDIS_PREFIX }), await open('prod', { REDIS_PREFIX })]
  const shared = await one.run(() => add.enqueue())
  t.equal((await other.tasks.find(shared.task_id)).state, 'waiting')
})

t.test('the routes of tasks are part of the API document', async (t) => {
  const { app } = await createService(t, { tick: ticking('0 0 * * *') })
  const { paths } = (await app.inject('/openapi.json')).json()
  t.match(paths['/tasks/{id}'], {
    get: { operationId: 'plinth.tasks.retrieve' },
    delete: { operationId: 'plinth.tasks.cancel' },
  })
})

t.test('without a database no schedule is made at run time', async (t) => {
  const app = bare(t)
  app.register(tasks)
  await app.ready()
  const given = { resource: 'a.b', cron: '0 0 * * *' }
  t.equal((await failure(app.schedules.set('x', given))).code, 'DATABASE_MISSING')
})
