import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import Fastify from 'fastify'
import { type Kysely, sql } from 'kysely'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import database from '../../plugins/database.ts'
import health from '../../plugins/health.ts'
import redis from '../../plugins/redis.ts'
import resources from '../../plugins/resources.ts'
import tasks from '../../plugins/tasks.ts'
import { defineModule, type ResourceTable } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { newTaskId } from '../../src/task/id.ts'
import { addToOutbox, sendFromOutbox } from '../../src/task/outbox.ts'
import type { Tasks } from '../../src/task/tasks.ts'
import { serviceUrl } from '../database/fixture.ts'
import { createService, failure } from '../helpers/app.ts'
import { databaseDrivers, PATIENT, PATIENT_HEALTH, redisUrl } from '../helpers/drivers.ts'
import { manage, startManage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'
import { task, tree, until } from '../suites/task-fixture.ts'

const add = defineResource({
  summary: 'Add',
  method: 'POST',
  request: Type.Object({ n: Type.Integer() }),
  response: Type.Integer(),
  perform: ({ n }) => n + 1,
})

for (const driver of databaseDrivers) {
  t.test(`without Redis tasks outlive their process (${driver.name})`, async (t) => {
    const variables = { DATABASE_URL: await serviceUrl(t, driver) }
    const first = await createService(t, { add }, { variables })
    t.equal(first.app.tasks.store, 'database')
    const { task_id } = await first.app.run(() => add.enqueue({ n: 1 }))
    t.match(await first.app.tasks.find(task_id), { state: 'waiting' })
    await first.app.close()

    const second = await createService(t, { add }, { variables })
    t.match(
      await second.app.tasks.find(task_id),
      { state: 'waiting' },
      'who does not serve only adds',
    )
    await second.app.listen({ host: '127.0.0.1', port: 0 })
    t.equal(await second.app.tasks.result(task_id), 2)
    const kept = await second.app.inject(`/tasks/${task_id}`)
    t.match(kept.json().data, { is_completed: true, state: 'succeeded', data: 2 })
  })

  t.test(`several processes start a schedule once (${driver.name})`, async (t) => {
    const variables = { DATABASE_URL: await serviceUrl(t, driver) }
    const ran: string[] = []
    const tick = defineResource({
      summary: 'Tick',
      method: 'POST',
      schedule: '* * * * * *',
      perform(_, { requestId }) {
        ran.push(requestId)
        return null
      },
    })
    for (const _ of [1, 2, 3]) {
      const { app } = await createService(t, { tick }, { variables })
      await app.listen({ host: '127.0.0.1', port: 0 })
    }
    await until(() => new Set(ran).size >= 3)
    t.equal(ran.length, new Set(ran).size, 'each of its times')
  })
}

t.test('where a server does not work on them a worker does, and manage sees them', async (t) => {
  const service = writeService(t, {
    'src/service.ts': `
import { defineModule, defineResource, defineService, Type } from 'plinth'
const add = defineResource({
  summary: 'Add',
  method: 'POST',
  request: Type.Object({ n: Type.Integer() }),
  response: Type.Integer(),
  async: true,
  perform: ({ n }) => n + 1,
})
export default defineService({ name: 'sums', modules: { sums: defineModule({ prefix: '/sums', resources: { add } }) } })
`,
  })
  const env = {
    DATABASE_URL: `sqlite:${join(service, 'tasks.db')}`,
    REDIS_URL: '',
    TASK_IN_SERVER: 'false',
    NODE_ENV: 'test',
    LOG_LEVEL: 'info',
  }
  const serving = await startManage(t, ['serve', '--port', '0'], { service, env })
  const [, url = ''] = await serving.until('stdout', /"msg":"Server listening at (http:[^"]+)"/)
  const asked = await fetch(`${url}/sums`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-async-task': '1' },
    body: '{"n":6}',
  })
  const { data } = (await asked.json()) as { data: { task_id: string } }
  const stats = await manage(t, ['tasks', 'stats', '--json'], { service, env })
  t.match(JSON.parse(stats.stdout), { default: { waiting: 1, running: 0 } })
  await startManage(t, ['worker'], { service, env })
  const state = await until(async () => {
    const told = await manage(t, ['tasks', 'list', '--state', 'succeeded', '--json'], {
      service,
      env,
    })
    return JSON.parse(told.stdout)[0]
  })
  t.match(state, { id: data.task_id, result: 7 })
})

