import { AsyncLocalStorage } from 'node:async_hooks'
import type { Redis } from 'ioredis'
import { targetOf } from '../config/redis-connection.ts'
import type { Database } from '../database/types.ts'
import { FirstUse } from '../first-use.ts'
import type { Clock } from './clock.ts'
import { processEnds } from './errors.ts'
import type { Outbox, Relay } from './relay.ts'
import type { Schedule, ScheduleStore } from './schedule.ts'
import type { ScheduleControl } from './schedule-control.ts'
import type { MadeSchedules } from './schedule-made.ts'
import type { Scheduler, SchedulerOptions } from './scheduler.ts'
import type { TaskOutbox, TaskStore, WorkWanted } from './tasks.ts'
import type { MadeSchedule, Perform, TaskDriver, TaskLog, Working, WorkOptions } from './types.ts'

/** What a service has that runs as a task. */
export interface TaskSource {
  /** How its tasks are done. */
  perform: Perform
  /** As of {@link WorkOptions}. */
  concurrencyOf: NonNullable<WorkOptions['concurrencyOf']>
  hasSchedules(): boolean
  /** @throws {PlinthError} SCHEDULE_INVALID; INVALID_REQUEST where the input of one does not fit its resource */
  readSchedules(): Pick<Scheduled, 'schedules' | 'toTask'>
  /** One that was made at run time. @throws {PlinthError} SCHEDULE_INVALID, RESOURCE_UNKNOWN, INVALID_REQUEST */
  readMade(name: string, given: MadeSchedule): Schedule
  /** Whether it is this process that starts it. */
  runsHere(schedule: Schedule): boolean
  /** Whether the service has something that a schedule of this name is of. */
  isDeclared(name: string): boolean
}

export interface TaskProcessOptions {
  source: TaskSource
  log: TaskLog
  /** Where tasks are kept. */
  store: TaskStore
  redis: Redis | undefined
  db: Database | undefined
  outbox: (TaskOutbox & Outbox) | undefined
  /** What keys begin with. */
  prefix: string
  limits: WorkOptions['limits']
  /** In a server: how many tasks of each queue run at once. */
  concurrency: number
  /** In a database: whether a server works on them. */
  worksInServer: boolean
  /** Whether schedules are of these tasks: of one plugin of an app. */
  schedules: boolean
  /** The queues that this process works on: asked for when the service is complete. */
  queues: () => Iterable<string>
  /** In Redis or a database: how often the process that runs a task may die. */
  maxCrashes: number
  /** Milliseconds. */
  stopTimeout: number
  /** In memory: what delays pass by; default: the system's. */
  clock?: Clock | undefined
}

/** The schedules of a service, and what is known of them. */
type Scheduled = Required<Pick<SchedulerOptions, 'schedules' | 'store' | 'toTask'>> & {
  made: MadeSchedules | undefined
}

/** What one process of a service does for its tasks: begun when it is needed, ended with the app. */
export class TaskProcess {
  readonly #options: TaskProcessOptions
  // Whoever has something begun: it is no part of that one's request.
  readonly #outside = AsyncLocalStorage.snapshot()
  readonly #working: Working[] = []
  readonly #schedulers: Scheduler[] = []
  readonly #driver = new FirstUse(() => this.#outside(() => this.#open()))
  readonly #relay = new FirstUse(() => this.#outside(() => this.#startRelay()))
  readonly #schedules = new FirstUse(() => this.#readSchedules())
  #declared: ReturnType<TaskSource['readSchedules']> | undefined
  /** Until a server begins with its tasks. */
  #settling: NodeJS.Timeout | undefined
  /** Whether a server works on them by now. */
  #serves = false
  /** Until what has failed is tried again. */
  readonly #retries = new Map<() => void, NodeJS.Timeout>()
  #closing = false
  #isClosed = false

  constructor(options: TaskProcessOptions) {
    this.#options = options
  }

