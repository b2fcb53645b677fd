import type { JsonSchema } from './schema.ts'

/** What a schema lists of a valid value: the value itself where that is all of it. */
export type Pick = (value: unknown) => unknown

/**
 * Compiles what leaves out the properties that `schema`, which is complete, does not list.
 *
 * @param writer of the JSON of such a value: what is left out by schemas that cannot be looked through part by part
 */
export function compilePick(schema: JsonSchema, writer: () => (value: unknown) => string): Pick {
  const pick = pickOf(schema)
  if (pick === 'unclear') return (value) => JSON.parse(writer()(value))
  return pick ?? ((value) => value)
}

/** `undefined`: all of it is listed. */
function pickOf(schema: JsonSchema): Pick | undefined | 'unclear' {
  if (UNCLEAR.some((key) => key in schema)) return 'unclear'
  const { properties, items, anyOf, additionalProperties } = schema
  if (Array.isArray(anyOf)) return pickOfUnion(anyOf)
  if (Array.isArray(items)) return 'unclear'
  if (isSchema(items)) return pickOfItems(items)
  if (isSchema(additionalProperties)) return pickOf(additionalProperties) && 'unclear'
  return properties && additionalProperties !== true ? pickOfProperties(properties) : undefined
}

/** What has other schemas for the same value, or for some of its properties. */
const UNCLEAR = [
  '$ref',
  'allOf',
  'oneOf',
  'not',
  'if',
  'patternProperties',
  'dependentSchemas',
  'prefixItems',
  'unevaluatedProperties',
]

/** One member that is an object or a list, beside those that are neither. */
function pickOfUnion(members: readonly JsonSchema[]): Pick | undefined | 'unclear' {
  const [only, ...others] = members.filter(({ type }) => !SCALARS.includes(type))
  if (!only) return undefined
  const pick = others.length === 0 ? pickOf(only) : 'unclear'
  if (typeof pick !== 'function') return pick
  return (value) => (typeof value === 'object' && value !== null ? pick(value) : value)
}

const SCALARS: readonly unknown[] = ['null', 'string', 'number', 'integer', 'boolean']

function pickOfItems(items: JsonSchema): Pick | undefined | 'unclear' {
  const pick = pickOf(items)
  if (typeof pick !== 'function') return pick
  return (value) => (Array.isArray(value) ? value.map(pick) : value)
}

function pickOfProperties(properties: Record<string, JsonSchema>): Pick | 'unclear' {
  const names = Object.keys(properties)
  const listed = new Set(names)
  const inner: (readonly [name: string, pick: Pick])[] = []
  for (const name of names) {
    const pick = pickOf(properties[name] as JsonSchema)
    if (pick === 'unclear') return pick
    if (pick) inner.push([name, pick])
  }
  return (value) => {
    if (typeof value !== 'object' || value === null) return value
    let picked = value as Record<string, unknown>
    for (const name of Object.keys(picked)) {
      if (listed.has(name)) continue
      picked = {}
      for (const one of names) if (Object.hasOwn(value, one)) copy(picked, value, one)
      break
    }
    // Nobody else has it: it was read from JSON.
    for (const [name, pick] of inner)
      if (Object.hasOwn(picked, name)) picked[name] = pick(picked[name])
    return picked
  }
}

function copy(to: Record<string, unknown>, from: object, name: string): void {
  const value = (from as Record<string, unknown>)[name]
  // To assign that would be to set the prototype.
  if (name === '__proto__') Object.defineProperty(to, name, { value, enumerable: true })
  else to[name] = value
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
