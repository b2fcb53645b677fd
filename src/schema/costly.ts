import { costOf } from './backtracking.ts'
import { type JsonSchema, nameOf } from './json-schema.ts'

/** A place of a request schema where a client may make the service work for long. */
export interface Costly {
  /** JSON pointer, with `*` for any item or name. */
  path: string
  problem: string
}

/** What of `request`, a complete schema, may take long to validate, and how that is mended. */
export function findCostly(request: JsonSchema): Costly[] {
  const { $defs = {} } = request as { $defs?: Schemas }
  return Array.from(placesOf(request, '', {}, { $defs, seen: new Set() }))
}

interface Referred {
  $defs: Schemas
  /** Each is looked at once, where it is first referred to. */
  seen: Set<unknown>
}

/** What bounds a value from outside: an intersection's members bound one another. */
interface Sizes {
  maxLength?: unknown
  maxItems?: unknown
}

function* placesOf(
  schema: JsonSchema,
  path: string,
  outer: Sizes,
  referred: Referred,
): Generator<Costly> {
  const { $ref } = schema
  if (typeof $ref === 'string' && !referred.seen.has($ref)) {
    referred.seen.add($ref)
    yield* placesOf(referred.$defs[nameOf($ref)] as JsonSchema, path, outer, referred)
  }
  const members = listOf(schema.allOf)
  const sizes = Object.assign({}, outer, ...members.map(sizesOf), sizesOf(schema)) as Sizes
  const problem = problemOf(schema, sizes)
  if (problem) yield { path, problem }
  for (const one of members) yield* placesOf(one, path, sizes, referred)
  for (const one of [...listOf(schema.anyOf), ...listOf(schema.oneOf)])
    yield* placesOf(one, path, sizes, referred)
  for (const [name, one] of Object.entries(schema.properties ?? {}))
    yield* placesOf(one, `${path}/${name}`, {}, referred)
  for (const [pattern, one] of Object.entries((schema.patternProperties ?? {}) as Schemas)) {
    if (costOf(pattern).exponential) yield { path: `${path}/*`, problem: ambiguous(pattern) }
    yield* placesOf(one, `${path}/*`, {}, referred)
  }
  const items = [schema.items, schema.additionalItems, schema.contains, schema.additionalProperties]
  for (const one of items.flatMap(listOf)) yield* placesOf(one, `${path}/*`, {}, referred)
}

type Schemas = Record<string, JsonSchema>

function listOf(value: unknown): JsonSchema[] {
  return [value].flat().filter((one): one is JsonSchema => typeof one === 'object' && one !== null)
}

function sizesOf({ maxLength, maxItems }: JsonSchema): Sizes {
  return {
    ...(maxLength !== undefined && { maxLength }),
    ...(maxItems !== undefined && { maxItems }),
  }
}

function problemOf({ uniqueItems, pattern }: JsonSchema, sizes: Sizes): string | undefined {
  if (uniqueItems === true && sizes.maxItems === undefined)
    return 'any number of items is compared (uniqueItems); give it maxItems'
  if (typeof pattern !== 'string') return undefined
  const { exponential, unlimited } = costOf(pattern)
  if (exponential) return ambiguous(pattern)
  return unlimited && sizes.maxLength === undefined
    ? `a text of any length is held against the pattern ${pattern}; give it maxLength`
    : undefined
}

function ambiguous(pattern: string): string {
  return `the pattern ${pattern} takes twice as long for each further character; write it so that each text can be read in one way only`
}
