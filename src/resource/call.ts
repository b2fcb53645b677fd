import type { FastifyInstance } from 'fastify'
import { aborted, follow } from '../abort.ts'
import { whenLate } from '../deadlines.ts'
import type { Duration } from '../duration.ts'
import { errors } from '../errors.ts'
import { fromJson } from '../schema/json.ts'
import { toDetails } from '../schema/validate.ts'
import { readTimeout } from '../task/declared.ts'
import type { EnqueueOptions } from '../task/types.ts'
import type { CacheMode } from './cache-policy.ts'
import { cacheSlot, forget } from './cached.ts'
import { type Context, currentContext } from './context.ts'
import type { AnyDefined } from './contract.ts'
import { type EnqueueManyOptions, enqueueCalls, type Task } from './enqueue.ts'
import { type Answer, authorize, execute } from './execute.ts'
import type { Call } from './steps.ts'
import { isAsyncIterable, isStream, isStreamSchema } from './stream.ts'

/** Of one call in process. */
export interface CallOptions {
  /** Gives the call up when it aborts. */
  signal?: AbortSignal
  /**
   * After how long the call is given up, milliseconds or a text like `'5s'`; 0: never. Default: the definition's, else what is
   * left of the request.
   */
  timeout?: Duration
}

/**
 * Calls a resource in process. The context is the caller's, except for what is cached: others may wait for that, too.
 *
 * @throws {PlinthError} see {@link Resource}
 */
export async function callResource(
  resource: AnyDefined,
  request: unknown,
  options: CallOptions = {},
  mode: CacheMode = 'cached',
): Promise<unknown> {
  const call = toCall(resource, request, mode)
  const { signal, timeout = ofDefinition(call) } = options
  // Most have none: no promise is made for them.
  if (signal === undefined && timeout === 0) return await execute(call, inProcess)
  return await within(call, { signal, timeout }, (context) =>
    execute({ ...call, context }, inProcess),
  )
}

/** Most have none, of which nothing need be looked up. */
function ofDefinition({ resource, context }: Call): number {
  if (resource.definition.timeout === undefined) return 0
  return context.app.registry.of(resource).timeout ?? 0
}

/** Adds a task that runs `resource`: see {@link Resource}. */
export async function enqueue(
  resource: AnyDefined,
  request: unknown,
  task: EnqueueOptions = {},
): Promise<Task> {
  return await execute<Task>({ ...toCall(resource, request), task }, added)
}

/** Adds tasks that run `resource`, all in one go: see {@link Resource}. */
export async function enqueueMany(
  resource: AnyDefined,
  requests: readonly unknown[],
  options: EnqueueManyOptions = {},
): Promise<Task[]> {
  const calls = requests.map((request) => toCall(resource, request))
  for (const call of calls) await authorize(call)
  return await enqueueCalls(calls, options)
}

const inProcess: Answer<unknown> = {
  text: ({ text }) => fromJson(text),
  data: (value) => value,
  check: (value, { resource, name, context: { app } }) =>
    isStreamSchema(resource.response) && (isStream(value) || isAsyncIterable(value))
      ? value
      : app.responses.accept(resource, name, value).value,
}

const added: Answer<Task> = {
  text: ({ text }) => JSON.parse(text),
  data: (task) => task as Task,
  check: (task) => task,
}

/**
 * The call of `resource` that the code under way makes.
 *
 * @throws {PlinthError} CONTEXT_MISSING, RESOURCE_UNLISTED, INVALID_REQUEST; why the caller was given up
 */
export function toCall(resource: AnyDefined, request: unknown, mode: CacheMode = 'cached'): Call {
  const context = currentContext()
  if (!context) throw errors.CONTEXT_MISSING(resource.definition.summary)
  context.throwIfAborted()
  const name = nameOf(resource, context)
  const input = validateRequest(context.app, resource, name, request)
  return { resource, name, input, context, mode }
}

/** Takes away what is cached for `request`. */
export async function invalidate(resource: AnyDefined, request: unknown): Promise<void> {
  const { context, name, input } = toCall(resource, request)
  const slot = cacheSlot(resource, name, input, context)
  if (slot) await forget(slot)
}

/** The name that is its own in this app: what is cached and enqueued is found by it. @throws {PlinthError} RESOURCE_UNLISTED */
function nameOf(resource: AnyDefined, { app }: Context): string {
  if (!app.registry) throw errors.RESOURCE_UNLISTED(resource.definition.summary)
  return app.registry.of(resource).name
}

/** @throws {PlinthError} INVALID_REQUEST */
export function validateRequest(
  app: FastifyInstance,
  resource: AnyDefined,
  name: string,
  request: unknown,
): unknown {
  const { validate, copies } = app.compiled.of(resource).requestValidator
  const given = request === undefined ? {} : request
  // Never into the caller's own.
  const input = copies ? copyData(given) : given
  if (validate(input)) return input
  throw errors.INVALID_REQUEST.with({ errors: toDetails(validate.errors) }, name)
}

/** Copies lists and plain objects; what no schema can write into is shared. */
function copyData(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(copyData)
  if (typeof value !== 'object' || value === null) return value
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return value
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, copyData(one)]))
}

/** Gives `work` up (its signal aborts, the promise rejects) when its time is over. */
export async function within<T>(
  { name, context }: Pick<Call, 'name' | 'context'>,
  { signal, ...options }: { signal: AbortSignal | undefined; timeout: Duration | undefined },
  work: (context: Context) => T | Promise<T>,
): Promise<T> {
  const timeout = readTimeout(name, 'the timeout of a call', options.timeout ?? 0)
  const end = new AbortController()
  const leave = follow(end, signal ? [context.signal, signal] : [context.signal])
  const inTime = timeout
    ? whenLate(timeout, () => end.abort(errors.DEADLINE_EXCEEDED(timeout)))
    : undefined
  let result: T | undefined
  try {
    end.signal.throwIfAborted()
    const inner = context.withSignal(end.signal, timeout || undefined)
    // The work first: where it throws at once there must be no second promise whose rejection nobody sees.
    result = await Promise.race([work(inner), aborted(end.signal)])
    return result
  } finally {
    inTime?.()
    // What comes bit by bit ends with its signal, too, long after the call.
    if (!isAsyncIterable(result)) leave()
  }
}
