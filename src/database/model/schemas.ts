import { type TObject, type TProperties, type TSchema, type TStringOptions, Type } from 'typebox'
import type { ColumnState } from '../schema/state.ts'
import { bitsOf, lengthOf, type PortableType, typeOfFormat } from '../schema/types.ts'
import type { AuditColumn, AuditProperties, Column, ColumnOptions, TTimestamp } from './types.ts'

// ---- what a schema says of its column

/**
 * Says of a column what its schema does not: its type, its default. What the schema validates stays the same.
 * A `default` given here is known to TypeScript, too: the column may be left out of an insert.
 */
export function column<Schema extends TSchema, const Options extends ColumnOptions>(
  schema: Schema,
  options: Options,
): Column<Schema, Options> {
  return copySchema(schema, {}, { '~column': options }) as Column<Schema, Options>
}

/** A column of points in time with milliseconds. */
export function timestamp(options: TStringOptions = {}): TTimestamp {
  return column(Type.String({ ...options, format: 'date-time' }), { type: 'datetime' })
}

/**
 * A column of exact numbers, read and written as a string: `decimal(10, 2)` takes `'12.5'`, and is read as `'12.50'`.
 *
 * @param precision how many digits at most, 1 to 65
 * @param scale how many of them stand behind the point, 0 to 30
 */
export function decimal(precision: number, scale: number, options: TStringOptions = {}) {
  const digits = precision - scale
  const whole = digits > 0 ? `(0|[1-9]\\d{0,${digits - 1}})` : '0'
  const pattern = `^-?${whole}${scale > 0 ? `(\\.\\d{1,${scale}})?` : ''}$`
  return column(Type.String({ pattern, ...options }), { type: `decimal(${precision},${scale})` })
}

/** What `column` has said of a schema. */
export function optionsOf(schema: TSchema): ColumnOptions {
  return (schema as { '~column'?: ColumnOptions })['~column'] ?? {}
}

/**
 * A copy of a TypeBox schema with other keywords; one that is `undefined` is left out.
 *
 * @param hidden properties that are not part of the JSON schema
 */
export function copySchema(
  schema: TSchema,
  keywords: Readonly<Record<string, unknown>>,
  hidden: Readonly<Record<string, unknown>> = {},
): TSchema {
  const copy = Object.defineProperties({}, Object.getOwnPropertyDescriptors(schema))
  define(copy, keywords, true)
  define(copy, hidden, false)
  return copy as TSchema
}

function define(target: object, values: Readonly<Record<string, unknown>>, enumerable: boolean) {
  for (const [key, value] of Object.entries(values)) {
    if (value === undefined) Reflect.deleteProperty(target, key)
    else
      Object.defineProperty(target, key, { value, enumerable, configurable: true, writable: true })
  }
}

/** The longest varchar: 65,535 bytes, of which utf8mb4 takes four for a character. */
export const MAX_VARCHAR = 16_383

interface Keywords {
  type?: unknown
  format?: string
  const?: unknown
  default?: unknown
  enum?: readonly unknown[]
  anyOf?: readonly TSchema[]
  allOf?: readonly TSchema[]
  maxLength?: number
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  exclusiveMaximum?: number
}

/**
 * The column that a schema asks for, by what it validates and by what `column` has said of it.
 *
 * @returns undefined where no type follows from the schema
 */
export function columnState(schema: TSchema): ColumnState | undefined {
  const { core, nullable } = partsOf(schema)
  const given: ColumnOptions = { ...optionsOf(core), ...optionsOf(schema) }
  const values = valuesOf(core)
  const type = given.type ?? typeOf(core, values)
  if (!type) return undefined
  const fallback = given.default ?? scalar(schema) ?? scalar(core)
  return {
    type,
    ...(nullable && { nullable }),
    ...(fallback !== undefined && { default: fallback }),
    ...(values && given.check !== false && { values }),
    ...(given.comparison === 'ignoreCase' && { comparison: given.comparison }),
  }
}

function scalar(schema: TSchema): string | number | boolean | undefined {
  const { default: value } = schema as Keywords
  const fits = ['string', 'number', 'boolean'].includes(typeof value)
  return fits ? (value as string | number | boolean) : undefined
}

/** The texts that a schema lists; undefined where it is no list of texts. */
function valuesOf(schema: TSchema): readonly string[] | undefined {
  const { const: only, enum: listed, anyOf } = schema as Keywords
  const values = listed ?? anyOf?.map((member) => (member as Keywords).const) ?? [only]
  const texts = values.length > 0 && values.every((value) => typeof value === 'string')
  return texts ? (values as readonly string[]) : undefined
}

function typeOf(schema: TSchema, values = valuesOf(schema)): PortableType | undefined {
  if (values) return `varchar(${Math.max(1, ...values.map((value) => [...value].length))})`
  const { type, anyOf, allOf } = schema as Keywords
  switch (type) {
    case 'integer':
      return fitsInteger(schema as Keywords) ? 'integer' : 'bigint'
    case 'number':
      return 'double'
    case 'boolean':
      return 'boolean'
    case 'string':
      return ofString(schema as Keywords)
    case 'object':
    case 'array':
      return 'json'
    default: {
      const members = anyOf ?? allOf
      const isJson =
        members?.every((member) => typeOf(member) === 'json') ??
        (Type.IsUnknown(schema) || Type.IsAny(schema))
      return isJson ? 'json' : undefined
    }
  }
}

