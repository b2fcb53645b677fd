import { randomUUID } from 'node:crypto'
import { errors } from '../errors.ts'
import {
  plainTask,
  type Schedule,
  type ScheduleStore,
  scheduledTask,
  type ToTask,
} from './schedule.ts'
import type { MadeSchedules } from './schedule-made.ts'
import type { MadeSchedule, TaskDriver } from './types.ts'

/** A schedule as it is shown. Instants are ISO 8601. */
export interface ScheduleInfo {
  name: string
  /** What runs then. */
  resource: string
  cron: string
  timezone: string
  /** When it comes next, paused or not. */
  next: string
  /** The newest tick for which a task was added; null: none, since it comes at these times. */
  last: string | null
  paused: boolean
}

/** What an operator does with schedules; it holds for all processes. */
export interface ScheduleControl {
  /** @throws {PlinthError} TASKS_UNAVAILABLE */
  list(): Promise<ScheduleInfo[]>
  /** Its ticks add no tasks until it is resumed. @throws {PlinthError} NOT_FOUND, TASKS_UNAVAILABLE */
  pause(name: string): Promise<void>
  /** Those of the meantime do not come any more. @throws {PlinthError} NOT_FOUND, TASKS_UNAVAILABLE */
  resume(name: string): Promise<void>
  /** Adds a task now, paused or not. Returns its id. @throws {PlinthError} NOT_FOUND, TASKS_UNAVAILABLE */
  runNow(name: string): Promise<string>
  /**
   * Makes a schedule at run time, or changes one that was made so: kept in the database, for all processes, and from now on.
   *
   * @param name 1 to 100 letters, digits and `_ . : -`; that of no resource
   * @throws {PlinthError} SCHEDULE_INVALID, RESOURCE_UNKNOWN, INVALID_REQUEST where its input does not fit; DATABASE_MISSING, TASKS_UNAVAILABLE
   */
  set(name: string, schedule: MadeSchedule): Promise<void>
  /** Whether there was one that was made at run time. What it has enqueued runs. @throws {PlinthError} DATABASE_MISSING */
  remove(name: string): Promise<boolean>
}

export interface ScheduleControlOptions {
  schedules: readonly Schedule[]
  driver: Pick<TaskDriver, 'add'>
  store: ScheduleStore
  /** Those that are made at run time; without a database there are none. */
  made?: Pick<MadeSchedules, 'all' | 'set' | 'remove'> | undefined
  /** Default: as a task without options, of nobody. */
  toTask?: ToTask
}

export function controlSchedules(options: ScheduleControlOptions): ScheduleControl {
  const { schedules, driver, store, made, toTask = plainTask } = options

  const all = async () => [...schedules, ...((await made?.all()) ?? [])]

  async function find(name: string): Promise<Schedule> {
    const found = (await all()).find((schedule) => schedule.name === name)
    if (!found) throw errors.NOT_FOUND('schedule', name)
    return found
  }

  return {
    list: async () => Promise.all((await all()).map((schedule) => describe(schedule, store))),
    pause: async (name) => await store.pause(await find(name), true),
    resume: async (name) => await store.pause(await find(name), false),
    async set(name, schedule) {
      if (!made) throw errors.DATABASE_MISSING()
      await made.set(name, schedule)
    },
    async remove(name) {
      if (!made) throw errors.DATABASE_MISSING()
      return await made.remove(name)
    },
    async runNow(name) {
      const task = scheduledTask(await find(name), `run-${randomUUID()}`, 0, toTask)
      await driver.add([task])
      return task.id
    },
  }
}

async function describe(schedule: Schedule, store: ScheduleStore): Promise<ScheduleInfo> {
  const { name, resource, cron, timezone } = schedule
  const { last, now, paused } = await store.open(schedule)
  const iso = (time: number) => new Date(time).toISOString()
  const next = iso(schedule.next(now))
  return { name, resource, cron, timezone, next, last: last === null ? null : iso(last), paused }
}
