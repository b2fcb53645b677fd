import { type RawBuilder, sql } from 'kysely'
import type { TSchema } from 'typebox'
import { readTime } from '../database/dialect/values.ts'
import { columnState, partsOf } from '../database/model/schemas.ts'
import { charactersOf, isExactDecimal } from '../database/schema/types.ts'
import { errors } from '../errors.ts'

/** What becomes of a client's value before a column takes it or is compared with it. */
export interface ColumnRule {
  /** A `date-time`: `date` where it is the type of the column, too, `text` where that holds any text. */
  instant: 'date' | 'text' | undefined
  isJson: boolean
  isTime: boolean
  /** Of a column of decimals: their type, `decimal(20,2)`. */
  decimal: string | undefined
  /** The texts that it can have, where these are not all. A comparison with another one is an error of MySQL. */
  texts: RegExp | undefined
}

/** The rule of a column, by its schema. */
export function columnRule(schema: TSchema): ColumnRule {
  const { core } = partsOf(schema)
  const type = columnState(schema)?.type
  const pattern = charactersOf(type)
  const sql = typeof type === 'object' ? type.mysql : type
  const isInstant = (core as { format?: string }).format === 'date-time'
  return {
    instant: isInstant
      ? /^(datetime|timestamp)/i.test(sql ?? 'datetime')
        ? 'date'
        : 'text'
      : undefined,
    isJson: type === 'json',
    isTime: type === 'time',
    decimal: typeof type === 'string' && type.startsWith('decimal(') ? type : undefined,
    texts: pattern === undefined ? undefined : new RegExp(pattern, 'u'),
  }
}

/** Whether a column can have `value`. */
export function canHave({ texts }: ColumnRule, value: unknown): boolean {
  return texts === undefined || typeof value !== 'string' || texts.test(value)
}

/**
 * A valid value as its column takes it.
 *
 * @param path where it stands in the request to `resource`
 * @throws {PlinthError} INVALID_REQUEST for a time that no column takes
 */
export function toColumn(
  { instant, isJson, isTime, decimal }: ColumnRule,
  value: unknown,
  path: string,
  resource: string,
): unknown {
  if (value === null || value === undefined) return value
  // A text or a number is JSON, too.
  if (isJson) return JSON.stringify(value)
  // As both databases tell it: SQLite, which keeps a text as it comes, would take another spelling for another value.
  if (isTime) return readTime(value)
  if (decimal !== undefined) return inFull(String(value), decimal)
  if (instant === undefined) return value
  const date = toInstant(path, String(value), resource)
  return instant === 'date' ? date : date.toISOString()
}

/** Refused is what no column takes: a leap second, a time zone that leads out of the years. */
function toInstant(path: string, text: string, resource: string): Date {
  const date = new Date(text)
  const year = date.getUTCFullYear()
  if (year >= 0 && year <= 9999) return date
  const message = 'must be a time that exists, of the years 0 to 9999'
  throw errors.INVALID_REQUEST.with({ errors: [{ path, message }] }, resource)
}

/** A decimal with all the digits that its type has behind the point, and no sign where it is nothing. */
function inFull(text: string, type: string): string {
  const scale = Number(/,(\d+)/.exec(type)?.[1] ?? 0)
  const [whole = '', decimals = ''] = text.split('.')
  const full = scale === 0 && decimals === '' ? whole : `${whole}.${decimals.padEnd(scale, '0')}`
  return /^-[0.]*$/.test(full) ? full.slice(1) : full
}

/** Whether SQLite has the values of a column as texts that are numbers: decimals of more digits than its numbers keep. */
export function isLongDecimal({ decimal }: Pick<ColumnRule, 'decimal'>): boolean {
  return decimal !== undefined && !isExactDecimal(decimal)
}

/** Such a column, or a value for it, as SQLite compares and sorts it by value, as far as the first 15 digits tell. */
export function asNumber(value: unknown): RawBuilder<number> {
  return sql<number>`cast(${value} as real)`
}
