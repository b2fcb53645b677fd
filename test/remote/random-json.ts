import type { JsonSchema } from '../../src/schema/json-schema.ts'
import type { Random } from '../helpers/random-schema.ts'

/** Random JSON schemas as services have them, changes of them, and values that may fit them. */
export class RandomJson {
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
  }

  /** An object, as a request or response mostly is. */
  schema(depth = 3): JsonSchema {
    const names = ['id', 'name', 'kind', 'tags', 'more'].filter(() => this.chance(0.6))
    const properties = Object.fromEntries(names.map((name) => [name, this.part(depth - 1)]))
    const required = names.filter(() => this.chance(0.6))
    return {
      type: 'object',
      properties,
      required,
      ...(this.chance(0.15) && { additionalProperties: this.chance(0.5) || this.part(0) }),
    }
  }

  part(depth: number): JsonSchema {
    const flat = [
      () => this.#number(),
      () => this.#number(),
      () => this.#text(),
      () => this.#text(),
      () => ({ type: 'boolean' }),
      () => ({ enum: this.#some(['a', 'b', 'c', 1, null]) }),
      () => ({
        type: this.pick([
          ['string', 'null'],
          ['integer', 'string'],
          ['boolean', 'null'],
        ]),
      }),
      () => ({ const: this.pick(['a', 1]) }),
      () => ({}),
    ]
    const deep = [
      () => this.schema(depth),
      () => this.#list(depth),
      () => ({ anyOf: [this.part(depth - 1), this.part(depth - 1)] }),
      () => ({ oneOf: [this.part(depth - 1), { type: 'null' }] }),
      () => ({ allOf: [this.schema(depth - 1), this.schema(depth - 1)] }),
      () => ({ type: 'object', patternProperties: { '^.*$': this.part(depth - 1) } }),
      () => ({
        type: 'object',
        patternProperties: { '^n': this.part(depth - 1) },
        properties: { name: this.part(depth - 1) },
      }),
      () => this.#tagged(depth),
    ]
    return this.pick(depth > 0 ? [...flat, ...deep] : flat)()
  }

  #tagged(depth: number): JsonSchema {
    const member = (kind: string) => ({
      type: 'object',
      properties: { kind: { const: kind }, more: this.part(depth - 1) },
      required: ['kind'],
    })
    return { oneOf: [member('a'), member('b')] }
  }

  #number(): JsonSchema {
    return {
      type: this.pick(['integer', 'number']),
      ...(this.chance(0.3) && { minimum: this.below(4) }),
      ...(this.chance(0.3) && { maximum: 3 + this.below(4) }),
      ...(this.chance(0.1) && { exclusiveMinimum: this.below(3) }),
      ...(this.chance(0.1) && { exclusiveMaximum: 3 + this.below(4) }),
      ...(this.chance(0.1) && { multipleOf: 1 + this.below(2) }),
      ...(this.chance(0.2) && { default: 3 }),
    }
  }

  #text(): JsonSchema {
    return {
      type: 'string',
      ...(this.chance(0.3) && { minLength: this.below(3) }),
      ...(this.chance(0.3) && { maxLength: 1 + this.below(3) }),
      ...(this.chance(0.2) && { pattern: this.pick(['^a', 'b$']) }),
      ...(this.chance(0.1) && { format: 'date' }),
      ...(this.chance(0.2) && { default: 'a' }),
    }
  }

  #list(depth: number): JsonSchema {
    if (this.chance(0.3))
      return {
        type: 'array',
        items: [this.part(depth - 1), this.part(depth - 1)],
        additionalItems: this.chance(0.3),
        ...(this.chance(0.5) && { minItems: this.below(3) }),
      }
    return {
      type: 'array',
      items: this.part(depth - 1),
      ...(this.chance(0.3) && { minItems: this.below(2) }),
      ...(this.chance(0.3) && { maxItems: 1 + this.below(2) }),
      ...(this.chance(0.2) && { uniqueItems: true }),
    }
  }

  /** `schema` with one change somewhere in it. */
  change(schema: JsonSchema): JsonSchema {
    const copy = structuredClone(schema)
    const places = partsOf(copy)
    const at = this.pick(places)
    this.pick([
      () => this.#replace(at, this.part(1)),
      () => this.#replace(at, { anyOf: [structuredClone(at), this.part(0)] }),
      () => this.#change(at, this.#number()),
      () => this.#change(at, this.#text()),
      () => this.#changeProperty(this.pick(places.filter((one) => one.properties) ?? [at])),
      () => this.#changeProperty(copy),
      () => this.#changeProperty(copy),
    ])()
    return copy
  }

  #replace(at: JsonSchema, by: JsonSchema): void {
    for (const key of Object.keys(at)) delete at[key]
    Object.assign(at, by)
  }

  /** The same kind with other limits. */
  #change(at: JsonSchema, { type, ...limits }: JsonSchema): void {
    if (
      at.type !== undefined &&
      ['string', 'array', 'object'].includes(type as string) !==
        (typeof at.type === 'string' && ['string'].includes(at.type))
    )
      return
    for (const key of ['minimum', 'maximum', 'minLength', 'maxLength', 'pattern'])
      if (this.chance(0.5)) delete at[key]
    Object.assign(at, limits)
  }

  #changeProperty(at: JsonSchema | undefined): void {
    if (!at?.properties) return
    const name = this.pick(['id', 'name', 'kind', 'tags', 'more', 'new'])
    const required = (at.required ?? []).filter((one) => one !== name)
    if (at.properties[name] && this.chance(0.3)) {
      delete at.properties[name]
      at.required = required
    } else {
      at.properties[name] ??= this.part(1)
      at.required = this.chance(0.4) ? [...required, name] : required
    }
  }

  /** What may fit `schema`, and often is at its limits. */
  value(given: unknown): unknown {
    const schema = (typeof given === 'object' ? given : {}) as JsonSchema
    if (this.chance(0.04)) return this.pick([null, 'a', 1, 2.5, true, [], {}, ['a'], { kind: 'a' }])
    if ('const' in schema) return schema.const
    if (Array.isArray(schema.enum)) return this.pick(schema.enum)
    const union = (schema.anyOf ?? schema.oneOf) as unknown[] | undefined
    if (union) return this.value(this.pick(union))
    if (Array.isArray(schema.allOf))
      return Object.assign({}, ...schema.allOf.map((one) => this.value(one)))
    const type = this.pick([schema.type ?? ['string', 'integer', 'null']].flat()) as string
    switch (type) {
      case 'null':
        return null
      case 'boolean':
        return this.chance(0.5)
      case 'integer':
        return this.below(9) - 1
      case 'number':
        return this.pick([this.below(9) - 1, this.below(7) + 0.5])
      case 'string':
        return this.pick(['', 'a', 'b', 'ab', 'abb', 'abcb', 'x', '2026-11-28'])
      case 'array': {
        const { items } = schema as { items?: unknown }
        const length = this.below(4)
        return Array.from({ length }, (_, i) => this.value(Array.isArray(items) ? items[i] : items))
      }
      default: {
        const { properties = {}, required = [] } = schema
        const names = Object.keys(properties).filter(
          (name) => required.includes(name) || this.chance(0.6),
        )
        const own = names.map((name) => [name, this.value(properties[name])])
        const patterns = Object.values((schema.patternProperties ?? {}) as object)
        const { additionalProperties: more = patterns[0] } = schema
        const name = this.pick(['new', 'id', 'name', 'x'])
        if (more && !(name in properties) && this.chance(0.5)) own.push([name, this.value(more)])
        return Object.fromEntries(own)
      }
    }
  }

  #some(values: readonly unknown[]): unknown[] {
    const some = values.filter(() => this.chance(0.5))
    return some.length > 0 ? some : [values[0]]
  }

  pick<T>(all: readonly T[]): T {
    return all[this.below(all.length)] as T
  }

  below(end: number): number {
    return Math.floor(this.#random() * end)
  }

  chance(probability: number): boolean {
    return this.#random() < probability
  }
}

/** `schema` and all schemas in it. */
function partsOf(schema: JsonSchema): JsonSchema[] {
  const { properties = {}, items, anyOf, oneOf = anyOf, allOf } = schema
  const inner = [Object.values(properties), items ?? [], oneOf ?? [], allOf ?? []].flat(2)
  return [schema, ...(inner as JsonSchema[]).flatMap(partsOf)]
}
