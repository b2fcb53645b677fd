import { AsyncLocalStorage } from 'node:async_hooks'
import type { Kysely } from 'kysely'
import { unlessAborted } from '../abort.ts'
import { errors, PlinthError } from '../errors.ts'
import { TaskEnqueuer } from './database/enqueue.ts'
import { TaskFinisher } from './database/finish.ts'
import { TaskPlaces } from './database/places.ts'
import { TaskReader } from './database/reading.ts'
import { KEEP, type Keep } from './database/record.ts'
import { TaskRetention } from './database/retention.ts'
import type { DatabaseRun } from './database/run.ts'
import { TaskSteps } from './database/steps.ts'
import { TaskTaker } from './database/take.ts'
import { DatabaseWorker } from './database/worker.ts'
import { processEnds } from './errors.ts'
import { queueOf } from './id.ts'
import { hasEnded } from './state.ts'
import type {
  NewTask,
  QueueCounts,
  TaskDriver,
  TaskLog,
  TaskRecord,
  TaskState,
  TaskTree,
  Working,
  WorkOptions,
} from './types.ts'

export interface DatabaseTasksOptions {
  log: TaskLog
  /** Default: {@link KEEP}. */
  keep?: Keep
  /** How long a task is its worker's without a sign of life, in ms; default 30,000. */
  lease?: number
  /** How often the process that runs a task may die before the task has failed; default 5. */
  maxCrashes?: number
}

// How often it is looked whether a task has ended that another process runs, in ms: each time twice as long.
const LOOK = { first: 20, most: 1000 }

/**
 * Tasks in a database, of any number of processes. What is added within a transaction is there when that commits. Tables are
 * made with the first use.
 */
export function openDatabase<DB>(db: Kysely<DB>, options: DatabaseTasksOptions): TaskDriver {
  return new DatabaseDriver(db as never, options)
}

class DatabaseDriver implements TaskDriver {
  readonly kind = 'database'
  readonly #options: DatabaseTasksOptions
  readonly #steps: TaskSteps
  readonly #enqueue: TaskEnqueuer
  readonly #take: TaskTaker
  readonly #finish: TaskFinisher
  readonly #retention: TaskRetention
  readonly #read: TaskReader
  readonly #workers = new Set<DatabaseWorker>()
  readonly #running = new Map<number, DatabaseRun>()
  /** Called when a task has ended in this process, by its id. */
  readonly #waiting = new Map<string, Set<() => void>>()
  readonly #closing = new AbortController()
  // Whoever has it open: what it does is no part of that one's request.
  readonly #outside = AsyncLocalStorage.snapshot()

