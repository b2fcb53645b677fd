import { TaskAgain, TaskFinal } from '../task/errors.ts'
import { currentContext } from './context.ts'

/** When a task that has failed is tried again. */
export interface RetryOptions {
  /** Milliseconds from now; default: as its `backoff` says. */
  delay?: number
}

/**
 * Throws, for `perform` of a resource that runs as a task: this try has failed with `cause`, and where tries are left another one
 * is made, also after an error that would be final (below 500, such as 404). What does not run as a task fails with `cause`.
 *
 * @throws always
 */
export function retry(cause: unknown, { delay }: RetryOptions = {}): never {
  throw currentContext()?.task ? new TaskAgain(cause, delay) : cause
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
