import type { JsonSchema } from '../schema/json-schema.ts'
import { type Source, textOf } from './random-text.ts'

/** Random values that are the same for the same seed. */
export class Random implements Source {
  #state: number

  /** @param seed any integer */
  constructor(seed: number) {
    this.#state = seed | 0
  }

  /** A number from 0 to below 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }

  /** A whole number, both ends included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1))
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(all: readonly T[]): T {
    return all[this.between(0, all.length - 1)] as T
  }

  /** A UUID of version 4. */
  uuid(): string {
    const hex = (length: number) =>
      Array.from({ length }, () => this.between(0, 15).toString(16)).join('')
    return `${hex(8)}-${hex(4)}-4${hex(3)}-${this.pick(['8', '9', 'a', 'b'])}${hex(3)}-${hex(12)}`
  }

  /** An instant of the last ten years, to a second. */
  instant(): Date {
    return new Date(Date.UTC(2016, 0, 1) + this.between(0, 315_000_000) * 1000)
  }

  /**
   * A value that fits a JSON schema.
   *
   * @param root what `$ref` of it refers to
   * @param depth how deep it may have more than it must
   * @throws {TypeError} for a pattern that is too hard
   */
  value(schema: JsonSchema, root: JsonSchema = schema, depth = 4): unknown {
    const { $ref } = schema as { $ref?: string }
    if ($ref !== undefined) return this.value(resolve($ref, root), root, depth - 1)
    if ('const' in schema) return schema.const
    if (Array.isArray(schema.enum)) return this.pick(schema.enum)
    const union = (schema.anyOf ?? schema.oneOf) as readonly JsonSchema[] | undefined
    if (union) return this.value(this.#member(union, depth), root, depth)
    if (Array.isArray(schema.allOf))
      return Object.assign(
        {},
        ...schema.allOf.map((one) => this.value(one as JsonSchema, root, depth)),
      )
    switch (this.pick([schema.type ?? 'string'].flat())) {
      case 'null':
        return null
      case 'boolean':
        return this.chance(0.5)
      case 'integer':
        return this.#integer(schema)
      case 'number':
        return this.#number(schema)
      case 'string':
        return textOf(schema, this)
      case 'array':
        return this.#list(schema, root, depth)
      default:
        return this.#object(schema, root, depth)
    }
  }

  /** Deep down one that ends. */
  #member(union: readonly JsonSchema[], depth: number): JsonSchema {
    const flat = union.filter(({ type }) => type !== 'object' && type !== 'array')
    return this.pick(depth <= 0 && flat.length > 0 ? flat : union)
  }

  #integer(schema: JsonSchema): number {
    const step = schema.multipleOf as number | undefined
    const [least, most] = boundsOf(schema, 1)
    if (step === undefined) return this.between(Math.ceil(least), Math.floor(most))
    return step * this.between(Math.ceil(least / step), Math.floor(most / step))
  }

  /** With few digits: databases keep them as they are. */
  #number(schema: JsonSchema): number {
    const [least, most] = boundsOf(schema, 0.001)
    const value = Math.round((least + this.next() * (most - least)) * 1000) / 1000
    return Math.min(most, Math.max(least, value))
  }

  #list(schema: JsonSchema, root: JsonSchema, depth: number): unknown[] {
    const {
      items = {},
      minItems = 0,
      maxItems = Number(minItems) + 3,
    } = schema as Record<string, unknown>
    if (Array.isArray(items))
      return items.map((one) => this.value(one as JsonSchema, root, depth - 1))
    const length = depth > 0 ? this.between(Number(minItems), Number(maxItems)) : Number(minItems)
    const list: unknown[] = []
    for (let tries = 0; list.length < length && tries < 100; tries++) {
      const value = this.value(items as JsonSchema, root, depth - 1)
      const isKnown =
        schema.uniqueItems && list.some((one) => JSON.stringify(one) === JSON.stringify(value))
      if (!isKnown) list.push(value)
    }
    return list
  }

  #object({ properties = {}, required = [] }: JsonSchema, root: JsonSchema, depth: number): object {
    const wanted = Object.entries(properties as Record<string, JsonSchema>).filter(
      ([name]) => (required as readonly string[]).includes(name) || (depth > 0 && this.chance(0.7)),
    )
    return Object.fromEntries(wanted.map(([name, one]) => [name, this.value(one, root, depth - 1)]))
  }
}

function resolve(reference: string, root: JsonSchema): JsonSchema {
  const path = reference.replace(/^#\/?/, '').split('/').filter(Boolean)
  const found = path.reduce<unknown>(
    (at, name) => (at as Record<string, unknown>)[name.replaceAll('~1', '/').replaceAll('~0', '~')],
    root,
  )
  return found as JsonSchema
}

/** What a number may be: without limits some small ones. @param step what is less than an exclusive limit */
function boundsOf(schema: JsonSchema, step: number): [least: number, most: number] {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = schema as Record<
    string,
    number | undefined
  >
  const low = minimum ?? (exclusiveMinimum === undefined ? undefined : exclusiveMinimum + step)
  const high = maximum ?? (exclusiveMaximum === undefined ? undefined : exclusiveMaximum - step)
  const least = low ?? Math.min(0, high ?? 0)
  return [least, high ?? least + 100_000]
}
