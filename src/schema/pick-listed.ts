import { type JsonSchema, nameOf } from './json-schema.ts'

/** What schemas of one value list of it, all of them together. */
interface Listing {
  /** The schemas of each property. */
  properties: Map<string, JsonSchema[]>
  /** Those of properties that are not among these; empty: they are not listed. */
  others: JsonSchema[]
  items: JsonSchema[]
  /** Whether one of them takes all there is. */
  isOpen: boolean
}

/**
 * Leaves out of values what their schemas do not list. Schemas are looked through as values have need of them, and nothing is compiled: of a
 * document of hundreds that refer to one another only those count that a value reaches. What one member of a union lists
 * stays, whichever of them the value is.
 */
export class Listed {
  readonly #definitions: Readonly<Record<string, JsonSchema>>
  readonly #listings = new Map<readonly JsonSchema[], Listing>()

  /** @param definitions what `#/$defs/NAME` names */
  constructor(definitions: Readonly<Record<string, JsonSchema>>) {
    this.#definitions = definitions
  }

  /**
   * `value`, which was read from JSON, or a copy of it where something is left out.
   *
   * @param schemas the same list each time: what it comes to is known by it
   */
  pick(schemas: readonly JsonSchema[], value: unknown): unknown {
    if (typeof value !== 'object' || value === null) return value
    const { isOpen, items, properties, others } = this.#listingOf(schemas)
    if (isOpen) return value
    if (Array.isArray(value)) return items.length > 0 ? this.#pickItems(items, value) : value
    const object = value as Record<string, unknown>
    let copy: Record<string, unknown> | undefined
    for (const name of Object.keys(object)) {
      const own = properties.get(name) ?? others
      const isListed = own.length > 0 && name !== '__proto__'
      const picked = isListed ? this.pick(own, object[name]) : undefined
      if (isListed && picked === object[name]) continue
      copy ??= { ...object }
      if (isListed) copy[name] = picked
      else delete copy[name]
    }
    return copy ?? value
  }

  #pickItems(schemas: readonly JsonSchema[], list: unknown[]): unknown[] {
    let copy: unknown[] | undefined
    for (const [index, item] of list.entries()) {
      const picked = this.pick(schemas, item)
      if (picked === item) continue
      copy ??= [...list]
      copy[index] = picked
    }
    return copy ?? list
  }

  #listingOf(schemas: readonly JsonSchema[]): Listing {
    let listing = this.#listings.get(schemas)
    if (!listing) {
      listing = { properties: new Map(), others: [], items: [], isOpen: false }
      for (const schema of schemas) this.#add(schema as Keywords, listing)
      this.#listings.set(schemas, listing)
    }
    return listing
  }

  #add(schema: Keywords, listing: Listing): void {
    const { $ref, properties = {}, patternProperties = {}, items, additionalItems } = schema
    const { additionalProperties } = schema
    const target = $ref === undefined ? undefined : this.#definitions[nameOf($ref)]
    const parts = [target, ...IN_PLACE.map((key) => schema[key])].flat().filter(isSchema)
    for (const part of parts) this.#add(part, listing)
    for (const [name, one] of Object.entries(properties)) {
      const known = listing.properties.get(name)
      if (known) known.push(one)
      else listing.properties.set(name, [one])
    }
    listing.others.push(...Object.values(patternProperties))
    if (additionalProperties === true) listing.others.push({})
    else if (isSchema(additionalProperties)) listing.others.push(additionalProperties)
    listing.items.push(...[items, additionalItems].flat().filter(isSchema))
    if (parts.length === 0 && !LISTS.some((key) => key in schema) && isForAll(schema))
      listing.isOpen = true
  }
}

interface Keywords extends JsonSchema {
  $ref?: string
  properties?: Record<string, JsonSchema>
  patternProperties?: Record<string, JsonSchema>
  items?: JsonSchema | JsonSchema[]
  additionalItems?: JsonSchema | boolean
  additionalProperties?: JsonSchema | boolean
}

const IN_PLACE = ['allOf', 'anyOf', 'oneOf', 'then', 'else']
const LISTS = ['properties', 'patternProperties', 'additionalProperties', 'items']

/** Whether a schema that lists nothing leaves objects open: it says that it is of one, or nothing of what a value is. */
function isForAll(schema: JsonSchema): boolean {
  const { type } = schema
  if (type !== undefined) return type === 'object'
  return !ABOUT_VALUES.some((key) => key in schema)
}

/** What only asks for more of a value that another schema lists the parts of, or names it. */
const ABOUT_VALUES = ['const', 'enum', 'required', 'not', 'if', 'minProperties', 'maxProperties']

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What leaves out of a value what its schema does not list. */
export type Pick = (value: unknown) => unknown

/** @param schema complete in itself */
export function compilePick(schema: JsonSchema): Pick {
  const { $defs = {} } = schema as { $defs?: Record<string, JsonSchema> }
  const listed = new Listed($defs)
  const schemas = [schema]
  return (value) => listed.pick(schemas, value)
}
