import { Job } from 'bullmq'
import t, { type Test } from 'tap'
import { errors } from '../../src/errors.ts'
import type { TaskDriver } from '../../src/task/types.ts'
import { open } from '../database/fixture.ts'
import { databaseDrivers } from '../helpers/drivers.ts'
import { stateOf, task, tree, until, work } from '../suites/task-fixture.ts'
import { databaseTasks } from './database-fixture.ts'
import { redisDrivers } from './redis-fixture.ts'

t.test(
  'a parent whose child fails again before it is put back itself says which (redis)',
  async (t) => {
    const driver = redisDrivers(t)()
    const ran: unknown[] = []
    await work(t, driver, async ({ data }) => {
      ran.push(data.input)
      throw errors.FORBIDDEN()
    })
    const [root, child] = [task({ input: 'root' }), task({ input: 'child' })]
    await driver.addTree(tree(root, [tree(child)]))
    await driver.finished(root.id)
    const { updateData } = Job.prototype
    t.teardown(() => Object.assign(Job.prototype, { updateData }))
    Job.prototype.updateData = async function (data) {
      if (this.id === root.id)
        await until(async () => ran.length === 2 && (await stateOf(driver, child)) === 'failed')
      await updateData.call(this, data)
    }
    t.equal(await driver.retry(root.id), true)
    const failure = { code: 'TASK_FAILED', message: child.id }
    t.match(await driver.finished(root.id), { state: 'failed', failure })
    t.strictSame(ran, ['child', 'child'])
  },
)

/** A group within a group, of which only the first is cancelled at first. */
async function cancelAgain(t: Test, driver: TaskDriver): Promise<void> {
  const children = [tree(task({ delay: 60_000 })), tree(task({ delay: 60_000 }))]
  const root = tree(task(), [tree(task(), children)])
  await driver.addTree(root)
  const cancel = driver.cancel.bind(driver)
  let isAway = true
  driver.cancel = async (id) => {
    if (isAway && id !== root.id) throw errors.TASKS_UNAVAILABLE('it is away')
    return await cancel(id)
  }
  await t.rejects(driver.cancel(root.id), { code: 'TASKS_UNAVAILABLE' })
  isAway = false
  t.equal(await driver.cancel(root.id), false, 'it is cancelled already')
  for (const one of [root, ...root.children, ...children])
    t.match(await driver.get(one.id), { state: 'cancelled' })
}

t.test('a cancellation that has failed on the way can be repeated (redis)', (t) =>
  cancelAgain(t, redisDrivers(t)()),
)

for (const database of databaseDrivers) {
  t.test(`a group is put back at once (${database.name})`, async (t) => {
    const { url, again } = await databaseTasks(t, database)
    const driver = again()
    const fails = async () => {
      throw errors.FORBIDDEN()
    }
    const working = await work(t, driver, fails)
    const [root, child] = [task(), task()]
    await driver.addTree(tree(root, [tree(child)]))
    await driver.finished(root.id)
    await working.stop(1000)
    const beside = await open(t, url)
    const retry = driver.retry.bind(driver)
    const seen: unknown[] = []
    driver.retry = async (id) => {
      const done = await retry(id)
      const query = beside.selectFrom('plinth_task').select('state').where('id', '=', child.id)
      seen.push((await query.executeTakeFirst())?.state)
      return done
    }
    t.equal(await driver.retry(root.id), true)
    t.strictSame(seen, ['failed', 'waiting'], 'others see it with its parent alone')
    await work(t, driver, fails)
    const failure = { code: 'TASK_FAILED', message: child.id }
    t.match(await driver.finished(root.id), { state: 'failed', failure })
  })

  t.test(
    `a cancellation that has failed on the way can be repeated (${database.name})`,
    async (t) => cancelAgain(t, (await databaseTasks(t, database)).again()),
  )
}