t.test('a store that is not there, or is none, is refused', async (t) => {
  const refused = async (store: string, withDatabase = false) => {
    const app = Fastify()
    t.teardown(() => app.close())
    if (withDatabase) await app.register(database, { url: 'sqlite::memory:' })
    return await failure(Promise.resolve(app.register(tasks, { store: store as 'redis' })))
  }
  t.match(await refused('redis', true), { code: 'PLUGIN_MISSING', message: /TASK_STORE/ })
  t.match(await refused('database'), { code: 'PLUGIN_MISSING', message: /DATABASE_URL/ })
  t.match(await refused('disk'), { code: 'PLUGIN_OPTION_INVALID' })
})

for (const driver of databaseDrivers) {
  t.test(`schedules are made, changed and removed at run time (${driver.name})`, async (t) => {
    const ran: unknown[] = []
    const report = defineResource({
      summary: 'Report',
      method: 'POST',
      request: Type.Object({ to: Type.String() }),
      perform({ to }) {
        ran.push(to)
        return null
      },
    })
    const DATABASE_URL = await serviceUrl(t, driver)
    const open = async () =>
      (await createService(t, { report }, { variables: { DATABASE_URL } })).app
    const [one, other] = [await open(), await open()]
    await other.listen({ host: '127.0.0.1', port: 0 })
    t.strictSame(await one.schedules.list(), [])
    const every = (to: string, cron = '* * * * * *') => {
      return { resource: 'things.report', cron, input: { to } }
    }
    await one.schedules.set('ann', every('ann'))
    await other.schedules.set('bob', every('bob'))
    await until(() => ran.includes('bob') && ran.includes('ann'))
    t.match(await one.schedules.list(), [
      { name: 'ann', resource: 'things.report', cron: '* * * * * *' },
      { name: 'bob' },
    ])
    await other.schedules.set('bob', every('eve'))
    await until(() => ran.includes('eve'))
    const rolledBack = one.db.transaction().execute(async () => {
      await one.schedules.set('cid', every('cid'))
      throw new Error('no')
    })
    t.equal((await failure(rolledBack)).message, 'no')
    t.strictSame(
      (await other.schedules.list()).map(({ name }) => name),
      ['ann', 'bob'],
    )
    t.equal(await other.schedules.remove('bob'), true)
    t.equal(await other.schedules.remove('bob'), false)
    t.equal(await other.schedules.remove('böb'), false, 'which no column of ASCII has')
    const told = async (name: string, given: object) =>
      (await failure(one.schedules.set(name, { ...every('x'), ...given }))).code
    t.equal(await told('a b', {}), 'SCHEDULE_INVALID')
    t.equal(await told('things.report', {}), 'SCHEDULE_INVALID')
    t.equal(await told('x', { cron: 'often' }), 'SCHEDULE_INVALID')
    t.equal(await told('x', { resource: 'things.gone' }), 'RESOURCE_UNKNOWN')
    t.equal(await told('x', { input: {} }), 'INVALID_REQUEST')
    await one.close()
    await other.close()

    const later = (await createService(t, {}, { variables: { DATABASE_URL } })).app
    t.strictSame(await later.schedules.list(), [], 'one whose resource is gone is left out')
  })
}

/** An app with two plugins of tasks, `tasks` and `mails`, ready. */
async function twoPlugins(
  t: Test,
  things: ResourceTable,
  { url, redisUrl: redisAt }: { url?: string; redisUrl?: string },
) {
  const app = Fastify()
  t.teardown(() => app.close())
  if (url) await app.register(database, { url })
  if (redisAt) await app.register(redis, { url: redisAt, ...PATIENT })
  await app.register(tasks, { prefix: `{${randomUUID()}}` })
  await app.register(tasks, { prefix: `{${randomUUID()}}`, name: 'mails', inServer: false })
  const modules = { things: defineModule({ prefix: '/things', resources: things }) }
  await app.register(resources, { modules })
  await app.ready()
  return { app, own: app.tasks, mails: app.getDecorator<Tasks>('mails') }
}

const addition = (n: number) => tree(task({ resource: 'things.add', input: { n } }))

async function idsIn<DB>(db: Kysely<DB>, table: string): Promise<string[]> {
  const { rows } = await sql<{
    id: string
  }>`select id from ${sql.table(table)} order by id`.execute(db)
  return rows.map(({ id }) => id)
}

