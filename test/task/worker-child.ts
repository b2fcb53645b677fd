import { openBullmq } from '../../src/task/bullmq.ts'

// A worker: it says which tasks it runs, and ends none of them.
const [redis = '', prefix = ''] = process.argv.slice(2)
const log = { info() {}, warn() {}, error() {} }
const driver = openBullmq({ redis, prefix, log, lockDuration: 500, stalledInterval: 200 })
await driver.work({
  queues: ['default'],
  concurrency: 5,
  perform: async ({ id }) => {
    process.stdout.write(`${id}\n`)
    await new Promise(() => {})
  },
})
