import { setTimeout as delay } from 'node:timers/promises'
import { unlessAborted } from '../abort.ts'
import type { DatabaseTables } from '../database/types.ts'
import { errors } from '../errors.ts'
import type { DeclaredQueues } from './declared.ts'
import { crashed, isUnavailable } from './errors.ts'
import type { DatabaseOutbox } from './outbox.ts'
import type { ScheduleControl } from './schedule-control.ts'
import { hasEnded } from './state.ts'
import type { StuckTries } from './stuck.ts'
import type {
  NewTask,
  Run,
  TaskDriver,
  TaskRecord,
  TaskResult,
  TaskTree,
  Working,
} from './types.ts'

/** What a transaction adds is kept here until it has committed, and what Redis cannot take until it can. */
export type TaskOutbox = Pick<
  DatabaseOutbox<DatabaseTables>,
  'inTransaction' | 'add' | 'get' | 'list' | 'retry' | 'remove' | 'figures'
>

/** Where tasks are kept. */
export type TaskStore = TaskDriver['kind']

export interface TasksOptions {
  store: TaskStore
  /** Opened when the first task is added or looked up. */
  driver: () => Promise<TaskDriver>
  /** Works on tasks, and adds those of schedules, until it is stopped. */
  work: (wanted: WorkWanted) => Promise<Working>
  /** Looks after schedules. */
  schedules: () => Promise<ScheduleControl>
  outbox?: TaskOutbox | undefined
  /** How many bytes the data of a task may have. */
  payloadLimit: number
  /** Whether a task can run for a user. */
  loadsUsers: boolean
  /** The queues of the service: asked for when it is complete. */
  queues: () => DeclaredQueues
  /** Tries of this process that go on after their end. */
  stuck: StuckTries
  /** Its tries that have not ended. */
  underWay: ReadonlySet<Run>
}

/** What a process does of the tasks of its service. */
export interface WorkWanted {
  queues: readonly string[]
  /** How many tasks of each queue at once; at least 1. */
  concurrency: number
  /** Also add the tasks of schedules. */
  schedules: boolean
}

/** The tasks of an app. */
export class Tasks {
  /** Where they are kept; in memory each process has its own. */
  readonly store: TaskStore
  readonly payloadLimit: number
  readonly loadsUsers: boolean
  /** What keeps them. */
  readonly driver: () => Promise<TaskDriver>
  /** Runs tasks in this process until it is stopped, at the latest with the app. */
  readonly work: (wanted: WorkWanted) => Promise<Working>
  readonly schedules: () => Promise<ScheduleControl>
  /** Tries of this process that go on though their time is over. */
  readonly stuck: StuckTries
  /** Tries of this process that have not ended. */
  readonly underWay: ReadonlySet<Run>
  /** Tasks on their way to Redis, where there is a database: also what was left there by earlier releases. */
  readonly outbox: TaskOutbox | undefined
  /** The same, where tasks go through it. */
  readonly #outbox: TaskOutbox | undefined
  readonly #findQueues: () => DeclaredQueues
  #queues: DeclaredQueues | undefined

  constructor({ driver, work, schedules, outbox, payloadLimit, ...more }: TasksOptions) {
    this.store = more.store
    this.driver = driver
    this.work = work
    this.schedules = schedules
    this.payloadLimit = payloadLimit
    this.loadsUsers = more.loadsUsers
    this.stuck = more.stuck
    this.underWay = more.underWay
    this.outbox = outbox
    // What is kept in the database is part of its transactions without one.
    this.#outbox = this.store === 'database' ? undefined : outbox
    this.#findQueues = more.queues
  }

  /** The queues that the service declares: no task is enqueued elsewhere. */
  get queues(): ReadonlySet<string> {
    return this.#declared.all
  }

  /** Those that workers of this process work on: all, or those of the modules that it runs. */
  get ownQueues(): ReadonlySet<string> {
    return this.#declared.own
  }

