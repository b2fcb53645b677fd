import { type Clock, systemClock } from './clock.ts'
import { Outage } from './outage.ts'
import {
  jitterOf,
  plainTask,
  type Schedule,
  type ScheduleStore,
  scheduledTask,
  type ToTask,
} from './schedule.ts'
import type { TaskDriver, TaskLog } from './types.ts'
import { settles } from './within.ts'

export interface SchedulerOptions {
  schedules: readonly Schedule[]
  driver: Pick<TaskDriver, 'add'>
  store: ScheduleStore
  /** Default: as a task without options, of nobody. */
  toTask?: ToTask
  /** Those that come and go while it runs: asked for again and again. */
  more?: () => Promise<readonly Schedule[]>
  log: TaskLog
  clock?: Clock
}

/** What adds the tasks of schedules when their time has come. */
export interface Scheduler {
  /** There may be others than before. */
  look(): void
  /** Waits for what is under way, at most `timeout` ms (default 5000). */
  stop(timeout?: number): Promise<void>
}

/** A tick that is later than this was missed, in ms. */
const GRACE = 60_000
/** What was known longer ago than this is asked again before a task is added, in ms. */
const FRESH = 10_000
/** It wakes at least so often, in ms: clocks are set, machines sleep, and timers take no more than 24 days. */
const LONGEST_SLEEP = 60_000
/** How often it asks for those that come and go, in ms. */
const ASK = 10_000

/**
 * Adds a task for each tick, exactly once across all processes that do this, without a leader:
 *
 * - Every process comes to the same ticks (cron.ts), and gives the task of a tick the same id; adding an id twice is adding
 *   it once, for as long as the driver knows it: an hour and more after its end.
 * - The store knows up to which tick all is done, and that never goes back. Each process, at each time, adds whatever is due
 *   since then, and only then moves it on: one that dies in between leaves the rest to the others. Nobody
 *   decides by what it has itself seen, so that one that starts between two ticks, or sleeps, loses none.
 * - What is due is decided by the clock of the store. Those of the machines only say when to ask.
 *
 * So a tick is lost only if the store loses it, and comes twice only where a process stands still for an hour between asking
 * and adding; it asks again if it notices.
 *
 * A tick that is up to a minute late, because no process or no Redis was there, is not missed: its task is added. Of those
 * that are later, none is, or with `missed: 'once'` the newest one, if no later tick comes within that minute.
 */
export function startScheduler(options: SchedulerOptions): Scheduler {
  const scheduler = new RunningScheduler(options)
  scheduler.start()
  return scheduler
}

interface Entry {
  schedule: Schedule
  /** What the store has been told, in case that it forgets. */
  done: number | undefined
  next: number
}

class RunningScheduler implements Scheduler {
  readonly #store: ScheduleStore
  readonly #driver: Pick<TaskDriver, 'add'>
  readonly #toTask: ToTask
  readonly #log: TaskLog
  readonly #clock: Clock
  readonly #outage: Outage
  readonly #entries: readonly Entry[]
  readonly #askMore: SchedulerOptions['more']
  /** Those that come and go, by name. */
  readonly #more = new Map<string, Entry>()
  /** When they are asked for again, by our clock. */
  #asks = -Infinity
  #again = false
  /** By how much our clock is ahead of the store's. */
  #ahead = 0
  #running: Promise<void> | undefined
  #stopped = false
  #callOff = () => {}

