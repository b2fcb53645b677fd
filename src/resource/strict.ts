import { errors } from '../errors.ts'
import type { AnyResource } from './resource.ts'
import { closeSchema } from './schema.ts'
import { dataValidators, toDetails } from './validate.ts'

const validatorOf = dataValidators(({ response }) => closeSchema(response))

/**
 * Checks that `response` is what the schema says, and that the schema would not drop a field of it.
 *
 * @throws {PlinthError} INVALID_RESPONSE, naming each field
 */
export function assertResponse(resource: AnyResource, name: string, response: unknown): void {
  const { validate, copies } = validatorOf(resource)
  if (validate(toJson(response, copies))) return
  throw errors.INVALID_RESPONSE.with({ errors: toDetails(validate.errors) }, name)
}

/**
 * What a value is once it has been JSON: dates are strings, `undefined` properties are not there.
 *
 * @param copies where it is false, an object that is JSON already, as rows are, is not copied
 */
function toJson(value: unknown, copies: boolean): unknown {
  if (value === undefined) return null
  if (typeof value === 'bigint') return Number(value)
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item) => toJson(item, copies))
  if ('toJSON' in value && typeof value.toJSON === 'function') return toJson(value.toJSON(), copies)
  if (!copies && isPlain(value)) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, v]) => v !== undefined)
      .map(([k, v]) => [k, toJson(v, copies)]),
  )
}

/** Whether it is an object of no class whose properties are strings, numbers, booleans or null. */
function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== null && prototype !== Object.prototype) return false
  return Object.values(value).every((v) => v === null || SCALARS.has(typeof v))
}

const SCALARS: ReadonlySet<string> = new Set(['string', 'number', 'boolean'])
