import { type Duration, toMilliseconds } from '../duration.ts'
import { steady } from '../steady.ts'
import type { Clock } from '../task/clock.ts'

const RealDate = Date

/** What `Date` says where a test has set it; undefined: time passes by itself. One for the whole process, as `Date` is. */
let frozen: number | undefined

const now = (): number => frozen ?? RealDate.now()

/** `Date` while time stands still. */
const FakeDate: DateConstructor = new Proxy(RealDate, {
  construct: (target, given, made) =>
    Reflect.construct(
      target,
      given.length > 0 ? given : [now()],
      made === FakeDate ? target : made,
    ),
  apply: () => new RealDate(now()).toString(),
  get: (target, key, receiver) => (key === 'now' ? now : Reflect.get(target, key, receiver)),
})

const passed = steady.now

function freeze(time: number): void {
  if (frozen === undefined) {
    // From now on it passes as `Date` does.
    const behind = passed() - RealDate.now()
    steady.now = () => now() + behind
  }
  frozen = time
  globalThis.Date = FakeDate
}

interface Timer {
  readonly at: number
  readonly work: () => void
  /** That of the system, as long as time passes by itself. */
  handle: NodeJS.Timeout | undefined
}

/** What goes by the clock and has no timer. */
export interface Followers {
  /** When it is to be done next, after an instant; `Infinity`: never. */
  next(after: number): number
  /** Does what is to be done at an instant. */
  run(at: number): Promise<void>
  /** Waits for what has begun. */
  settle(): Promise<void>
}

/**
 * The time of a process, which a test sets: `Date` stands still from then on, until the app is reset. What waits in memory follows: the delays of tasks, and the time
 * that cached results live. Timers of the system do not, nor does what measures (`performance.now()`): deadlines, locks, the windows of rate limits.
 */
export class TestClock implements Clock {
  readonly #timers = new Set<Timer>()
  #followers: Followers | undefined

  /** Milliseconds since 1970. */
  now = now

  /** Sets the time, back or forth. Tasks run that were to wait until then; schedules that would have come meanwhile do not. */
  async set(time: Date | number | string): Promise<void> {
    const at = new RealDate(time).getTime()
    if (Number.isNaN(at)) throw new RangeError(`${time} is no time`)
    this.#stand(at)
    this.#fire()
    await this.#followers?.settle()
  }

  /**
   * Lets time pass: whatever comes due meanwhile is done at its time, one after the other, the tasks of schedules and those that were delayed. It is over
   * when they have ended, unless tasks are held by `tasks.fake()` or in Redis.
   *
   * @param time milliseconds, or a text like `'2h'`; `set()` goes back in time
   * @throws {RangeError} where it is none
   */
  async advance(time: Duration): Promise<void> {
    const milliseconds = toMilliseconds(time, 'what passes', { most: Number.MAX_SAFE_INTEGER })
    const followers = this.#followers
    const end = now() + milliseconds
    this.#stand(now())
    for (;;) {
      const scheduled = followers?.next(now()) ?? Infinity
      const at = Math.min(scheduled, ...Array.from(this.#timers, (timer) => timer.at))
      if (at > end) break
      freeze(Math.max(at, now()))
      this.#fire()
      if (scheduled === at) await followers?.run(at)
      await followers?.settle()
    }
    freeze(end)
  }

  /** Time passes by itself again, and is what it is everywhere else. */
  reset(): void {
    if (frozen === undefined) return
    frozen = undefined
    globalThis.Date = RealDate
    steady.now = passed
    for (const timer of this.#timers) this.#arm(timer)
  }

  /** Whatever waits is called off. */
  close(): void {
    for (const { handle } of this.#timers) clearTimeout(handle)
    this.#timers.clear()
    this.reset()
  }

  after(ms: number, work: () => void): () => void {
    const timer: Timer = { at: now() + ms, work, handle: undefined }
    this.#timers.add(timer)
    if (frozen === undefined) this.#arm(timer)
    return () => {
      clearTimeout(timer.handle)
      this.#timers.delete(timer)
    }
  }

  follow(followers: Followers): void {
    this.#followers = followers
  }

  #arm(timer: Timer): void {
    const run = () => {
      this.#timers.delete(timer)
      timer.work()
    }
    timer.handle = setTimeout(run, Math.max(0, timer.at - now()))
  }

  #stand(time: number): void {
    freeze(time)
    for (const { handle } of this.#timers) clearTimeout(handle)
  }

  /** Calls what is due, the earliest first. */
  #fire(): void {
    const due = [...this.#timers].filter(({ at }) => at <= now()).sort((a, b) => a.at - b.at)
    for (const timer of due) {
      this.#timers.delete(timer)
      timer.work()
    }
  }
}
