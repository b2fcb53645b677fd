import { setTimeout as sleep } from 'node:timers/promises'
import type { Duration, InMilliseconds } from '../duration.ts'
import type { Waiter } from './limiter.ts'

/** How a call that may be repeated is repeated. */
export interface RetryOptions {
  /** How often it is tried in all. */
  attempts: number
  /**
   * How long is waited before the second try at most, milliseconds or a text like `'1s'`; twice that before each further one. Each waits
   * for a random part of it.
   */
  delay: Duration
  /** What no wait is longer than, likewise, unless the upstream asks for it (`Retry-After`). */
  maxDelay: Duration
}

/**
 * Whether an answer says that another try may do.
 *
 * @param retryAfter its header: with it a conflict is one that passes, as with a try of the same call that is under way
 */
export function isTransient(status: number, retryAfter: string | undefined): boolean {
  if (status === 409) return retryAfter !== undefined
  return status === 429 || status === 502 || status === 503 || status === 504
}

/** Retries that may still be made: without an end to them, those of all clients together keep an upstream down that is down. */
export class RetryBudget {
  static readonly #FREE = 10
  readonly #each: number
  #left = RetryBudget.#FREE

  constructor(budget: number) {
    this.#each = budget
  }

  /** A call is made. */
  earn(): void {
    this.#left = Math.min(this.#left + this.#each, RetryBudget.#FREE)
  }

  /** Whether another retry may be made, which is made then. */
  spend(): boolean {
    if (this.#left < 1) return false
    this.#left--
    return true
  }
}

/**
 * Milliseconds until the next try.
 *
 * @param attempt how many there were
 * @param retryAfter the header of the answer
 */
export function delayBefore(
  { delay, maxDelay }: InMilliseconds<RetryOptions>,
  attempt: number,
  retryAfter: string | undefined,
): number {
  // All of it at random: those who have failed together must not come back together.
  const wait = Math.random() * Math.min(maxDelay, delay * 2 ** (attempt - 1))
  return Math.max(wait, readRetryAfter(retryAfter))
}

/** Seconds, or a date (RFC 9110, 10.2.3), as milliseconds from now; 0 for what is neither. */
function readRetryAfter(text: string | undefined): number {
  if (text === undefined) return 0
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now()
  return Number.isNaN(wait) ? 0 : Math.max(0, wait)
}

/** Waits; rejects as soon as `waiter` stops to. */
export async function pause(milliseconds: number, waiter: Waiter): Promise<void> {
  const end = new AbortController()
  waiter.cancel = (reason) => end.abort(reason)
  try {
    await sleep(milliseconds, undefined, { signal: end.signal })
  } catch {
    throw end.signal.reason
  }
}
