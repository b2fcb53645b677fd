import { setImmediate } from 'node:timers/promises'
import { Job } from 'bullmq'
import t from 'tap'
import { gate, task, tree, until, work } from '../suites/task-fixture.ts'
import { redisDrivers } from './redis-fixture.ts'

// The moment between asking for a task and having it is short: several tries meet it.

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

t.test('what a worker that stops hands back is not taken again by itself', async (t) => {
  const open = redisDrivers(t, { lockDuration: 60_000, stalledInterval: 60_000 })
  const driver = open()
  const deaf = gate()
  const working = await work(t, open(), deaf.perform, { concurrency: 2 })
  const one = task()
  await driver.add([one])
  await until(() => deaf.begun.length)
  t.strictSame(await working.stop(0), { handedBack: 1 })
  t.match(await driver.get(one.id), { state: 'waiting' })
  deaf.release()
})

t.test('a parent that is looked at while its worker stops does not begin', async (t) => {
  const open = redisDrivers(t, { lockDuration: 60_000, stalledInterval: 60_000 })
  const driver = open()
  const ran: unknown[] = []
  const working = await work(t, open(), async ({ data }) => ran.push(data.input))
  const { moveToWaitingChildren } = Job.prototype
  t.teardown(() => Object.assign(Job.prototype, { moveToWaitingChildren }))
  let stopped: ReturnType<typeof working.stop> | undefined
  Job.prototype.moveToWaitingChildren = async function (...args) {
    const waits = await moveToWaitingChildren.apply(this, args)
    stopped = working.stop(0)
    return waits
  }
  const root = task({ input: 'root' })
  await driver.addTree(tree(root, [tree(task({ input: 'child' }))]))
  await until(() => stopped)
  await stopped
  t.match(await driver.get(root.id), { state: 'waiting' })
  t.strictSame(ran, ['child'])
})