  constructor(db: Kysely<never>, options: DatabaseTasksOptions) {
    const { keep = KEEP, log } = options
    this.#options = options
    this.#steps = new TaskSteps(db, {
      onOver: (over) => {
        this.#retention.count(over)
        for (const look of this.#waiting.get(over.id) ?? []) look()
      },
      onReady: (queue) => {
        for (const worker of this.#workers) worker.look(queue)
      },
      onError: (err) => log.error({ err }, 'what has become of tasks was not told'),
    })
    const places = new TaskPlaces(this.#steps)
    this.#enqueue = new TaskEnqueuer(this.#steps, keep)
    this.#finish = new TaskFinisher(this.#steps, keep, places)
    this.#take = new TaskTaker(this.#steps, this.#finish, places)
    this.#retention = new TaskRetention(this.#steps)
    this.#read = new TaskReader(this.#steps)
  }

  async add(tasks: readonly NewTask[]): Promise<string[]> {
    await this.#open()
    return await this.#enqueue.add(tasks)
  }

  async addTree(tree: TaskTree): Promise<void> {
    await this.#open()
    await this.#enqueue.addTree(tree)
  }

  async alias(id: string, of: string): Promise<void> {
    await this.#open()
    await this.#enqueue.alias(id, of)
  }

  async get(id: string): Promise<TaskRecord | undefined> {
    if (queueOf(id) === undefined) return undefined
    await this.#steps.prepare()
    return await this.#read.get(id)
  }

  async cancel(id: string): Promise<boolean> {
    if (queueOf(id) === undefined) return false
    await this.#steps.prepare()
    const done = await this.#finish.cancel(id)
    if (!done) return false
    const { row, runs, isNew } = done
    if (runs) this.#running.get(row.position)?.end('cancelled')
    // After it: else it would run, or fail, with one of them. And again, where the call before has not come so far.
    for (const child of JSON.parse(row.data).children ?? []) await this.cancel(child)
    return isNew
  }

  async retry(id: string): Promise<boolean> {
    await this.#open()
    // At once: a child that fails again finds that its parent waits for it.
    return await this.#steps.change(async () => {
      const found = await this.get(id)
      if (found?.id !== id || !found.failure) return false
      for (const child of found.data.children ?? []) await this.retry(child)
      return await this.#finish.retry(id)
    })
  }

  async remove(id: string): Promise<boolean> {
    if (queueOf(id) === undefined) return false
    await this.#steps.prepare()
    return await this.#finish.remove(id)
  }

  async list(queue: string, state: TaskState, start: number, end: number): Promise<TaskRecord[]> {
    await this.#steps.prepare()
    return await this.#read.list(queue, state, start, end)
  }

  async counts(queue: string): Promise<QueueCounts> {
    await this.#steps.prepare()
    return await this.#read.counts(queue)
  }

  async queues(): Promise<string[]> {
    await this.#steps.prepare()
    return await this.#read.queues()
  }

  async pause(queue: string, paused: boolean): Promise<void> {
    await this.#steps.prepare()
    await this.#take.pause(queue, paused)
  }

  async work(options: WorkOptions): Promise<Working> {
    this.#closing.signal.throwIfAborted()
    const { log, lease = 30_000, maxCrashes = 5 } = this.#options
    const settings = {
      ...{ steps: this.#steps, take: this.#take, finish: this.#finish, retention: this.#retention },
      ...{ log, lease, maxCrashes, running: this.#running },
    }
    const worker = this.#outside(() => new DatabaseWorker(options, settings))
    this.#workers.add(worker)
    let stopped: Promise<number> | undefined
    return {
      stop: async (timeout) => {
        stopped ??= worker.stop(timeout).finally(() => this.#workers.delete(worker))
        return { handedBack: await stopped }
      },
    }
  }

  async finished(id: string, signal?: AbortSignal): Promise<TaskRecord> {
    const found = await this.#find(id)
    for (let wait = LOOK.first; ; wait = Math.min(2 * wait, LOOK.most)) {
      const state = await this.#outside(() => this.#stateOf(found.id))
      if (state === 'gone') throw errors.TASK_NOT_FOUND(id)
      if (state === 'over') return await this.#find(found.id)
      await this.#over(found.id, wait, signal)
    }
  }

  async #stateOf(id: string): Promise<'over' | 'open' | 'gone'> {
    try {
      const state = await this.#read.stateOf(id)
      if (state === undefined) return 'gone'
      return state !== 'blocked' && state !== 'same' && hasEnded(state) ? 'over' : 'open'
    } catch (error) {
      // While the database is away nothing is known.
      if (PlinthError.is(error) && error.statusCode === 503) return 'open'
      throw error
    }
  }

  /** Waits until it seems to have ended, at most so long. @throws the reason of `signal` */
  async #over(id: string, ms: number, signal?: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const looking = this.#waiting.get(id) ?? new Set()
    this.#waiting.set(id, looking.add(resolve))
    const timer = setTimeout(resolve, ms)
    try {
      await unlessAborted(promise, this.#closing.signal, signal)
    } finally {
      clearTimeout(timer)
      looking.delete(resolve)
      if (looking.size === 0) this.#waiting.delete(id)
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(processEnds())
    await Promise.all(Array.from(this.#workers, (worker) => worker.stop(0)))
  }

  async #find(id: string): Promise<TaskRecord> {
    const found = await this.get(id)
    if (!found) throw errors.TASK_NOT_FOUND(id)
    return found
  }

  /** @throws {PlinthError} TASKS_UNAVAILABLE where it is closed, TASK_TABLES_MISSING */
  async #open(): Promise<void> {
    this.#closing.signal.throwIfAborted()
    await this.#steps.prepare()
  }
}
