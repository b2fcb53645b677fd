import { Queue, Worker } from 'bullmq'
import { createApp, defineModule, defineResource, defineService } from '../src/index.ts'
import { KEEP, keepOptions } from '../src/task/bullmq/keep.ts'
import { spent, type Took } from './calling.ts'

// A process that enqueues empty tasks and runs them, with the kit or with BullMQ alone, as many as it is told, and says
// how long that took.

/** What is done: each task is enqueued by itself and run, all of them at once and run, or all at once alone. */
export interface Wanted {
  how: 'each' | 'many' | 'added'
  count: number
}

/** How tasks are enqueued: one, and many. Nobody works on those of the queue `idle`. */
interface Enqueue {
  one(): Promise<unknown>
  many(count: number, queue: 'default' | 'idle'): Promise<unknown>
}

const [side = '', prefix = '', url = ''] = process.argv.slice(2)
const concurrency = 50
/** How many are being added at once. */
const ADDING = 50

let ran = 0
let reached = () => {}
let wanted = 0

const idle = side === 'mysql' ? undefined : openQueue('idle')
const enqueue = await (side === 'plinth' || side === 'mysql' ? startKit() : startBare())
process.on('message', async (asked: Wanted) => process.send?.(await measure(asked)))
process.on('disconnect', () => process.exit())
process.send?.('ready')

function perform(): null {
  if (++ran === wanted) reached()
  return null
}

async function startKit(): Promise<Enqueue> {
  const empty = defineResource({ summary: 'An empty task', method: 'POST', perform })
  const modules = { bench: defineModule({ prefix: '/bench', resources: { empty } }) }
  const place = side === 'mysql' ? { DATABASE_URL: url } : { REDIS_URL: url, REDIS_PREFIX: prefix }
  const env = { NODE_ENV: 'production', LOG_LEVEL: 'warn', ...place }
  const app = await createApp(defineService({ name: prefix, modules, taskQueues: ['idle'] }), {
    env,
  })
  await app.ready()
  await app.tasks.work({ queues: ['default'], concurrency, schedules: false })
  const { empty: resource } = app.resources.bench
  return {
    one: () => resource.enqueue({}),
    many: (count, queue) => resource.enqueueMany(filled(count, {}), { queue }),
  }
}

async function startBare(): Promise<Enqueue> {
  const queues = { default: openQueue('default'), idle: idle as Queue }
  const worker = new Worker('default', async () => perform(), {
    connection: { ...connection(), maxRetriesPerRequest: null },
    prefix: keys(),
    concurrency,
    ...keepOptions(KEEP),
  })
  await Promise.all([queues.default.waitUntilReady(), worker.waitUntilReady()])
  return {
    one: () => queues.default.add('empty', {}),
    many: (count, queue) => queues[queue].addBulk(filled(count, { name: 'empty', data: {} })),
  }
}

const filled = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value)

function openQueue(name: string): Queue {
  return new Queue(name, { connection: connection(), prefix: keys() })
}

function connection() {
  const { hostname: host, port } = new URL(url)
  return { host, port: Number(port) }
}

/** What the names of a queue begin with. */
function keys(): string {
  return side === 'plinth' ? `{${prefix}}:tasks` : `{${prefix}}`
}

/** From the first that is added until the last has run, or been added. */
async function measure({ how, count }: Wanted): Promise<Took> {
  const all = new Promise<void>((resolve) => {
    reached = resolve
  })
  wanted = ran + count
  const [began, cpu] = [performance.now(), process.cpuUsage()]
  if (how === 'added') await enqueue.many(count, 'idle')
  else await Promise.all([all, how === 'many' ? enqueue.many(count, 'default') : addEach(count)])
  const took = { time: performance.now() - began, cpu: spent(cpu) }
  if (how === 'added') await idle?.drain()
  return took
}

async function addEach(count: number): Promise<void> {
  let left = count
  const add = async () => {
    while (left-- > 0) await enqueue.one()
  }
  await Promise.all(Array.from({ length: ADDING }, add))
}
