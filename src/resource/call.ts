import { Readable } from 'node:stream'
import type { ValidateFunction } from 'ajv'
import { errors } from '../errors.ts'
import { type Context, currentContext, runInContext } from './context.ts'
import type { AnyResource, CallOptions } from './resource.ts'
import { boundNumbers, closeSchema, hasDefaults } from './schema.ts'
import { assertResponse } from './strict.ts'
import { compileExact, toDetails } from './validate.ts'

/**
 * Calls a resource in process: validate, perform, validate. The context is the caller's.
 *
 * @throws {PlinthError} see {@link Resource}
 */
export async function callResource(
  resource: AnyResource,
  request: unknown,
  options: CallOptions = {},
): Promise<unknown> {
  const context = currentContext()
  if (!context) throw errors.CONTEXT_MISSING(resource.definition.summary)
  context.throwIfAborted()
  const name = nameOf(resource, context)
  const input = validateRequest(resource, name, request)
  const response = await withDeadline(resource, context, options, (inner) =>
    runInContext(inner, resource.definition.perform, input, inner),
  )
  if (response instanceof Readable) throw notData(name, response)
  assertResponse(resource, name, response)
  return response ?? null
}

function notData(name: string, stream: Readable): Error {
  stream.destroy()
  const message = 'is a stream, which only a route can answer with'
  return errors.INVALID_RESPONSE.with({ errors: [{ path: '', message }] }, name)
}

function nameOf(resource: AnyResource, { app }: Context): string {
  return app.resourceNames?.get(resource) ?? resource.definition.summary
}

interface RequestValidator {
  validate: ValidateFunction
  /** Defaults are written into the value: into a copy then, never into the caller's. */
  copies: boolean
}

const validators = new WeakMap<AnyResource, RequestValidator>()

function validateRequest(resource: AnyResource, name: string, request: unknown): unknown {
  let validator = validators.get(resource)
  if (!validator) {
    const schema = resource.request
    validator = {
      validate: compileExact(boundNumbers(closeSchema(schema))),
      copies: hasDefaults(schema),
    }
    validators.set(resource, validator)
  }
  const given = request === undefined ? {} : request
  const input = validator.copies ? copyData(given) : given
  if (validator.validate(input)) return input
  throw errors.INVALID_REQUEST.with({ errors: toDetails(validator.validate.errors) }, name)
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
async function withDeadline(
  { definition }: AnyResource,
  context: Context,
  { signal, timeout = definition.timeout }: CallOptions,
  work: (context: Context) => unknown,
): Promise<unknown> {
  if (signal === undefined && timeout === undefined) return work(context)
  const late = new AbortController()
  const inner = context.withSignal(signal ? AbortSignal.any([signal, late.signal]) : late.signal)
  inner.signal.throwIfAborted()
  const timer =
    timeout === undefined
      ? undefined
      : setTimeout(() => late.abort(errors.DEADLINE_EXCEEDED(timeout)), timeout)
  try {
    // `work` first: where it throws at once there must be no second promise whose rejection nobody sees.
    return await Promise.race([work(inner), aborted(inner.signal)])
  } finally {
    clearTimeout(timer)
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
}
