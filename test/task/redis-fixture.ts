import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { type BullmqOptions, openBullmq } from '../../src/task/bullmq.ts'
import type { TaskDriver } from '../../src/task/types.ts'
import { redisUrl } from '../helpers/drivers.ts'

const QUIET = { info() {}, warn() {}, error() {} }

/** Opens drivers with the same tasks; the last thing that happens in the test is that these are gone. */
export function redisDrivers(t: Test, options: Partial<BullmqOptions> = {}): () => TaskDriver {
  const url = redisUrl()
  const { prefix = `test-${randomUUID()}` } = options
  const drivers: TaskDriver[] = []
  t.teardown(async () => {
    await Promise.all(drivers.map((driver) => driver.close()))
    const client = new Redis(url)
    const keys = await client.keys(`${prefix}:*`)
    if (keys.length > 0) await client.unlink(...keys)
    client.disconnect()
  })
  return () => {
    const times = { lockDuration: 1000, stalledInterval: 300 }
    const own = { patience: 30_000, ...times, ...options }
    const driver = openBullmq({ redis: url, prefix, log: QUIET, ...own })
    drivers.push(driver)
    return driver
  }
}
