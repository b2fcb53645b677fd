import { type Convert, readTime, toBuffer } from '../values.ts'

/**
 * How to make a column's value from what SQLite has stored. SQLite knows numbers, texts and blobs only, so
 * the type in the table's definition decides.
 *
 * @param declared the type as declared (`datetime(3)`); null for an expression such as `count(*)`
 * @returns undefined where the stored value is right as it is
 */
export function converterFor(declared: string | null): Convert | undefined {
  // An expression has no declared type, but what it makes of blobs is a blob.
  if (declared === null) return toBufferIfBytes
  const type = declared.toUpperCase()
  return CONVERTERS.find(([pattern]) => pattern.test(type))?.[1](type)
}

const CONVERTERS: readonly (readonly [RegExp, (type: string) => Convert])[] = [
  [/^BOOL|^TINYINT\(1\)/, () => (value) => Boolean(value)],
  [/^DATETIME|^TIMESTAMP/, () => toInstant],
  [/^DATE\b/, () => (value) => String(value).slice(0, 10)],
  [/^TIME\b/, () => readTime],
  [/^JSON/, () => (value) => JSON.parse(String(value))],
  [/^DECIMAL|^NUMERIC/, toDecimal],
  [/BLOB|BINARY/, () => toBufferIfBytes],
]

const toBufferIfBytes: Convert = (value) => (value instanceof Uint8Array ? toBuffer(value) : value)

const ISO_LENGTH = '2026-11-22T10:00:00.000Z'.length

// Dates that we wrote are right already; CURRENT_TIMESTAMP and SQLite's functions write `2026-11-22 10:00:00`, in UTC.
const toInstant: Convert = (value) => {
  const text = String(value)
  if (text.length === ISO_LENGTH) return text
  const date = new Date(`${text.replace(' ', 'T').replace(/Z$/, '')}Z`)
  return Number.isNaN(date.getTime()) ? text : date.toISOString()
}

// DECIMAL(10,2), and DECIMAL_TEXT(20,2): MySQL answers with as many decimals as were declared.
function toDecimal(type: string): Convert {
  const scale = Number(/,\s*(\d+)/.exec(type)?.[1] ?? 0)
  return (value) => {
    // Of as many digits as a number keeps, the nearest decimal is the one that was written.
    if (typeof value === 'number') return value.toFixed(scale)
    const [whole = '', decimals = ''] = String(value).split('.')
    return scale === 0 && decimals === '' ? whole : `${whole}.${decimals.padEnd(scale, '0')}`
  }
}
