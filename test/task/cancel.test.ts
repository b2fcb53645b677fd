import t from 'tap'
import { type Cancelling, cancelJob } from '../../src/task/bullmq/cancel.ts'
import { block } from '../helpers/block.ts'
import { task } from '../suites/task-fixture.ts'

t.test('a process that stands still asks again whether a worker has heard it', async (t) => {
  const asked: string[] = []
  const client = {
    async eval(script: string) {
      asked.push(script)
      if (asked.length > 1) return 3
      // Meanwhile its worker says that it has heard.
      block(2500)
      return 2
    },
  }
  const { id, data } = task()
  const cancelling = {
    client,
    queue: { toKey: (type: string) => type },
    job: { id, data, async updateData() {} },
    prefix: 'test',
    lockDuration: 30_000,
    hasEnded: async () => false,
  }
  t.equal(await cancelJob(cancelling as never as Cancelling), true)
  t.equal(asked.length, 2)
  t.equal(asked[1], asked[0], 'its lock is not taken from that')
})
