import { join } from 'node:path'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import database from '../../plugins/database.ts'
import tasks from '../../plugins/tasks.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { folder } from '../database/fixture.ts'
import { createService, failure } from '../helpers/app.ts'
import { type DatabaseDriver, databaseDrivers } from '../helpers/drivers.ts'
import { manage, startManage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'
import { until } from '../suites/task-fixture.ts'

const add = defineResource({
  summary: 'Add',
  method: 'POST',
  request: Type.Object({ n: Type.Integer() }),
  response: Type.Integer(),
  perform: ({ n }) => n + 1,
})

/** A service empties the folder that the file would be in. */
const urlOf = async (t: Test, driver: DatabaseDriver) =>
  driver.name === 'sqlite'
    ? `sqlite:${join(folder(t, {}, 'tasks'), 'test.db')}`
    : await driver.url(t)

for (const driver of databaseDrivers) {
  t.test(`without Redis tasks outlive their process (${driver.name})`, async (t) => {
    const variables = { DATABASE_URL: await urlOf(t, driver) }
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
    const variables = { DATABASE_URL: await urlOf(t, driver) }
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
    const DATABASE_URL = await urlOf(t, driver)
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
