import { costOf } from '../../schema/backtracking.ts'
import {
  EVERY_PART,
  type JsonSchema,
  mapParts,
  nameOf,
  type Parts,
  partsOf,
  referenceTo,
} from '../../schema/json-schema.ts'
import {
  follow,
  isJson,
  type Json,
  LeftOut,
  type OpenApiDocument,
  resolve,
  tokensOf,
} from './document.ts'
import { type Names, pascalCase } from './names.ts'

/** A schema that is referred to by its name, or why there is none. */
interface Definition {
  schema: JsonSchema | undefined
  problem: string | undefined
  /** The names of all that it refers to, and of those that look at the same value. */
  refers: readonly string[]
  inPlace: readonly string[]
}

/**
 * The schemas of a document as JSON schemas of one form, whichever version of OpenAPI they were written in: one `type` each,
 * nullable ones as a union with null, references as `#/$defs/NAME`. `oneOf` is `anyOf`: many documents list members that
 * overlap, and an answer that fits two of them is no failure. What says nothing of a value is left out, but for
 * `description`, `deprecated` and `default`, which comments tell.
 */
export class Schemas {
  readonly #document: OpenApiDocument
  readonly #names: Names
  readonly #byReference = new Map<string, string>()
  readonly #references = new Map<string, string>()
  readonly #definitions = new Map<string, Definition>()
  /** What was left out of schemas that were written. */
  readonly notes = new Set<string>()

  /** @param names of types; those of the document's own schemas are taken here */
  constructor(document: OpenApiDocument, names: Names) {
    this.#document = document
    this.#names = names
    const { components } = document.root
    const schemas = isJson(components) && isJson(components.schemas) ? components.schemas : {}
    // All of them, whichever are written: a name does not depend on what is selected.
    for (const name of Object.keys(schemas).sort()) {
      const token = name.replaceAll('~', '~0').replaceAll('/', '~1')
      this.#nameFor(`#/components/schemas/${token}`)
    }
  }

  /** What a part of the document is, which may be a reference to another. @throws {LeftOut} */
  resolve(value: unknown): Json {
    return resolve(this.#document, value)
  }

  /** @throws {LeftOut} where it, or something it refers to, cannot be written */
  read(value: unknown): JsonSchema {
    const schema = this.#convert(value)
    for (const name of this.reachedFrom([schema])) {
      const { problem } = this.#definition(name)
      if (problem !== undefined) throw new LeftOut(problem)
    }
    return schema
  }

  /** The schema that is called so. */
  named(name: string): JsonSchema {
    return this.#definition(name).schema ?? {}
  }

  /** `schema`, or what it refers to. */
  unfold(schema: JsonSchema): JsonSchema {
    return typeof schema.$ref === 'string' ? this.unfold(this.named(nameOf(schema.$ref))) : schema
  }

  /** The names of all that `schemas` refer to, directly or not. */
  reachedFrom(schemas: readonly JsonSchema[]): Set<string> {
    const reached = new Set(schemas.flatMap((schema) => referred(schema, EVERY_PART)))
    // A set that grows is walked through to its new end.
    for (const name of reached) for (const next of this.#definition(name).refers) reached.add(next)
    return reached
  }

  #definition(name: string): Definition {
    const known = this.#definitions.get(name)
    if (known) return known
    const made = this.#define(this.#references.get(name) as string)
    this.#definitions.set(name, made)
    if (made.schema && this.#leadsTo(name, made.inPlace, new Set()))
      made.problem = `the schema ${name} refers to itself for ever`
    return made
  }

  #define(reference: string): Definition {
    try {
      const schema = this.#convert(follow(this.#document, reference))
      const [refers, inPlace] = [referred(schema, EVERY_PART), referred(schema, IN_PLACE)]
      return { schema, problem: undefined, refers, inPlace }
    } catch (error) {
      if (!(error instanceof LeftOut)) throw error
      return { schema: undefined, problem: error.message, refers: [], inPlace: [] }
    }
  }

  #leadsTo(name: string, from: readonly string[], seen: Set<string>): boolean {
    return from.some((next) => {
      if (next === name) return true
      if (seen.has(next)) return false
      seen.add(next)
      return this.#leadsTo(name, this.#definition(next).inPlace, seen)
    })
  }

