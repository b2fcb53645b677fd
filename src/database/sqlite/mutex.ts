import { errors } from '../../errors.ts'
import { type DatabaseLimits, FOREVER, type TimeLeft } from '../types.ts'

/**
 * Lets one in at a time, in the order of asking; a bounded number waits, for a bounded time, and no longer than their work
 * may take.
 */
export class Mutex {
  readonly #limits: Pick<DatabaseLimits, 'queueLimit' | 'acquireTimeout'>
  readonly #waiting: (() => void)[] = []
  readonly #timeLeft: TimeLeft
  #locked = false

  constructor(
    limits: Pick<DatabaseLimits, 'queueLimit' | 'acquireTimeout'>,
    timeLeft: TimeLeft = FOREVER,
  ) {
    this.#limits = limits
    this.#timeLeft = timeLeft
  }

  /** @throws {PlinthError} DATABASE_BUSY when the queue is full or the time is over, DEADLINE_EXCEEDED */
  async acquire(): Promise<void> {
    if (this.#locked) await this.#turn()
    this.#locked = true
  }

  release(): void {
    const next = this.#waiting.shift()
    // With a next one it stays locked, so that nobody slips in between.
    if (next) next()
    else this.#locked = false
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
    })
  }
}
