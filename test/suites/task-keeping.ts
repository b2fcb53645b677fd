import type { Test } from 'tap'
import { errors } from '../../src/errors.ts'
import type { TaskDriver } from '../../src/task/types.ts'
import { type DriverUnderTest, task, tree, until, work } from './task-fixture.ts'

const HOUR = 3_600_000

/** Lets so many others end that nothing is kept which is not protected; `ran` counts them. */
async function pushOut(driver: TaskDriver, ran: unknown[], count = 4): Promise<void> {
  const before = ran.length
  await driver.add(Array.from({ length: count }, () => task({ input: 'other' })))
  await until(() => ran.length >= before + count)
  await idle(driver)
}

async function idle(driver: TaskDriver): Promise<void> {
  await until(async () => {
    const { waiting, running } = await driver.counts('default')
    return waiting + running === 0
  })
}

const isGone = (driver: TaskDriver, id: string) =>
  until(async () => (await driver.get(id)) === undefined)

export async function taskKeys(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t, 2)
  const reused = { code: 'TASK_KEY_REUSED', statusCode: 409 }
  const later = task({ delay: HOUR, print: 'a', keyFor: HOUR })
  const other = (one: typeof later) => ({ ...one, options: { ...one.options, print: 'b' } })
  const fresh = task({ delay: HOUR })
  t.strictSame(await driver.add([later]), [later.id])
  t.strictSame(await driver.add([later, fresh]), [later.id, fresh.id], 'the same one is meant')
  await t.rejects(driver.add([other(later)]), reused, 'while it waits')
  const never = task()
  await t.rejects(driver.add([never, other(later)]), reused)
  t.equal(await driver.get(never.id), undefined, 'nothing is added then')

  const ran: unknown[] = []
  await work(t, driver, async ({ data }) => ran.push(data.input))
  const charge = task({ input: 'charge', print: 'a', keyFor: HOUR })
  const short = task({ input: 'short', print: 'a', keyFor: 1 })
  const plain = task({ input: 'plain' })
  await driver.add([charge, short, plain])
  await until(() => ran.length === 3)
  await idle(driver)
  await pushOut(driver, ran)
  await isGone(driver, plain.id)
  t.match(await driver.get(charge.id), { state: 'succeeded', data: { input: 'charge' } })
  t.match(await driver.finished(charge.id), { state: 'succeeded', result: Number })
  t.strictSame(await driver.add([charge]), [charge.id])
  await t.rejects(driver.add([other(charge)]), reused, 'when it has ended')
  t.equal(await driver.cancel(charge.id), false)
  await isGone(driver, short.id)
  await driver.add([short])
  await until(() => ran.filter((input) => input === 'short').length === 2)
  t.equal(ran.filter((input) => input === 'charge').length, 1)
  t.equal(await driver.remove(charge.id), true)
  t.equal(await driver.get(charge.id), undefined)
}

export async function taskKeysOfEnds(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t, 2)
  const keyed = { print: 'a', keyFor: HOUR }
  const ran: unknown[] = []
  await work(t, driver, async ({ data }) => {
    ran.push(data.input)
    if (data.input !== 'good') throw errors.FORBIDDEN()
  })
  const fails = task({ attempts: 2, ...keyed })
  const waits = task({ delay: HOUR, ...keyed })
  const child = task()
  const root = task(keyed)
  await driver.add([fails, waits])
  await driver.addTree(tree(root, [tree(child)]))
  t.equal(await driver.cancel(waits.id), true)
  t.match(await driver.finished(root.id), { state: 'failed' })
  t.match(await driver.finished(fails.id), { state: 'failed' })
  const others = Array.from({ length: 4 }, () => task())
  await driver.add(others)
  await until(() => ran.length === 7)
  await idle(driver)
  await isGone(driver, child.id)
  t.match(await driver.get(fails.id), {
    state: 'failed',
    failure: { code: 'FORBIDDEN' },
    attempts_made: 2,
  })
  t.match(await driver.get(waits.id), { state: 'cancelled', failure: { code: 'TASK_CANCELLED' } })
  const failed = { state: 'failed', failure: { code: 'TASK_FAILED', message: child.id } }
  t.match(await until(() => driver.get(root.id)), failed)
}

export async function taskKeysInTrees(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t, 2)
  const ran: unknown[] = []
  await work(t, driver, async ({ data }) => ran.push(data.input))
  const keyed = { print: 'a', keyFor: HOUR }
  const [child, root] = [
    tree(task({ input: 'child', ...keyed })),
    task({ input: 'root', ...keyed }),
  ]
  await driver.addTree(tree(root, [child]))
  await driver.finished(root.id)
  await pushOut(driver, ran)
  await driver.addTree(tree(root, [tree(task())]))
  await t.rejects(driver.addTree(tree(task(), [child])), { code: 'TASK_EXISTS' })
  const other = { ...root, options: { ...root.options, print: 'b' } }
  await t.rejects(driver.addTree(tree(other, [tree(task())])), { code: 'TASK_KEY_REUSED' })
  t.strictSame(
    ran.filter((input) => input !== 'other'),
    ['child', 'root'],
  )
}

export async function taskKeep(t: Test, { open }: DriverUnderTest) {
  const { driver } = await open(t, 2)
  const ran: unknown[] = []
  await work(
    t,
    driver,
    async ({ data }) => {
      ran.push(data.input)
      if (data.input === 'bad') throw errors.FORBIDDEN()
    },
    { concurrency: 1 },
  )
  const end = async (one: ReturnType<typeof task>) => {
    const before = ran.length
    await driver.add([one])
    await until(() => ran.length > before)
    await idle(driver)
    return one.id
  }
  const named = (resource: string, keep: object, input = 'good') => task({ resource, keep, input })
  const short = await end(named('a.short', { succeeded: { age: 1 } }))
  await isGone(driver, short)
  const few = { succeeded: { count: 2 } }
  const ids = [await end(named('a.few', few)), await end(named('a.few', few))]
  ids.push(await end(named('a.few', few)))
  const last = named('a.while', { succeeded: { age: HOUR / 2 } })
  await end(last)
  // As two do who add the same task, and one of them is late.
  const before = ran.length
  t.strictSame(await driver.add([last]), [last.id])
  t.match(await driver.add([last, task({ input: 'mark' })]), [last.id, String])
  await until(() => ran.includes('mark'))
  await idle(driver)
  t.strictSame(ran.slice(before), ['mark'], 'it does not run again')
  const long = { succeeded: { age: HOUR, count: 5 }, failed: { age: HOUR, count: 5 } }
  const [good, bad] = [await end(named('a.long', long)), await end(named('a.long', long, 'bad'))]
  await pushOut(driver, ran)
  const isThere = async (id: string) => (await driver.get(id)) !== undefined
  t.strictSame(await Promise.all(ids.map(isThere)), [false, true, true])
  t.match(await driver.get(good), { state: 'succeeded', data: { resource: 'a.long' } })
  t.match(await driver.get(bad), { state: 'failed', failure: { code: 'FORBIDDEN' } })
}
