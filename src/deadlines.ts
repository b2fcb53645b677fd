import { AsyncLocalStorage } from 'node:async_hooks'

/** What waits in a {@link DeadlineQueue}: in one at a time, which alone writes these. */
export interface Timed {
  /** When its time is over, as `performance.now()` counts. */
  at: number
  earlier: Timed | undefined
  later: Timed | undefined
}

/** The longest that a timer of Node.js can wait, in milliseconds. */
export const LONGEST_TIMER = 2 ** 31 - 1

/**
 * Calls back after `milliseconds`. Where it was this process that stood still, what has come meanwhile is read before anything is late.
 *
 * @returns keeps it from calling back
 */
export function whenLate(milliseconds: number, callback: () => void): () => void {
  let turn: NodeJS.Immediate | undefined
  const timer = setTimeout(() => {
    turn = setImmediate(callback)
  }, milliseconds)
  return () => {
    clearTimeout(timer)
    clearImmediate(turn)
  }
}

/**
 * What waits at most the same time, as thousands of requests and commands do: a list in the order of its deadlines, and
 * one timer for all of it, where each would have one of its own. As with `setTimeout`, the process lives on as long as
 * anything waits.
 */
export class DeadlineQueue<Entry extends Timed> {
  readonly #timeout: number
  readonly #expire: (entry: Entry) => void
  // A ring: its first is the next to expire.
  readonly #ring: Timed = { at: Number.POSITIVE_INFINITY, earlier: undefined, later: undefined }
  // A timer keeps what it was made in, which would be the first request of many.
  readonly #outside = AsyncLocalStorage.snapshot()
  #timer: NodeJS.Timeout | undefined
  #due = 0

  /**
   * @param timeout milliseconds
   * @param expire told of each whose time is over, outside of every `AsyncLocalStorage`; it is out of the queue by then
   */
  constructor(timeout: number, expire: (entry: Entry) => void) {
    this.#timeout = timeout
    this.#expire = expire
    this.#ring.earlier = this.#ring.later = this.#ring
  }

  /** @param since when its time has begun, as `performance.now()` counts */
  add(entry: Entry, since = performance.now()): void {
    const ring = this.#ring
    entry.at = since + this.#timeout
    let before = ring.earlier as Timed
    // Almost always it is the last.
    while (before !== ring && before.at > entry.at) before = before.earlier as Timed
    const after = before.later as Timed
    entry.earlier = before
    entry.later = after
    before.later = after.earlier = entry
    if (before === ring) this.#wake(entry.at)
  }

  /** Of no effect where it is not in the queue. */
  remove(entry: Entry): void {
    const { earlier, later } = entry
    if (!earlier || !later) return
    earlier.later = later
    later.earlier = earlier
    entry.earlier = entry.later = undefined
    // Kept for the next: to make one costs more than to let it find nothing.
    if (later === earlier) this.#timer?.unref()
  }

  /** Sees to it that the timer has run by `at`. */
  #wake(at: number): void {
    if (this.#timer && this.#due <= at) {
      this.#timer.ref()
      return
    }
    clearTimeout(this.#timer)
    this.#arm(at - performance.now())
  }

  #arm(milliseconds: number): void {
    this.#due = performance.now() + milliseconds
    const wait = Math.min(Math.ceil(milliseconds), LONGEST_TIMER)
    // Where it was this process that stood still, what has come meanwhile is read before anything is late.
    const ring = () => setImmediate(() => this.#sweep())
    this.#timer = this.#outside(setTimeout, ring, wait)
  }

  #sweep(): void {
    this.#timer = undefined
    const now = performance.now()
    let first = this.#ring.later as Timed
    try {
      for (; first.at <= now; first = this.#ring.later as Timed) {
        this.remove(first as Entry)
        this.#expire(first as Entry)
      }
    } finally {
      // One that is told may have added another.
      if (this.#ring.later !== this.#ring && !this.#timer) this.#arm(first.at - now)
    }
  }
}
