/** @ts-ignore: there where it is installed */
import type { CircuitBreakerPolicy } from 'cockatiel'
import type { Duration, InMilliseconds } from '../duration.ts'
import { steady } from '../steady.ts'
import type { Outcome } from './exchange.ts'

/** When an upstream is not asked for a while. */
export interface BreakerOptions {
  /** The part of the calls that may fail, above 0 and below 1. */
  failures: number
  /** How long they are counted over: milliseconds, or a text like `'10s'`; at least 100. */
  window: Duration
  /** How many calls there have to be in that time. */
  minimum: number
  /** After how long one call is let through to see, likewise. */
  pause: Duration
}

/** Cockatiel's breaker over outcomes: what it runs never fails. */
export async function createBreaker(
  { failures, window, minimum, pause }: InMilliseconds<BreakerOptions>,
  onChange?: (isOpen: boolean) => void,
): Promise<CircuitBreakerPolicy> {
  const { circuitBreaker, CircuitState, handleWhenResult, SamplingBreaker } = await import(
    'cockatiel'
  )
  const breaker: CircuitBreakerPolicy = circuitBreaker(
    handleWhenResult((outcome) => {
      // One that was given up has said nothing, which is not enough to close it.
      const { answer } = outcome as Outcome
      return isFault(outcome as Outcome) || (!answer && breaker.state === CircuitState.HalfOpen)
    }),
    {
      halfOpenAfter: { next: () => new Pause(pause) },
      breaker: new SamplingBreaker({
        threshold: failures,
        duration: window,
        minimumRps: (minimum * 1000) / window,
      }),
    },
  )
  breaker.onBreak(() => onChange?.(true))
  breaker.onReset(() => onChange?.(false))
  return breaker
}

/** Over by the steady clock: cockatiel compares how long it lasts with what has passed by `Date`. */
class Pause {
  readonly #length: number
  readonly #end: number

  constructor(length: number) {
    this.#length = length
    this.#end = steady.now() + length
  }

  get duration(): number {
    return steady.now() < this.#end ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY
  }

  next(): Pause {
    return new Pause(this.#length)
  }
}

/** Whether it speaks against the upstream: it was not there, not in time, or is broken. */
function isFault({ answer, failure }: Outcome): boolean {
  if (answer) return answer.status >= 500
  return failure?.isFault === true
}