for (const driver of databaseDrivers) {
  t.test(
    `two plugins of tasks on a database have rows of their own (${driver.name})`,
    async (t) => {
      const { app, own, mails } = await twoPlugins(t, { add }, { url: await serviceUrl(t, driver) })
      const [one, other, both] = [addition(1), addition(2), addition(3)]
      for (const added of [one, both]) await own.submit(added)
      for (const added of [other, both]) await mails.submit(added)
      const ids = (...trees: { id: string }[]) => trees.map(({ id }) => id).toSorted()
      t.strictSame(await idsIn(app.db, 'plinth_task'), ids(one, both))
      t.strictSame(await idsIn(app.db, 'plinth_task__mails'), ids(other, both))
      t.equal((await failure(own.find(other.id))).code, 'TASK_NOT_FOUND')
      await app.listen({ host: '127.0.0.1', port: 0 })
      t.strictSame([await own.result(one.id), await own.result(both.id)], [2, 4])
      t.match(await mails.find(other.id), { state: 'waiting' }, 'it is none of what the others run')
      t.match(await mails.find(both.id), { state: 'waiting' })
      await mails.work({ queues: ['default'], concurrency: 1, schedules: true })
      t.strictSame([await mails.result(other.id), await mails.result(both.id)], [3, 4])
    },
  )

  t.test(`and each has its own way to Redis (${driver.name})`, async (t) => {
    const at = { url: await serviceUrl(t, driver), redisUrl: redisUrl() }
    const { app, own, mails } = await twoPlugins(t, { add }, at)
    const [one, other] = [addition(1), addition(2)]
    await app.db.transaction().execute(async (db) => {
      await own.submit(one)
      await mails.submit(other)
      t.strictSame(await idsIn(db, 'plinth_outbox'), [one.id])
      t.strictSame(await idsIn(db, 'plinth_outbox__mails'), [other.id])
    })
    const [ownDriver, mailsDriver] = [await own.driver(), await mails.driver()]
    await until(() => ownDriver.get(one.id))
    await until(() => mailsDriver.get(other.id))
    t.equal(await ownDriver.get(other.id), undefined)
    t.equal(await mailsDriver.get(one.id), undefined)
    for (const { outbox } of [own, mails])
      await until(async () => (await outbox?.figures())?.waiting === 0)
  })
}

for (const driver of databaseDrivers) {
  t.test(
    `readiness tells of tasks that were refused for good, and stays (${driver.name})`,
    async (t) => {
      const variables = { DATABASE_URL: await serviceUrl(t, driver), REDIS_URL: redisUrl() }
      const name = `refused-${randomUUID()}`
      const plugins = [health(PATIENT_HEALTH)]
      const { app } = await createService(t, { add }, { name, variables, plugins })
      const outbox = async () => {
        const answer = await app.inject('/readyz')
        return [answer.statusCode, answer.json().data.checks.outbox]
      }
      t.match(await outbox(), [200, { ok: true, optional: true }])
      await addToOutbox(app.db, [{ id: newTaskId('default'), kind: 'task', payload: 'no task' }])
      await sendFromOutbox(app.db, 'task', 1, async ([one]) => {
        return { delivered: [], refused: [{ id: one?.id ?? '', problem: 'none', final: true }] }
      })
      t.match(await until(async () => (await outbox())[1].ok === false && (await outbox())), [
        200,
        { ok: false, optional: true },
      ])
    },
  )
}

for (const kept of ['memory', 'sqlite'] as const) {
  t.test(`of two plugins of tasks one has the schedules (${kept})`, async (t) => {
    const ran: string[] = []
    const tick = defineResource({
      summary: 'Tick',
      method: 'POST',
      schedule: { cron: '* * * * * *', overlap: 'allow' },
      perform(_, { requestId }) {
        ran.push(requestId)
        return null
      },
    })
    const [sqlite] = databaseDrivers
    const at = kept === 'sqlite' && sqlite ? { url: await serviceUrl(t, sqlite) } : {}
    const { app, mails } = await twoPlugins(t, { tick }, at)
    await app.listen({ host: '127.0.0.1', port: 0 })
    await mails.work({ queues: ['default'], concurrency: 1, schedules: true })
    await until(() => new Set(ran).size >= 3)
    t.equal(ran.length, new Set(ran).size, 'each of its times once')
    t.strictSame(await (await mails.schedules()).list(), [])
  })
}

for (const driver of databaseDrivers) {
  t.test(`who waits for a task that was given up is told (${driver.name})`, async (t) => {
    const variables = { DATABASE_URL: await serviceUrl(t, driver), TASK_MAX_CRASHES: '1' }
    const { app } = await createService(t, { add }, { variables })
    const dead = await app.run(() => add.enqueue({ n: 1 }))
    // As a process leaves it that has died.
    await sql`update plinth_task set state = 'running', worker = 'gone:7/x', turn = 1, started = 1`.execute(
      app.db,
    )
    await app.tasks.work({ queues: ['default'], concurrency: 1, schedules: false })
    t.match(await failure(dead.result()), {
      code: 'TASK_CRASHED',
      message: `The task ${dead.task_id} is given up: the process that ran it has died 1 times`,
    })
    t.match((await app.inject(`/tasks/${dead.task_id}`)).json().data, {
      is_completed: true,
      state: 'crashed',
      message: /given up/,
    })
  })
}