  /** What keeps the tasks. @throws {PlinthError} TASKS_UNAVAILABLE when the app is closed */
  driver = async (): Promise<TaskDriver> => {
    if (this.#isClosed) throw processEnds()
    this.#begin()
    return await this.#driver.get()
  }

  /** Works on tasks until it is stopped, at the latest with the app. @throws {PlinthError} TASKS_UNAVAILABLE when that ends */
  work = async ({ schedules, ...wanted }: WorkWanted): Promise<Working> => {
    const { limits = {}, source } = this.#options
    const driver = await this.driver()
    if (this.#closing) throw processEnds()
    const { perform, concurrencyOf } = source
    const working = await driver.work({ ...wanted, limits, perform, concurrencyOf })
    this.#working.push(working)
    this.poke()
    if (schedules) await this.#startSchedules()
    return working
  }

  schedules = async (): Promise<ScheduleControl> => {
    const { controlSchedules } = await import('./schedule-control.ts')
    return controlSchedules({ ...(await this.#schedules.get()), driver: await this.driver() })
  }

  /** Something is in the outbox, or may be. */
  poke = (): void => {
    if (!this.#options.outbox || this.#closing) return
    this.#relay.get().then(
      (relay) => relay.poke(),
      (err) => this.#tryAgain(this.poke, err, 'What is in the outbox is not sent'),
    )
  }

  /** @throws {PlinthError} SCHEDULE_INVALID, INVALID_REQUEST */
  check(): void {
    const { source, schedules } = this.#options
    if (schedules && source.hasSchedules()) this.#read()
  }

  /**
   * A server that keeps its own tasks runs its own schedules, and works on those of a database as a worker does; any takes what an
   * earlier process has left behind. It begins a moment after it is called, or with the first task that is added in this process: the first
   * answers of a server do not wait until the code of it is loaded.
   */
  serve(): void {
    this.#settling = setTimeout(() => this.#begin(), SETTLING)
  }

  #begin(): void {
    if (!this.#settling) return
    clearTimeout(this.#settling)
    this.#settling = undefined
    if (!this.#closing) this.#start()
  }

  #start = (): void => {
    this.#outside(() => this.#serve()).catch((err) =>
      this.#tryAgain(this.#start, err, 'No tasks are worked on by this server'),
    )
  }

  async #serve(): Promise<void> {
    this.poke()
    const { store, worksInServer, concurrency, queues } = this.#options
    if (store === 'database' && worksInServer && !this.#serves) {
      await this.work({ queues: [...queues()], concurrency, schedules: false })
      this.#serves = true
    }
    if (store === 'memory' || this.#serves) await this.#startSchedules()
  }

  /** What a process does for its tasks does not end with what it has not found for a moment: descriptors, memory, a file. */
  #tryAgain(work: () => void, err: unknown, problem: string): void {
    if (this.#closing || this.#retries.has(work)) return
    this.#options.log.error({ err }, `${problem}: it is tried again in ${RETRY / 1000} s`)
    const again = () => {
      this.#retries.delete(work)
      work()
    }
    this.#retries.set(work, setTimeout(again, RETRY))
  }

  async close(): Promise<void> {
    const { stopTimeout, log, store } = this.#options
    // What begins at this moment goes no further.
    this.#closing = true
    clearTimeout(this.#settling)
    for (const timer of this.#retries.values()) clearTimeout(timer)
    await Promise.all(this.#schedulers.map((scheduler) => scheduler.stop()))
    const stopped = await Promise.all(this.#working.map((working) => working.stop(stopTimeout)))
    const left = stopped.reduce((sum, { handedBack }) => sum + handedBack, 0)
    if (left > 0 && store !== 'memory')
      log.info({ tasks: left }, 'tasks are handed back to run elsewhere')
    else if (left > 0)
      log.warn({ tasks: left }, 'tasks are lost: without Redis or a database none are kept')
    await (await this.#relay.made())?.stop()
    this.#isClosed = true
    await (await this.#driver.made())?.close()
  }

  async #open(): Promise<TaskDriver> {
    const { log, store, redis, db, prefix, concurrency, maxCrashes, clock } = this.#options
    if (store === 'redis' && redis) {
      const { openBullmq } = await import('./bullmq.ts')
      const { commandTimeout: patience } = redis.options
      return openBullmq({ redis: targetOf(redis.options), prefix, log, patience, maxCrashes })
    }
    if (store === 'database' && db) {
      const { openDatabase } = await import('./database.ts')
      return openDatabase(db, { log, maxCrashes })
    }
    const { openMemory } = await import('./memory.ts')
    log.warn({}, 'tasks are kept in memory: those that have not run when the process ends are lost')
    return openMemory(
      (queue) => {
        this.work({ queues: [queue], concurrency, schedules: false }).catch((error) => {
          if (!this.#closing) throw error
        })
      },
      undefined,
      clock,
    )
  }

  async #startRelay(): Promise<Relay> {
    const { log, outbox, store } = this.#options
    const { startRelay } = await import('./relay.ts')
    const { deliverTasks } = await import('./deliver.ts')
    return startRelay({
      outbox: outbox as Outbox,
      deliver: async (messages) => deliverTasks(await this.driver(), messages),
      log,
      // Where tasks are in the database themselves there is only what was left behind with Redis.
      ...(store === 'database' && { interval: LEFT_BEHIND }),
    })
  }

  async #startSchedules(): Promise<void> {
    const { source, db, schedules } = this.#options
    if (!schedules || (!source.hasSchedules() && !db)) return
    const { startScheduler } = await import('./scheduler.ts')
    // Opened when the first is due.
    const driver: Pick<TaskDriver, 'add'> = {
      add: async (tasks) => (await this.driver()).add(tasks),
    }
    const { log } = this.#options
    const { made, ...scheduled } = await this.#schedules.get()
    const more = made && (async () => (await made.all()).filter((one) => source.runsHere(one)))
    if (this.#closing) return
    this.#schedulers.push(startScheduler({ ...scheduled, driver, log, ...(more && { more }) }))
  }

  #read(): ReturnType<TaskSource['readSchedules']> {
    this.#declared ??= this.#options.source.readSchedules()
    return this.#declared
  }

  async #readSchedules(): Promise<Scheduled> {
    const store = await this.#openStore()
    const declared = this.#read()
    if (!this.#options.schedules) return { ...declared, schedules: [], store, made: undefined }
    return { ...declared, store, made: await this.#openMade(store) }
  }

  async #openMade(store: ScheduleStore): Promise<MadeSchedules | undefined> {
    const { db, source, log } = this.#options
    if (!db) return undefined
    const { MadeSchedules } = await import('./schedule-made.ts')
    return new MadeSchedules(db as never, {
      read: (name, given) => source.readMade(name, given),
      isDeclared: (name) => source.isDeclared(name),
      store,
      changed: () => {
        for (const scheduler of this.#schedulers) scheduler.look()
      },
      log,
    })
  }

  async #openStore(): Promise<ScheduleStore> {
    const { store, redis, db, prefix } = this.#options
    if (store === 'database' && db)
      return (await import('./schedule-database.ts')).databaseSchedules(db)
    if (store === 'redis' && redis)
      return (await import('./schedule-redis.ts')).redisSchedules(redis, `${prefix}:`)
    return (await import('./schedule-memory.ts')).memorySchedules()
  }
}

// Milliseconds.
const LEFT_BEHIND = 60_000
const SETTLING = 200
const RETRY = 2000
