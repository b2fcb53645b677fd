import { type Duration, type InMilliseconds, SPAN, toMilliseconds } from '../duration.ts'
import { errors } from '../errors.ts'
import { derivedTaskId, digest, newTaskId } from './id.ts'
import type {
  Backoff,
  EnqueueOptions,
  KeepTasks,
  NewTask,
  Retention,
  TaskData,
  TaskKeep,
} from './types.ts'

/** Where tasks are that say nothing else. */
export const DEFAULT_QUEUE = 'default'
const QUEUE = /^[a-z0-9-]{1,40}$/
const MAX_PRIORITY = 2_097_151
const BACKOFF: InMilliseconds<Backoff> = { type: 'exponential', delay: 1000 }
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
  given: EnqueueOptions & Pick<NewTask['options'], 'keep' | 'ifFails' | 'concurrencyKey'>,
  limit: number,
  inputKey: string,
): NewTask {
  const options = readEnqueueOptions(given, (problem) =>
    errors.TASK_INVALID(data.resource, problem),
  )
  const { queue = DEFAULT_QUEUE, key, keyFor = KEY_FOR, throttle, debounce } = options
  const { same = inputKey } = options
  const { keep, ifFails, concurrencyKey } = given
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
      ...(concurrencyKey !== undefined && {
        concurrencyKey: digest(queue, data.resource, concurrencyKey),
      }),
      ...(ifFails !== undefined && ifFails !== 'fail' && { ifFails }),
      ...(key !== undefined && { print: digest(inputKey).slice(0, PRINT), keyFor }),
      ...(keep && { keep }),
    },
  }
}

/** Apart by what is wanted of it: one that is throttled is not kept away by one that is unique. */
function uniqueOf(
  { resource, user }: TaskData,
  { throttle, debounce }: ReadOptions,
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

type Refuse = (problem: string) => Error

/** How a task is enqueued, as it was read: times are milliseconds. */
export type ReadOptions = Omit<InMilliseconds<EnqueueOptions>, 'backoff'> & {
  backoff?: InMilliseconds<Backoff>
}

/**
 * Reads how a task is enqueued.
 *
 * @param refuse makes the error of what is wrong
 * @throws what `refuse` makes
 */
export function readEnqueueOptions(options: EnqueueOptions, refuse: Refuse): ReadOptions {
  const { delay, keyFor, throttle, debounce, backoff } = options
  const { attempts = 1, priority = 1, queue = DEFAULT_QUEUE, key = '-' } = options
  const problem =
    outOf('attempts', attempts, 1, 1_000_000) ??
    outOf('priority', priority, 1, MAX_PRIORITY) ??
    exclusionProblem(options) ??
    (options.user === '' ? 'user is empty; expected the id of one, or null' : undefined) ??
    queueProblem(queue) ??
    (key.length < 1 || key.length > 200 ? 'key has to have 1 to 200 characters' : undefined)
  if (problem !== undefined) throw refuse(problem)
  return {
    ...options,
    ...(delay !== undefined && { delay: toMilliseconds(delay, 'delay', WAIT, refuse) }),
    ...(keyFor !== undefined && { keyFor: toMilliseconds(keyFor, 'keyFor', SPAN, refuse) }),
    ...(throttle !== undefined && { throttle: toMilliseconds(throttle, 'throttle', SPAN, refuse) }),
    ...(debounce !== undefined && { debounce: toMilliseconds(debounce, 'debounce', SPAN, refuse) }),
    ...(backoff && { backoff: readBackoff(backoff, refuse) }),
  } as ReadOptions
}

const WAIT = { ...SPAN, least: 0 }

/** @throws what `refuse` makes */
export function readBackoff({ type, delay, max }: Backoff, refuse: Refuse) {
  const read = (name: string, value: Duration) =>
    toMilliseconds(value, `backoff.${name}`, WAIT, refuse)
  return { type, delay: read('delay', delay), ...(max !== undefined && { max: read('max', max) }) }
}

function exclusionProblem({ unique, throttle, debounce, delay }: EnqueueOptions) {
  const all = Object.entries({ unique: unique || undefined, throttle, debounce })
  const given = all.flatMap(([name, value]) => (value === undefined ? [] : [name]))
  if (given.length > 1) return `${given.join(' and ')} exclude one another`
  return debounce !== undefined && delay !== undefined ? 'debounce is its delay' : undefined
}

/** How tasks are kept. @throws what `refuse` makes */
export function readKeep({ succeeded, failed }: TaskKeep, refuse: Refuse): KeepTasks {
  const read = (name: string, given: Partial<Retention>) => {
    const { age, count = 0 } = given
    const problem = outOf(`keep.${name}.count`, count, 0, Number.MAX_SAFE_INTEGER)
    if (problem !== undefined) throw refuse(problem)
    if (age === undefined) return given as Partial<InMilliseconds<Retention>>
    return { ...given, age: toMilliseconds(age, `keep.${name}.age`, SPAN, refuse) }
  }
  return {
    ...(succeeded && { succeeded: read('succeeded', succeeded) }),
    ...(failed && { failed: read('failed', failed) }),
  }
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
