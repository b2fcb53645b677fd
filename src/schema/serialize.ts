import type fastJson from 'fast-json-stringify'
import type { Schema } from 'fast-json-stringify'
import { loadNow } from '../packages.ts'
import { exactly, toJson } from './json.ts'
import { closeSchema, hasPart, type JsonSchema, mapSchema, referenceTo } from './json-schema.ts'

/** Compiles the function that writes an answer as JSON and leaves out what `schema`, which is complete, does not list. */
export function compileSerializer(schema: JsonSchema): (data: unknown) => string {
  const prepared = prepareUnions(liftDefinitions(schema))
  const build = loadNow('fast-json-stringify') as typeof fastJson
  const write = build(prepared as Schema)
  // What is compared with members of a union, and what has no schema, is not converted: a bigint would be no integer.
  return hasUnconverted(prepared) ? (data) => write(toJson(data, false, exactly)) : write
}

/** A `serializerCompiler` of routes, whose functions are compiled when they first write. */
export function compileSerializerLater({ schema }: { schema: unknown }): (data: unknown) => string {
  let write: ((data: unknown) => string) | undefined
  return (data) => {
    write ??= compileSerializer(schema as JsonSchema)
    return write(data)
  }
}

/** `schema` with the `$defs` of its parts as its own: their references count from the root. */
export function liftDefinitions(schema: JsonSchema): JsonSchema {
  const lifted: Record<string, JsonSchema> = {}
  const root = mapSchema(schema, ({ $defs, ...part }) => {
    Object.assign(lifted, $defs)
    return part
  })
  return Object.keys(lifted).length > 0 ? { ...root, $defs: lifted } : root
}

/**
 * A copy in which each union is written by the first member that fits. An object fits although it has more properties: asked
 * first are the members that list all it has, as in the check of responses. All members are in `$defs`, and once more there as
 * those that list all: a union in a union is there twice, not twice for each union around it.
 */
function prepareUnions(schema: JsonSchema): JsonSchema {
  const members: JsonSchema[] = []
  const { $defs, ...root } = mapSchema(schema, (part) => nameMembers(part, members))
  const named = members.map((member, index) => [memberName(index), member])
  const open = {
    ...($defs as Definitions | undefined),
    ...(Object.fromEntries(named) as Definitions),
  }
  if (Object.keys(open).length === 0) return root
  const { $defs: closed } = closeSchema({ $defs: open }) as { $defs: Definitions }
  const strict = Object.entries(closed).map(([name, one]) => [name + STRICT, mapSchema(one, refer)])
  const prepared = mapSchema({ ...root, $defs: open }, strictFirst)
  return {
    ...prepared,
    $defs: { ...(prepared.$defs as Definitions), ...Object.fromEntries(strict) },
  }
}

type Definitions = Record<string, JsonSchema>

// No name of the `$defs` of a complete schema has a colon.
const STRICT = ':strict'
const memberName = (index: number): string => `:${index}`

/** Moves the members of a union that may be objects or lists to `members`; what is only nullable is no union. */
function nameMembers(part: JsonSchema, members: JsonSchema[]): JsonSchema {
  const key = part.anyOf ? 'anyOf' : 'oneOf'
  const { [key]: all, title: _, description: __, ...rest } = part
  if (!Array.isArray(all)) return part
  const [only, ...others] = all.filter(({ type }) => type !== 'null')
  const nullable = others.length === 0 && all.length > 1
  if (nullable && typeof only?.type === 'string') return { ...rest, ...only, nullable }
  const named = all.map((one: JsonSchema) => {
    const { type, $ref } = one
    const structured = type === undefined || type === 'object' || type === 'array'
    if (!structured || $ref !== undefined) return one
    return { $ref: referenceTo(memberName(members.push(one) - 1)) }
  })
  return { ...rest, anyOf: named }
}

/** A reference to the strict form of what it refers to. */
function refer(part: JsonSchema): JsonSchema {
  return typeof part.$ref === 'string' ? { ...part, $ref: part.$ref + STRICT } : part
}

function strictFirst(part: JsonSchema): JsonSchema {
  const { anyOf: all } = part
  if (!Array.isArray(all)) return part
  return { ...part, anyOf: [...all.filter(({ $ref }) => $ref !== undefined).map(refer), ...all] }
}

/** Whether something of `schema` is not converted as it is written. */
function hasUnconverted(schema: JsonSchema): boolean {
  return hasPart(schema, (part) => {
    const { type, anyOf, additionalProperties } = part
    if (type === undefined) return anyOf !== undefined || !DESCRIBED.some((key) => key in part)
    return additionalProperties === true || (Array.isArray(type) && !type.includes('string'))
  })
}

/** What says without a type what a value is. */
const DESCRIBED = [
  '$ref',
  'allOf',
  'const',
  'enum',
  'properties',
  'patternProperties',
  'items',
  '$defs',
]
