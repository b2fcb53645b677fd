import { aborted, follow } from '../abort.ts'
import { errors } from '../errors.ts'
import type { CacheMode } from './cache-policy.ts'
import { cachedText, cacheSlot, forget } from './cached.ts'
import { type Context, currentContext, runInContext } from './context.ts'
import type { AnyDefined } from './contract.ts'
import { boundNumbers, closeSchema } from './schema.ts'
import { dataValidators, toDetails } from './validate.ts'

/** Of one call in process. */
export interface CallOptions {
  /** Gives the call up when it aborts. */
  signal?: AbortSignal
  /** Milliseconds until the call is given up; default: the definition's, else what is left of the request. */
  timeout?: number
}

/**
 * Calls a resource in process: validate, perform, validate. The context is the caller's, except for what is cached:
 * others may wait for that, too.
 *
 * @throws {PlinthError} see {@link Resource}
 */
export async function callResource(
  resource: AnyDefined,
  request: unknown,
  options: CallOptions = {},
  mode: CacheMode = 'cached',
): Promise<unknown> {
  const { context, name, input } = prepareCall(resource, request)
  const slot = mode === 'cacheless' ? undefined : cacheSlot(resource, name, input, context)
  if (slot) {
    const text = await withDeadline(resource, context, options, () =>
      cachedText(slot, { resource, name, input, context }, mode === 'refresh'),
    )
    return JSON.parse(text as string)
  }
  const response = await withDeadline(resource, context, options, (inner) =>
    runInContext(inner, resource.definition.perform, input, inner),
  )
  const { app } = context
  return app.responses.accept(app, resource, name, response).value
}

/** What a call in process needs, once its request is known to be valid. */
export function prepareCall(
  resource: AnyDefined,
  request: unknown,
): { context: Context; name: string; input: unknown } {
  const context = currentContext()
  if (!context) throw errors.CONTEXT_MISSING(resource.definition.summary)
  context.throwIfAborted()
  const name = nameOf(resource, context)
  return { context, name, input: validateRequest(resource, name, request) }
}

/** Takes away what is cached for `request`. */
export async function invalidate(resource: AnyDefined, request: unknown): Promise<void> {
  const { context, name, input } = prepareCall(resource, request)
  const slot = cacheSlot(resource, name, input, context)
  if (slot) await forget(slot)
}

/** The name that is its own in this app: what is cached and enqueued is found by it. @throws {PlinthError} RESOURCE_UNLISTED */
function nameOf(resource: AnyDefined, { app }: Context): string {
  const name = app.resourceNames?.get(resource)
  if (name === undefined) throw errors.RESOURCE_UNLISTED(resource.definition.summary)
  return name
}

const validatorOf = dataValidators(({ request }) => boundNumbers(closeSchema(request)))

/** @throws {PlinthError} INVALID_REQUEST */
export function validateRequest(resource: AnyDefined, name: string, request: unknown): unknown {
  const { validate, copies } = validatorOf(resource)
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

/** Runs `work`, and gives it up (its signal aborts, the promise rejects) when its time is over. */
function withDeadline(
  { definition }: AnyDefined,
  context: Context,
  { signal, timeout = definition.timeout }: CallOptions,
  work: (context: Context) => unknown,
): unknown {
  // Most have none: no promise is made for them.
  if (signal === undefined && timeout === undefined) return work(context)
  return race(context, { signal, timeout }, work)
}

async function race(
  context: Context,
  { signal, timeout }: { signal: AbortSignal | undefined; timeout: number | undefined },
  work: (context: Context) => unknown,
): Promise<unknown> {
  const end = new AbortController()
  const leave = follow(end, signal ? [context.signal, signal] : [context.signal])
  const timer =
    timeout === undefined
      ? undefined
      : setTimeout(() => end.abort(errors.DEADLINE_EXCEEDED(timeout)), timeout)
  try {
    end.signal.throwIfAborted()
    // `work` first: where it throws at once there must be no second promise whose rejection nobody sees.
    return await Promise.race([work(context.withSignal(end.signal, timeout)), aborted(end.signal)])
  } finally {
    clearTimeout(timer)
    leave()
  }
}
