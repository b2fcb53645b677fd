// What may end a call, apart from what makes it.
import type { Readable } from 'node:stream'
import type { DeadlineQueue, Timed } from '../deadlines.ts'
import { errors, PlinthError } from '../errors.ts'
import type { Waiter } from './limiter.ts'

/** A call, however often it is tried. */
export class Call implements Timed, Waiter {
  at = Number.POSITIVE_INFINITY
  earlier: Timed | undefined = undefined
  later: Timed | undefined = undefined
  cancel: ((reason: unknown) => void) | undefined = undefined
  /** Why it is over before there is an answer. */
  reason: unknown = undefined
  isLate = false
  readonly #deadlines: DeadlineQueue<Call> | undefined
  readonly #signal: AbortSignal | undefined
  readonly #body: Readable | undefined

  /** Ended by each of these, until it leaves them. */
  constructor(
    deadlines: DeadlineQueue<Call> | undefined,
    signal: AbortSignal | undefined,
    body: Readable | undefined,
  ) {
    this.#deadlines = deadlines
    this.#signal = signal
    this.#body = body
    deadlines?.add(this)
    signal?.addEventListener('abort', this)
    // Whoever it comes from, it may break before it is sent.
    body?.on('error', (error) => this.end(error))
  }

  leave(): void {
    this.#deadlines?.remove(this)
    this.#signal?.removeEventListener('abort', this)
    this.#body?.destroy()
  }

  /** Only its signal ends it from now on. */
  unbind(): void {
    this.#deadlines?.remove(this)
  }

  /** Its own time is over. */
  expire(): void {
    this.isLate = true
    this.end(LATE)
  }

  end(reason: unknown): void {
    if (this.reason !== undefined) return
    this.reason = reason
    this.cancel?.(reason)
  }

  /** Of its signal: a listener that is an object needs no function for each call. */
  handleEvent(event: Event): void {
    this.end((event.target as AbortSignal).reason)
  }
}

/** Whether it was the upstream that has taken too long, and not the client that has gone. */
export function isDeadline(reason: unknown): boolean {
  if (reason === LATE) return true
  return PlinthError.is(reason) && reason.code === errors.DEADLINE_EXCEEDED.code
}

const LATE = new Error('the time of the call is over')
