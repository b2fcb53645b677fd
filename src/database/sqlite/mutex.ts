import { errors } from '../../errors.ts'
import type { DatabaseLimits } from '../types.ts'

/** Lets one in at a time, in the order of asking; a bounded number waits, for a bounded time. */
export class Mutex {
  readonly #limits: Pick<DatabaseLimits, 'queueLimit' | 'acquireTimeout'>
  readonly #waiting: (() => void)[] = []
  #locked = false

  constructor(limits: Pick<DatabaseLimits, 'queueLimit' | 'acquireTimeout'>) {
    this.#limits = limits
  }

  /** @throws {PlinthError} DATABASE_BUSY when the queue is full or the time is over */
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
    return new Promise((resolve, reject) => {
      const enter = () => {
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1)
        reject(errors.DATABASE_BUSY(acquireTimeout))
      }, acquireTimeout)
      this.#waiting.push(enter)
    })
  }
}
