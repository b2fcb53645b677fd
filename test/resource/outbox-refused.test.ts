import { randomUUID } from 'node:crypto'
import t from 'tap'
import { Type } from 'typebox'
import database from '../../plugins/database.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { addToOutbox } from '../../src/task/outbox.ts'
import { failure } from '../helpers/app.ts'
import { databaseDrivers, redisUrl } from '../helpers/drivers.ts'
import { ownRedis } from '../helpers/own-redis.ts'
import { until } from '../suites/task-fixture.ts'
import { IMPATIENT, serve } from './attached.ts'

const echo = defineResource({
  summary: 'Echo',
  method: 'POST',
  request: Type.Object({ n: Type.Integer() }),
  response: Type.Integer(),
  perform: ({ n }) => n,
})

for (const driver of databaseDrivers) {
  const plugin = (url: string) => ({
    plugin: (app: Parameters<typeof database>[0]) => void app.register(database, { url }),
  })

  t.test(`a task that is refused for good has failed, and is told (${driver.name})`, async (t) => {
    const url = await driver.url(t)
    const app = await serve(t, { url: redisUrl() }, { echo }, plugin(url))
    const { tasks } = app
    const enqueue = () => echo.enqueue({ n: 1 }, { key: 'k' })
    const { task_id: id } = await app.run(enqueue)
    await tasks.result(id)
    await (await tasks.driver()).remove(id)
    await tasks.outbox?.figures()
    await addToOutbox(app.db, [{ id, kind: 'task', payload: { id, options: { print: 'x' } } }])
    await until(async () => (await tasks.outbox?.figures())?.refused === 1)
    const refused = { state: 'failed', failure: { code: 'TASK_UNDELIVERED' } }
    t.match(await tasks.find(id), refused)
    t.match(await failure(tasks.result(id)), { code: 'TASK_UNDELIVERED', message: new RegExp(id) })
    t.equal(await tasks.cancel(id), false)
    t.match(await tasks.outbox?.list({ state: 'refused', limit: 10 }), [
      { id, state: 'refused', attempts: 1, problem: /it is no task/ },
    ])
    t.strictSame(await tasks.outbox?.list({ state: 'waiting', limit: 10 }), [])
    // Which no column of ASCII has.
    t.equal(await tasks.outbox?.retry(['é']), 0)
    t.equal(await tasks.outbox?.remove(['é']), 0)

    await app.run(() => app.db.transaction().execute(enqueue))
    t.equal(await tasks.result(id), 1, 'whoever has its key next is not kept out by it')
    t.strictSame(await tasks.outbox?.figures(), { waiting: 0, refused: 0, oldest: 0 })
  })

  t.test(`a key holds while its task is on its way (${driver.name})`, async (t) => {
    const redis = await ownRedis(t)
    const url = await driver.url(t)
    const prefix = randomUUID()
    const open = () =>
      serve(t, { url: redis.url }, { echo }, { ...plugin(url), ...IMPATIENT, prefix })
    const [one, other] = [await open(), await open()]
    const enqueue = (app: typeof one, n: number) =>
      app.run(() => echo.enqueue({ n }, { key: 'charge' }))
    // Both know that there is an outbox.
    for (const app of [one, other]) await app.tasks.outbox?.figures()
    await redis.kill()
    const first = await enqueue(one, 1)
    t.equal((await enqueue(other, 1)).task_id, first.task_id, 'the same one')
    t.match(await failure(enqueue(other, 2)), { code: 'TASK_KEY_REUSED' })
    await redis.restart()
    t.equal(await first.result(), 1)
  })
}
