import { setImmediate } from 'node:timers/promises'
import { WaitingChildrenError, WaitingError, Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import { failureOf, TaskFinal, TaskRetry } from '../errors.ts'
import type { WorkOptions } from '../types.ts'
import { settles } from '../within.ts'
import { cancelledError } from './cancel.ts'
import { disconnectForGood } from './connection.ts'
import type { keepOptions } from './keep.ts'
import { type JobData, type TaskJob, toThrow } from './record.ts'
import { JobRun } from './run.ts'

export interface WorkerSettings extends ReturnType<typeof keepOptions> {
  connection: Redis
  prefix: string
  /** How long a task is ours without a sign of life, in ms. */
  lockDuration: number
  /** How often tasks whose worker has died are looked for, in ms. */
  stalledInterval: number
  onError: (error: unknown) => void
}

// A worker that dies is no fault of its task: BullMQ would fail it at the second time.
const MAX_STALLED = 1_000_000
// How long a task may take to end after its signal was aborted, and Redis to take back what is left, in ms.
const GRACE = 500
const PATIENCE = 2000
// How long it may take a cancelled task to arrive here, in ms.
const ON_THE_WAY = 5000

/** Runs the tasks of one queue. */
export class QueueWorker {
  readonly #worker: Worker<JobData>
  readonly #perform: WorkOptions['perform']
  readonly #onError: WorkerSettings['onError']
  readonly #connection: Redis
  readonly #running = new Map<string, JobRun>()
  readonly #cancelled = new Set<string>()
  #stopping = false
  #idle: PromiseWithResolvers<void> | undefined

  constructor(queue: string, options: WorkOptions, { onError, ...settings }: WorkerSettings) {
    const limiter = options.limits?.[queue]
    this.#perform = options.perform
    this.#onError = onError
    this.#connection = settings.connection
    this.#worker = new Worker<JobData>(queue, (job, token) => this.#run(job, token as string), {
      ...settings,
      concurrency: options.concurrency,
      maxStalledCount: MAX_STALLED,
      runRetryDelay: 1000,
      ...(limiter && { limiter }),
    })
    this.#worker.on('error', onError)
  }

  /** Somebody has cancelled a task of this queue: perhaps one that runs here. */
  cancel(id: string): void {
    const run = this.#running.get(id)
    run?.end('cancelled')
    if (run) return
    this.#cancelled.add(id)
    setTimeout(() => this.#cancelled.delete(id), ON_THE_WAY).unref()
  }

  /** Looks for what was cancelled while this process could not hear of it. */
  async recheck(): Promise<void> {
    for (const [id, run] of [...this.#running]) {
      if (await this.#isCancelled(id)) run.end('cancelled')
    }
  }

  /** See {@link Working}. */
  async stop(timeout: number): Promise<number> {
    this.#stopping = true
    await this.#worker.pause(true)
    const left = (await settles(this.#whenIdle(), timeout)) ? 0 : await this.#abandon()
    await this.#close()
    return left
  }

  // Not BullMQ's way to wait, which has no end when its blocking connection is away.
  async #close(): Promise<void> {
    // Those that have ended tell Redis so by now, and it answers in order.
    await setImmediate()
    await settles(this.#connection.ping(), PATIENCE)
    const blocking = this.#worker.getBackend().blockingClient
    await settles(this.#worker.close(true), PATIENCE)
    blocking?.then((client) => disconnectForGood(client as unknown as Redis), this.#onError)
  }

  async #run(job: TaskJob, token: string): Promise<unknown> {
    const id = job.id as string
    const run = new JobRun(job, token)
    if (this.#stopping) throw await this.#giveBack(run)
    if (job.data.cancelled || (this.#cancelled.has(id) && (await this.#isCancelled(id)))) {
      throw cancelledError(id)
    }
    // After a retry it may have children to wait for again.
    if (job.data.children && (await job.moveToWaitingChildren(token))) {
      throw new WaitingChildrenError()
    }
    this.#running.set(id, run)
    try {
      const result = await this.#perform(run)
      if (run.isGivenBack || run.ending === 'cancelled') throw run.ending
      return result
    } catch (error) {
      throw await this.#verdict(run, error)
    } finally {
      this.#running.delete(id)
      if (this.#running.size === 0) this.#idle?.resolve()
    }
  }

  /** What BullMQ is to be told. */
  async #verdict(run: JobRun, error: unknown): Promise<Error> {
    if (run.ending === 'cancelled') return cancelledError(run.job.id as string)
    if (run.ending === 'handed back') return await this.#giveBack(run)
    if (error instanceof TaskRetry) return await this.#giveBack(run, error.delay)
    return toThrow(failureOf(error), { final: error instanceof TaskFinal })
  }

  async #giveBack(run: JobRun, delay = 0): Promise<Error> {
    // If it fails, the lock runs out, and others take the task then.
    await run.giveBack(delay).catch(this.#onError)
    return new WaitingError()
  }

  /** Aborts what still runs and gives back what has not ended soon then. How many these are. */
  async #abandon(): Promise<number> {
    const runs = [...this.#running.values()]
    for (const run of runs) run.end('handed back')
    await settles(this.#whenIdle(), GRACE)
    const left = [...this.#running.values()].map((run) => this.#giveBack(run))
    await settles(Promise.all(left), PATIENCE)
    return runs.filter(({ isGivenBack }) => isGivenBack).length
  }

  async #whenIdle(): Promise<void> {
    if (this.#running.size === 0) return
    this.#idle ??= Promise.withResolvers()
    await this.#idle.promise
  }

  async #isCancelled(id: string): Promise<boolean> {
    const found = await this.#worker.getBackend().getJobData(id)
    return found !== undefined && JSON.parse(found.data).cancelled === true
  }
}
