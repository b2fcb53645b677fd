import type { JsonSchema } from '../schema/json-schema.ts'

/** A schema, or what JSON Schema says shortly: everything, nothing. */
export type Schema = JsonSchema | boolean

/** A bound of numbers. */
export interface Bound {
  readonly value: number
  readonly open: boolean
}

/** One of the forms that values of a schema have: of one kind, with one set of rules. */
export type Form = ValueForm | NumberForm | TextForm | ListForm | ObjectForm

interface Rules {
  /** What only an equal rule is known to be as strict as: keyword and schema, as a text. */
  readonly others: ReadonlySet<string>
}

interface ValueForm extends Rules {
  readonly kind: 'value'
  readonly values: readonly unknown[]
}

export interface NumberForm extends Rules {
  readonly kind: 'number'
  readonly integer: boolean
  readonly least: Bound
  readonly most: Bound
}

interface TextForm extends Rules {
  readonly kind: 'string'
  readonly least: number
  readonly most: number
}

export interface ListForm extends Rules {
  readonly kind: 'array'
  readonly least: number
  readonly most: number
  /** Of the first items, one by one, and of all that follow. */
  readonly first: readonly Schema[]
  readonly rest: Schema
  readonly inUnion: boolean
}

export interface ObjectForm extends Rules {
  readonly kind: 'object'
  readonly least: number
  readonly most: number
  readonly properties: Readonly<Record<string, Schema>>
  readonly patterns: Readonly<Record<string, Schema>>
  /** Of properties that neither name nor pattern tells of. */
  readonly more: Schema
  /** Whether that is said, and not only what is left. */
  readonly saysMore: boolean
  /** Those that are surely there. */
  readonly required: readonly string[]
  readonly inUnion: boolean
}

/** Why a schema cannot be compared. */
export class Unclear extends Error {}

// Of a union of unions: more say nothing that somebody would read.
const MAX_FORMS = 500

/** The forms of what has one of `as` and one of `bs`. @throws {Unclear} */
export function both(as: readonly Form[], bs: readonly Form[]): Form[] {
  if (as.length * bs.length > MAX_FORMS) throw new Unclear('it has too many forms')
  return as.flatMap((a) => bs.flatMap((b) => meet(a, b) ?? []))
}

function meet(a: Form, b: Form): Form | undefined {
  const others = new Set([...a.others, ...b.others])
  if (a.kind === 'value' || b.kind === 'value') {
    const [{ values }, other] = (a.kind === 'value' ? [a, b] : [b, a]) as [ValueForm, Form]
    // Whether the rest of the other fits is asked when the values are looked at, one by one.
    const left = values.filter((value) =>
      other.kind === 'value'
        ? other.values.some((one) => JSON.stringify(one) === JSON.stringify(value))
        : other.kind === kindOf(value),
    )
    return left.length > 0 ? { kind: 'value', values: left, others } : undefined
  }
  if (a.kind === 'number' && b.kind === 'number')
    return {
      kind: 'number',
      integer: a.integer || b.integer,
      least: tighter(a.least, b.least, 1),
      most: tighter(a.most, b.most, -1),
      others,
    }
  const least = Math.max((a as TextForm).least, (b as TextForm).least)
  const most = Math.min((a as TextForm).most, (b as TextForm).most)
  if (a.kind === 'string' && b.kind === 'string') return { kind: 'string', least, most, others }
  if (a.kind === 'array' && b.kind === 'array') {
    const length = Math.max(a.first.length, b.first.length)
    const first = Array.from({ length }, (_, i) => all(a.first[i] ?? a.rest, b.first[i] ?? b.rest))
    const inUnion = a.inUnion || b.inUnion
    return { kind: 'array', least, most, first, rest: all(a.rest, b.rest), inUnion, others }
  }
  if (a.kind === 'object' && b.kind === 'object') return meetObjects(a, b, { least, most, others })
  return undefined
}

type Bounds = Pick<ObjectForm, 'least' | 'most' | 'others'>

function meetObjects(a: ObjectForm, b: ObjectForm, bounds: Bounds): ObjectForm {
  const names = new Set([...Object.keys(a.properties), ...Object.keys(b.properties)])
  const patterns = { ...a.patterns, ...b.patterns }
  if (Object.keys(patterns).length > 0 && (a.more !== true || b.more !== true))
    throw new Unclear('its patterns of names are parts of an intersection')
  const entries = Array.from(names, (name) => [name, all(ownOf(a, name), ownOf(b, name))])
  return {
    kind: 'object',
    properties: Object.fromEntries(entries),
    patterns,
    more: all(a.more, b.more),
    saysMore: a.saysMore || b.saysMore,
    required: [...new Set([...a.required, ...b.required])],
    inUnion: a.inUnion || b.inUnion,
    ...bounds,
  }
}

/** Without its patterns, which stay beside it. */
const ownOf = ({ properties, more }: ObjectForm, name: string): Schema =>
  Object.hasOwn(properties, name) ? (properties[name] as Schema) : more

/** @param sign 1: of two lower bounds, -1: of two upper ones */
export function tighter(a: Bound, b: Bound, sign: 1 | -1): Bound {
  if (a.value === b.value) return a.open ? a : b
  return sign * (a.value - b.value) > 0 ? a : b
}

export function each(table: Readonly<Record<string, Schema>>, change: (one: Schema) => Schema) {
  return Object.fromEntries(Object.entries(table).map(([name, one]) => [name, change(one)]))
}

/** A schema of what fits all of `schemas`. */
export function all(...schemas: readonly Schema[]): Schema {
  if (schemas.includes(false)) return false
  const [only, ...others] = [...new Set(schemas.filter((one) => one !== true))]
  if (only === undefined) return true
  return others.length === 0 ? only : { allOf: [only, ...others] }
}

/** What a form of an object says of the property `name`. */
export function schemaOf({ properties, patterns, more }: ObjectForm, name: string): Schema {
  const own = Object.hasOwn(properties, name) ? [properties[name] as Schema] : []
  const matching = Object.keys(patterns).filter((one) => new RegExp(one, 'u').test(name))
  const found = [...own, ...matching.map((one) => patterns[one] as Schema)]
  return found.length > 0 ? all(...found) : more
}

export function withOther(form: Form, rule: string): Form {
  return { ...form, others: new Set([...form.others, rule]) }
}

/** Whether no value can have forms of two of `members`. */
export function areApart(members: readonly (readonly Form[])[]): boolean {
  return members.every((one, i) =>
    members.slice(i + 1).every((other) => one.every((a) => other.every((b) => isApart(a, b)))),
  )
}

function isApart(a: Form, b: Form): boolean {
  if (a.kind !== 'object' || b.kind !== 'object') return meet(a, b) === undefined
  const shared = a.required.filter((name) => b.required.includes(name))
  return shared.some((name) => {
    const [left, right] = [fixedOf(a.properties[name]), fixedOf(b.properties[name])]
    return left && right && !left.some((value) => right.includes(value))
  })
}

/** The values that a discriminator may have. */
function fixedOf(schema: Schema | undefined): unknown[] | undefined {
  if (typeof schema !== 'object') return undefined
  if ('const' in schema) return [schema.const]
  return Array.isArray(schema.enum) ? schema.enum : undefined
}

/** The kind of a JSON value. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}
