import { Queue } from 'bullmq'
import { createApp } from '../src/service.ts'
import { KEEP } from '../src/task/bullmq/keep.ts'
import service from './tasks-service.ts'

/** Who enqueues, and whose workers run: the kit, or BullMQ alone. */
export interface Side {
  name: 'plinth' | 'bullmq'
  /** Adds a task; trying it again adds it once. */
  enqueue(n: number): Promise<unknown>
  /** How many have not ended, and how many have failed. */
  left(): Promise<{ open: number; failed: number }>
  close(): Promise<void>
}

export async function openPlinth(place: Record<string, string>, root: string): Promise<Side> {
  const env = { NODE_ENV: 'production', ...place, REDIS_PREFIX: 'prove' }
  const app = await createApp(service, { root, env, logger: false })
  await app.ready()
  const driver = await app.tasks.driver()
  return {
    name: 'plinth',
    enqueue: (n) => app.resources.works.run.enqueue({ n }, { key: `${n}` }),
    left: async () => {
      const { waiting, delayed, running, failed } = await driver.counts('default')
      return { open: waiting + delayed + running, failed }
    },
    close: () => app.close(),
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
    left: async () => {
      const { failed = 0, completed: _, ...open } = await queue.getJobCounts()
      return { open: Object.values(open).reduce((sum, one) => sum + one, 0), failed }
    },
    close: () => queue.close(),
  }
}
