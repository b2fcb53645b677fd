import { openMemory } from '../../src/task/memory.ts'
import { taskDriverSuite } from '../suites/task-driver.ts'
import { redisDrivers } from './redis-fixture.ts'

taskDriverSuite({
  name: 'in memory',
  async open(t) {
    const driver = openMemory()
    t.teardown(() => driver.close())
    return { driver, again: () => driver }
  },
})

taskDriverSuite({
  name: 'on Redis',
  async open(t) {
    const again = redisDrivers(t)
    return { driver: again(), again }
  },
})
