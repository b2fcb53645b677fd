import { errors, PlinthError } from '../errors.ts'

/** What `perform` throws to hand its task back: it runs again after `delay` ms, and has not used up a try. */
export class TaskRetry extends Error {
  readonly delay: number

  constructor(delay: number, message = 'The task is handed back') {
    super(message)
    this.name = 'TaskRetry'
    this.delay = delay
  }
}

/** What `perform` throws so that its task fails with `cause`, whatever tries are left. */
export class TaskFinal extends Error {
  constructor(cause: unknown) {
    super('The task has failed for good', { cause })
    this.name = 'TaskFinal'
  }
}

/** What `perform` throws so that its try has failed with `cause` and another one is made, if any is left: after `delay` ms. */
export class TaskAgain extends Error {
  /** Default: as its backoff says. */
  readonly delay: number | undefined

  constructor(cause: unknown, delay?: number) {
    super('The try has failed, and another one is made', { cause })
    this.name = 'TaskAgain'
    this.delay = delay
  }
}

/** What `perform` has failed with. */
export function thrownIn(error: unknown): unknown {
  return error instanceof TaskFinal || error instanceof TaskAgain ? error.cause : error
}

/** Why the signal of a task is aborted when its worker has to end: the task runs again elsewhere. */
export class WorkerEnding extends Error {
  constructor() {
    super('The worker ends; the task is handed back and runs again')
    this.name = 'WorkerEnding'
  }
}

/** Why nothing begins any more where tasks are closed. */
export function processEnds(): PlinthError {
  return errors.TASKS_UNAVAILABLE('this process ends')
}

/** Whether tasks cannot be kept right now, though they could later. */
export function isUnavailable(error: unknown): boolean {
  return PlinthError.is(error) && error.code === errors.TASKS_UNAVAILABLE.code
}

export interface Failure {
  code: string
  message: string
}

/** What is stored of an error that `perform` threw: its own words only where they are meant for clients. */
export function failureOf(error: unknown): Failure {
  const thrown = thrownIn(error)
  const { code, message } = PlinthError.is(thrown) ? thrown : errors.INTERNAL()
  return { code, message }
}

export function cancelled(id: string): Failure {
  const { code, message } = errors.TASK_CANCELLED(id)
  return { code, message }
}

/** What whoever waits for one is told that was given up. @param message of its failure: it says how often processes have died of it */
export function crashed(message: string): PlinthError {
  const { code, statusCode } = errors.TASK_CRASHED
  return new PlinthError(code, statusCode, message)
}

/** Why a task fails that waited for another one. */
export function childFailed(id: string): Failure {
  const { code, message } = errors.TASK_FAILED(id, 'a task that needs its result cannot run')
  return { code, message }
}
