import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import t from 'tap'
import { redisUrl } from '../helpers/drivers.ts'
import { gate, task, until, work } from '../suites/task-fixture.ts'
import { redisDrivers } from './redis-fixture.ts'

t.test('one that runs takes no other in, though BullMQ would have it so for a while', async (t) => {
  const prefix = `test-${randomUUID()}`
  const driver = redisDrivers(t, { prefix })()
  const client = new Redis(redisUrl())
  t.teardown(() => client.disconnect())
  const { perform, begun, release } = gate()
  const runs: unknown[] = []
  await work(t, driver, async (run) => {
    runs.push(run.data.input)
    await perform(run)
  })
  const next = (input: number) => task({ input, unique: 'a', debounce: 50, delay: 50 })
  const [first = ''] = await driver.add([next(1)])
  await until(() => begun.length)
  // As where Redis, or who enqueued it, stood still for a while after its delay was counted.
  await client.set(`${prefix}:default:de:a`, first, 'PX', 60_000)
  const [second = ''] = await driver.add([next(2)])
  t.not(second, first)
  await client.set(`${prefix}:default:de:a`, first, 'PX', 60_000)
  const third = next(3)
  t.equal(await driver.add([third, task({ input: 'other' })]).then(([id]) => id), third.id)
  release()
  for (const id of [second, third.id]) t.match(await driver.finished(id), { state: 'succeeded' })
  t.strictSame(
    runs.filter((input) => input !== 'other'),
    [1, 2, 3],
  )
  t.match(await driver.get(first), { data: { input: 1 } })
})
