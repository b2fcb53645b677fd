import type { ValidateFunction } from 'ajv'
import { errors } from '../errors.ts'
import { type Context, currentContext, runInContext } from './context.ts'
import type { AnyResource, CallOptions } from './resource.ts'
import { closeSchema, hasDefaults } from './schema.ts'
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
  const name = nameOf(resource, context)
  const input = validateRequest(resource, name, request)
  const response = await withDeadline(resource, context, options, (inner) =>
    runInContext(inner, resource.definition.perform, input, inner),
  )
  assertResponse(resource, name, response)
  return response
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
    validator = { validate: compileExact(closeSchema(schema)), copies: hasDefaults(schema) }
    validators.set(resource, validator)
  }
  const given = request === undefined ? {} : request
  const input = validator.copies ? structuredClone(given) : given
  if (validator.validate(input)) return input
  throw errors.INVALID_REQUEST.with({ errors: toDetails(validator.validate.errors) }, name)
}

/** Runs `work`, and gives it up (its signal aborts, the promise rejects) when its time is over. */
function withDeadline<T>(
  { definition }: AnyResource,
  context: Context,
  { signal, timeout = definition.timeout }: CallOptions,
  work: (context: Context) => T,
): T | Promise<Awaited<T>> {
  const own = [
    ...(signal ? [signal] : []),
    ...(timeout === undefined ? [] : [AbortSignal.timeout(timeout)]),
  ]
  if (own.length === 0) return work(context)
  const inner = context.withSignal(AbortSignal.any(own))
  return Promise.race([aborted(inner.signal, timeout ?? 0), work(inner)])
}

function aborted(signal: AbortSignal, timeout: number): Promise<never> {
  return new Promise((_, reject) => {
    const onAbort = () => reject(abortReason(signal, timeout))
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
}

function abortReason({ reason }: AbortSignal, timeout: number): unknown {
  const late = reason instanceof DOMException && reason.name === 'TimeoutError'
  return late ? errors.DEADLINE_EXCEEDED.with({ cause: reason }, timeout) : reason
}
