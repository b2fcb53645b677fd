/** Somebody who waits, and may stop to. */
export interface Waiter {
  /** Called where it stops: set by what it waits for. */
  cancel: ((reason: unknown) => void) | undefined
}

/** Lets so many in at once, and so many wait, the first first. Who stops waiting leaves the queue. */
export class Limiter {
  readonly #most: number
  readonly #mostWaiting: number
  // A set keeps the order, and who leaves it leaves no gap.
  readonly #waiting = new Set<() => void>()
  #inside = 0

  constructor(most: number, mostWaiting: number) {
    this.#most = most
    this.#mostWaiting = mostWaiting
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /**
   * @returns true: it is in, and has to `leave`; false: too many wait; a promise: it is in once that is fulfilled, and has not been where it
   *   is rejected
   */
  enter(waiter: Waiter): boolean | Promise<void> {
    if (this.#inside < this.#most) {
      this.#inside++
      return true
    }
    if (this.#waiting.size >= this.#mostWaiting) return false
    return new Promise((resolve, reject) => {
      this.#waiting.add(resolve)
      waiter.cancel = (reason) => {
        // Else it is in already, and leaves as it goes on.
        if (this.#waiting.delete(resolve)) reject(reason)
      }
    })
  }

  /** The next one is in, in place of one that leaves. */
  leave(): void {
    const [next] = this.#waiting
    if (!next) {
      this.#inside--
      return
    }
    this.#waiting.delete(next)
    next()
  }
}
