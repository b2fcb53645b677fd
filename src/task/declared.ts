import { type Duration, type InMilliseconds, SPAN, TIMER, toMilliseconds } from '../duration.ts'
import { errors } from '../errors.ts'
import { DEFAULT_QUEUE, queueProblem, readBackoff, readKeep } from './new-task.ts'
import type {
  EnqueueOptions,
  KeepTasks,
  NewTask,
  QueueLimit,
  StartLimit,
  TaskKeep,
} from './types.ts'

/** What a resource says of the tasks that run it. */
interface Declared extends Pick<EnqueueOptions, 'backoff' | 'queue'> {
  concurrency?: { limit: number }
  timeout?: Duration
  keep?: TaskKeep
}

/** Milliseconds that a try of a task may take where nothing says how long. */
const TIMEOUT = 15 * 60_000

/** Milliseconds that a try may take; 0: as long as it takes. */
export function taskTimeoutOf({
  task,
  timeout = TIMEOUT,
}: {
  readonly task: { timeout?: number }
  readonly timeout?: number | undefined
}): number {
  return task.timeout ?? timeout
}

/** How many of a queue may start in a time, where that is bounded. */
export function startLimitOf({
  max,
  duration,
}: InMilliseconds<QueueLimit> = {}): StartLimit | undefined {
  return max === undefined || duration === undefined ? undefined : { max, duration }
}

/**
 * How a queue is limited.
 *
 * @param refuse makes the error of what is wrong
 * @throws what `refuse` makes
 */
export function readLimit(
  limit: QueueLimit,
  refuse: (problem: string) => Error,
): InMilliseconds<QueueLimit> {
  const { max, duration, concurrency } = limit
  if ((max === undefined) !== (duration === undefined))
    throw refuse('max and duration are given together')
  const problem = countProblem('max', max) ?? countProblem('concurrency', concurrency)
  if (problem) throw refuse(problem)
  if (duration === undefined) return limit as InMilliseconds<QueueLimit>
  return { ...limit, duration: toMilliseconds(duration, 'duration', SPAN, refuse) }
}

function countProblem(name: string, count: number | undefined): string | undefined {
  if (count === undefined || (Number.isSafeInteger(count) && count > 0)) return undefined
  return `${name} is ${count}; expected a whole number of at least 1`
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

/** What a resource says of its tasks, once it was read. */
export type ReadTask<Task> = Omit<Task, 'timeout' | 'backoff' | 'keep'> & {
  timeout?: number
  backoff?: NewTask['options']['backoff']
  keep?: KeepTasks
}

/** @throws {PlinthError} RESOURCE_INVALID */
export function readTaskOptions<Task extends Declared>(name: string, task: Task): ReadTask<Task> {
  const refuse = (problem: string) => errors.RESOURCE_INVALID(name, `of its task ${problem}`)
  const { timeout, backoff, keep, queue = DEFAULT_QUEUE, concurrency } = task
  const problem = queueProblem(queue) ?? countProblem('concurrency.limit', concurrency?.limit)
  if (problem) throw refuse(problem)
  return {
    ...task,
    ...(timeout !== undefined && { timeout: toMilliseconds(timeout, 'timeout', TIMER, refuse) }),
    ...(backoff && { backoff: readBackoff(backoff, refuse) }),
    ...(keep && { keep: readKeep(keep, refuse) }),
  } as ReadTask<Task>
}

/**
 * The milliseconds of a time that a timer is set for; 0: none is.
 *
 * @param what of `name` it is
 * @throws {PlinthError} RESOURCE_INVALID
 */
export function readTimeout(name: string, what: string, timeout: Duration): number {
  return toMilliseconds(timeout, what, TIMER, (problem) => errors.RESOURCE_INVALID(name, problem))
}
