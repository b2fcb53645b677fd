import { type Duration, SPAN, toMilliseconds } from '../duration.ts'
import { TaskAgain, TaskFinal } from '../task/errors.ts'
import { currentContext } from './context.ts'

/** When a task that has failed is tried again. */
export interface RetryOptions {
  /** How long from now: milliseconds, or a text like `'30s'`; default: as its `backoff` says. */
  delay?: Duration
}

const WAIT = { ...SPAN, least: 0 }

/**
 * Throws, for `perform` of a resource that runs as a task: this try has failed with `cause`, and where tries are left another one
 * is made, also after an error that would be final (below 500, such as 404). What does not run as a task fails with `cause`.
 *
 * @throws always; a RangeError where `delay` is none
 */
export function retry(cause: unknown, { delay }: RetryOptions = {}): never {
  const wait = delay === undefined ? undefined : toMilliseconds(delay, 'delay of retry', WAIT)
  throw currentContext()?.task ? new TaskAgain(cause, wait) : cause
}

/**
 * Throws, for `perform` of a resource that runs as a task: it has failed for good with `cause`, whatever tries are left, also where the
 * error is one that passes (500 and above, 409, 429). What does not run as a task fails with `cause`.
 *
 * @throws always
 */
export function fail(cause: unknown): never {
  throw currentContext()?.task ? new TaskFinal(cause) : cause
}
