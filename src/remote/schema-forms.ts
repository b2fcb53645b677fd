import { type JsonSchema, nameOf } from '../schema/json-schema.ts'
import { compileExact } from '../schema/validate.ts'
import {
  all,
  areApart,
  type Bound,
  both,
  each,
  type Form,
  kindOf,
  type ListForm,
  type NumberForm,
  type ObjectForm,
  type Schema,
  tighter,
  Unclear,
  withOther,
} from './value-form.ts'

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
  file: 'any',
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

function numberForm(schema: JsonSchema, integer: boolean, others: Form['others']): NumberForm {
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

function listForm(schema: JsonSchema, { inUnion }: Placed, others: Form['others']): ListForm {
  const { items = true, additionalItems = true } = schema as Record<string, Schema | Schema[]>
  const first = Array.isArray(items) ? items : []
  const rest = (Array.isArray(items) ? additionalItems : items) as Schema
  const { least, most } = bounds(schema, 'Items')
  const limit = rest === false ? Math.min(most, first.length) : most
  return { kind: 'array', least, most: limit, first, rest, inUnion, others }
}

/** Patterns that fit every name: as of `Type.Record(Type.String(), …)`. */
const EVERY_NAME = ['^.*$', '^(.*)$', '']

function objectForm(schema: JsonSchema, placed: Placed, others: Form['others']): ObjectForm {
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
