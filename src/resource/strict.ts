import type { ValidateFunction } from 'ajv'
import { errors } from '../errors.ts'
import type { AnyResource } from './resource.ts'
import { closeSchema } from './schema.ts'
import { compileExact, toDetails } from './validate.ts'

const validators = new WeakMap<AnyResource, ValidateFunction>()

/**
 * Checks that `response` is what the schema says, and that the schema would not drop a field of it.
 *
 * @throws {PlinthError} INVALID_RESPONSE, naming each field
 */
export function assertResponse(resource: AnyResource, name: string, response: unknown): void {
  let validate = validators.get(resource)
  if (!validate) {
    validate = compileExact(closeSchema(resource.response))
    validators.set(resource, validate)
  }
  if (validate(toJson(response))) return
  throw errors.INVALID_RESPONSE.with({ errors: toDetails(validate.errors) }, name)
}

/** What a value is once it has been JSON: dates are strings, `undefined` properties are not there. */
function toJson(value: unknown): unknown {
  if (value === undefined) return null
  if (typeof value === 'bigint') return Number(value)
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(toJson)
  if ('toJSON' in value && typeof value.toJSON === 'function') return toJson(value.toJSON())
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, v]) => v !== undefined)
      .map(([k, v]) => [k, toJson(v)]),
  )
}
