import type { JsonSchema } from '../schema/json-schema.ts'
import { fits, formsOf, type Placed, resolved } from './schema-forms.ts'
import {
  type Bound,
  type Form,
  type ListForm,
  type NumberForm,
  type ObjectForm,
  type Schema,
  schemaOf,
  Unclear,
} from './value-form.ts'

/** A rule that values of one schema may break in another. */
export interface Difference {
  /** JSON pointer into the value, with `*` for any item or property. */
  readonly path: string
  readonly rule: string
  /** What the rule is where the values come from. */
  readonly given: string
  /** What it is where they go to. */
  readonly wanted: string
}

/**
 * Why values that fit `given` may not fit `wanted`; where there is nothing, each of them does. What cannot be told counts as a
 * difference. Defaults are filled in, as the validators of the kit do it.
 *
 * @param options `reads`: whether a property that `given` has no more is a difference, too, since somebody reads it; `closes`: whether
 *   values have no more properties than `given` lists
 */
export function differences(
  given: JsonSchema,
  wanted: JsonSchema,
  { reads = false, closes = false }: { reads?: boolean; closes?: boolean } = {},
): Difference[] {
  const comparison = new Comparison(reads)
  return comparison.compare(
    { schema: given, root: given, side: 'given', inUnion: false, closes },
    { schema: wanted, root: wanted, side: 'wanted', inUnion: false, closes: false },
    '',
  )
}

class Comparison {
  readonly #reads: boolean
  /** What is being compared, or was without a difference: schemas that refer to themselves lead back to it. */
  readonly #seen = new Set<string>()
  readonly #ids = new Map<Schema, number>()

  constructor(reads: boolean) {
    this.#reads = reads
  }

  compare(given: Placed, wanted: Placed, path: string): Difference[] {
    if (given.inUnion === wanted.inUnion && isSame(given, wanted)) return []
    try {
      return this.#compareOnce(resolved(given), resolved(wanted), path)
    } catch (error) {
      if (!(error instanceof Unclear)) throw error
      return [difference(path, 'schema', 'as it is', `cannot be compared: ${error.message}`)]
    }
  }

  #compareOnce(given: Placed, wanted: Placed, path: string): Difference[] {
    const pair = [given, wanted].map((one) => `${this.#id(one.schema)}${one.inUnion}`).join()
    if (this.#seen.has(pair)) return []
    this.#seen.add(pair)
    const forms = formsOf(wanted)
    return formsOf(given).flatMap((form) => this.#fit(form, forms, { given, wanted, path }))
  }

  #id(schema: Schema): number {
    const known = this.#ids.get(schema) ?? this.#ids.size
    this.#ids.set(schema, known)
    return known
  }

  #fit(form: Form, wantedForms: readonly Form[], at: Pair): Difference[] {
    const { wanted, path } = at
    if (form.kind === 'value') {
      const refused = form.values.filter((value) => !fits(value, wanted))
      return refused.map((value) => difference(path, `value ${JSON.stringify(value)}`, 'yes', 'no'))
    }
    const alike = wantedForms.filter(({ kind }) => kind === form.kind)
    if (alike.length === 0)
      return [
        difference(
          path,
          'type',
          nameOfKind(form),
          wantedForms.map(nameOfKind).join(' or ') || 'none',
        ),
      ]
    const tried = alike.map((one) => this.#fitOne(form, one, at))
    return tried.reduce((best, one) => (one.length < best.length ? one : best))
  }

  #fitOne(given: Form, wanted: Form, at: Pair): Difference[] {
    const { path } = at
    const others = [...wanted.others].filter((rule) => !given.others.has(rule))
    const found = others.map((rule) => difference(path, rule, 'no', 'yes'))
    if (given.kind === 'number' && wanted.kind === 'number')
      return [...found, ...compareNumbers(given, wanted, path)]
    const { least, most } = NAMES[given.kind as keyof typeof NAMES]
    const [a, b] = [given, wanted] as ListForm[] as [ListForm, ListForm]
    if (a.least < b.least) found.push(difference(path, least, String(a.least), String(b.least)))
    if (a.most > b.most) found.push(difference(path, most, limit(a.most), limit(b.most)))
    if (given.kind === 'array') found.push(...this.#compareItems(a, b, at))
    if (given.kind === 'object')
      found.push(...this.#compareObjects(given, wanted as ObjectForm, at))
    return found
  }

  #compareItems(given: ListForm, wanted: ListForm, at: Pair): Difference[] {
    const length = Math.min(Math.max(given.first.length, wanted.first.length), given.most)
    const first = Array.from({ length }, (_, i) =>
      this.#part(
        given,
        given.first[i] ?? given.rest,
        wanted,
        wanted.first[i] ?? wanted.rest,
        at,
        i,
      ),
    )
    // Where one is left out it is filled in, whatever is missing before it.
    for (const [i, schema] of wanted.first.entries()) {
      const [own, filled] = [defaultOf(given.first[i]), defaultOf(schema)].map((one) =>
        JSON.stringify(one),
      )
      if (filled !== undefined && filled !== own && !wanted.inUnion && i >= given.least)
        first.push([difference(`${at.path}/${i}`, 'default', own ?? 'none', filled)])
    }
    if (given.most <= length) return first.flat()
    return [...first.flat(), ...this.#part(given, given.rest, wanted, wanted.rest, at, '*')]
  }

