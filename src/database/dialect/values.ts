/** Writes a valid date of the years 0 to 9999 as the database wants it. */
export type FormatDate = (date: Date) => string

/**
 * The parameters of a statement as both drivers take them: numbers, bigints, strings, Buffers and null.
 * Booleans become 1 and 0; arrays and plain objects become JSON.
 *
 * @throws {TypeError} for what has no place in a column: undefined, NaN, an invalid date, a function, a Map, …
 */
export function bindable(parameters: readonly unknown[], formatDate: FormatDate): Bindable[] {
  return parameters.map((value, index) => {
    if (typeof value === 'string' || typeof value === 'bigint') return value
    if (typeof value === 'number' && Number.isFinite(value)) return value
    if (typeof value === 'boolean') return value ? 1 : 0
    if (value === null) return null
    if (typeof value === 'object') return ofObject(value, index, formatDate)
    return refuse(value, index)
  })
}

export type Bindable = number | bigint | string | null | Buffer

function ofObject(value: object, index: number, formatDate: FormatDate): string | Buffer {
  if (value instanceof Date) return inRange(value) ? formatDate(value) : refuse(value, index)
  if (value instanceof Uint8Array) return toBuffer(value)
  return isPlain(value) ? JSON.stringify(value) : refuse(value, index)
}

/** The same bytes as a Buffer, not copied. */
export function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

// An invalid date's year is NaN.
function inRange(date: Date): boolean {
  const year = date.getUTCFullYear()
  return year >= 0 && year <= 9999
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  return Array.isArray(value) || prototype === Object.prototype || prototype === null
}

function refuse(value: unknown, index: number): never {
  const got = value instanceof Date ? describeDate(value) : describe(value)
  throw new TypeError(
    `Parameter ${index + 1} of the statement is ${got}; expected a finite number, bigint, string, boolean, Date, ` +
      'Buffer, null, or an array or plain object for a JSON column',
  )
}

const describeDate = (date: Date) =>
  Number.isNaN(date.getTime()) ? 'an invalid Date' : `a Date of the year ${date.getUTCFullYear()}`

function describe(value: unknown): string {
  if (typeof value === 'object' && value !== null) return `a ${value.constructor?.name ?? 'object'}`
  return typeof value === 'number' ? String(value) : typeof value
}

/** Makes a column's value, never null, from what the driver has read. */
export type Convert = (value: unknown) => unknown

/** An integer of 64 bits: a number where that is exact, else a bigint. What is none stays as it is. */
export function narrow(value: unknown): unknown {
  if (typeof value !== 'bigint') return value
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

/** A time of day as every database tells it: `10:00:00`, and `10:00:00.500` where it has a part of a second. */
export const readTime = (value: unknown): string => {
  const [whole = '', fraction = ''] = String(value).split('.')
  return /^0*$/.test(fraction) ? whole : `${whole}.${fraction.padEnd(3, '0')}`
}
