import type { TSchema } from 'typebox'

/** A JSON schema as the functions here see it: only the keywords that hold other schemas matter. */
export interface JsonSchema {
  [keyword: string]: unknown
  type?: unknown
  properties?: SchemaMap
  required?: readonly string[]
}

type SchemaMap = { [name: string]: JsonSchema }

const LISTS = ['allOf', 'anyOf', 'oneOf', 'prefixItems'] as const
// `not` is left out: what closes a schema, or drops from it, would open its opposite.
const SINGLES = ['items', 'additionalProperties'] as const
const MAPS = ['properties', 'patternProperties', '$defs'] as const

/** A copy of `schema` in which `change` has replaced each schema, the innermost first. */
export function mapSchema(
  schema: JsonSchema,
  change: (schema: JsonSchema) => JsonSchema,
): JsonSchema {
  const map = (value: unknown) => (isSchema(value) ? mapSchema(value, change) : value)
  const copy: JsonSchema = { ...schema }
  for (const key of LISTS) {
    const list = copy[key]
    if (Array.isArray(list)) copy[key] = list.map(map)
  }
  for (const key of SINGLES) {
    if (key in copy) copy[key] = Array.isArray(copy[key]) ? copy[key].map(map) : map(copy[key])
  }
  for (const key of MAPS) {
    const table = copy[key]
    if (!isSchema(table)) continue
    copy[key] = Object.fromEntries(Object.entries(table).map(([k, v]) => [k, map(v)])) as SchemaMap
  }
  return change(copy)
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * A copy of `schema` that refuses every property it does not list, at any depth. Objects that say
 * themselves what else they take (`additionalProperties`) keep that. The members of an intersection
 * cannot be closed one by one, so the intersection as a whole is.
 */
export function closeSchema(schema: TSchema): JsonSchema {
  return mapSchema(schema as JsonSchema, (part) => {
    if (Array.isArray(part.allOf)) {
      return { unevaluatedProperties: false, ...part, allOf: part.allOf.map(reopen) }
    }
    const open =
      (part.properties !== undefined || part.patternProperties !== undefined) &&
      !('additionalProperties' in part) &&
      !('unevaluatedProperties' in part)
    return open ? { ...part, additionalProperties: false } : part
  })
}

/** A member of an intersection, or of a union in one, that leaves the properties of the others alone. */
function reopen(part: JsonSchema): JsonSchema {
  const copy = { ...part }
  for (const key of ['additionalProperties', 'unevaluatedProperties']) {
    if (copy[key] === false) delete copy[key]
  }
  for (const key of ['allOf', 'anyOf', 'oneOf']) {
    if (Array.isArray(copy[key])) copy[key] = copy[key].map(reopen)
  }
  return copy
}

/**
 * A copy of `schema` that refuses numbers which are not what was sent: integers past those that JavaScript
 * can tell apart, and infinity, which a text like `1e400` becomes.
 */
export function boundNumbers(schema: JsonSchema): JsonSchema {
  return mapSchema(schema, (part) => {
    const limit = part.type === 'integer' ? Number.MAX_SAFE_INTEGER : Number.MAX_VALUE
    const numeric = part.type === 'integer' || part.type === 'number'
    return numeric ? { minimum: -limit, maximum: limit, ...part } : part
  })
}

/** Whether validating against `schema` can write a default into the value. */
export function hasDefaults(schema: TSchema): boolean {
  return hasPart(schema, (part) => part.default !== undefined)
}

/** Whether something in `schemas` is marked as secret: by `secret()`, `writeOnly` or `format: 'password'`. */
export function hasSecrets(schemas: readonly TSchema[]): boolean {
  return schemas.some((schema) =>
    hasPart(schema, ({ secret, writeOnly, format }) => {
      return Boolean(secret) || writeOnly === true || format === 'password'
    }),
  )
}

function hasPart(schema: TSchema, test: (part: JsonSchema) => boolean): boolean {
  let found = false
  mapSchema(schema as JsonSchema, (part) => {
    found ||= test(part)
    return part
  })
  return found
}

/** `schema` (an object) with only the properties `names`, and those of them required that were. */
export function pickProperties(schema: JsonSchema, names: readonly string[]): JsonSchema {
  const properties = schema.properties ?? {}
  return {
    type: 'object',
    properties: Object.fromEntries(names.map((name) => [name, properties[name] ?? {}])),
    required: (schema.required ?? []).filter((name) => names.includes(name)),
    additionalProperties: false,
  }
}
