import type { TaskLog } from './types.ts'

const FIRST = 100
const LONGEST = 5000

/** Failures in a row: told once, and tried again after longer and longer times. */
export class Outage {
  readonly #log: TaskLog
  readonly #what: string
  #failures = 0

  /** @param what could not be done, `tasks could not be moved to Redis` */
  constructor(log: TaskLog, what: string) {
    this.#log = log
    this.#what = what
  }

  get isOn(): boolean {
    return this.#failures > 0
  }

  /** Returns how long to wait before it is tried again, in ms: up to 5 s, a fifth of it random. */
  failed(err: unknown): number {
    if (!this.isOn) this.#log.warn({ err }, `${this.#what}; this goes on until it succeeds`)
    const full = Math.min(LONGEST, FIRST * 2 ** this.#failures++)
    return full * (1 - 0.2 * Math.random())
  }

  succeeded(): void {
    if (this.isOn) this.#log.info({ failures: this.#failures }, `${this.#what}: this is over`)
    this.#failures = 0
  }
}
