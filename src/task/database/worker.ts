import { randomBytes } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import { isTransactionConflict } from '../../database/violations.ts'
import { errors, PlinthError } from '../../errors.ts'
import { backoffOf } from '../backoff.ts'
import { startLimitOf } from '../declared.ts'
import { failureOf, TaskFinal, TaskRetry } from '../errors.ts'
import { WORKER } from '../id.ts'
import { Outage } from '../outage.ts'
import type { StartLimit, TaskLog, WorkOptions } from '../types.ts'
import { settles } from '../within.ts'
import type { Outcome, TaskFinisher } from './finish.ts'
import type { TaskRetention } from './retention.ts'
import { type ClaimedRow, DatabaseRun } from './run.ts'
import type { TaskSteps } from './steps.ts'
import { SUSPECT, type TaskTaker, type Waiting } from './take.ts'

export interface WorkerSettings {
  steps: TaskSteps
  take: TaskTaker
  finish: TaskFinisher
  retention: TaskRetention
  log: TaskLog
  /** How long a task is ours without a sign of life, in ms. */
  lease: number
  /** How often the process that runs a task may die. */
  maxCrashes: number
  /** What runs in this process, by its row, whichever worker has begun it. */
  running: Map<number, DatabaseRun>
}

/** How many tasks of one queue a worker runs at once, and which. */
interface WorkerSlots {
  readonly queue: string
  readonly limit: StartLimit | undefined
  readonly concurrency: number | undefined
  readonly running: Set<DatabaseRun>
  /** Until when none may start, by `performance.now()`. */
  rests: number
}

interface Ended {
  readonly run: DatabaseRun
  readonly result: string | null
  readonly told: () => void
}

// How long it rests when there is nothing to do, in ms: twice as long each time.
const REST = { first: 25, most: 1000 }
// How long a task may take to end after its signal was aborted, and the database to take back what is left, in ms.
const GRACE = 500
const PATIENCE = 2000
// So many beats are between the two looks for what others have left behind.
const BEATS = 3
// About so many bytes of results are written at once.
const BYTES = 4_000_000

/** Runs the tasks of some queues, until it is stopped. */
export class DatabaseWorker {
  readonly #id = `${WORKER}/${randomBytes(16).toString('base64url')}`
  readonly #options: WorkOptions
  readonly #settings: WorkerSettings
  readonly #allSlots: readonly WorkerSlots[]
  readonly #outage: Outage
  readonly #work: Promise<void>
  readonly #ended: Ended[] = []
  #telling: Promise<void> | undefined
  #isStopping = false
  #isClosed = false
  #isWoken = false
  #wake = () => {}
  #idle: PromiseWithResolvers<void> | undefined
  #beating: NodeJS.Timeout | undefined
  #renewed = performance.now()
  /** When it was last looked for what others have left behind, and what seemed to be that. */
  #looked = Number.NEGATIVE_INFINITY
  #lost: readonly number[] = []