  #compareObjects(given: ObjectForm, wanted: ObjectForm, at: Pair): Difference[] {
    const part = (a: Schema, b: Schema, name: string) => this.#part(given, a, wanted, b, at, name)
    const found: Difference[] = []
    const names = new Set([...Object.keys(given.properties), ...Object.keys(wanted.properties)])
    for (const name of names) {
      const [own, other] = [schemaOf(given, name), schemaOf(wanted, name)]
      const place = `${at.path}/${toToken(name)}`
      const isMissing = own === false && Object.hasOwn(wanted.properties, name)
      const isGone = this.#reads && isMissing
      if (isGone) found.push(difference(place, 'property', 'no', 'yes'))
      else if (other === false && own !== false)
        found.push(difference(place, 'property', 'yes', 'no'))
      else if (own !== false) found.push(...part(own, other, name))
      const filled = defaultOf(wanted.properties[name])
      const fills = filled !== undefined && !wanted.inUnion && !given.required.includes(name)
      if (fills && !fits(filled, { ...at.wanted, schema: other }))
        found.push(difference(place, 'default', 'none', JSON.stringify(filled)))
      if (!isGone && wanted.required.includes(name) && !given.required.includes(name))
        found.push(difference(place, 'required', 'no', 'yes'))
    }
    for (const name of wanted.required)
      if (!names.has(name) && !given.required.includes(name))
        found.push(difference(`${at.path}/${toToken(name)}`, 'required', 'no', 'yes'))
    return [
      ...found,
      ...comparePatterns(given, wanted, at.path),
      ...patternParts(given, wanted, part),
    ]
  }

  #part(
    given: ListForm | ObjectForm,
    own: Schema,
    wanted: ListForm | ObjectForm,
    other: Schema,
    at: Pair,
    step: string | number,
  ): Difference[] {
    return this.compare(
      { ...at.given, schema: own, inUnion: given.inUnion },
      { ...at.wanted, schema: other, inUnion: wanted.inUnion },
      `${at.path}/${toToken(String(step))}`,
    )
  }
}

interface Pair {
  readonly given: Placed
  readonly wanted: Placed
  readonly path: string
}

const NAMES = {
  string: { least: 'minLength', most: 'maxLength' },
  array: { least: 'minItems', most: 'maxItems' },
  object: { least: 'minProperties', most: 'maxProperties' },
}

function difference(path: string, rule: string, given: string, wanted: string): Difference {
  return { path, rule, given, wanted }
}

/** Whether both are written alike, and what they refer to is, too. */
function isSame(a: Placed, b: Placed): boolean {
  const text = JSON.stringify(a.schema)
  if (text !== JSON.stringify(b.schema)) return false
  return !text.includes('"$ref"') || JSON.stringify(a.root.$defs) === JSON.stringify(b.root.$defs)
}

function defaultOf(schema: Schema | undefined): unknown {
  return typeof schema === 'object' ? schema.default : undefined
}

function compareNumbers(given: NumberForm, wanted: NumberForm, path: string): Difference[] {
  const found: Difference[] = []
  if (wanted.integer && !given.integer) found.push(difference(path, 'type', 'number', 'integer'))
  const [a, b] = [given.least, wanted.least]
  if (a.value < b.value || (a.value === b.value && b.open && !a.open))
    found.push(difference(path, 'minimum', boundText(a, '> '), boundText(b, '> ')))
  const [c, d] = [given.most, wanted.most]
  if (c.value > d.value || (c.value === d.value && d.open && !c.open))
    found.push(difference(path, 'maximum', boundText(c, '< '), boundText(d, '< ')))
  return found
}

function boundText({ value, open }: Bound, sign: string): string {
  return Number.isFinite(value) ? `${open ? sign : ''}${value}` : 'none'
}

function limit(value: number): string {
  return Number.isFinite(value) ? String(value) : 'none'
}

/** Properties that only patterns tell of, and those that nothing does. */
function patternParts(
  given: ObjectForm,
  wanted: ObjectForm,
  part: (a: Schema, b: Schema, name: string) => Difference[],
): Difference[] {
  const patterns = Object.entries(given.patterns).flatMap(([pattern, own]) =>
    part(own, wanted.patterns[pattern] ?? wanted.more, '*'),
  )
  return given.more === false ? patterns : [...patterns, ...part(given.more, wanted.more, '*')]
}

/** Names of which one side says something by a pattern that the other does not know: nothing tells what they may be. */
function comparePatterns(given: ObjectForm, wanted: ObjectForm, path: string): Difference[] {
  const [own, others] = [Object.keys(given.patterns), Object.keys(wanted.patterns)]
  const strange = others.filter((one) => !own.includes(one))
  const found = given.more === false && own.length === 0 ? [] : strange
  const named = Object.keys(wanted.properties).filter(
    (name) => !Object.hasOwn(given.properties, name),
  )
  const unknown = own.filter((one) => !others.includes(one))
  const met = unknown.length > 0 && (others.length > 0 || named.length > 0) ? unknown : []
  return [
    ...found.map((one) => difference(path, `patternProperties ${one}`, 'no', 'yes')),
    ...met.map((one) => difference(path, `patternProperties ${one}`, 'yes', 'no')),
  ]
}

function nameOfKind(form: Form): string {
  if (form.kind === 'number' && form.integer) return 'integer'
  return form.kind === 'value'
    ? form.values.map((one) => JSON.stringify(one)).join(' or ')
    : form.kind
}

// RFC 6901, 3.
function toToken(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}
