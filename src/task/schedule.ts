import { createHash } from 'node:crypto'
import { type InMilliseconds, SPAN, toMilliseconds } from '../duration.ts'
import { errors } from '../errors.ts'
import { type Ticks, ticksOf } from './cron.ts'
import { derivedTaskId, digest } from './id.ts'
import type { NewTask, Schedule as ScheduleOptions } from './types.ts'
import { offsetOf } from './zone.ts'

/** When a resource runs by itself. Times are milliseconds, instants milliseconds since 1970. */
export interface Schedule extends Required<InMilliseconds<ScheduleOptions>>, Ticks {
  /** The resource's, where it says itself when it runs. */
  readonly name: string
  /** Full name of what runs then. */
  readonly resource: string
  /** Another one where it comes at other times: what is known of its ticks does not hold for others. */
  readonly version: string
}

/** What all processes know of a schedule. */
export interface ScheduleState {
  /** Its ticks up to this instant are done with. */
  done: number
  /** The newest tick for which a task was added. */
  last: number | null
  paused: boolean
}

/** What a schedule is found by. */
export type ScheduleKey = Pick<Schedule, 'name' | 'version'>

/** What processes share about schedules: in memory within one, in Redis for any number. */
export interface ScheduleStore {
  /**
   * What is known; where nothing is, its ticks begin after `start`, default now. Without `start`, as by a process that begins, they
   * also begin now where other versions have been opened since this one was: nobody has missed what came meanwhile.
   *
   * @returns also `now`, the time by the clock of the store, which is one for all processes
   */
  open(key: ScheduleKey, start?: number): Promise<ScheduleState & { now: number }>
  /** Ticks up to `done` are done with, `last` is the newest that was added. Neither goes back. */
  advance(key: ScheduleKey, done: number, last?: number): Promise<void>
  /** What passes while it is paused is done with when it is resumed. */
  pause(key: ScheduleKey, paused: boolean): Promise<void>
}

const FIELDS = [5, 6]

/**
 * Reads a schedule.
 *
 * @param resource what runs then; default: the one that is called like it
 * @throws {PlinthError} SCHEDULE_INVALID
 */
export function parseSchedule(
  name: string,
  given: string | ScheduleOptions,
  resource = name,
): Schedule {
  const options = typeof given === 'string' ? { cron: given } : given
  const { cron, timezone = 'UTC', missed = 'skip', overlap = 'skip', input = {} } = options
  const refuse = (problem: string) => errors.SCHEDULE_INVALID(name, problem)
  const problem = problemOf({ cron, timezone, missed, overlap, input })
  if (problem) throw refuse(problem)
  const jitter = toMilliseconds(options.jitter ?? 0, 'jitter', { ...SPAN, least: 0 }, refuse)
  try {
    const ticks = ticksOf(cron, timezone)
    ticks.next(Date.now())
    const version = digest(cron, timezone).slice(0, 8)
    return { name, resource, version, cron, timezone, jitter, missed, overlap, input, ...ticks }
  } catch (cause) {
    const reason = `it never comes, or is none (${(cause as Error).message})`
    throw errors.SCHEDULE_INVALID.with(
      { cause },
      name,
      `cron is ${JSON.stringify(cron)}: ${reason}`,
    )
  }
}

function problemOf(options: Omit<Required<ScheduleOptions>, 'jitter'>): string | undefined {
  const { cron, timezone, missed, overlap, input } = options
  const is = (what: string, value: unknown, expected: string) =>
    `${what} is ${JSON.stringify(value)}; expected ${expected}`
  if (typeof cron !== 'string' || !FIELDS.includes(cron.trim().split(/\s+/).length))
    return is('cron', cron, 'five fields, or six with seconds first')
  if (!isZone(timezone)) return is('timezone', timezone, 'a name such as Europe/Berlin')
  if (missed !== 'skip' && missed !== 'once') return is('missed', missed, 'skip or once')
  if (!['skip', 'queue', 'allow'].includes(overlap))
    return is('overlap', overlap, 'skip, queue or allow')
  return isJson(input) ? undefined : 'input cannot be written as JSON'
}

function isZone(timezone: string): boolean {
  try {
    offsetOf(timezone)
    return typeof timezone === 'string'
  } catch {
    return false
  }
}

function isJson(input: unknown): boolean {
  try {
    return JSON.stringify(input) !== undefined
  } catch {
    return false
  }
}

/**
 * The id of the task of a tick. All processes give it the same one, and adding an id twice is adding once.
 *
 * @param tick its instant; or a text of its own, for a run that is none
 */
export function scheduledId(queue: string, name: string, tick: number | string): string {
  return derivedTaskId(queue, 'schedule', name, String(tick))
}

/** How much later than its tick a task may run: all processes come to the same. */
export function jitterOf({ name, jitter }: Schedule, tick: number): number {
  const share = createHash('sha256').update(`${name} ${tick}`).digest().readUInt32BE() / 2 ** 32
  return Math.floor(share * (jitter + 1))
}

/** How a schedule becomes a task: what its resource says of queue, tries and data. */
export type ToTask = (schedule: Schedule, requestId: string) => Omit<NewTask, 'id'>

/** As a task whose resource says nothing. */
export const plainTask: ToTask = ({ resource, input }, requestId) => ({
  queue: 'default',
  data: { resource, input, user: null, requestId },
  options: { attempts: 1, backoff: { type: 'exponential', delay: 1000 }, delay: 0 },
})

/** The task of a tick, or of a run that is none, which nothing keeps from running. */
export function scheduledTask(
  schedule: Schedule,
  tick: number | string,
  delay: number,
  toTask: ToTask,
): NewTask {
  const time = typeof tick === 'number' ? new Date(tick).toISOString() : tick
  const task = toTask(schedule, `schedule-${schedule.name}-${time.replaceAll(':', '')}`)
  const id = scheduledId(task.queue, schedule.name, tick)
  const isAlone = schedule.overlap === 'skip' && typeof tick === 'number'
  return {
    ...task,
    id,
    options: { ...task.options, delay, ...(isAlone && { unique: `schedule ${schedule.name}` }) },
  }
}