  get #declared(): DeclaredQueues {
    this.#queues ??= this.#findQueues()
    return this.#queues
  }

  /**
   * Adds a task, and those it waits for: at once, within a transaction when that commits, where Redis is away as soon
   * as it is back.
   *
   * @returns the id of the task that counts
   * @throws {PlinthError} TASKS_UNAVAILABLE where nothing can keep it; TASK_EXISTS where one that it waits for is there
   *   already; TASK_KEY_REUSED where it has the key of another input
   */
  async submit(tree: TaskTree): Promise<string> {
    if (tree.children.length === 0) return (await this.submitMany([tree]))[0] as string
    assertDistinct(tree)
    await this.#unlessKept([tree], async () => (await this.driver()).addTree(tree))
    return tree.id
  }

  /**
   * Adds tasks that wait for no others, all in one go; as `submit`.
   *
   * @returns the ids of those that count, in order
   * @throws {PlinthError} as `submit`
   */
  async submitMany(tasks: readonly NewTask[]): Promise<string[]> {
    assertOnePrint(tasks)
    const trees = tasks.map((task) => ({ children: [], ...task }))
    const added = await this.#unlessKept(trees, async () => (await this.driver()).add(tasks))
    return tasks.map(({ id }, index) => added?.[index] ?? id)
  }

  /** Adds by `add`; in a transaction, and where Redis is away, keeps `trees` in the outbox instead. */
  async #unlessKept<T>(trees: readonly TaskTree[], add: () => Promise<T>): Promise<T | undefined> {
    const outbox = this.#outbox
    if (!outbox) return await add()
    if (!outbox.inTransaction() && !(await this.#isBehind(trees, outbox))) {
      try {
        return await add()
      } catch (error) {
        if (!isUnavailable(error)) throw error
      }
    }
    for (const tree of trees) {
      const { print } = tree.options
      const there = print === undefined ? undefined : await outbox.get(tree.id)
      if (there && !there.isRefused && there.tree.options.print !== print)
        throw errors.TASK_KEY_REUSED(tree.data.resource, tree.id)
      await outbox.add(tree)
    }
    return undefined
  }

  /** Whether one of them comes behind an earlier one with its key, which is on its way: that one counts. */
  async #isBehind(trees: readonly TaskTree[], outbox: TaskOutbox): Promise<boolean> {
    const keyed = trees.filter(({ options }) => options.print !== undefined)
    for (const { id } of keyed) {
      // A database that is away keeps nobody from Redis.
      const there = await outbox.get(id).catch(() => undefined)
      if (there && !there.isRefused) return true
    }
    return false
  }

  /** @throws {PlinthError} TASK_NOT_FOUND, TASKS_UNAVAILABLE */
  async find(id: string): Promise<TaskRecord> {
    const driver = await this.driver()
    // Between the first two looks it may have been moved.
    const found = (await driver.get(id)) ?? (await this.#kept(id)) ?? (await driver.get(id))
    if (!found) throw errors.TASK_NOT_FOUND(id)
    return found
  }

  /** @throws {PlinthError} TASK_NOT_FOUND, TASKS_UNAVAILABLE */
  async status(id: string): Promise<TaskResult> {
    return toResult(await this.find(id))
  }

  /**
   * Waits for its end.
   *
   * @throws {PlinthError} TASK_NOT_FOUND, TASK_FAILED, TASK_CRASHED, TASK_CANCELLED, TASK_UNDELIVERED, TASKS_UNAVAILABLE, and the reason of `signal`
   */
  async result<T>(id: string, signal?: AbortSignal): Promise<T> {
    await this.#moved(id, signal)
    const record = await (await this.driver()).finished(id, signal)
    if (record.state === 'cancelled') throw errors.TASK_CANCELLED(id)
    const why = record.failure?.message ?? 'it does not say why'
    if (record.state === 'crashed') throw crashed(why)
    if (record.state === 'failed') throw errors.TASK_FAILED(id, why)
    return record.result as T
  }

  /** Whether it is cancelled by this, with the tasks that it waits for. @throws {PlinthError} TASK_NOT_FOUND, TASKS_UNAVAILABLE */
  async cancel(id: string): Promise<boolean> {
    await this.find(id)
    await this.#moved(id, AbortSignal.timeout(PATIENCE)).catch(() => {})
    // By now another task may be meant.
    const found = await this.find(id)
    return await (await this.driver()).cancel(found.id)
  }

  /** Waits until it has left the outbox. @throws {PlinthError} TASK_UNDELIVERED, and the reason of `signal` */
  async #moved(id: string, signal?: AbortSignal): Promise<void> {
    // In the transaction that adds it that would be for ever.
    if (!this.#outbox || this.#outbox.inTransaction()) return
    for (let wait = 10; ; wait = Math.min(2 * wait, 500)) {
      const there = await this.#outbox.get(id)
      if (!there) return
      if (there.isRefused) throw errors.TASK_UNDELIVERED(id)
      await unlessAborted(delay(wait), signal)
    }
  }

  /** What has been enqueued and is not yet in Redis; what was refused there for good has failed. */
  async #kept(id: string): Promise<TaskRecord | undefined> {
    const there = await this.#outbox?.get(id)
    if (!there) return undefined
    const { tree, isRefused } = there
    const { code, message } = errors.TASK_UNDELIVERED(id)
    const record = { ...WAITING, ...tree, attempts: tree.options.attempts }
    return isRefused ? { ...record, state: 'failed', failure: { code, message } } : record
  }
}

/** @throws {PlinthError} TASK_INVALID where two tasks of a tree are one */
function assertDistinct(tree: TaskTree, ids = new Set<string>()): void {
  if (ids.has(tree.id))
    throw errors.TASK_INVALID(tree.data.resource, 'another task of its group has the same key')
  ids.add(tree.id)
  for (const child of tree.children) assertDistinct(child, ids)
}

/** @throws {PlinthError} TASK_KEY_REUSED where two tasks have one key and not one input */
function assertOnePrint(tasks: readonly NewTask[]): void {
  if (tasks.length === 1) return
  const prints = new Map<string, string>()
  for (const { id, data, options } of tasks) {
    if (options.print === undefined) continue
    const first = prints.get(id) ?? options.print
    if (first !== options.print) throw errors.TASK_KEY_REUSED(data.resource, id)
    prints.set(id, first)
  }
}

/** Milliseconds that one which is to be cancelled may take to leave the outbox. */
const PATIENCE = 5000

const WAITING = {
  state: 'waiting',
  progress: null,
  result: null,
  failure: null,
  attempts_made: 0,
  worker: null,
  crashes: [],
  enqueued_at: '',
  due_at: '',
  started_at: null,
  finished_at: null,
} as const

/** A task in the original's form. */
export function toResult({ id, state, progress, failure, result }: TaskRecord): TaskResult {
  const task = { task_id: id, is_completed: hasEnded(state) }
  if (state === 'succeeded') return { ...task, state, message: null, data: result }
  if (failure) return { ...task, state, message: failure.message, data: null }
  const { state: told = state, message = null, data = null } = progress ?? {}
  return { ...task, state: task.is_completed ? state : (told ?? state), message, data }
}
