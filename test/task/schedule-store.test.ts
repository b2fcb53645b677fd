import { randomUUID } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { type Clock, systemClock } from '../../src/task/clock.ts'
import { parseSchedule, type ScheduleStore } from '../../src/task/schedule.ts'
import { databaseSchedules } from '../../src/task/schedule-database.ts'
import { memorySchedules } from '../../src/task/schedule-memory.ts'
import { redisSchedules } from '../../src/task/schedule-redis.ts'
import { startScheduler } from '../../src/task/scheduler.ts'
import { open } from '../database/fixture.ts'
import { databaseDrivers, redisUrl } from '../helpers/drivers.ts'
import { scheduleStoreSuite } from '../suites/schedule-store.ts'
import { FakeDriver, FakeLog } from './fake-driver.ts'

t.test('memory', async (t) => {
  await scheduleStoreSuite(t, () => {
    const store = memorySchedules()
    return () => store
  })
})

t.test(
  'memory reads its clock once: a schedule that begins now is done with up to now',
  async (t) => {
    let time = 1000
    // It goes on between any two readings.
    const store = memorySchedules(() => time++)
    const { done, now } = await store.open({ name: 'stats.nightly', version: 'a' })
    t.equal(done, now)
  },
)

for (const driver of databaseDrivers) {
  t.test(`in a database: ${driver.name}`, async (t) => {
    await scheduleStoreSuite(t, async (t) => {
      const db = await open(t, await driver.url(t))
      return () => databaseSchedules(db)
    })
  })
}

t.test('redis', async (t) => {
  await scheduleStoreSuite(t, (t) => {
    const { client, prefix } = redis(t)
    return () => redisSchedules(client, prefix)
  })
})

t.test('its keys in Redis are few, have its prefix, and do not stay for ever', async (t) => {
  const { client, prefix } = redis(t)
  const store = redisSchedules(client, prefix)
  await store.open({ name: 'stats.nightly', version: 'a' })
  await store.pause({ name: 'stats.nightly', version: 'a' }, true)
  await store.pause({ name: 'other', version: 'a' }, true)
  const keys = (await client.keys(`${prefix}*`)).sort()
  t.strictSame(keys, [`${prefix}schedule:other`, `${prefix}schedule:stats.nightly`])
  for (const key of keys) t.ok((await client.ttl(key)) > 4 * 365 * 24 * 3600)
})

t.test('a Redis that is away is an error of the catalogue', async (t) => {
  const client = new Redis({ port: 1, lazyConnect: true, retryStrategy: () => null })
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  const store = redisSchedules(client, 'x:')
  const away = { code: 'TASKS_UNAVAILABLE', cause: Error }
  await t.rejects(store.open({ name: 'a', version: 'b' }), away)
  await t.rejects(store.advance({ name: 'a', version: 'b' }, 1), away)
  await t.rejects(store.pause({ name: 'a', version: 'b' }, true), away)
})

async function eachTickOnce(t: Test, store: ScheduleStore) {
  const schedule = parseSchedule('stats.often', '* * * * * *')
  const driver = new FakeDriver()
  const { now } = await store.open({ name: 'clock', version: 'x' })
  const begin = now - 20_000
  await store.open(schedule, begin)
  const log = new FakeLog()
  const running = [-30_000, -2000, 0, 4000, 3_600_000].map((skew) => {
    const clock: Clock = { now: () => Date.now() + skew, after: systemClock.after }
    return startScheduler({ schedules: [schedule], driver, store, log, clock })
  })
  t.teardown(() => Promise.all(running.map((scheduler) => scheduler.stop())))
  const end = performance.now() + 60_000
  // Those that are due already, and two that are to come.
  while (driver.tasks.size < 22 && performance.now() < end) {
    await store.open(schedule)
    await turn()
  }
  await Promise.all(running.map((scheduler) => scheduler.stop()))
  const first = Math.ceil((begin + 1) / 1000) * 1000
  const expected = Array.from({ length: driver.tasks.size }, (_, i) => {
    const time = new Date(first + i * 1000).toISOString()
    return `schedule-stats.often-${time.replaceAll(':', '')}`
  })
  t.ok(driver.tasks.size >= 22)
  t.strictSame(driver.requests.sort(), expected)
  t.match(await store.open(schedule), { last: first + (driver.tasks.size - 1) * 1000 })
  t.strictSame(log.lines, [])
}

const ONCE = 'five processes with clocks of their own add each tick once'

t.test(`${ONCE} (redis)`, async (t) => {
  const { client, prefix } = redis(t)
  await eachTickOnce(t, redisSchedules(client, prefix))
})

for (const driver of databaseDrivers) {
  t.test(`${ONCE} (${driver.name})`, async (t) => {
    await eachTickOnce(t, databaseSchedules(await open(t, await driver.url(t))))
  })
}

function redis(t: Test) {
  const client = new Redis(redisUrl())
  const prefix = `test-${randomUUID()}:`
  t.teardown(async () => {
    const keys = await client.keys(`${prefix}*`)
    if (keys.length > 0) await client.del(keys)
    client.disconnect()
  })
  return { client, prefix }
}