  #nameFor(reference: string): string {
    // One place has many spellings: `%7B` for `{`.
    const tokens = tokensOf(reference)
    const key = JSON.stringify(tokens)
    let name = this.#byReference.get(key)
    if (name === undefined) {
      const own = tokens[0] === 'components' ? tokens.slice(2) : tokens
      name = this.#names.take(pascalCase(own.join(' ')))
      this.#byReference.set(key, name)
      this.#references.set(name, reference)
    }
    return name
  }

  #convert(value: unknown): JsonSchema {
    if (value === true) return {}
    if (value === false) return { not: {} }
    if (!isJson(value)) throw new LeftOut(`a schema is ${typeof value}, expected an object`)
    const { isOld } = this.#document
    const { $ref, ...beside } = value
    if (typeof $ref !== 'string') return this.#convertOwn(value)
    const reference: JsonSchema = { $ref: referenceTo(this.#nameFor($ref)) }
    if (isOld) return value.nullable === true ? orNull(reference) : reference
    const own = this.#convertOwn(beside)
    return saysNothing(own) ? { ...own, ...reference } : { allOf: [reference, own] }
  }

  #convertOwn(value: Json): JsonSchema {
    const unknown = UNSUPPORTED.find((keyword) => keyword in value)
    if (unknown) throw new LeftOut(`a schema has ${unknown}, which is not followed`)
    const types = [value.type ?? typeFrom(value)].flat()
    for (const type of types)
      if (type !== undefined && !TYPES.includes(type as string))
        throw new LeftOut(`a schema has the type ${JSON.stringify(type)}`)
    const some = types.filter((type) => type !== 'null')
    const nullable = some.length > 0 && (value.nullable === true || some.length < types.length)
    const members = some.map((type) =>
      this.#convertOne(value, type as string | undefined, nullable),
    )
    const [only = { type: 'null' }, ...others] = members
    const schema = others.length > 0 ? { anyOf: members } : only
    return { ...described(value), ...(nullable ? orNull(schema) : schema) }
  }

  /** Of a value of one type, or of any. */
  #convertOne(value: Json, type: string | undefined, nullable: boolean): JsonSchema {
    const own = {
      ...(type !== undefined && { type }),
      ...this.#limits(value, nullable),
      ...this.#parts(value),
    }
    const lists = ['allOf', 'anyOf', 'oneOf'].map((key) => {
      const list = value[key]
      if (list === undefined) return []
      if (!Array.isArray(list)) throw new LeftOut(`the ${key} of a schema is no list`)
      return list.map((one) => this.#convert(one))
    })
    const [all = [], ...unions] = lists
    const parts = [...all, ...unions.filter(({ length }) => length > 0).map(unionOf)]
    if (parts.length === 0) return own
    // To be an object, or whatever its members are, says nothing beside them.
    const isBare = Object.keys(own).every((key) => key === 'type')
    const whole = isBare ? parts : [own, ...parts]
    return whole.length === 1 ? (whole[0] as JsonSchema) : { allOf: whole }
  }

  /** What bounds a value without being a schema. */
  #limits(value: Json, nullable: boolean): JsonSchema {
    const limits: JsonSchema = {}
    for (const key of NUMBERS) if (Number.isFinite(value[key])) limits[key] = value[key]
    for (const [key, inclusive] of BOUNDS) {
      // In OpenAPI 3.0 it says whether the other one is exclusive.
      if (value[key] === true && limits[inclusive] !== undefined) {
        limits[key] = limits[inclusive]
        delete limits[inclusive]
      } else if (Number.isFinite(value[key])) limits[key] = value[key]
    }
    // What is no integer is no exact number: 0.3 would be no multiple of 0.1.
    if (Number.isInteger(value.multipleOf) && Number(value.multipleOf) > 0)
      limits.multipleOf = value.multipleOf
    if (value.uniqueItems === true) limits.uniqueItems = true
    if (FORMATS.includes(value.format as string)) limits.format = value.format
    if (typeof value.pattern === 'string' && this.#isUsable(value.pattern))
      limits.pattern = value.pattern
    if (Array.isArray(value.enum) && value.enum.length > 0)
      limits.enum = nullable ? value.enum.filter((one) => one !== null) : value.enum
    if ('const' in value) limits.const = value.const
    return limits
  }

  #isUsable(pattern: string): boolean {
    try {
      if (!costOf(pattern).exponential) return true
      this.notes.add(`the pattern ${pattern} is left out: it may take very long`)
    } catch {
      this.notes.add(`the pattern ${pattern} is left out: JavaScript cannot read it`)
    }
    return false
  }

  /** The schemas right below one. */
  #parts(value: Json): JsonSchema {
    const parts: JsonSchema = {}
    const { prefixItems, items, required } = value
    if (Array.isArray(prefixItems)) {
      parts.items = prefixItems.map((one) => this.#convert(one))
      if (items !== undefined) parts.additionalItems = this.#convert(items)
    } else if (items !== undefined) parts.items = this.#convert(items)
    for (const key of SINGLES) if (value[key] !== undefined) parts[key] = this.#convert(value[key])
    const { additionalProperties } = value
    // False: requests are held to what is listed anyway, and an answer may have more.
    if (additionalProperties !== undefined && !isClosed(value))
      parts.additionalProperties =
        typeof additionalProperties === 'boolean'
          ? additionalProperties
          : this.#convert(additionalProperties)
    for (const key of MAPS) {
      const map = value[key]
      if (map === undefined) continue
      if (!isJson(map)) throw new LeftOut(`the ${key} of a schema are no object`)
      const entries = Object.entries(map).filter(([name]) => this.#isKept(key, name))
      parts[key] = Object.fromEntries(entries.map(([name, one]) => [name, this.#convert(one)]))
    }
    const properties = isJson(value.properties) ? value.properties : {}
    if (Array.isArray(required)) {
      // What one side alone sends cannot be asked of the other.
      const both = required
        .map(String)
        .filter((name) => !OF_EVERY_OBJECT.has(name) && !isOneWay(properties, name))
      if (both.length > 0) parts.required = [...new Set(both)]
      // What has to be there is listed, too.
      const others = both.filter((name) => !Object.hasOwn(properties, name))
      if (parts.properties && others.length > 0)
        parts.properties = {
          ...parts.properties,
          ...Object.fromEntries(others.map((name) => [name, {}])),
        }
    }
    return parts
  }

  #isKept(key: string, name: string): boolean {
    if (key === 'patternProperties') return this.#isUsable(name)
    if (!OF_EVERY_OBJECT.has(name)) return true
    this.notes.add(`a property ${name} is left out: every object has one`)
    return false
  }
}

/** The names that a validator, and whoever reads a value, would find in each object. */
export const OF_EVERY_OBJECT: ReadonlySet<string> = new Set(
  Object.getOwnPropertyNames(Object.prototype),
)

const TYPES = ['string', 'number', 'integer', 'boolean', 'array', 'object', 'null']
const UNSUPPORTED = ['$dynamicRef', '$recursiveRef', '$id', '$anchor', '$dynamicAnchor']
const NUMBERS = [
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'minProperties',
  'maxProperties',
]
const BOUNDS = [
  ['exclusiveMinimum', 'minimum'],
  ['exclusiveMaximum', 'maximum'],
] as const
const SINGLES = ['contains', 'propertyNames', 'not', 'if', 'then', 'else']
const MAPS = ['properties', 'patternProperties', 'dependentSchemas']
/** Those that the validator knows and that say more than the type does. */
const FORMATS = [
  'date',
  'time',
  'date-time',
  'duration',
  'uri',
  'uri-reference',
  'uri-template',
  'email',
  'hostname',
  'ipv4',
  'ipv6',
  'uuid',
  'json-pointer',
  'int32',
  'binary',
]

/** Those that look at the same value as the schema that they are a part of. */
const IN_PLACE = partsOf(['allOf', 'anyOf'], ['not', 'if', 'then', 'else'], ['dependentSchemas'])

function typeFrom({ properties, items, prefixItems }: Json): string | undefined {
  if (properties !== undefined) return 'object'
  return items !== undefined || prefixItems !== undefined ? 'array' : undefined
}

function described({ description, deprecated, default: initial }: Json): JsonSchema {
  return {
    ...(typeof description === 'string' && { description }),
    ...(deprecated === true && { deprecated }),
    ...(initial !== undefined && { default: initial }),
  }
}

/** What comments tell and the JSON does not have. */
export const TOLD: readonly string[] = ['description', 'deprecated', 'default']

function saysNothing(schema: JsonSchema): boolean {
  return Object.keys(schema).every((key) => TOLD.includes(key))
}

function unionOf(members: readonly JsonSchema[]): JsonSchema {
  return members.length === 1 ? (members[0] as JsonSchema) : { anyOf: members }
}

/** `schema`, or null. */
export function orNull(schema: JsonSchema): JsonSchema {
  return saysNothing(schema) ? schema : { anyOf: [schema, { type: 'null' }] }
}

function isOneWay(properties: Json, name: unknown): boolean {
  const property = Object.hasOwn(properties, String(name)) ? properties[String(name)] : undefined
  return isJson(property) && (property.readOnly === true || property.writeOnly === true)
}

/** Whether it takes only what it lists, and lists something. */
function isClosed({ additionalProperties, properties }: Json): boolean {
  return additionalProperties === false && isJson(properties) && Object.keys(properties).length > 0
}

/** The names that `schema` refers to in these of its parts. */
function referred(schema: JsonSchema, parts: Parts): string[] {
  const names = typeof schema.$ref === 'string' ? [nameOf(schema.$ref)] : []
  mapParts(schema, parts, (part) => {
    names.push(...referred(part, parts))
    return part
  })
  return [...new Set(names)]
}
