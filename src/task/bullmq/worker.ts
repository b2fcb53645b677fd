import { setImmediate } from 'node:timers/promises'
import {
  ErrorCode,
  RateLimitError,
  UnrecoverableError,
  WaitingChildrenError,
  WaitingError,
  Worker,
} from 'bullmq'
import type { Redis } from 'ioredis'
import { errors } from '../../errors.ts'
import { startLimitOf } from '../declared.ts'
import { childFailed, type Failure, failureOf, TaskAgain, TaskFinal, TaskRetry } from '../errors.ts'
import { WORKER } from '../id.ts'
import { endOf } from '../state.ts'
import type { StartLimit, TaskLog, WorkOptions } from '../types.ts'
import { settles } from '../within.ts'
import { cancelledError, confirmCancel } from './cancel.ts'
import { disconnectForGood, type Model } from './connection.ts'
import { crashesOf, listCrashed, noteCrashes } from './crashes.ts'
import { holdJob } from './hold.ts'
import { waitBefore } from './jobs.ts'
import type { keepOptions } from './keep.ts'
import type { KeptTasks } from './kept.ts'
import { Places } from './places.ts'
import {
  type JobData,
  readFailure,
  readJobData,
  type TaskJob,
  toRecord,
  toThrow,
} from './record.ts'
import { failuresOf, idOf, JobRun } from './run.ts'
import { StartWindow } from './start-window.ts'

export interface WorkerSettings extends ReturnType<typeof keepOptions> {
  connection: Model
  prefix: string
  /** How long a task is ours without a sign of life, in ms. */
  lockDuration: number
  /** How often tasks whose worker has died are looked for, in ms. */
  stalledInterval: number
  /** How often the process that runs a task may die. */
  maxCrashes: number
  /** After how long without an answer a worker that stops takes Redis for away, in ms. */
  patience: number
  /** Those that run in this process although several have died that ran them, if any: one at most. */
  suspects: Set<JobRun>
  kept: KeptTasks
  log: TaskLog
  onError: (error: unknown) => void
}

// BullMQ would fail a task in words of its own.
const MAX_STALLED = 1_000_000
// After so many a task may be what ends processes. It runs beside no other such one then: of two it would be unknown which.
const SUSPECT = 2
// When it is looked at again, in ms, at most.
const SUSPECT_DELAY = 1000
// In its job: how often it has begun as a suspect without an end.
const BEGUN = 'begun'
// How long a task may take to end after its signal was aborted, and Redis to take back what is left, in ms.
const GRACE = 500
const PATIENCE = 2000
// When one is looked at again of which it cannot be told whether it may run, in ms.
const RETAKE = 1000
// How long it may take a cancelled task to arrive here, in ms.
const ON_THE_WAY = 5000

/** Runs the tasks of one queue. */
export class QueueWorker {
  readonly #worker: Worker<JobData>
  readonly #perform: WorkOptions['perform']
  readonly #concurrencyOf: WorkOptions['concurrencyOf']
  readonly #own: Pick<
    WorkerSettings,
    'maxCrashes' | 'patience' | 'suspects' | 'kept' | 'log' | 'onError'
  >
  readonly #lockDuration: number
  readonly #stalledInterval: number
  readonly #connection: Redis
  readonly #blocking: Redis
  readonly #running = new Map<string, JobRun>()
  readonly #cancelled = new Set<string>()
  readonly #window: StartWindow | undefined
  /** How many BullMQ takes in a time. */
  readonly #limiter: StartLimit | undefined
  readonly #places: Places
  /** How many begin or end with more than a run. */
  #underWay = 0
  #stopping = false
  #idle: PromiseWithResolvers<void> | undefined

