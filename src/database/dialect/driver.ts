/** Where a slow statement is told of: a log, of the request if there is one. */
export interface SlowLog {
  warn(fields: object, message: string): void
}

export interface SlowOptions {
  /** Milliseconds from which on a statement is slow; 0: none is. */
  threshold: number
  /** The log of the work under way. */
  log: () => SlowLog
}

// Milliseconds until a plan is looked up again, and how many statements are remembered for that.
const PLAN_AGE = 60_000
const REMEMBERED = 100

/** Tells of statements that take long, and, once a minute for each, how the database goes about it. */
export class SlowStatements {
  readonly #options: SlowOptions
  readonly #explained = new Map<string, number>()

  constructor(options: SlowOptions) {
    this.#options = options
  }

  /** The log of the work under way, to be handed to `tell` when the statement has run. */
  get log(): SlowLog {
    return this.#options.log()
  }

  /** @param duration milliseconds */
  isSlow(duration: number): boolean {
    const { threshold } = this.#options
    return threshold > 0 && duration >= threshold
  }

  /** Never with its values, which may be secrets. */
  tell(log: SlowLog, sql: string, duration: number, plan?: unknown): void {
    const duration_ms = Math.round(duration)
    log.warn({ sql, duration_ms, ...(plan !== undefined && { plan }) }, 'slow statement')
  }

  /** Whether `sql` has a plan that has not been told of lately. */
  wantsPlan(sql: string): boolean {
    if (!/^\s*(?:select|with|insert|update|delete|replace)\b/i.test(sql)) return false
    const now = performance.now()
    if (now - (this.#explained.get(sql) ?? Number.NEGATIVE_INFINITY) < PLAN_AGE) return false
    if (this.#explained.size >= REMEMBERED) this.#explained.clear()
    this.#explained.set(sql, now)
    return true
  }
}

/**
 * How long the first of a queue has waited, told by two numbers whenever somebody asks: whoever waits is counted, and nothing is
 * kept for each. Those who leave it are the first ones; if others do, it tells less.
 */
export class LongestWait {
  #come = 0
  #seen = { come: 0, at: 0 }

  /** One more waits. */
  add(): void {
    this.#come++
  }

  /**
   * Milliseconds since somebody who still waits was first seen here.
   *
   * @param waiting how many wait now
   */
  measure(waiting: number): number {
    const now = performance.now()
    const areAllServed = this.#come - waiting >= this.#seen.come
    if (areAllServed) this.#seen = { come: this.#come, at: now }
    return now - this.#seen.at
  }
}
