import type { TSchema } from 'typebox'
import { columnState } from '../database/model/column-state.ts'
import { partsOf } from '../database/model/nullable.ts'
import { charactersOf } from '../database/schema/charset.ts'
import { errors } from '../errors.ts'

/** What becomes of a client's value before a column takes it or is compared with it. */
export interface ColumnRule {
  /** A `date-time`: `date` where it is the type of the column, too, `text` where that holds any text. */
  instant: 'date' | 'text' | undefined
  isJson: boolean
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
  { instant, isJson }: ColumnRule,
  value: unknown,
  path: string,
  resource: string,
): unknown {
  if (value === null || value === undefined) return value
  // A text or a number is JSON, too.
  if (isJson) return JSON.stringify(value)
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
