import { errors } from '../errors.ts'
import type { Backoff } from './backoff.ts'
import { derivedTaskId, digest, newTaskId } from './id.ts'
import type {
  ChildPolicy,
  EnqueueOptions,
  NewTask,
  Retention,
  TaskData,
  TaskKeep,
} from './types.ts'

/** Where tasks are that say nothing else. */
export const DEFAULT_QUEUE = 'default'
const QUEUE = /^[a-z0-9-]{1,40}$/
const MAX_PRIORITY = 2_097_151
const BACKOFF: Backoff = { type: 'exponential', delay: 1000 }
/** How long a key holds, in ms. */
const KEY_FOR = 86_400_000

/**
 * A task that can be added: its data is JSON, its options are in their bounds.
 *
 * @param limit how many bytes its data may have
 * @param inputKey what equal inputs have in common, for `key` and `unique`
 * @throws {PlinthError} TASK_INVALID, PAYLOAD_TOO_LARGE
 */
export function createTask(
  data: TaskData,
  options: EnqueueOptions & { keep?: TaskKeep; ifFails?: ChildPolicy },
  limit: number,
  inputKey: string,
): NewTask {
  const problem = optionsProblem(options)
  if (problem) throw errors.TASK_INVALID(data.resource, problem)
  const { queue = DEFAULT_QUEUE, key, keyFor = KEY_FOR, keep, throttle, debounce } = options
  const { ifFails, same = inputKey } = options
  const isUnique = options.unique || throttle !== undefined || debounce !== undefined
  const text = toJson(data)
  // At most three bytes for each unit of UTF-16.
  if (text.length * 3 > limit && Buffer.byteLength(text) > limit)
    throw errors.PAYLOAD_TOO_LARGE(limit)
  return {
    id:
      key === undefined
        ? newTaskId(queue)
        : derivedTaskId(queue, data.resource, data.user ?? '', key),
    queue,
    data,
    options: {
      attempts: options.attempts ?? 1,
      backoff: options.backoff ?? BACKOFF,
      delay: options.delay ?? debounce ?? 0,
      ...(options.priority !== undefined && { priority: options.priority }),
      ...(isUnique && { unique: uniqueOf(data, options, same) }),
      ...(throttle !== undefined && { throttle }),
      ...(debounce !== undefined && { debounce }),
      ...(ifFails !== undefined && ifFails !== 'fail' && { ifFails }),
      ...(key !== undefined && { print: digest(inputKey).slice(0, PRINT), keyFor }),
      ...(keep && { keep }),
    },
  }
}

/** Apart by what is wanted of it: one that is throttled is not kept away by one that is unique. */
function uniqueOf(
  { resource, user }: TaskData,
  { throttle, debounce }: EnqueueOptions,
  same: string,
): string {
  const kind = debounce !== undefined ? ['debounce'] : throttle !== undefined ? ['throttle'] : []
  return digest(resource, user ?? '', same, ...kind)
}

// 128 bits.
const PRINT = 22

function toJson(data: TaskData): string {
  try {
    return JSON.stringify(data)
  } catch (cause) {
    throw errors.TASK_INVALID.with({ cause }, data.resource, (cause as Error).message)
  }
}

/** Why a task cannot be enqueued so. */
export function optionsProblem(options: EnqueueOptions): string | undefined {
  const { delay = 0, attempts = 1, backoff = BACKOFF, priority = 1 } = options
  const { queue = DEFAULT_QUEUE, key = '-' } = options
  return (
    outOf('delay', delay, 0, Number.MAX_SAFE_INTEGER) ??
    outOf('attempts', attempts, 1, 1_000_000) ??
    outOf('backoff.delay', backoff.delay, 0, Number.MAX_SAFE_INTEGER) ??
    outOf('backoff.max', backoff.max ?? 0, 0, Number.MAX_SAFE_INTEGER) ??
    outOf('keyFor', options.keyFor ?? 1, 1, Number.MAX_SAFE_INTEGER) ??
    outOf('priority', priority, 1, MAX_PRIORITY) ??
    outOf('throttle', options.throttle ?? 1, 1, Number.MAX_SAFE_INTEGER) ??
    outOf('debounce', options.debounce ?? 1, 1, Number.MAX_SAFE_INTEGER) ??
    exclusionProblem(options) ??
    (options.user === '' ? 'user is empty; expected the id of one, or null' : undefined) ??
    queueProblem(queue) ??
    (key.length < 1 || key.length > 200 ? 'key has to have 1 to 200 characters' : undefined)
  )
}

function exclusionProblem({ unique, throttle, debounce, delay }: EnqueueOptions) {
  const all = Object.entries({ unique: unique || undefined, throttle, debounce })
  const given = all.flatMap(([name, value]) => (value === undefined ? [] : [name]))
  if (given.length > 1) return `${given.join(' and ')} exclude one another`
  return debounce !== undefined && delay !== undefined ? 'debounce is its delay' : undefined
}

/** Why no task can be kept so. */
export function keepProblem({ succeeded = {}, failed = {} }: TaskKeep): string | undefined {
  const problem = (name: string, { age = 1, count = 0 }: Partial<Retention>) =>
    outOf(`keep.${name}.age`, age, 1, Number.MAX_SAFE_INTEGER) ??
    outOf(`keep.${name}.count`, count, 0, Number.MAX_SAFE_INTEGER)
  return problem('succeeded', succeeded) ?? problem('failed', failed)
}

/** Why a queue cannot be called so. */
export function queueProblem(queue: string): string | undefined {
  if (QUEUE.test(queue)) return undefined
  return `queue is ${JSON.stringify(queue)}; expected ${QUEUE.source}`
}

function outOf(name: string, value: number, least: number, most: number): string | undefined {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return undefined
  return `${name} is ${value}; expected a whole number from ${least} to ${most}`
}
