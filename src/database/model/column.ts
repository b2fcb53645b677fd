import { type TSchema, type TString, type TStringOptions, Type } from 'typebox'
import type { PerDialect, PortableType } from '../schema/state.ts'

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
