import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { FastifyAdapter } from '@bull-board/fastify'
import { type Job, Queue } from 'bullmq'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Redis } from 'ioredis'
import { crashesOf } from './bullmq/crashes.ts'
import { failedStateOf } from './bullmq/record.ts'
import type { TaskCrash } from './types.ts'

export interface BoardOptions {
  /** Where the page is. */
  path: string
  title: string
  /** A connection like this one is made for the page. */
  redis: Redis
  /** Of BullMQ's keys. */
  prefix: string
  /** The queues there are, asked for again whenever the page asks. */
  queues: () => Promise<readonly string[]>
  /** Puts one back that has failed or was cancelled. */
  retry: (id: string) => Promise<boolean>
}

/**
 * A queue whose failed tasks are tried again as everywhere else: for BullMQ one that was cancelled stays so. Among the errors of a
 * task are the processes that have died of it.
 */
class BoardQueue extends BullMQAdapter {
  readonly #queue: Queue
  readonly #redis: Redis
  readonly #retry: BoardOptions['retry']

  constructor(queue: Queue, redis: Redis, retry: BoardOptions['retry']) {
    super(queue)
    this.#queue = queue
    this.#redis = redis
    this.#retry = retry
    // BullMQ has it among those that have failed.
    this.setFormatter('name', (job) => (isCrashed(job) ? `${job.name} (crashed)` : job.name))
  }

  override async getJob(id: string): Promise<Job | undefined> {
    const job = await super.getJob(id)
    return job && (await this.#ours(job))
  }

  override async getJobs(...args: Parameters<BullMQAdapter['getJobs']>): Promise<Job[]> {
    const jobs = await super.getJobs(...args)
    return await Promise.all(jobs.map((job) => this.#ours(job)))
  }

  async #ours(job: Job): Promise<Job> {
    if (job.stalledCounter > 0 || isCrashed(job)) {
      const crashes = await crashesOf(this.#redis, this.#queue, job.id as string)
      // The kit keeps no stacks there; where something is, the page shows that in place of the reason. The last one is shown first.
      job.stacktrace = [...crashes.map(toLine), job.failedReason]
    }
    const retry = job.retry.bind(job)
    job.retry = async (state, options) => {
      if (state === 'completed') await retry(state, options)
      else await this.#retry(job.id as string)
    }
    return job
  }
}

const isCrashed = (job: Pick<Job, 'failedReason'>) => failedStateOf(job) === 'crashed'

const toLine = ({ worker, began_at, noticed_at }: TaskCrash) =>
  `${worker} died while it ran the task: it began at ${began_at}, and was missed at ${noticed_at}`

/** A page with the tasks of all queues, by bull-board: an app of its own, whose `routing` answers requests. */
export async function openBoard(options: BoardOptions): Promise<FastifyInstance> {
  const { path, title, redis, prefix } = options
  const connection = redis.duplicate({ maxRetriesPerRequest: 1, enableOfflineQueue: true })
  connection.on('error', () => {})
  const adapter = new FastifyAdapter().setBasePath(path)
  const known = new Map<string, Queue>()
  const board = createBullBoard({
    queues: [],
    serverAdapter: adapter,
    options: { uiConfig: { boardTitle: title } },
  })
  const app = Fastify({ logger: false })
  app.addHook('onRequest', async ({ url }) => {
    // Scripts and styles are there also when Redis is late: the page asks for the rest again.
    if (!url.startsWith(`${path}/api/`)) return
    for (const name of await options.queues()) {
      if (known.has(name)) continue
      const queue = new Queue(name, { connection, prefix, skipMetasUpdate: true })
      // In an outage, and where the app is closed meanwhile, what the page asks for fails.
      queue.on('error', () => {})
      known.set(name, queue)
      board.addQueue(new BoardQueue(queue, connection, options.retry))
    }
  })
  app.register(adapter.registerPlugin(), { prefix: path })
  app.addHook('onClose', async () => {
    await Promise.all(Array.from(known.values(), (queue) => queue.close()))
    connection.disconnect()
  })
  await app.ready()
  return app
}
