import { withFirst } from '../abort.ts'
import { canonicalKey } from '../cache/key.ts'
import { errors } from '../errors.ts'
import { createTask } from '../task/new-task.ts'
import type { Tasks } from '../task/tasks.ts'
import type { ChildPolicy, EnqueueOptions, NewTask, TaskResult } from '../task/types.ts'
import type { CacheMode } from './cache-policy.ts'
import { type Context, currentContext } from './context.ts'
import type { AnyDefined } from './contract.ts'
import type { Registered } from './registry.ts'
import type { Call } from './steps.ts'
import { hasFiles } from './stream.ts'

/** What another process performs. */
export interface Elsewhere {
  perform(input: unknown, context: Context, mode: CacheMode): Promise<unknown>
  enqueue(input: unknown, context: Context, options: EnqueueOptions): Promise<Task>
}

declare module 'fastify' {
  interface FastifyInstance {
    /** The resources that another process performs; not there where all are performed here. */
    elsewhere?: ReadonlyMap<AnyDefined, Elsewhere>
  }
}

/** A task that was added. As JSON it is `{ task_id }`. */
export interface Task<T = unknown> {
  readonly task_id: string
  /** Where it is, in the form of `GET /tasks/:id`. */
  status(): Promise<TaskResult>
  /**
   * Waits for its end, as long as the call that waits is wanted: its context's signal ends it, too.
   *
   * @throws {PlinthError} TASK_FAILED, TASK_CRASHED, TASK_CANCELLED, and the reason of `signal`, or of the context's
   */
  result(options?: { signal?: AbortSignal }): Promise<T>
  /**
   * Whether it is cancelled by this: it will not run, or its signal is aborted and what it still comes to is ignored. So are the
   * tasks that it waits for. False: it had ended.
   */
  cancel(): Promise<boolean>
}

/** A task that waits for others: what `chain` and `group` add. */
export interface TaskFlow<T = unknown> extends Task<T> {
  /** Those that it waits for, in the order in which they were given. */
  readonly children: readonly Task[]
}

/** How many tasks are enqueued at once. */
export interface EnqueueManyOptions<Request = unknown> extends Omit<EnqueueOptions, 'key'> {
  /** The `key` of each. */
  key?: (request: Request, index: number) => string
}

/** Adds the task that performs `call`: see {@link Resource}. */
export async function enqueueCall(call: Call, options: EnqueueOptions): Promise<Task> {
  const { resource, input, context } = call
  const elsewhere = context.app.elsewhere?.get(resource)
  if (elsewhere) return await elsewhere.enqueue(input, context, options)
  const tasks = tasksOf(call.context)
  return handleOf(await tasks.submit({ ...toTask(call, options), children: [] }), tasks)
}

/** Adds the tasks that perform `calls`, which are of one resource, all in one go: see {@link Resource}. */
export async function enqueueCalls(
  calls: readonly Call[],
  { key, ...options }: EnqueueManyOptions,
): Promise<Task[]> {
  const [first] = calls
  if (!first) return []
  const optionsOf = (input: unknown, index: number) =>
    key ? { ...options, key: key(input, index) } : options
  const elsewhere = first.context.app.elsewhere?.get(first.resource)
  if (elsewhere)
    return await Promise.all(
      calls.map(({ input, context }, index) =>
        elsewhere.enqueue(input, context, optionsOf(input, index)),
      ),
    )
  const tasks = tasksOf(first.context)
  const added = calls.map((call, index) => toTask(call, optionsOf(call.input, index)))
  return (await tasks.submitMany(added)).map((id) => handleOf(id, tasks))
}

/** @throws {PlinthError} TASKS_MISSING */
export function tasksOf({ app }: Context): Tasks {
  if (!app.tasks) throw errors.TASKS_MISSING()
  return app.tasks
}

/** @throws {PlinthError} TASK_INVALID, PAYLOAD_TOO_LARGE */
export function toTask(
  { resource, name, input, context }: Call,
  options: EnqueueOptions & { ifFails?: ChildPolicy },
): NewTask {
  const { requestId, traceparent, app } = context
  const { payloadLimit, loadsUsers, queues } = tasksOf(context)
  if (hasFiles(resource.request))
    throw errors.TASK_INVALID(name, 'its request has a file, which no task can keep')
  const user = options.user === undefined ? (context.user?.id ?? null) : options.user
  if (user !== null && !loadsUsers) throw errors.TASK_INVALID(name, NO_USERS)
  const nobody = user === null && options.user === undefined && !context.isSystem
  const data = {
    resource: name,
    input,
    user,
    ...(nobody && { nobody }),
    requestId,
    ...(traceparent && { traceparent }),
  }
  const { unique, throttle, debounce } = options
  const isCompared = unique || (options.key ?? throttle ?? debounce) !== undefined
  const key = isCompared ? canonicalKey(input) : ''
  const entry = app.registry.of(resource)
  const given = { ...entry.task, ...options, ...concurrencyKeyOf(entry, input, context) }
  const task = createTask(data, given, payloadLimit, key)
  // Nobody would work on it.
  if (!queues.has(task.queue)) throw errors.TASK_INVALID(name, undeclared(task.queue, queues))
  return task
}

/**
 * With which others a task counts of which only some run at once, where its resource says so.
 *
 * @throws {PlinthError} TASK_INVALID where that is no text
 */
export function concurrencyKeyOf(
  { name, task: { concurrency } }: Registered,
  input: unknown,
  context: Context,
): { concurrencyKey?: string } {
  if (!concurrency) return {}
  const found: unknown = concurrency.key ? concurrency.key(input, context) : name
  if (typeof found === 'string' && found.length > 0 && found.length <= MAX_KEY)
    return { concurrencyKey: found }
  const problem = `its concurrency.key gave ${JSON.stringify(found)}`
  throw errors.TASK_INVALID(name, `${problem}; expected a text of 1 to ${MAX_KEY} characters`)
}

const MAX_KEY = 200

function undeclared(queue: string, queues: ReadonlySet<string>): string {
  const known = [...queues].join(', ')
  return `no queue is called ${queue}; there are ${known}. Declare it in taskQueues of the service`
}

const NO_USERS =
  'nothing makes its user where it runs; give the service loadUser(id), or enqueue it with { user: null }'

export function handleOf(id: string, tasks: Tasks): Task {
  return {
    task_id: id,
    status: () => tasks.status(id),
    result: ({ signal } = {}) =>
      withFirst([signal, currentContext()?.signalIfAny], (first) => tasks.result(id, first)),
    cancel: () => tasks.cancel(id),
  }
}
