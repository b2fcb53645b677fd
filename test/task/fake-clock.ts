import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '../../src/task/clock.ts'

interface Timer {
  readonly at: number
  readonly work: () => void
}

/** A clock that stands still until a test moves it on. */
export class FakeClock implements Clock {
  #now: number
  readonly #timers = new Set<Timer>()

  constructor(now: number | string) {
    this.#now = new Date(now).getTime()
  }

  now = (): number => this.#now

  after(ms: number, work: () => void): () => void {
    const timer = { at: this.#now + ms, work }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** How long until each timer, the first one first. */
  get waits(): number[] {
    return [...this.#timers].map(({ at }) => at - this.#now).sort((a, b) => a - b)
  }

  /** A machine whose clock is ahead of this one by `ms`. */
  skewed(ms: number): Clock {
    return { now: () => this.#now + ms, after: (wait, work) => this.after(wait, work) }
  }

  /** Waits until `timers` of them are set: whoever works with them rests. */
  async resting(timers = 1): Promise<void> {
    const end = performance.now() + 60_000
    while (this.#timers.size < timers) {
      if (performance.now() > end) throw new Error(`${this.#timers.size} timers, not ${timers}`)
      await turn()
    }
  }

  /** Moves on by `ms`, and stops at each timer on the way until as many as now are set again. */
  async advance(ms: number): Promise<void> {
    const timers = this.#timers.size
    const end = this.#now + ms
    for (;;) {
      const [first] = [...this.#timers].sort((a, b) => a.at - b.at)
      if (!first || first.at > end) break
      this.#now = Math.max(this.#now, first.at)
      this.#timers.delete(first)
      first.work()
      await this.resting(timers)
    }
    this.#now = Math.max(this.#now, end)
  }

  /** Moves on by `ms` while nothing runs, as for a machine that sleeps. */
  jump(ms: number): void {
    this.#now += ms
  }
}