  constructor(options: SchedulerOptions) {
    this.#store = options.store
    this.#driver = options.driver
    this.#toTask = options.toTask ?? plainTask
    this.#log = options.log
    this.#clock = options.clock ?? systemClock
    this.#outage = new Outage(options.log, 'The tasks of schedules cannot be added')
    this.#entries = options.schedules.map((schedule) => {
      return { schedule, done: undefined, next: -Infinity }
    })
    this.#askMore = options.more
  }

  start(): void {
    if (this.#entries.length === 0 && !this.#askMore) return
    this.#again = false
    this.#running = this.#wake().then((sleep) => {
      this.#running = undefined
      if (this.#stopped) return
      this.#callOff = this.#clock.after(this.#again ? 0 : sleep, () => this.start())
    })
  }

  look(): void {
    if (this.#stopped) return
    this.#asks = -Infinity
    this.#again = true
    if (this.#running) return
    this.#callOff()
    this.start()
  }

  async stop(timeout = 5000): Promise<void> {
    this.#stopped = true
    this.#callOff()
    if (this.#running) await settles(this.#running, timeout)
  }

  /** Does what is due. Returns how long there is nothing to do, in ms. */
  async #wake(): Promise<number> {
    const problem = await this.#ask()
    const entries = [...this.#entries, ...this.#more.values()]
    const due = entries.filter(({ next }) => next <= this.#now())
    const failed = new Map<Entry, unknown>()
    const tick = (entry: Entry) => this.#tick(entry).catch((error) => failed.set(entry, error))
    await Promise.all(due.map(tick))
    if (due.length > 0 && failed.size === 0) this.#outage.succeeded()
    const [error = problem] = failed.values()
    const longest = this.#askMore ? ASK : LONGEST_SLEEP
    const again = error === undefined ? longest : this.#outage.failed(error)
    // Those that failed wait; the others come in time all the same.
    const others = entries.filter((entry) => !failed.has(entry))
    const next = Math.min(...others.map((entry) => entry.next))
    return Math.min(again, Math.max(0, next - this.#now()))
  }

  /** Asks for those that come and go, now and then. Returns what it has failed with. */
  async #ask(): Promise<unknown> {
    const now = this.#clock.now()
    if (!this.#askMore || now < this.#asks) return undefined
    try {
      // Before it is known: what changes meanwhile has it asked for again.
      this.#asks = now + ASK
      const there = new Map((await this.#askMore()).map((one) => [one.name, one]))
      for (const name of this.#more.keys()) if (!there.has(name)) this.#more.delete(name)
      for (const [name, schedule] of there) {
        const known = this.#more.get(name)
        if (known?.schedule.version === schedule.version) known.schedule = schedule
        else this.#more.set(name, { schedule, done: undefined, next: -Infinity })
      }
      return undefined
    } catch (error) {
      this.#asks = -Infinity
      return error
    }
  }

  async #tick(entry: Entry): Promise<void> {
    const { schedule } = entry
    const { now, done, paused } = await this.#open(entry)
    const newest = schedule.newest(done, now)
    if (newest !== undefined) {
      const ticks = paused ? [] : this.#dueOf(schedule, done, now)
      const tasks = ticks.map((tick) => this.#taskOf(schedule, tick, now))
      const ids = tasks.length > 0 ? await this.#driver.add(tasks) : []
      const skipped = tasks.filter(({ id }, index) => ids[index] !== id).length
      if (skipped > 0)
        this.#log.info(
          { schedule: schedule.name, skipped },
          'A schedule is skipped: its last run has not ended',
        )
      await this.#store.advance(schedule, newest, ticks.at(-1))
    }
    entry.done = newest ?? done
    entry.next = schedule.next(Math.max(entry.done, now))
  }

  async #open({ schedule, done }: Entry) {
    const asked = this.#clock.now()
    const state = await this.#store.open(schedule, done)
    const told = this.#clock.now()
    if (told - asked > FRESH) throw new Error(`It took ${told - asked} ms to ask what is due`)
    this.#ahead = told - state.now
    return { ...state, done: Math.max(state.done, done ?? 0) }
  }

  /** The ticks to add tasks for, of those after `done`. */
  #dueOf(schedule: Schedule, done: number, now: number): number[] {
    const start = Math.max(done, now - GRACE - 1)
    const recent: number[] = []
    for (let tick = schedule.next(start); tick <= now; tick = schedule.next(tick)) recent.push(tick)
    const missed = schedule.newest(done, start)
    if (missed === undefined) return recent
    const runs = schedule.missed === 'once' && recent.length === 0
    const [since, until] = [done, missed].map((time) => new Date(time).toISOString())
    this.#log.warn(
      { schedule: schedule.name, since, until },
      runs ? 'A schedule was missed; it runs once now' : 'A schedule was missed, and is skipped',
    )
    return runs ? [missed] : recent
  }

  #taskOf(schedule: Schedule, tick: number, now: number) {
    const delay = Math.max(0, tick + jitterOf(schedule, tick) - now)
    return scheduledTask(schedule, tick, delay, this.#toTask)
  }

  #now(): number {
    return this.#clock.now() - this.#ahead
  }
}
