import type { Row } from '../../types.ts'
import { type Convert, readTime } from '../values.ts'

// Numbers of the protocol; mysql2 does not type its table of them.
const TYPES = {
  tiny: 1,
  timestamp: 7,
  longlong: 8,
  time: 11,
  datetime: 12,
  json: 245,
  newdecimal: 246,
} as const

/** What the server says of a column of a result; of mysql2's field the part that we need. */
export interface Field {
  name: string
  columnType: number
  columnLength: number
  decimals: number
  /** Empty for an expression. */
  orgTable: string
  /** MariaDB's JSON is a text with this mark. */
  extendedFormat?: string
}

/** The columns of a result that need conversion. */
export type Conversions = readonly (readonly [name: string, convert: Convert])[]

/**
 * Our types are made after mysql2 has parsed the rows, not in its `typeCast`: that is called for every value
 * of every column, and is not told whether a column is an expression.
 */
export function conversionsOf(fields: readonly Field[]): Conversions {
  return fields.flatMap((field) => {
    const convert = converterFor(field)
    return convert ? [[field.name, convert] as const] : []
  })
}

/** Converts a row in place. */
export function convertRow(row: Row, conversions: Conversions): Row {
  for (const [name, convert] of conversions) {
    if (row[name] !== null) row[name] = convert(row[name])
  }
  return row
}

function converterFor(field: Field): Convert | undefined {
  if (field.extendedFormat === 'json') return parseJson
  switch (field.columnType) {
    case TYPES.json:
      return parseJson
    case TYPES.longlong:
      return toInteger
    case TYPES.datetime:
    case TYPES.timestamp:
      return toInstant
    case TYPES.time:
      // Without parts of seconds there is nothing to tell in another way.
      return field.decimals > 0 ? readTime : undefined
    case TYPES.tiny:
      return field.columnLength === 1 ? Boolean : undefined
    case TYPES.newdecimal:
      // sum() of integers is a DECIMAL here, but an integer to everyone else.
      return field.orgTable === '' && field.decimals === 0 ? parseInteger : undefined
    default:
      return undefined
  }
}

const parseJson: Convert = (value) => JSON.parse(String(value))

// mysql2 hands out a string where a number would not be exact.
const toInteger: Convert = (value) => (typeof value === 'string' ? BigInt(value) : value)

const parseInteger: Convert = (value) => {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : BigInt(String(value))
}

// `2026-11-22 10:00:00` with 0 to 6 decimals
const toInstant: Convert = (value) => {
  const text = String(value)
  const time = text.length > 19 ? text.slice(11, 23).padEnd(12, '0') : `${text.slice(11)}.000`
  return `${text.slice(0, 10)}T${time}Z`
}
