import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { TaskOptions } from '../../src/resource/contract.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { serviceUrl } from '../database/fixture.ts'
import { createService } from '../helpers/app.ts'
import { databaseDrivers, redisUrl } from '../helpers/drivers.ts'
import { until } from '../suites/task-fixture.ts'

type Variables = Record<string, string>

const stores: Record<string, (t: Test) => Promise<Variables>> = {
  memory: async () => ({}),
  redis: async () => ({ REDIS_URL: redisUrl() }),
}
for (const driver of databaseDrivers)
  stores[driver.name] = async (t) => ({ DATABASE_URL: await serviceUrl(t, driver) })

/** A resource whose schedule queues, and how many of its tasks have run at once and at all. */
function counted(task: TaskOptions = {}) {
  const seen = { running: 0, most: 0, ran: 0 }
  const tick = defineResource({
    summary: 'Tick',
    method: 'POST',
    schedule: { cron: '0 0 1 1 *', overlap: 'queue' },
    task,
    async perform() {
      seen.most = Math.max(seen.most, ++seen.running)
      await delay(5)
      seen.running--
      seen.ran++
      return null
    },
  })
  return { tick, seen }
}

for (const [store, variablesOf] of Object.entries(stores)) {
  /** Services that share the tasks, each of which works on them; in memory there is one. */
  async function serve(t: Test, tick: ReturnType<typeof counted>['tick']) {
    const name = `overlap-${randomUUID()}`
    const variables = await variablesOf(t)
    const serveOne = async () => (await createService(t, { tick }, { name, variables })).app
    const app = await serveOne()
    const apps = store === 'memory' ? [app] : [app, await serveOne()]
    const work = async () => {
      if (store === 'memory') return
      const options = { queues: ['default'], concurrency: 5, schedules: false }
      await Promise.all(apps.map((one) => one.tasks.work(options)))
    }
    return { app, work, schedules: await app.tasks.schedules() }
  }

  t.test(`runs of a schedule that queue are one at a time (${store})`, async (t) => {
    const { tick, seen } = counted()
    const { schedules, work } = await serve(t, tick)
    for (let n = 0; n < 10; n++) await schedules.runNow('things.tick')
    await work()
    // Others come while these run.
    for (let n = 0; n < 10; n++) await schedules.runNow('things.tick')
    await until(() => seen.ran === 20)
    t.equal(seen.most, 1)
  })

  t.test(
    `where one task of a resource runs at a time its schedule runs beside none (${store})`,
    async (t) => {
      const { tick, seen } = counted({ concurrency: { limit: 1 } })
      const { app, schedules, work } = await serve(t, tick)
      for (let n = 0; n < 5; n++) {
        await schedules.runNow('things.tick')
        await app.run(() => tick.enqueue())
      }
      await work()
      await until(() => seen.ran === 10)
      t.equal(seen.most, 1)
    },
  )

  t.test(`where more may run its schedule has a place of its own (${store})`, async (t) => {
    const { tick, seen } = counted({ concurrency: { limit: 2 } })
    const { schedules, work } = await serve(t, tick)
    for (let n = 0; n < 6; n++) await schedules.runNow('things.tick')
    await work()
    await until(() => seen.ran === 6)
    t.equal(seen.most, 1)
  })
}
