import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import t from 'tap'
import { openMemory } from '../../src/task/memory.ts'
import { redisUrl } from '../helpers/drivers.ts'
import { task, until, work } from '../suites/task-fixture.ts'
import { redisDrivers } from './redis-fixture.ts'

const AGE = 3600
const PREFIX = `test-${randomUUID()}`

t.test('of what has ended the last ones are kept, whoever ended it', async (t) => {
  const keep = { succeeded: { age: AGE, count: 2 }, failed: { age: AGE, count: 1 } }
  const driver = redisDrivers(t, { keep })()
  const cancelled = [task(), task(), task()]
  await driver.add(cancelled)
  for (const { id } of cancelled) t.ok(await driver.cancel(id))
  t.match(await driver.counts('default'), { failed: 1, waiting: 0 })

  const done = [task(), task(), task(), task()]
  await driver.add(done)
  // Of those that end in the same millisecond any is the last.
  const perform = async () => {
    for (const begun = Date.now(); Date.now() === begun; );
    return null
  }
  await work(t, driver, perform, { concurrency: 1 })
  await until(async () => (await driver.counts('default')).waiting === 0)
  await driver.finished((done.at(-1) as (typeof done)[number]).id)
  t.match(await driver.counts('default'), { succeeded: 2, failed: 1 })
})

t.test('a failure is kept without where it came from', async (t) => {
  const driver = redisDrivers(t, { prefix: PREFIX })()
  const fails = task({ attempts: 1 })
  await driver.add([fails])
  await work(t, driver, async () => {
    throw new Error('the password is hunter2')
  })
  const record = await driver.finished(fails.id)
  t.match(record, { state: 'failed', failure: { code: 'INTERNAL' }, attempts: 1, attempts_made: 1 })
  const client = new Redis(redisUrl())
  t.teardown(() => client.disconnect())
  const kept = await client.hgetall(`${PREFIX}:default:${fails.id}`)
  t.match(kept.failedReason, /INTERNAL/)
  t.equal(kept.stacktrace, '[]')
  t.notMatch(JSON.stringify(kept), /hunter2|\.ts:/)
})

t.test(
  'of those with a key as many are kept as of others, once that does not hold (memory)',
  async (t) => {
    const driver = openMemory()
    t.teardown(() => driver.close())
    const keyed = { print: 'a', keyFor: 1, keep: { succeeded: { count: 2 } } }
    const done = Array.from({ length: 6 }, () => task(keyed))
    await driver.add(done)
    await work(t, driver, async () => null, { concurrency: 1 })
    for (const { id } of done) await until(async () => (await driver.get(id))?.state !== 'waiting')
    await until(async () => (await driver.counts('default')).succeeded === 2)
  },
)
