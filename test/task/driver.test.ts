import { openMemory } from '../../src/task/memory.ts'
import { databaseDrivers } from '../helpers/drivers.ts'
import { taskDriverSuite } from '../suites/task-driver.ts'
import { databaseTasks } from './database-fixture.ts'
import { redisDrivers } from './redis-fixture.ts'

/** Milliseconds: nothing of it waits for the end of one, and a busy machine renews it in time. */
const LEASE = 5000

taskDriverSuite({
  name: 'in memory',
  async open(t, kept) {
    const driver = openMemory(undefined, kept)
    t.teardown(() => driver.close())
    return { driver, again: () => driver }
  },
})

for (const database of databaseDrivers) {
  taskDriverSuite({
    name: `in a database: ${database.name}`,
    async open(t, kept) {
      const count = { age: 3_600_000, count: kept ?? 10_000 }
      const keep = { succeeded: count, failed: count }
      const { again } = await databaseTasks(t, database, { keep, lease: LEASE })
      return { driver: again(), again }
    },
  })
}

taskDriverSuite({
  name: 'on Redis',
  async open(t, kept) {
    const count = { age: 3600, count: kept ?? 10_000 }
    const keep = { succeeded: count, failed: count }
    const again = redisDrivers(t, { keep, lockDuration: LEASE })
    return { driver: again(), again }
  },
})
