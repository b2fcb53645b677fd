import { errors } from '../../../errors.ts'
import { type DatabaseLimits, type DatabaseUsage, FOREVER, type TimeLeft } from '../../types.ts'
import { LongestWait } from '../longest-wait.ts'

// Milliseconds. What the database does it does within the process, and one after the other nothing else would happen
// meanwhile: no timer, no other request.
const TURN = 10

/**
 * Lets a few in at a time, in the order of asking; a bounded number waits, for a bounded time, and no longer than their work
 * may take.
 */
export class Mutex {
  readonly #limits: Pick<DatabaseLimits, 'queueLimit' | 'acquireTimeout'>
  readonly #waiting: (() => void)[] = []
  readonly #longestWait = new LongestWait()
  readonly #timeLeft: TimeLeft
  readonly #places: number
  #free: number
  #turnBegan = 0

  constructor(
    limits: Pick<DatabaseLimits, 'queueLimit' | 'acquireTimeout'>,
    timeLeft: TimeLeft = FOREVER,
    places = 1,
  ) {
    this.#limits = limits
    this.#timeLeft = timeLeft
    this.#places = places
    this.#free = places
  }

  /** @throws {PlinthError} DATABASE_BUSY when the queue is full or the time is over, DEADLINE_EXCEEDED */
  async acquire(): Promise<void> {
    if (this.#free > 0) this.#free--
    else await this.#turn()
  }

  /** As often as there are places. */
  async acquireAll(): Promise<void> {
    await Promise.all(Array.from({ length: this.#places }, () => this.acquire()))
  }

  /** The place of whoever leaves is the next one's, so that nobody slips in between. */
  release(): void {
    const next = this.#waiting.shift()
    if (!next) this.#free++
    else if (performance.now() - this.#turnBegan < TURN) next()
    else setImmediate(this.#begin, next)
  }

  /** Milliseconds for which somebody has waited: {@link LongestWait.measure}. */
  waited(): number {
    return this.#longestWait.measure(this.#waiting.length)
  }

  usage(): DatabaseUsage {
    const size = this.#places
    return { used: size - this.#free, size, waiting: this.#waiting.length }
  }

  readonly #begin = (next: () => void): void => {
    this.#turnBegan = performance.now()
    next()
  }

  #turn(): Promise<void> {
    const { queueLimit, acquireTimeout } = this.#limits
    if (this.#waiting.length >= queueLimit) throw errors.DATABASE_BUSY(0)
    const left = this.#timeLeft()
    if (left <= 0) throw errors.DEADLINE_EXCEEDED(0)
    const patience = Math.ceil(Math.min(acquireTimeout, left))
    return new Promise((resolve, reject) => {
      const enter = () => {
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1)
        const late = left < acquireTimeout
        reject((late ? errors.DEADLINE_EXCEEDED : errors.DATABASE_BUSY)(patience))
      }, patience)
      this.#waiting.push(enter)
      this.#longestWait.add()
    })
  }
}
