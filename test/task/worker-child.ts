import { setTimeout as delay } from 'node:timers/promises'
import Fastify from 'fastify'
import database from '../../plugins/database.ts'
import { openBullmq } from '../../src/task/bullmq.ts'
import { openDatabase } from '../../src/task/database.ts'
import type { Run } from '../../src/task/types.ts'
import { block } from '../helpers/block.ts'

// A worker: it says which tasks it runs. What it does with them is their input.
const [url = '', prefix = '', lock = '500'] = process.argv.slice(2)
const log = { info() {}, warn() {}, error() {} }
const lockDuration = Number(lock)
const driver = url.startsWith('redis:')
  ? openBullmq({ redis: url, prefix, log, lockDuration, stalledInterval: 200 })
  : openDatabase(await openedDatabase(), { log, lease: lockDuration })

async function openedDatabase() {
  const app = Fastify()
  await app.register(database, { url })
  return app.db
}

const WORK: Record<string, () => unknown> = {
  /** Ends the process, as one that takes all its memory does, when others run beside it. */
  async poison() {
    await delay(50)
    process.kill(process.pid, 'SIGKILL')
    await new Promise(() => {})
  },
  /** Would end, if it were let. */
  beside: () => delay(200),
  /** Holds the process up for longer than its lock lasts. */
  block() {
    block(2000)
    return process.pid
  },
  /** Holds it up for long, and says when that is over. */
  freeze() {
    block(10_000)
    process.stdout.write('over\n')
    return 'done'
  },
}

await driver.work({
  queues: ['default'],
  concurrency: 5,
  concurrencyOf: () => 2,
  async perform({ id, data }: Run) {
    process.stdout.write(`${id}\n`)
    const work = WORK[String(data.input)]
    return await (work ? work() : new Promise(() => {}))
  },
})
