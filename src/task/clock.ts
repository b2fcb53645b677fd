/** The time and timers, which a test sets itself. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number
  /** Calls `work` once, `ms` from now. Returns what calls it off. */
  after(ms: number, work: () => void): () => void
}

export const systemClock: Clock = {
  now: Date.now,
  after(ms, work) {
    const timer = setTimeout(work, ms)
    return () => clearTimeout(timer)
  },
}
