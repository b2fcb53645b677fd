import { Job } from 'bullmq'
import t from 'tap'
import { errors } from '../../src/errors.ts'
import { stateOf, task, tree, until, work } from '../suites/task-fixture.ts'
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
