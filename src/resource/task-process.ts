import type { FastifyInstance } from 'fastify'
import type { Redis } from 'ioredis'
import type { Place } from '../task/bullmq/connection.ts'
import type { Relay } from '../task/relay.ts'
import type { ScheduleStore } from '../task/schedule.ts'
import type { ScheduleControl } from '../task/schedule-control.ts'
import type { Scheduler, SchedulerOptions } from '../task/scheduler.ts'
import type { WorkWanted } from '../task/tasks.ts'
import type { TaskDriver, Working, WorkOptions } from '../task/types.ts'
import type { LoadUser } from './context.ts'
import { createPerform, resourcesOf } from './perform-task.ts'
import { assertTaskOptions } from './task-options.ts'
import type { DatabaseOutbox } from './task-outbox.ts'

export interface TaskProcessOptions<DB> {
  app: FastifyInstance
  /** Without it everything is in memory. */
  redis: Redis | undefined
  outbox: DatabaseOutbox<DB> | undefined
  /** What keys begin with. */
  prefix: string
  payloadLimit: number
  limits: WorkOptions['limits']
  /** In memory: how many tasks of each queue run at once. */
  concurrency: number
  /** In Redis: how often the process that runs a task may die. */
  maxCrashes: number
  /** Milliseconds. */
  stopTimeout: number
  /** Milliseconds. */
  abortGrace: number
  loadUser: LoadUser | undefined
}

/** The schedules of a service, and what is known of them. */
type Scheduled = Required<Pick<SchedulerOptions, 'schedules' | 'store' | 'toTask'>>

/** What one process of a service does for its tasks: begun when it is needed, ended with the app. */
export class TaskProcess<DB> {
  readonly #options: TaskProcessOptions<DB>
  readonly #working: Working[] = []
  readonly #schedulers: Scheduler[] = []
  #driver: Promise<TaskDriver> | undefined
  #schedules: Promise<Scheduled> | undefined
  #relay: Promise<Relay> | undefined

  constructor(options: TaskProcessOptions<DB>) {
    this.#options = options
  }

  /** What keeps the tasks. */
  driver = (): Promise<TaskDriver> => {
    this.#driver ??= this.#open()
    return this.#driver
  }

  /** Works on tasks until it is stopped, at the latest with the app. */
  work = async ({ schedules, ...wanted }: WorkWanted): Promise<Working> => {
    const { app, limits = {}, abortGrace, loadUser } = this.#options
    const driver = await this.driver()
    const perform = createPerform(app, { grace: abortGrace, loadUser })
    const working = await driver.work({ ...wanted, limits, perform })
    this.#working.push(working)
    this.poke()
    if (schedules) await this.#startSchedules()
    return working
  }

  schedules = async (): Promise<ScheduleControl> => {
    const { controlSchedules } = await import('../task/schedule-control.ts')
    return controlSchedules({ ...(await this.#scheduled()), driver: await this.driver() })
  }

  /** Something is in the outbox, or may be. */
  poke(): void {
    if (!this.#options.outbox) return
    this.#relay ??= this.#startRelay()
    void this.#relay.then((relay) => relay.poke())
  }

  /** @throws {PlinthError} RESOURCE_INVALID, SCHEDULE_INVALID */
  async check(): Promise<void> {
    const { app } = this.#options
    for (const [resource, name] of resourcesOf(app)) assertTaskOptions(name, resource.definition)
    if (this.#hasSchedules()) await this.#scheduled()
  }

  /** A server that keeps its own tasks runs its own schedules; any takes what an earlier process has left behind. */
  async serve(): Promise<void> {
    this.poke()
    if (!this.#options.redis) await this.#startSchedules()
  }

  async close(): Promise<void> {
    const { stopTimeout, app, redis } = this.#options
    await Promise.all(this.#schedulers.map((scheduler) => scheduler.stop()))
    const stopped = await Promise.all(this.#working.map((working) => working.stop(stopTimeout)))
    const left = stopped.reduce((sum, { handedBack }) => sum + handedBack, 0)
    if (left > 0 && redis) app.log.info({ tasks: left }, 'tasks are handed back to run elsewhere')
    else if (left > 0) app.log.warn({ tasks: left }, 'tasks are lost: without Redis none are kept')
    await (await this.#relay)?.stop()
    await (await this.#driver)?.close()
  }

  async #open(): Promise<TaskDriver> {
    const { app, redis, prefix, concurrency, maxCrashes } = this.#options
    if (redis) {
      const { openBullmq } = await import('../task/bullmq.ts')
      return openBullmq({ redis: lasting(redis), prefix, log: app.log, maxCrashes })
    }
    const { openMemory } = await import('../task/memory.ts')
    app.log.warn('tasks are kept in memory: those that have not run when the process ends are lost')
    return openMemory((queue) => {
      void this.work({ queues: [queue], concurrency, schedules: false })
    })
  }

  async #startRelay(): Promise<Relay> {
    const { app, outbox } = this.#options
    const { startRelay } = await import('../task/relay.ts')
    const { deliverTasks } = await import('../task/deliver.ts')
    return startRelay({
      outbox: outbox as DatabaseOutbox<DB>,
      deliver: async (messages) => deliverTasks(await this.driver(), messages),
      log: app.log,
    })
  }

  async #startSchedules(): Promise<void> {
    if (!this.#hasSchedules()) return
    const { startScheduler } = await import('../task/scheduler.ts')
    // Opened when the first is due.
    const driver: Pick<TaskDriver, 'add'> = {
      add: async (tasks) => (await this.driver()).add(tasks),
    }
    const { log } = this.#options.app
    this.#schedulers.push(startScheduler({ ...(await this.#scheduled()), driver, log }))
  }

  // Asked first: who has none need not load what reads them.
  #hasSchedules(): boolean {
    const all = Array.from(resourcesOf(this.#options.app).keys())
    return all.some(({ definition }) => definition.schedule !== undefined)
  }

  #scheduled(): Promise<Scheduled> {
    this.#schedules ??= this.#readSchedules()
    return this.#schedules
  }

  async #readSchedules(): Promise<Scheduled> {
    const { app, payloadLimit } = this.#options
    const { collectSchedules, scheduledTasks } = await import('./task-schedules.ts')
    return {
      schedules: collectSchedules(app),
      store: await this.#openStore(),
      toTask: scheduledTasks(app, payloadLimit),
    }
  }

  async #openStore(): Promise<ScheduleStore> {
    const { redis, prefix } = this.#options
    if (redis)
      return (await import('../task/schedule-redis.ts')).redisSchedules(redis, `${prefix}:`)
    return (await import('../task/schedule-memory.ts')).memorySchedules()
  }
}

const PLACE = [
  'host',
  'port',
  'db',
  'username',
  'password',
  'tls',
  'path',
  'connectTimeout',
] as const

/** The same Redis, for connections that wait for it as long as it is away: BullMQ's. */
function lasting({ options }: Redis): Place {
  const known = PLACE.filter((name) => options[name] !== undefined)
  return Object.fromEntries(known.map((name) => [name, options[name]]))
}