  constructor(options: WorkOptions, settings: WorkerSettings) {
    this.#options = options
    this.#settings = settings
    this.#allSlots = Array.from(new Set(options.queues), (queue) => {
      const { [queue]: limits } = options.limits ?? {}
      const { concurrency } = limits ?? {}
      const limit = startLimitOf(limits)
      return { queue, limit, concurrency, running: new Set(), rests: 0 }
    })
    this.#outage = new Outage(settings.log, 'The tasks of the database cannot be worked on')
    this.#work = this.#run()
    this.#beat()
  }

  /** There may be something to do in a queue. */
  look(queue: string): void {
    if (this.#allSlots.some((slots) => slots.queue === queue)) this.#look()
  }

  /** See {@link Working}. */
  async stop(timeout: number): Promise<number> {
    this.#isStopping = true
    this.#look()
    await settles(Promise.all([this.#work, this.#whenIdle()]), timeout)
    const runs = this.#runs
    for (const run of runs) run.end('handed back')
    await settles(this.#whenIdle(), GRACE)
    const left = this.#runs.map((run) => run.told ?? this.#giveBack(run))
    await settles(Promise.all([...left, this.#work]), PATIENCE)
    this.#isClosed = true
    clearTimeout(this.#beating)
    return runs.filter(({ isGivenBack }) => isGivenBack).length
  }

  get #runs(): DatabaseRun[] {
    return this.#allSlots.flatMap(({ running }) => [...running])
  }

  #look(): void {
    this.#isWoken = true
    this.#wake()
  }

  async #run(): Promise<void> {
    let rest = REST.first
    while (!this.#isStopping) {
      this.#isWoken = false
      try {
        const { started, wait } = await this.#startAll()
        this.#outage.succeeded()
        rest = started || this.#isWoken ? REST.first : rest
        if (!started) await this.#sleep(Math.min(rest, wait))
        rest = Math.min(2 * rest, REST.most)
      } catch (error) {
        const wait = this.#outage.failed(error)
        this.#isWoken = false
        await this.#sleep(wait)
      }
    }
  }

  /** Sleeps for `ms`, or until there may be something to do. */
  async #sleep(ms: number): Promise<void> {
    if (this.#isWoken || this.#isStopping) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = ms === Number.POSITIVE_INFINITY ? undefined : setTimeout(resolve, ms)
    this.#wake = resolve
    await promise
    clearTimeout(timer)
  }

  /** Starts what may run. `wait`: how long there will be nothing more, in ms. */
  async #startAll(): Promise<{ started: boolean; wait: number }> {
    const now = performance.now()
    const free = this.#allSlots.filter(
      ({ running, rests }) => running.size < this.#options.concurrency && rests <= now,
    )
    const rests = this.#allSlots.flatMap(({ rests }) => (rests > now ? [rests - now] : []))
    // Whoever leaves wakes it.
    if (free.length === 0) return { started: false, wait: Math.min(...rests) }
    const { steps, take } = this.#settings
    // Here, where a database that is away is waited for.
    await steps.prepare()
    const found = await take.look(free.map(({ queue }) => queue))
    const began = await Promise.all(free.map((slots, i) => this.#claim(slots, found[i] as Waiting)))
    const due = found.flatMap(({ due }) => (due > 0 ? [due] : []))
    return { started: began.includes(true), wait: Math.min(...due, ...rests) }
  }

  async #claim(slots: WorkerSlots, { waits, due }: Waiting): Promise<boolean> {
    if (!waits && due > 0) return false
    const { take, lease, running } = this.#settings
    const { rows, wait, more } = await take.claim(slots.queue, {
      ...{ worker: this.#id, lease, limit: slots.limit, concurrency: slots.concurrency },
      concurrencyOf: this.#options.concurrencyOf,
      count: this.#options.concurrency - slots.running.size,
      allowsSuspect: ![...running.values()].some(isSuspect),
    })
    if (wait > 0) {
      slots.rests = performance.now() + wait
      setTimeout(() => this.#look(), wait).unref()
    }
    for (const row of rows) this.#start(row, slots)
    return more
  }

  #start(row: ClaimedRow, slots: WorkerSlots): void {
    const { running, take } = this.#settings
    // Its lease had run out while this process was held up: what runs already counts.
    if (running.has(row.position)) return
    const run = new DatabaseRun(row, take)
    running.set(row.position, run)
    slots.running.add(run)
    const left = () => {
      slots.running.delete(run)
      if (running.get(row.position) === run) running.delete(row.position)
      if (this.#runs.length === 0) this.#idle?.resolve()
      this.#look()
    }
    void (this.#isStopping ? this.#giveBack(run) : this.#perform(run)).finally(left)
  }

  async #perform(run: DatabaseRun): Promise<void> {
    let outcome: Outcome
    try {
      const result = JSON.stringify(await this.#options.perform(run)) ?? 'null'
      outcome = { state: 'succeeded', result: result === 'null' ? null : result }
    } catch (error) {
      outcome = outcomeOf(run, error)
    }
    if (run.isGivenBack) return
    run.isGivenBack = outcome.state === 'back'
    const { throttle, concurrencyKey } = run.options
    const isAlone = run.row.parent === null && (throttle ?? concurrencyKey) === undefined
    const isPlain = isAlone && run.ending !== 'cancelled'
    run.told =
      outcome.state === 'succeeded' && isPlain
        ? this.#tell(run, outcome.result)
        : this.#settle(run, outcome)
    await run.told
  }

  async #giveBack(run: DatabaseRun): Promise<void> {
    run.isGivenBack = true
    await this.#settle(run, { state: 'back' })
  }

  async #settle(run: DatabaseRun, outcome: Outcome): Promise<void> {
    const { finish, log } = this.#settings
    const taken = await this.#patiently(() => finish.settle(run, this.#id, outcome), run)
    await this.#trim()
    if (taken !== false || outcome.state === 'back') return
    log.warn(fieldsOf(run.row), 'the result of a task is ignored: it has ended elsewhere')
  }

  /** Says that it has succeeded: with others at once. */
  async #tell(run: DatabaseRun, result: string | null): Promise<void> {
    const { promise, resolve: told } = Promise.withResolvers<void>()
    this.#ended.push({ run, result, told })
    this.#telling ??= this.#tellAll()
    await promise
  }

  async #tellAll(): Promise<void> {
    // Those that end in the same turn come along.
    await turn()
    try {
      while (this.#ended.length > 0) await this.#tellSome()
    } finally {
      // In the same step as the last look: who comes after that begins anew.
      this.#telling = undefined
    }
  }

  async #tellSome(): Promise<void> {
    let bytes = 0
    const over = this.#ended.findIndex(({ result }) => {
      bytes += result?.length ?? 0
      return bytes > BYTES
    })
    const some = this.#ended.splice(0, over < 0 ? this.#ended.length : Math.max(1, over))
    const left = await this.#patiently(() => this.#settings.finish.succeed(some, this.#id))
    // Where one of them is not taken the others are.
    const again = left ? some.filter(({ run }) => left.includes(run)) : some
    await Promise.all(
      again.map(({ run, result }) => this.#settle(run, { state: 'succeeded', result })),
    )
    await this.#trim()
    for (const { told } of some) told()
  }

  async #trim(): Promise<void> {
    // It is done again later.
    await this.#settings.retention.trim().catch(() => {})
  }

  /**
   * Does something as soon as the database is there. Undefined where it does not take it: the lease of `run`, if it is about one, runs
   * out then.
   */
  async #patiently<T>(work: () => Promise<T>, run?: DatabaseRun): Promise<T | undefined> {
    const { log } = this.#settings
    const outage = new Outage(log, 'What tasks have come to cannot be kept')
    while (!this.#isClosed) {
      try {
        const done = await work()
        outage.succeeded()
        return done
      } catch (err) {
        if (!passes(err)) {
          if (run)
            log.error({ err, ...fieldsOf(run.row) }, 'what a task has come to cannot be kept')
          return undefined
        }
        const wait = outage.failed(err)
        await new Promise((resolve) => setTimeout(resolve, wait))
      }
    }
    return undefined
  }

  async #whenIdle(): Promise<void> {
    if (this.#runs.length === 0) return
    this.#idle = Promise.withResolvers()
    await this.#idle.promise
  }

  /** Now and then: tells that this process lives, and looks for what is cancelled, or was left behind by others. */
  #beat(): void {
    const { lease } = this.#settings
    const pause = Math.min(1000, Math.max(50, lease / 10))
    this.#beating = setTimeout(async () => {
      // That the database is away the other loop tells.
      await this.#lookAfter(pause).catch(() => {})
      if (!this.#isClosed) this.#beat()
    }, pause)
  }

  async #lookAfter(pause: number): Promise<void> {
    const { steps, take, retention, lease } = this.#settings
    await steps.prepare()
    const now = performance.now()
    const runs = this.#runs.filter(({ since }) => now - since >= pause)
    const renews = now - this.#renewed > lease / 3
    if (runs.length > 0) {
      const cancelled = await take.beat(runs, this.#id, renews ? lease : undefined)
      for (const run of runs) if (cancelled.has(run.row.position)) run.end('cancelled')
    }
    if (renews) this.#renewed = now
    await this.#recover(pause)
    await retention.sweep()
  }

  /**
   * Takes back what others have left behind. Not at the first look: when nobody has reached the database for long, those
   * that live say so before the second.
   */
  async #recover(pause: number): Promise<void> {
    const { take, lease, maxCrashes, running, log } = this.#settings
    const isSecond = this.#lost.length > 0
    if (performance.now() - this.#looked <= (isSecond ? BEATS * pause : lease / 3)) return
    const queues = this.#allSlots.map(({ queue }) => queue)
    if (!isSecond) this.#lost = await take.lost(queues)
    else {
      const lost = new Set(this.#lost.filter((position) => !running.has(position)))
      for (const queue of queues) {
        for (const row of await take.recover(queue, maxCrashes, lost))
          log.error(
            { ...fieldsOf(row), crashes: JSON.parse(row.died ?? '[]') },
            errors.TASK_CRASHED(row.id, row.crashes + 1).message,
          )
      }
      this.#lost = []
    }
    this.#looked = performance.now()
  }
}

function isSuspect({ row }: DatabaseRun): boolean {
  return row.crashes >= SUSPECT
}

function fieldsOf({ id, data }: ClaimedRow): object {
  const { resource, requestId } = JSON.parse(data)
  return { task_id: id, resource, request_id: requestId }
}

function outcomeOf({ ending, row, options }: DatabaseRun, error: unknown): Outcome {
  if (ending === 'handed back') return { state: 'back' }
  if (error instanceof TaskRetry) return { state: 'again', delay: error.delay, counts: false }
  const failures = row.attempts_made + 1
  if (failures >= options.attempts || error instanceof TaskFinal)
    return { state: 'failed', failure: failureOf(error) }
  return { state: 'again', delay: backoffOf(options.backoff, failures, error), counts: true }
}

/** Whether the database may do it later. */
function passes(error: unknown): boolean {
  if (isTransactionConflict(error)) return true
  if (!PlinthError.is(error)) return false
  return error.statusCode === 503 || error.code === errors.DEADLINE_EXCEEDED.code
}
