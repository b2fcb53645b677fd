import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { TaskDriver } from '../../src/task/types.ts'
import { redisUrl } from '../helpers/drivers.ts'
import { gate, task, until, work } from '../suites/task-fixture.ts'
import { redisDrivers } from './redis-fixture.ts'

const next = (input: number, debounce = 50) =>
  task({ input, unique: 'a', debounce, delay: debounce })

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

/** One that waits, and that the next equal one finds; before that brings its input `meanwhile` happens. */
async function joinLate(t: Test, meanwhile: (driver: TaskDriver, first: string) => Promise<void>) {
  const prefix = `test-${randomUUID()}`
  const driver = redisDrivers(t, { prefix })()
  const client = new Redis(redisUrl())
  const { eval: run } = Redis.prototype
  t.teardown(() => {
    Object.assign(Redis.prototype, { eval: run })
    client.disconnect()
  })
  const [first = ''] = await driver.add([next(1)])
  const key = `${prefix}:default:de:a`
  await client.set(key, first, 'PX', 60_000)
  let isLate = false
  const late = async function (this: Redis, ...args: Parameters<typeof run>) {
    if (!isLate && args.includes(key)) {
      isLate = true
      await meanwhile(driver, first)
    }
    return await run.apply(this, args)
  }
  Object.assign(Redis.prototype, { eval: late })
  const [second = ''] = await driver.add([next(2)])
  t.equal(isLate, true)
  return { driver, first, second }
}

t.test('another one runs with an input that comes too late for the first', async (t) => {
  const runs: unknown[] = []
  const { driver, first, second } = await joinLate(t, async (driver, first) => {
    await work(t, driver, async ({ data }) => runs.push(data.input))
    await driver.finished(first)
  })
  t.not(second, first)
  await driver.finished(second)
  t.strictSame(runs, [1, 2])
  t.match(await driver.get(first), { data: { input: 1 } })
})

t.test('one that is added while the first is removed takes the next one in', async (t) => {
  let third: string | undefined
  const { driver, second } = await joinLate(t, async (driver, first) => {
    await driver.remove(first)
    third = (await driver.add([next(3, 60_000)]))[0]
  })
  t.equal(second, third)
  t.match(await driver.get(second), { data: { input: 2 } })
  t.match(await driver.counts('default'), { delayed: 1 })
})
