import { errors, PlinthError } from '../errors.ts'
import { toJson } from '../schema/json.ts'
import { type JsonSchema, nameOf } from '../schema/json-schema.ts'
import type { Context } from './context.ts'
import type { AnyDefined, CallLog } from './contract.ts'
import { isAsyncIterable, isStream } from './stream.ts'

/** A call that has been performed. */
interface Performed {
  readonly resource: AnyDefined
  readonly name: string
  readonly input: unknown
  readonly context: Context
  /** Milliseconds. */
  readonly took: number
  readonly outcome: { readonly result: unknown } | { readonly error: unknown }
}

/** What ends a text that was cut, as in the original. */
const CUT = '......'

/** What the message of such a line is: `manage replay` finds them by it. */
export const CALL_MESSAGE = 'call'

/** @throws {PlinthError} RESOURCE_INVALID where it says what cannot be done */
export function assertCallLog(name: string, log: true | CallLog | undefined): void {
  const { sample = 1, limit = 0 } = log === true ? {} : (log ?? {})
  if (!(sample >= 0 && sample <= 1))
    throw errors.RESOURCE_INVALID(name, `its log.sample is ${sample}; expected 0 to 1`)
  if (!(Number.isInteger(limit) && limit >= 0))
    throw errors.RESOURCE_INVALID(name, `its log.limit is ${limit}; expected a whole number from 0`)
}

/** Whether this one is told. */
export function isLogged({ sample = 1 }: CallLog): boolean {
  return sample >= 1 || Math.random() < sample
}

/** Leaves a line in the log. What is secret by its schema, and what this does not list, is not in it. */
export function logCall(
  { resource, name, input, context, took, outcome }: Performed,
  { limit = 1024 }: CallLog,
): void {
  const { request, response } = context.app.compiled.of(resource)
  const tell = (value: unknown, schema: JsonSchema) => cut(redact(toJson(value), schema), limit)
  const told =
    'error' in outcome ? { error: codeOf(outcome.error) } : { result: tellResult(outcome.result) }
  function tellResult(result: unknown): unknown {
    return isStream(result) || isAsyncIterable(result) ? '[stream]' : tell(result, response)
  }
  const duration_ms = Math.round(took * 100) / 100
  context.log.info(
    { resource: name, input: tell(input, request), ...told, duration_ms },
    CALL_MESSAGE,
  )
}

function codeOf(error: unknown): string {
  return PlinthError.is(error) ? error.code : errors.INTERNAL.code
}

function cut(value: unknown, limit: number): unknown {
  if (limit === 0) return value
  const text = JSON.stringify(value)
  return text.length > limit ? text.slice(0, limit) + CUT : value
}

const REDACTED = '[redacted]'

/** JSON without what is secret by `schema`, which is complete, and without what that does not list. */
export function redact(value: unknown, schema: JsonSchema, root = schema): unknown {
  const { secret, writeOnly, format, $ref } = schema
  if (secret || writeOnly === true || format === 'password') return REDACTED
  if (typeof $ref === 'string') {
    const { [nameOf($ref)]: named } = (root.$defs ?? {}) as Record<string, JsonSchema>
    return named ? redact(value, named, root) : value
  }
  // What one of them hides is hidden; of objects each lists a part.
  const members = [schema.allOf, schema.anyOf, schema.oneOf].flat().filter(isSchema)
  if (Array.isArray(value)) return redactList(value, schema, members, root)
  if (!isSchema(value))
    return members.reduce<unknown>((one, part) => redact(one, part, root), value)
  const all = [schema, ...members.map((part) => resolved(part, root))]
  const names = Object.keys(value).filter((name) => isListed(name, all))
  const properties = names.map((name) => {
    const own = all.flatMap(({ properties = {}, additionalProperties: more }) => {
      if (Object.hasOwn(properties, name)) return [properties[name] as JsonSchema]
      return isSchema(more) ? [more] : []
    })
    return [name, own.reduce<unknown>((one, part) => redact(one, part, root), value[name])]
  })
  return Object.fromEntries(properties)
}

function redactList(
  list: readonly unknown[],
  { items, prefixItems = [] }: JsonSchema,
  members: readonly JsonSchema[],
  root: JsonSchema,
): unknown {
  const whole = members.reduce<unknown>((one, part) => redact(one, part, root), list)
  if (!Array.isArray(whole)) return whole
  return whole.map((item, index) => {
    const schema = (prefixItems as JsonSchema[])[index] ?? items
    return isSchema(schema) ? redact(item, schema, root) : item
  })
}

/** The schemas of a member that lists properties, also by its name. */
function resolved(schema: JsonSchema, root: JsonSchema): JsonSchema {
  if (typeof schema.$ref !== 'string') return schema
  return ((root.$defs ?? {}) as Record<string, JsonSchema>)[nameOf(schema.$ref)] ?? schema
}

/** Whether one of the schemas knows of it; where none lists any, all are. */
function isListed(name: string, schemas: readonly JsonSchema[]): boolean {
  const listing = schemas.filter(({ properties }) => properties !== undefined)
  if (listing.length === 0) return true
  return schemas.some(
    ({ properties = {}, patternProperties, additionalProperties: more }) =>
      Object.hasOwn(properties, name) || patternProperties !== undefined || isSchema(more),
  )
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
