import { type JsonSchema, nameOf } from '../resource/schema.ts'
import { compileExact } from '../resource/validate.ts'

/** A schema, or what JSON Schema says shortly: everything, nothing. */
export type Schema = JsonSchema | boolean

/** A schema where it stands. */
export interface Placed {
  readonly schema: Schema
  /** What has the `$defs` that it refers to. */
  readonly root: JsonSchema
  /** Of which values it has to be true: of all that are to be told of (`given`), or of no more than fit (`wanted`). */
  readonly side: 'given' | 'wanted'
  /** Whether it is a part of a union, where validators fill in no defaults. */
  readonly inUnion: boolean
  /** Whether objects that do not say what else they take have nothing else. */
  readonly closes: boolean
}

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

export interface ValueForm extends Rules {
  readonly kind: 'value'
  readonly values: readonly unknown[]
}

export interface NumberForm extends Rules {
  readonly kind: 'number'
  readonly integer: boolean
  readonly least: Bound
  readonly most: Bound
}

export interface TextForm extends Rules {
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
const MAX_DEPTH = 60

/** The forms of the values of a schema. Of `given` they may be more than those, of `wanted` fewer. @throws {Unclear} */
export function formsOf(placed: Placed, depth = 0): Form[] {
  const { schema, root } = placed
  if (depth > MAX_DEPTH) throw new Unclear('it is nested too deeply')
  if (schema === false) return []
  if (schema === true) return formsOf({ ...placed, schema: {} }, depth)
  // The members of an intersection cannot be closed one by one, so the intersection as a whole is.
  const isMet = Array.isArray(schema.allOf)
  const closes = placed.closes && !isMet
  const inner = (one: Schema, inUnion = placed.inUnion) =>
    formsOf({ ...placed, schema: one, inUnion, closes }, depth + 1)
  let forms = ownForms(schema, { ...placed, closes })
  if (typeof schema.$ref === 'string') forms = both(forms, inner(definition(schema.$ref, root)))
  for (const one of listOf(schema.allOf)) forms = both(forms, inner(one))
  for (const key of ['anyOf', 'oneOf']) {
    if (!Array.isArray(schema[key])) continue
    const members = (schema[key] as Schema[]).map((one) => inner(one, true))
    forms = both(forms, members.flat())
    if (key === 'oneOf' && !areApart(members))
      forms = forms.map((form) => withOther(form, otherRule('oneOf', schema.oneOf, root)))
  }
  const { unevaluatedProperties = !(placed.closes && isMet) } = schema
  return closed(forms, unevaluatedProperties, placed)
}

/** @throws {Unclear} where there is none of that name */
function definition(reference: string, { $defs }: JsonSchema): Schema {
  const found = ($defs as Record<string, Schema> | undefined)?.[nameOf(reference)]
  if (found === undefined) throw new Unclear(`it refers to ${reference}, which is not there`)
  return found
}

const listOf = (value: unknown): readonly Schema[] => (Array.isArray(value) ? value : [])

const KINDS = ['null', 'boolean', 'number', 'string', 'array', 'object']

/** Keywords that are compared as they are written, by the kind of value that they are about. */
const OTHERS: Readonly<Record<string, Form['kind'] | 'any'>> = {
  not: 'any',
  if: 'any',
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  then: 'any',
  else: 'any',
  $recursiveRef: 'any',
  multipleOf: 'number',
  pattern: 'string',
  format: 'string',
  formatMinimum: 'string',
  formatMaximum: 'string',
  formatExclusiveMinimum: 'string',
  formatExclusiveMaximum: 'string',
  uniqueItems: 'array',
  contains: 'array',
  minContains: 'array',
  maxContains: 'array',
  unevaluatedItems: 'array',
  prefixItems: 'array',
  propertyNames: 'object',
  dependentRequired: 'object',
  dependentSchemas: 'object',
  dependencies: 'object',
}

/** What the keywords of `schema` itself leave of all values. @throws {Unclear} */
function ownForms(schema: JsonSchema, placed: Placed): Form[] {
  const types = typesOf(schema)
  const isOf = (kind: string) =>
    types.includes(kind) || (kind === 'number' && types.includes('integer'))
  const strange = types.find((type) => !KINDS.includes(type) && type !== 'integer')
  if (strange !== undefined) throw new Unclear(`its type is ${strange}`)
  const othersOf = (kind: Form['kind']) => {
    const entries = Object.entries(schema).filter(([key]) =>
      ['any', kind].includes(OTHERS[key] ?? ''),
    )
    return new Set(entries.map(([key, value]) => otherRule(key, value, placed.root)))
  }
  const fixed = 'const' in schema ? [schema.const] : schema.enum
  if (Array.isArray(fixed)) {
    const values = fixed.filter((value) => isOf(kindOf(value)))
    return values.length > 0 ? [{ kind: 'value', values, others: othersOf('value') }] : []
  }
  const forms: Form[] = []
  const named = [...(isOf('null') ? [null] : []), ...(isOf('boolean') ? [true, false] : [])]
  if (named.length > 0) forms.push({ kind: 'value', values: named, others: othersOf('value') })
  if (isOf('number')) forms.push(numberForm(schema, !types.includes('number'), othersOf('number')))
  if (isOf('string'))
    forms.push({ kind: 'string', ...bounds(schema, 'Length'), others: othersOf('string') })
  if (isOf('array')) forms.push(listForm(schema, placed, othersOf('array')))
  if (isOf('object')) forms.push(objectForm(schema, placed, othersOf('object')))
  return forms
}

function typesOf({ type, nullable }: JsonSchema): string[] {
  if (type === undefined) return KINDS
  const types = [type].flat() as string[]
  return nullable === true ? [...types, 'null'] : types
}

/** The same text is the same rule; what it refers to belongs to it. */
function otherRule(key: string, value: unknown, { $defs }: JsonSchema): string {
  const text = `${key}: ${JSON.stringify(value)}`
  return text.includes('"$ref"') ? `${text} of ${JSON.stringify($defs)}` : text
}

function bounds(schema: JsonSchema, what: string): { least: number; most: number } {
  const { [`min${what}`]: least = 0, [`max${what}`]: most = Number.POSITIVE_INFINITY } = schema
  return { least: least as number, most: most as number }
}

function numberForm(schema: JsonSchema, integer: boolean, others: Rules['others']): NumberForm {
  const { minimum, maximum, exclusiveMinimum: above, exclusiveMaximum: below } = schema
  const least = [boundOf(minimum, false, -1), boundOf(above, true, -1)]
  const most = [boundOf(maximum, false, 1), boundOf(below, true, 1)]
  return {
    kind: 'number',
    integer,
    least: tighter(least[0] as Bound, least[1] as Bound, 1),
    most: tighter(most[0] as Bound, most[1] as Bound, -1),
    others,
  }
}

function boundOf(value: unknown, open: boolean, sign: 1 | -1): Bound {
  if (typeof value === 'number') return { value, open }
  return { value: sign * Number.POSITIVE_INFINITY, open: false }
}

/** @param sign 1: of two lower bounds, -1: of two upper ones */
function tighter(a: Bound, b: Bound, sign: 1 | -1): Bound {
  if (a.value === b.value) return a.open ? a : b
  return sign * (a.value - b.value) > 0 ? a : b
}

function listForm(schema: JsonSchema, { inUnion }: Placed, others: Rules['others']): ListForm {
  const { items = true, additionalItems = true } = schema as Record<string, Schema | Schema[]>
  const first = Array.isArray(items) ? items : []
  const rest = (Array.isArray(items) ? additionalItems : items) as Schema
  const { least, most } = bounds(schema, 'Items')
  const limit = rest === false ? Math.min(most, first.length) : most
  return { kind: 'array', least, most: limit, first, rest, inUnion, others }
}

/** Patterns that fit every name: as of `Type.Record(Type.String(), …)`. */
const EVERY_NAME = ['^.*$', '^(.*)$', '']

function objectForm(schema: JsonSchema, placed: Placed, others: Rules['others']): ObjectForm {
  const { inUnion } = placed
  const properties = (schema.properties ?? {}) as Record<string, Schema>
  const given = (schema.patternProperties ?? {}) as Record<string, Schema>
  const says = ['properties', 'patternProperties'].some((key) => key in schema)
  const isClosed = placed.closes && says && !('unevaluatedProperties' in schema)
  const { additionalProperties = !isClosed } = schema as { additionalProperties?: Schema }
  const names = Object.keys(given)
  const isRecord = names.length === 1 && EVERY_NAME.includes(names[0] as string)
  const isFilled = (name: string) => {
    const { default: filled } = Object(properties[name]) as JsonSchema
    return filled !== undefined && !inUnion
  }
  return {
    kind: 'object',
    ...bounds(schema, 'Properties'),
    properties: isRecord
      ? each(properties, (one) => all(one, given[names[0] as string] as Schema))
      : properties,
    patterns: isRecord ? {} : given,
    more: isRecord ? (given[names[0] as string] as Schema) : additionalProperties,
    saysMore: isRecord || (schema.additionalProperties ?? false) !== false,
    required: (schema.required ?? []).filter((name) => !isFilled(name)),
    inUnion,
    others,
  }
}

function each(table: Readonly<Record<string, Schema>>, change: (one: Schema) => Schema) {
  return Object.fromEntries(Object.entries(table).map(([name, one]) => [name, change(one)]))
}

/** A schema of what fits all of `schemas`. */
function all(...schemas: readonly Schema[]): Schema {
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

/** The forms of what has one of `as` and one of `bs`. @throws {Unclear} */
function both(as: readonly Form[], bs: readonly Form[]): Form[] {
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

/** `forms`, whose objects have of what nothing names only what fits `unevaluated`. */
function closed(forms: Form[], unevaluated: unknown, { side, root }: Placed): Form[] {
  if (unevaluated === true) return forms
  if (unevaluated !== false) {
    const rule = otherRule('unevaluatedProperties', unevaluated, root)
    return forms.map((form) => (form.kind === 'object' ? withOther(form, rule) : form))
  }
  const objects = forms.filter((form) => form.kind === 'object')
  // A value may have several forms at once, and what each of them names.
  const anywhere = Object.assign({}, ...objects.map((one) => each(one.properties, () => true)))
  const isOpen = objects.some((form) => form.saysMore)
  return forms.map((form) => {
    if (form.kind !== 'object' || form.more !== true) return form
    if (side === 'given' ? isOpen : form.saysMore) return form
    const named = side === 'given' ? { ...anywhere, ...form.properties } : form.properties
    return { ...form, properties: named, more: false }
  })
}

function withOther(form: Form, rule: string): Form {
  return { ...form, others: new Set([...form.others, rule]) }
}

/** Whether no value can have forms of two of `members`. */
function areApart(members: readonly (readonly Form[])[]): boolean {
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

/** What `schema` refers to, where it says nothing else. */
export function resolved({ schema, ...place }: Placed): Placed {
  let found = schema
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    if (typeof found !== 'object' || typeof found.$ref !== 'string') break
    if (Object.keys(found).some((key) => key !== '$ref' && key !== '$defs')) break
    found = definition(found.$ref, place.root)
  }
  return { ...place, schema: found }
}

/** Whether a value fits, as the validators of the kit see it. */
export function fits(value: unknown, { schema, root }: Placed): boolean {
  if (typeof schema === 'boolean') return schema
  const { $defs } = root
  const whole = $defs === undefined ? schema : { ...schema, $defs }
  return compileExact(whole)(structuredClone(value))
}
