import { Queue } from 'bullmq'
import { createApp } from '../src/service.ts'
import { KEEP } from '../src/task/bullmq/keep.ts'
import { derivedTaskId } from '../src/task/id.ts'
import type { NewTask } from '../src/task/types.ts'
import service from './tasks-service.ts'

/** Who enqueues, and whose workers run: the kit, or BullMQ alone. */
export interface Side {
  name: 'plinth' | 'bullmq'
  /** Adds a task; trying it again adds it once. */
  enqueue(n: number): Promise<unknown>
  /** Adds one that ends its process whenever it runs. */
  enqueuePoison(n: number): Promise<unknown>
  /** How many have not ended, have failed, and were given up as their processes died. */
  left(): Promise<{ open: number; failed: number; crashed: number }>
  close(): Promise<void>
}

export async function openPlinth(place: Record<string, string>, root: string): Promise<Side> {
  const env = { NODE_ENV: 'production', ...place, REDIS_PREFIX: 'prove' }
  const app = await createApp(service, { root, env, logger: false })
  await app.ready()
  const driver = await app.tasks.driver()
  return {
    name: 'plinth',
    enqueue: (n) => driver.add([taskOf('works.run', n)]),
    enqueuePoison: (n) => driver.add([taskOf('works.poison', n)]),
    left: async () => {
      const { waiting, delayed, running, ...ended } = await driver.counts('default')
      return { open: waiting + delayed + running, ...ended }
    },
    close: () => app.close(),
  }
}

/** With an id of its own, as BullMQ's: a key would be more, as its end is kept beside the task. */
function taskOf(resource: string, n: number): NewTask {
  return {
    id: derivedTaskId('default', resource, `${n}`),
    queue: 'default',
    data: { resource, input: { n }, user: null, requestId: `${n}` },
    options: { attempts: 1, delay: 0, backoff: { type: 'fixed', delay: 0 } },
  }
}

export async function openBare(url: string): Promise<Side> {
  const { hostname: host, port } = new URL(url)
  const connection = { host, port: Number(port) }
  const queue = new Queue('default', { connection, prefix: '{bare}' })
  queue.on('error', () => {})
  const kept = { removeOnComplete: KEEP.succeeded, removeOnFail: KEEP.failed }
  return {
    name: 'bullmq',
    enqueue: (n) => queue.add('run', { n }, { jobId: `n${n}`, ...kept }),
    // It would end processes for ever.
    enqueuePoison: async () => {},
    left: async () => {
      const { failed = 0, completed: _, ...open } = await queue.getJobCounts()
      return { open: Object.values(open).reduce((sum, one) => sum + one, 0), failed, crashed: 0 }
    },
    close: () => queue.close(),
  }
}
