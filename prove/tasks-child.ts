import { Worker } from 'bullmq'
import { createPerform } from '../src/resource/perform-task.ts'
import { createApp } from '../src/service.ts'
import { openBullmq } from '../src/task/bullmq.ts'
import { openDatabase } from '../src/task/database.ts'
import { StuckTries } from '../src/task/stuck.ts'
import { answer } from './answer.ts'
import service, { work, worked } from './tasks-service.ts'

// A worker: as `manage worker`, or of BullMQ alone (BARE), with locks that run out soon.

const { REDIS_URL: url = '', BARE } = process.env
const LOCKS = { lockDuration: 2000, stalledInterval: 500 }
const concurrency = 50

await (BARE ? workBare() : workAsManage())
// The end that leaves behind what was compiled.
answer({ worked: () => worked.promise, end: () => void setTimeout(() => process.exit(), 10) })

async function workAsManage(): Promise<void> {
  const app = await createApp(service, { logger: false })
  await app.ready()
  const log = { info() {}, warn() {}, error() {} }
  const driver = url
    ? openBullmq({ redis: url, prefix: '{prove}:tasks', log, ...LOCKS })
    : openDatabase(app.db, { log, lease: LOCKS.lockDuration })
  const bounds = { grace: 10_000, resultLimit: 1_048_576, unknownAge: 86_400_000 }
  const stuck = new StuckTries()
  const perform = createPerform(app as never, { ...bounds, stuck, running: async () => [] })
  await driver.work({ queues: ['default'], concurrency, perform })
}

async function workBare(): Promise<void> {
  const { hostname: host, port } = new URL(url)
  const worker = new Worker('default', (job) => work(job.data.n), {
    connection: { host, port: Number(port), maxRetriesPerRequest: null },
    prefix: '{bare}',
    concurrency,
    // As ours: otherwise BullMQ gives a task up whose worker was killed twice.
    maxStalledCount: 1_000_000,
    ...LOCKS,
  })
  worker.on('error', () => {})
  await worker.waitUntilReady()
}
