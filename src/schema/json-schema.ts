import type { TSchema } from 'typebox'

/** A JSON schema as the functions here see it: only the keywords that hold other schemas matter. */
export interface JsonSchema {
  [keyword: string]: unknown
  type?: unknown
  properties?: SchemaMap
  required?: readonly string[]
}

type SchemaMap = { [name: string]: JsonSchema }

/** The keywords of a schema that hold others, and how many: asked of each keyword of each part of each schema at boot. */
export type Parts = ReadonlyMap<string, 'list' | 'single' | 'map'>

export function partsOf(
  lists: readonly string[],
  singles: readonly string[],
  maps: readonly string[] = [],
): Parts {
  return new Map([
    ...lists.map((key) => [key, 'list'] as const),
    ...singles.map((key) => [key, 'single'] as const),
    ...maps.map((key) => [key, 'map'] as const),
  ])
}

/** All of them but `$defs`. */
export const EVERY_PART = partsOf(
  ['allOf', 'anyOf', 'oneOf', 'prefixItems'],
  [
    'items',
    'additionalItems',
    'unevaluatedItems',
    'contains',
    'additionalProperties',
    'unevaluatedProperties',
    'propertyNames',
    'not',
    'if',
    'then',
    'else',
  ],
  ['properties', 'patternProperties', 'dependentSchemas'],
)

/** Those through which a schema can be closed, and what is in them be changed, part by part. */
const PARTS = partsOf(
  ['allOf', 'anyOf', 'oneOf', 'prefixItems'],
  // `not` is left out: what closes a schema, or drops from it, would open its opposite.
  ['items', 'additionalProperties'],
  ['properties', 'patternProperties', '$defs'],
)

/** What a reference of a complete schema, `#/$defs/NAME`, names. */
export function nameOf(reference: string): string {
  return reference.slice(PREFIX.length)
}

/** The reference to one of the `$defs` of a complete schema. */
export function referenceTo(name: string): string {
  return PREFIX + name
}

const PREFIX = '#/$defs/'

/** A copy of `schema` in which `change` has replaced each schema, the innermost first. */
export function mapSchema(
  schema: JsonSchema,
  change: (schema: JsonSchema) => JsonSchema,
  parts = PARTS,
): JsonSchema {
  return change(mapParts(schema, parts, (part) => mapSchema(part, change, parts)))
}

/** A copy of `schema` in which `change` has replaced the schemas that stand right below it. */
export function mapParts(
  schema: JsonSchema,
  parts: Parts,
  change: (schema: JsonSchema) => JsonSchema,
): JsonSchema {
  const map = (value: unknown) => (isSchema(value) ? change(value) : value)
  const copy: JsonSchema = { ...schema }
  for (const key of Object.keys(copy)) {
    const kind = parts.get(key)
    const value = copy[key]
    if (kind === undefined) continue
    if (Array.isArray(value)) copy[key] = kind === 'map' ? value : value.map(map)
    else if (kind === 'single') copy[key] = map(value)
    else if (kind === 'map' && isSchema(value))
      copy[key] = Object.fromEntries(Object.entries(value).map(([k, v]) => [k, map(v)]))
  }
  return copy
}

/** The schemas that stand right below `schema`. */
function partsBelow(schema: JsonSchema, parts: Parts): JsonSchema[] {
  return Object.entries(schema).flatMap(([key, value]) => {
    const kind = parts.get(key)
    if (kind === undefined) return []
    const all = kind === 'map' && isSchema(value) ? Object.values(value) : [value].flat()
    return all.filter(isSchema)
  })
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * A copy of `schema` that refuses every property it does not list, at any depth. Objects that say
 * themselves what else they take (`additionalProperties`) keep that. The members of an intersection
 * cannot be closed one by one, so the intersection as a whole is.
 */
export function closeSchema(schema: TSchema | JsonSchema): JsonSchema {
  const members = new Set<string>()
  const reopen = (part: JsonSchema) => reopenMember(part, members)
  const closed = mapSchema(schema as JsonSchema, (part) => {
    if (Array.isArray(part.allOf)) {
      return { unevaluatedProperties: false, ...part, allOf: part.allOf.map(reopen) }
    }
    const open =
      (part.properties !== undefined || part.patternProperties !== undefined) &&
      !('additionalProperties' in part) &&
      !('unevaluatedProperties' in part)
    return open ? { ...part, additionalProperties: false } : part
  })
  const { $defs } = closed as { $defs?: SchemaMap }
  if (!$defs || members.size === 0) return closed
  const opened: SchemaMap = {}
  // A set that grows is walked through to its new end: one may refer to others.
  for (const name of members) opened[name + AS_MEMBER] = reopen($defs[name] as JsonSchema)
  return { ...closed, $defs: { ...$defs, ...opened } }
}

/** Marks one of the `$defs` as it is in an intersection. No name of theirs has a colon. */
const AS_MEMBER = ':member'

/**
 * A member of an intersection, or of a union in one, that leaves the properties of the others alone.
 *
 * @param referred takes the names of those that it refers to
 */
function reopenMember(part: JsonSchema, referred: Set<string>): JsonSchema {
  const copy = { ...part }
  for (const key of ['additionalProperties', 'unevaluatedProperties']) {
    if (copy[key] === false) delete copy[key]
  }
  for (const key of ['allOf', 'anyOf', 'oneOf']) {
    if (Array.isArray(copy[key])) copy[key] = copy[key].map((one) => reopenMember(one, referred))
  }
  if (typeof copy.$ref === 'string' && !copy.$ref.endsWith(AS_MEMBER)) {
    referred.add(nameOf(copy.$ref))
    copy.$ref += AS_MEMBER
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
export function hasDefaults(schema: JsonSchema): boolean {
  return hasPart(schema, (part) => part.default !== undefined)
}

/** Whether something in `schemas` is marked as secret: by `secret()`, `writeOnly` or `format: 'password'`. */
export function hasSecrets(schemas: readonly JsonSchema[]): boolean {
  return schemas.some((schema) =>
    hasPart(schema, ({ secret, writeOnly, format }) => {
      return Boolean(secret) || writeOnly === true || format === 'password'
    }),
  )
}

/** Whether `test` says yes to some part of `schema`. */
export function hasPart(schema: JsonSchema, test: (part: JsonSchema) => boolean): boolean {
  return test(schema) || partsBelow(schema, PARTS).some((part) => hasPart(part, test))
}

/** `schema` (an object) with only the properties `names`, and those of them required that were. */
export function pickProperties(schema: JsonSchema, names: readonly string[]): JsonSchema {
  const properties = schema.properties ?? {}
  return {
    type: 'object',
    properties: Object.fromEntries(names.map((name) => [name, properties[name] ?? {}])),
    required: (schema.required ?? []).filter((name) => names.includes(name)),
    additionalProperties: false,
    ...(schema.$defs !== undefined && { $defs: schema.$defs }),
  }
}
