import {
  type TNull,
  type TOptional,
  type TSchema,
  type TString,
  type TStringOptions,
  type TUnion,
  Type,
} from 'typebox'
import type { ColumnState } from '../schema/state.ts'
import { type PerDialect, type PortableType, typeOfFormat } from '../schema/types.ts'

/** What a column is, where its schema does not say it. */
export interface ColumnOptions {
  /** Instead of the type that follows from the schema; SQL of each database is taken as it is. */
  readonly type?: PortableType | PerDialect
  /** What rows get that do not say it: a value, or an expression in SQL. */
  readonly default?: string | number | boolean | PerDialect
  /**
   * Of a list of texts whether the database checks it, too; default true. Where it does not, a list that grows changes no table: MySQL and
   * MariaDB write it anew for a check.
   */
  readonly check?: boolean
  /**
   * When two texts are the same, to comparisons, unique keys and orders: `binary` (default), where all of their characters are, or
   * `ignoreCase`. On SQLite case is that of A to Z alone.
   */
  readonly comparison?: 'binary' | 'ignoreCase'
}

/** A schema that knows more of its column than what it validates. */
export type Column<Schema extends TSchema, Options extends ColumnOptions> = Schema & {
  '~column': Options
}

/** A point in time: read as an ISO 8601 string in UTC, written as a `Date`. */
export type TTimestamp = Column<TString, { readonly type: 'datetime' }>

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

/** `Schema` without `Type.Optional`. */
export type Required<Schema extends TSchema> =
  Schema extends TOptional<infer Inner extends TSchema> ? Inner : Schema

/** Whether the column may be null: `Type.Optional(X)`, or a union with `Type.Null()`. */
export type IsNullable<Schema extends TSchema> = Schema extends { '~optional': true }
  ? true
  : Schema extends TUnion<infer Members>
    ? TNull extends Members[number]
      ? true
      : false
    : false

/** The schema of what is in the column where it is not null. */
export type Core<Schema extends TSchema> =
  Required<Schema> extends TUnion<[infer Inner extends TSchema, TNull]> ? Inner : Required<Schema>

/** The schema of the column as a row has it: `X | null` where it may be null. */
export type Whole<Schema extends TSchema> =
  IsNullable<Schema> extends true
    ? IsNullable<Required<Schema>> extends true
      ? Required<Schema>
      : TUnion<[Required<Schema>, TNull]>
    : Schema

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
