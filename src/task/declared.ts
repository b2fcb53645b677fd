import { LONGEST_TIMER } from '../deadlines.ts'
import { errors } from '../errors.ts'
import { DEFAULT_QUEUE, keepProblem, queueProblem } from './new-task.ts'
import type { QueueLimit, StartLimit, TaskKeep } from './types.ts'

/** What a resource says of the tasks that run it. */
export interface Declared {
  timeout?: number
  task?: { timeout?: number; queue?: string; keep?: TaskKeep }
}

/** Milliseconds that a try of a task may take where nothing says how long. */
const TIMEOUT = 15 * 60_000

/** Milliseconds that a try may take; 0: as long as it takes. */
export function taskTimeoutOf({ task, timeout = TIMEOUT }: Declared): number {
  return task?.timeout ?? timeout
}

/** How many of a queue may start in a time, where that is bounded. */
export function startLimitOf({ max, duration }: QueueLimit = {}): StartLimit | undefined {
  return max === undefined || duration === undefined ? undefined : { max, duration }
}

/** Why a queue cannot be limited so. */
export function limitProblem({ max, duration, concurrency }: QueueLimit): string | undefined {
  if ((max === undefined) !== (duration === undefined)) return 'max and duration are given together'
  const numbers = Object.entries({ max, duration, concurrency })
  const bad = numbers.find(
    ([, one]) => one !== undefined && !(Number.isSafeInteger(one) && one > 0),
  )
  return bad && `${bad[0]} is ${bad[1]}; expected a whole number of at least 1`
}

/** What is declared of the tasks of one resource, and whether this process runs them. */
interface Queued {
  readonly task: { queue?: string }
  readonly runsHere: boolean
}

/** The queues of a service. */
export interface DeclaredQueues {
  readonly all: ReadonlySet<string>
  /**
   * Those that this process works on: where something that it runs has its tasks, and those of no resource. A queue of
   * others only is left to them; what others have in one that is shared is run here, too: somebody has to.
   */
  readonly own: ReadonlySet<string>
}

/** `default`, the queues of `resources`, and `more`. */
export function declaredQueues(
  resources: readonly Queued[],
  more: readonly string[],
): DeclaredQueues {
  const queuesOf = (some: readonly Queued[]) => some.map(({ task }) => task.queue ?? DEFAULT_QUEUE)
  const named = new Set(queuesOf(resources))
  const here = new Set(queuesOf(resources.filter(({ runsHere }) => runsHere)))
  const all = [...new Set([DEFAULT_QUEUE, ...named, ...more])].toSorted()
  const own = all.filter((queue) => here.has(queue) || !named.has(queue))
  return { all: new Set(all), own: new Set(own) }
}

/** @throws {PlinthError} RESOURCE_INVALID */
export function assertTaskOptions(
  name: string,
  { timeout = 0, queue = DEFAULT_QUEUE, keep = {} }: NonNullable<Declared['task']>,
): void {
  const problem = queueProblem(queue) ?? keepProblem(keep)
  if (problem) throw errors.RESOURCE_INVALID(name, `of its task ${problem}`)
  assertTimeout(name, 'timeout of its task', timeout)
}

/** @throws {PlinthError} RESOURCE_INVALID where a timer cannot be set for it */
export function assertTimeout(name: string, what: string, timeout: number): void {
  if (Number.isSafeInteger(timeout) && timeout >= 0 && timeout <= LONGEST_TIMER) return
  const expected = `expected whole milliseconds up to ${LONGEST_TIMER}, 0 for no end`
  throw errors.RESOURCE_INVALID(name, `${what} is ${timeout}; ${expected}`)
}