function fitsInteger(schema: Keywords): boolean {
  const minimum = schema.minimum ?? schema.exclusiveMinimum ?? Number.NEGATIVE_INFINITY
  const maximum = schema.maximum ?? schema.exclusiveMaximum ?? Number.POSITIVE_INFINITY
  return minimum >= -(2 ** 31) && maximum < 2 ** 31
}

function ofString({ format, maxLength }: Keywords): PortableType {
  const known = format === undefined ? undefined : typeOfFormat(format)
  if (known) return known
  return maxLength !== undefined && maxLength <= MAX_VARCHAR
    ? `varchar(${Math.max(1, maxLength)})`
    : 'text'
}

/** A schema taken apart: what it is without null, and whether it takes null. */
export interface Parts {
  core: TSchema
  nullable: boolean
}

/** Takes `Type.Optional(X)` and unions with null apart. */
export function partsOf(schema: TSchema): Parts {
  const { anyOf } = schema as { anyOf?: readonly TSchema[] }
  const optional = Type.IsOptional(schema)
  const inner = optional ? copySchema(schema, {}, { '~optional': undefined }) : schema
  const members = anyOf?.filter((member) => !Type.IsNull(member)) ?? []
  if (!anyOf || members.length === anyOf.length) return { core: inner, nullable: optional }
  const [only, ...others] = members
  const core = only && others.length === 0 ? only : copySchema(inner, { anyOf: members })
  return { core, nullable: true }
}

// ---- what the API gets of the columns of a model

/** How long the name of a user may be that audit columns keep. */
export const MAX_USER = 64

export const AUDIT: AuditProperties = {
  created_at: timestamp({ description: 'When it was made' }),
  created_by: user('Who made it'),
  updated_at: timestamp({ description: 'When it was changed last' }),
  updated_by: user('Who changed it last'),
}

function user(description: string) {
  return Type.Union([Type.String({ maxLength: MAX_USER, description }), Type.Null()])
}

// The format `time` of JSON Schema has a time zone, which no column keeps.
const TIME = '^([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,3})?$'

/** A row as the API shows it. No defaults: a serializer would add what `fields` left out. */
export function rowSchema(columns: TProperties, audit: readonly AuditColumn[]): TObject {
  return Type.Object({
    ...mapProperties(columns, (schema) => withoutDefault(schema)),
    ...Object.fromEntries(audit.map((name) => [name, AUDIT[name]])),
  })
}

/** What a client says to create a row: it may leave out what may be null, or has a default. */
export function inputSchema(
  columns: TProperties,
  states: Readonly<Record<string, ColumnState>>,
): TObject {
  return Type.Object(
    mapProperties(columns, (schema, name) => {
      const state = states[name]
      const left = state?.nullable || state?.default !== undefined || 'default' in schema
      const fitting = whole(schema, state)
      return left ? Type.Optional(fitting) : fitting
    }),
  )
}

/** What a client says to change a row. No defaults: what it does not say stays as it is. */
export function patchSchema(
  columns: TProperties,
  states: Readonly<Record<string, ColumnState>>,
): TObject {
  return Type.Object(
    mapProperties(columns, (schema, name) => Type.Optional(withoutDefault(schema, states[name]))),
  )
}

function mapProperties(
  columns: TProperties,
  map: (schema: TSchema, name: string) => TSchema,
): TProperties {
  return Object.fromEntries(
    Object.entries(columns).map(([name, schema]) => [name, map(schema, name)]),
  )
}

function withoutDefault(schema: TSchema, state?: ColumnState): TSchema {
  return copySchema(whole(schema, state), { default: undefined })
}

/** @param state the column that the value has to fit */
function whole(schema: TSchema, state?: ColumnState): TSchema {
  const { core, nullable } = partsOf(schema)
  const isTime = (core as { format?: string }).format === 'time'
  // What it is to a database is not to be seen by its form any more.
  const hidden = isTime ? { '~column': { type: 'time', ...optionsOf(core) } } : {}
  const exact = copySchema(core, { ...boundsOf(core, state?.type), ...formOf(core) }, hidden)
  return nullable ? Type.Union([exact, Type.Null()]) : exact
}

function formOf({ format }: { format?: string }) {
  if (format === 'time') return { format: undefined, pattern: TIME }
  // Without a limit it could begin with `urn:uuid:`.
  return format === 'uuid' ? { maxLength: 36 } : {}
}

/** What a column that was given a type of its own does not take, though its schema would: SQLite takes everything. */
function boundsOf(
  schema: TSchema,
  column: ColumnState['type'] | undefined,
): Readonly<Record<string, unknown>> {
  const { type, minimum, maximum, maxLength } = schema as Record<string, unknown>
  if (typeof column !== 'string') return {}
  const bits = bitsOf(column)
  if (type === 'integer' && bits !== undefined && bits < 64) {
    const top = 2 ** (bits - 1)
    return { minimum: minimum ?? -top, maximum: maximum ?? top - 1 }
  }
  const length = lengthOf(column)
  return type === 'string' && length ? { maxLength: maxLength ?? length } : {}
}
