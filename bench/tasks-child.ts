import { Queue, Worker } from 'bullmq'
import { createApp, defineModule, defineResource, defineService } from '../src/index.ts'
import { KEEP, keepOptions } from '../src/task/bullmq/keep.ts'
import type { Took } from './calling.ts'

// A process that enqueues empty tasks and runs them, with the kit or with BullMQ alone, as many as it is told, and says
// how long that took.

const [side = '', prefix = '', url = ''] = process.argv.slice(2)
const concurrency = 50
/** How many are being added at once. */
const ADDING = 50

let ran = 0
let reached = () => {}
let wanted = 0

const enqueue = await (side === 'plinth' ? startKit() : startBare())
process.on('message', async (count: number) => process.send?.(await measure(count)))
process.on('disconnect', () => process.exit())
process.send?.('ready')

function perform(): null {
  if (++ran === wanted) reached()
  return null
}

async function startKit(): Promise<() => Promise<unknown>> {
  const empty = defineResource({ summary: 'An empty task', method: 'POST', perform })
  const modules = { bench: defineModule({ prefix: '/bench', resources: { empty } }) }
  const env = { NODE_ENV: 'production', LOG_LEVEL: 'warn', REDIS_URL: url }
  const app = await createApp(defineService({ name: prefix, modules }), { env })
  await app.ready()
  await app.tasks.work({ queues: ['default'], concurrency, schedules: false })
  return () => app.resources.bench.empty.enqueue({})
}

async function startBare(): Promise<() => Promise<unknown>> {
  const { hostname: host, port } = new URL(url)
  const connection = { host, port: Number(port) }
  const queue = new Queue('default', { connection, prefix: `{${prefix}}` })
  const worker = new Worker('default', async () => perform(), {
    connection: { ...connection, maxRetriesPerRequest: null },
    prefix: `{${prefix}}`,
    concurrency,
    ...keepOptions(KEEP),
  })
  await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()])
  return () => queue.add('empty', {})
}

/** From the first that is added until the last has run. */
async function measure(count: number): Promise<Took> {
  const all = new Promise<void>((resolve) => {
    reached = resolve
  })
  wanted = ran + count
  const [began, cpu] = [performance.now(), process.cpuUsage()]
  let left = count
  const add = async () => {
    while (left-- > 0) await enqueue()
  }
  await Promise.all([all, ...Array.from({ length: ADDING }, add)])
  const { user, system } = process.cpuUsage(cpu)
  return { time: performance.now() - began, cpu: (user + system) / 1000 }
}
