import { Worker } from 'bullmq'
import { answer } from './answer.ts'
import { work } from './tasks-service.ts'

// A worker of BullMQ alone, with its own defaults, which are the kit's, too: locks of 30 s, looked for each 30 s.

const { hostname: host, port } = new URL(process.env.REDIS_URL ?? '')
const worker = new Worker('default', (job) => work(job.data.n), {
  connection: { host, port: Number(port), maxRetriesPerRequest: null },
  prefix: '{bare}',
  // TASK_CONCURRENCY.
  concurrency: 10,
  // As ours: otherwise BullMQ gives a task up whose worker was killed twice.
  maxStalledCount: 1_000_000,
})
worker.on('error', () => {})
await worker.waitUntilReady()
// The end that leaves behind what was compiled.
answer({ end: () => void setTimeout(() => process.exit(), 10) })
