import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { task, work } from '../suites/task-fixture.ts'
import { redisDrivers } from './redis-fixture.ts'

// The moment between asking for a task and having it is short: several tries meet it.
t.setTimeout(120_000)

t.test('a task that comes while its worker stops is not held by one that is gone', async (t) => {
  const open = redisDrivers(t, { lockDuration: 60_000, stalledInterval: 60_000 })
  const driver = open()
  const done = new Set<string>()
  for (let round = 0; round < 60; round++) {
    const first = task()
    const working = await work(t, open(), async ({ id }) => {
      done.add(id)
      return null
    })
    await driver.add([first])
    await driver.finished(first.id)
    // By now it waits for the next one.
    const last = task()
    const stopped = working.stop(1000)
    for (let turn = 0; turn < round % 12; turn++) await setImmediate()
    await driver.add([last])
    await stopped
    const found = await driver.get(last.id)
    t.equal(found?.state, done.has(last.id) ? 'succeeded' : 'waiting')
    await driver.remove(last.id)
  }
})