  constructor(queue: string, options: WorkOptions, settings: WorkerSettings) {
    const limits = options.limits?.[queue]
    const limiter = startLimitOf(limits)
    const { maxCrashes, patience, suspects, kept, log, onError, ...bullmq } = settings
    this.#perform = options.perform
    this.#concurrencyOf = options.concurrencyOf
    this.#own = { maxCrashes, patience, suspects, kept, log, onError }
    this.#lockDuration = bullmq.lockDuration
    this.#stalledInterval = bullmq.stalledInterval
    this.#connection = bullmq.connection
    this.#limiter = limiter && { ...limiter }
    const work = (job: TaskJob, token?: string) => this.#start(job, token as string)
    const all = {
      ...bullmq,
      name: WORKER,
      concurrency: options.concurrency,
      maxStalledCount: MAX_STALLED,
      runRetryDelay: 1000,
      settings: { backoffStrategy: waitBefore },
      // It looks only so at how long it is told to wait; most that would be too many it does not even take.
      ...(this.#limiter && { limiter: this.#limiter }),
    }
    const { made, copy } = bullmq.connection.copyFor(() => new Worker<JobData>(queue, work, all))
    this.#worker = made
    this.#places = new Places(this.#connection, made)
    this.#lookAfter(made)
    this.#bound(made.toKey('meta'), limits?.concurrency).catch(onError)
    this.#blocking = copy
    this.#worker.on('error', onError)
    // BullMQ lets one fail by itself that waited for another which has failed.
    this.#worker.on('failed', (job) => {
      if (!job?.data.wishes || !job.deferredFailure) return
      this.#keep(job, 'failed', null, readFailure(job.failedReason)).catch(onError)
    })
    this.#window = limiter && new StartWindow(this.#connection, made.toKey('starts'), limiter)
  }

  /** How many run at once, in all processes: BullMQ keeps it with the queue. */
  async #bound(meta: string, concurrency: number | undefined): Promise<void> {
    if (concurrency === undefined) await this.#connection.hdel(meta, 'concurrency')
    else await this.#connection.hset(meta, 'concurrency', concurrency)
  }

  /** BullMQ puts back what its worker has died of: it is noted who that was, as long as that can be known; and its place is free. */
  #lookAfter(worker: Worker<JobData>): void {
    const checked = worker as unknown as { moveStalledJobsToWait(): Promise<void> }
    const move = checked.moveStalledJobsToWait.bind(worker)
    checked.moveStalledJobsToWait = async () => {
      // What is not noted is put back all the same.
      const mayMove = await noteCrashes(this.#connection, worker).catch((error) => {
        this.#own.onError(error)
        return true
      })
      if (mayMove) await move()
      await this.#places.fillAll(this.#stalledInterval).catch(this.#own.onError)
    }
  }

  /** Somebody has cancelled a task of this queue: perhaps one that runs here. */
  cancel(id: string): void {
    const run = this.#running.get(id)
    // Too late: what it has come to is on its way.
    if (run?.isDecided) return
    run?.end('cancelled')
    if (run?.ending === 'cancelled')
      confirmCancel(this.#connection, this.#worker.toKey(id)).catch(this.#own.onError)
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
    // Those that have ended tell Redis so by now.
    const isThere = await this.#settled()
    await settles(this.#worker.close(true), PATIENCE)
    disconnectForGood(this.#blocking)
    // Until then BullMQ has asked for what came: it has it now, and then has given it back.
    if (isThere && (await this.#settled())) await this.#settled()
  }

  /** Whether Redis has answered what was to be said to it by now: it does so in order. */
  async #settled(): Promise<boolean> {
    await setImmediate()
    return await settles(this.#connection.ping(), this.#own.patience)
  }

  #start(job: TaskJob, token: string): Promise<unknown> {
    const { wishes, concurrencyKey } = job.data
    // Most need nothing else.
    if (!this.#window && !wishes && concurrencyKey === undefined) return this.#run(job, token)
    const run = () => this.#run(job, token)
    const start = this.#window ? () => this.#startInWindow(job, run) : run
    const inPlace = concurrencyKey === undefined ? start : () => this.#runInPlace(job, token, start)
    this.#underWay++
    const done = wishes ? this.#runKept(job, inPlace) : inPlace()
    return done.finally(() => {
      this.#underWay--
      if (this.#isIdle) this.#idle?.resolve()
    })
  }

  /** As `run` does, where one more with its `concurrencyKey` may run; else it waits until that is so, and is nobody's. */
  async #runInPlace(job: TaskJob, token: string, run: () => Promise<unknown>): Promise<unknown> {
    this.#takeAny()
    if (!(await this.#hasPlace(job, token))) throw new WaitingError()
    const leave = async () => {
      await this.#places.leave(job, token).catch(this.#own.onError)
    }
    try {
      const result = await run()
      await leave()
      return result
    } catch (error) {
      // It is the next one of its queue that starts.
      if (error instanceof RateLimitError) await this.#places.keep(job).catch(this.#own.onError)
      else await leave()
      throw error
    }
  }

  /** What only waits for a place has not started: as soon as there is such a one BullMQ does not count what it takes, the window alone does. */
  #takeAny(): void {
    if (!this.#limiter || this.#limiter.max === Number.MAX_SAFE_INTEGER) return
    this.#limiter.max = Number.MAX_SAFE_INTEGER
    const limited = this.#worker as unknown as Limited
    limited.limitUntil = 0
    limited.abortDelayController?.abort()
  }

  async #hasPlace(job: TaskJob, token: string): Promise<boolean> {
    const limit = this.#concurrencyOf?.(readJobData(job))
    // What runs here already has one, and what is cancelled needs none.
    if (limit === undefined || job.data.cancelled || this.#running.has(job.id as string))
      return true
    try {
      return await this.#places.take(job, token, limit)
    } catch (error) {
      this.#own.onError(error)
      throw await this.#giveBack(new JobRun(job, token), RETAKE)
    }
  }

  /** @throws {RateLimitError} where it has to wait for its turn */
  async #startInWindow(job: TaskJob, run: () => Promise<unknown>): Promise<unknown> {
    // What is cancelled, or runs here already, starts nothing.
    const wait =
      job.data.cancelled || this.#running.has(job.id as string) ? 0 : await this.#window?.start()
    if (!wait) return await run()
    await this.#worker.rateLimit(wait)
    throw new RateLimitError()
  }

  /** As `run` does; what it comes to is kept as the task wishes. */
  async #runKept(job: TaskJob, run: () => Promise<unknown>): Promise<unknown> {
    try {
      const result = await run()
      await this.#keep(job, 'succeeded', result ?? null, null)
      return result
    } catch (error) {
      if (isEnd(job, error)) await this.#keep(job, 'failed', null, readFailure(error.message))
      throw error
    }
  }

  async #keep(
    job: TaskJob,
    kind: 'succeeded' | 'failed',
    result: unknown,
    failure: Failure | null,
  ): Promise<void> {
    const state = failure ? endOf(failure) : kind
    const id = job.id as string
    const crashes = state === 'crashed' ? await crashesOf(this.#connection, this.#worker, id) : []
    const record = { ...toRecord(job, 'active'), attempts_made: job.attemptsMade + 1, crashes }
    await this.#own.kept.store(job, record, { state, result, failure })
  }

  async #run(job: TaskJob, token: string): Promise<unknown> {
    const id = job.id as string
    const known = this.#running.get(id)
    if (known?.isGivenBack) {
      // What still runs here counts no more: it is about to end, or this worker does not wait for it.
      if (this.#stopping) throw await this.#giveBack(new JobRun(job, token))
      await known.outcome?.catch(() => {})
      return await this.#run(job, token)
    }
    if (known) {
      // Its lock had run out while this process was held up: what runs already counts.
      known.adopt(job, token)
      return await known.outcome
    }
    const run = new JobRun(job, token)
    if (this.#stopping) throw await this.#giveBack(run)
    if (job.data.cancelled || (this.#cancelled.has(id) && (await this.#isCancelled(id)))) {
      throw cancelledError(id)
    }
    const isSuspect = job.stalledCounter >= SUSPECT
    if (!isSuspect && job.stalledCounter >= this.#own.maxCrashes) {
      throw toThrow(failureOf(await this.#crashed(run, job.stalledCounter)), { final: true })
    }
    // After a retry it may have children to wait for again.
    if (job.data.children && (await this.#waits(job, token))) {
      throw new WaitingChildrenError()
    }
    // While Redis was asked for it this worker may have stopped, which does not wait for what has not begun.
    if (this.#stopping) throw await this.#giveBack(run)
    const { suspects } = this.#own
    if (isSuspect && suspects.size > 0) {
      throw await this.#giveBack(run, Math.ceil(Math.random() * SUSPECT_DELAY))
    }
    if (isSuspect) suspects.add(run)
    this.#running.set(id, run)
    run.outcome = this.#settle(run).finally(() => {
      suspects.delete(run)
      this.#running.delete(id)
      if (this.#isIdle) this.#idle?.resolve()
    })
    // Who has adopted it tells BullMQ what it comes to.
    const adopted = () => {
      if (run.job !== job) throw new WaitingError()
    }
    return await run.outcome.then(
      (result) => {
        adopted()
        return result
      },
      (error) => {
        adopted()
        throw error
      },
    )
  }

  /**
   * Puts it back until others have ended, unless one has failed with which it goes on at once. Whether it does.
   *
   * @throws {UnrecoverableError} where one has failed without which it cannot run
   */
  async #waits(job: TaskJob, token: string): Promise<boolean> {
    const { hasty = [] } = job.data
    const failed = hasty.length > 0 ? await failuresOf(job) : undefined
    if (!hasty.some((id) => failed?.has(id))) {
      try {
        return await job.moveToWaitingChildren(token)
      } catch (error) {
        throw await this.#whyNot(job, error as Error & { code?: number })
      }
    }
    // BullMQ would not let it succeed as long as it waits for others.
    await this.#connection.del(`${this.#worker.toKey(job.id as string)}:dependencies`)
    return false
  }

  /** A child may have failed while its parent was about to be put back itself: BullMQ does not say which. */
  async #whyNot(job: TaskJob, error: Error & { code?: number }): Promise<Error> {
    if (error.code !== ErrorCode.JobHasFailedChildren) return error
    const key = this.#worker.toKey(`${job.id}:unsuccessful`)
    const [child] = await this.#connection.zrange(key, 0, '0')
    return child === undefined ? error : toThrow(childFailed(idOf(child)), { final: true })
  }

  async #settle(run: JobRun): Promise<unknown> {
    const isSuspect = this.#own.suspects.has(run)
    try {
      if (isSuspect) await this.#suspect(run)
      const result = await this.#perform(run)
      await this.#hold(run)
      if (run.isGivenBack || run.ending === 'cancelled') throw run.ending
      run.isDecided = true
      return result
    } catch (error) {
      if (error instanceof WaitingError) throw error
      await this.#hold(run)
      throw await this.#verdict(run, error)
    } finally {
      // It has ended, and this process has not.
      if (isSuspect) await this.#connection.hdel(this.#worker.toKey(run.id), 'stc', BEGUN)
    }
  }

  /** @throws {TaskFinal} where it has begun too often: BullMQ counts also those that only waited where others ran */
  async #suspect(run: JobRun): Promise<void> {
    const begun = await this.#connection.hincrby(this.#worker.toKey(run.id), BEGUN, 1)
    const { maxCrashes } = this.#own
    if (begun + SUSPECT > maxCrashes) throw new TaskFinal(await this.#crashed(run, maxCrashes))
  }

  /** @throws {WaitingError} where it is ours no longer, and BullMQ is to be told nothing */
  async #hold(run: JobRun): Promise<void> {
    // BullMQ renews locks in half of their time, if it can.
    while (run.age > this.#lockDuration / 2 && !run.isGivenBack) {
      const { token } = run
      const lock = { token, lockDuration: this.#lockDuration }
      if (!(await holdJob(this.#connection, this.#worker, run.id, lock))) {
        const { id, data } = run
        const fields = { task_id: id, resource: data.resource, request_id: data.requestId }
        this.#own.log.warn(fields, 'the result of a task is ignored: it has ended elsewhere')
        throw new WaitingError()
      }
      if (run.token === token) return
    }
  }

  /** Gives it up, and tells who has died of it. */
  async #crashed({ id, data }: JobRun, times: number): Promise<Error> {
    const error = errors.TASK_CRASHED(id, times)
    const { resource, requestId } = data
    const crashes = await crashesOf(this.#connection, this.#worker, id)
    const fields = { task_id: id, resource, request_id: requestId, crashes }
    this.#own.log.error(fields, error.message)
    await listCrashed(this.#connection, this.#worker, id)
    return error
  }

  /** What BullMQ is to be told. */
  async #verdict(run: JobRun, error: unknown): Promise<Error> {
    if (run.ending === 'cancelled') return cancelledError(run.job.id as string)
    if (run.ending === 'handed back') return await this.#giveBack(run)
    if (error instanceof TaskRetry) return await this.#giveBack(run, error.delay)
    run.isDecided = true
    const cause = error instanceof TaskAgain ? error : undefined
    return toThrow(failureOf(error), { final: error instanceof TaskFinal, cause })
  }

  async #giveBack(run: JobRun, delay = 0): Promise<Error> {
    // If it fails, the lock runs out, and others take the task then.
    await run.giveBack(delay).catch(this.#own.onError)
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

  get #isIdle(): boolean {
    return this.#running.size === 0 && this.#underWay === 0
  }

  async #whenIdle(): Promise<void> {
    if (this.#isIdle) return
    this.#idle ??= Promise.withResolvers()
    await this.#idle.promise
  }

  async #isCancelled(id: string): Promise<boolean> {
    const found = await this.#worker.getBackend().getJobData(id)
    return found !== undefined && JSON.parse(found.data).cancelled === true
  }
}

/** What BullMQ does where it must not take more for a while. */
interface Limited {
  limitUntil: number
  abortDelayController: AbortController | null
}

/** Whether no other try follows on `error`. */
function isEnd(job: TaskJob, error: unknown): error is Error {
  if (error instanceof UnrecoverableError) return true
  const goesOn =
    error instanceof WaitingError ||
    error instanceof WaitingChildrenError ||
    error instanceof RateLimitError
  return !goesOn && job.attemptsMade + 1 >= (job.opts.attempts || 1)
}
