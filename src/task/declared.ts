import { errors } from '../errors.ts'
import { DEFAULT_QUEUE, queueProblem } from './new-task.ts'

/** What a resource says of the tasks that run it. */
export interface Declared {
  timeout?: number
  task?: { timeout?: number; queue?: string }
}

/** Milliseconds that a try of a task may take where nothing says how long. */
const TIMEOUT = 15 * 60_000
// No timer can be set for longer, in ms.
const LONGEST = 2 ** 31 - 1

/** Milliseconds that a try may take; 0: as long as it takes. */
export function taskTimeoutOf({ task, timeout = TIMEOUT }: Declared): number {
  return task?.timeout ?? timeout
}

/** The queues of a service: `default`, those that its resources name, and `more`. */
export function declaredQueues(
  definitions: Iterable<Declared>,
  more: readonly string[],
): ReadonlySet<string> {
  const named = Array.from(definitions, ({ task }) => task?.queue ?? DEFAULT_QUEUE)
  return new Set([DEFAULT_QUEUE, ...named, ...more].toSorted())
}

/** @throws {PlinthError} RESOURCE_INVALID */
export function assertTaskOptions(name: string, { task }: Declared): void {
  const { timeout = 0, queue = DEFAULT_QUEUE } = task ?? {}
  const problem = queueProblem(queue)
  if (problem) throw errors.RESOURCE_INVALID(name, `of its task ${problem}`)
  if (Number.isSafeInteger(timeout) && timeout >= 0 && timeout <= LONGEST) return
  const expected = `expected whole milliseconds up to ${LONGEST}, 0 for no end`
  throw errors.RESOURCE_INVALID(name, `timeout of its task is ${timeout}; ${expected}`)
}
