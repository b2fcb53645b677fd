import { randomUUID } from 'node:crypto'
import { errors } from '../errors.ts'
import {
  plainTask,
  type Schedule,
  type ScheduleStore,
  scheduledTask,
  type ToTask,
} from './schedule.ts'
import type { TaskDriver } from './types.ts'

/** A schedule as it is shown. Instants are ISO 8601. */
export interface ScheduleInfo {
  name: string
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
}

export interface ScheduleControlOptions {
  schedules: readonly Schedule[]
  driver: Pick<TaskDriver, 'add'>
  store: ScheduleStore
  /** Default: as a task without options, of nobody. */
  toTask?: ToTask
}

export function controlSchedules(options: ScheduleControlOptions): ScheduleControl {
  const { schedules, driver, store, toTask = plainTask } = options

  function find(name: string): Schedule {
    const found = schedules.find((schedule) => schedule.name === name)
    if (!found) throw errors.NOT_FOUND('schedule', name)
    return found
  }

  return {
    list: () => Promise.all(schedules.map((schedule) => describe(schedule, store))),
    pause: async (name) => await store.pause(find(name), true),
    resume: async (name) => await store.pause(find(name), false),
    async runNow(name) {
      const task = scheduledTask(find(name), `run-${randomUUID()}`, 0, toTask)
      await driver.add([task])
      return task.id
    },
  }
}

async function describe(schedule: Schedule, store: ScheduleStore): Promise<ScheduleInfo> {
  const { name, cron, timezone } = schedule
  const { last, now, paused } = await store.open(schedule)
  const iso = (time: number) => new Date(time).toISOString()
  const next = iso(schedule.next(now))
  return { name, cron, timezone, next, last: last === null ? null : iso(last), paused }
}
