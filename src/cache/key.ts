import { hash } from 'node:crypto'

const READABLE = 200
const DEPTH = 500

/**
 * A text that is the same for equal values and another for every other: `1` and `'1'`, `null` and `'null'`,
 * `[1, 2]` and `[2, 1]` differ; the order of properties, and those that are undefined, make no difference.
 * Of short ones it can be read what they are, long ones are hashed.
 *
 * @throws {TypeError} for what has no such text: functions, symbols, maps, sets, and what contains itself
 */
export function canonicalKey(value: unknown): string {
  const text = write(value, 0)
  // No readable one begins with #.
  return text.length > READABLE ? `#${digest(text)}` : text
}

/** SHA-256 of every UTF-16 unit, so that lone surrogates differ, too. */
export const digest = (text: string): string =>
  hash('sha256', Buffer.from(text, 'utf16le'), 'base64url')

function write(value: unknown, depth: number): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value)
    case 'number':
      // -0 is written as 0, NaN and the infinities as themselves.
      return `${value}`
    case 'bigint':
      return `${value}n`
    case 'boolean':
    case 'undefined':
      return `${value}`
    case 'object':
      return value === null ? 'null' : writeObject(value, depth + 1)
    default:
      throw new TypeError(`A ${typeof value} cannot be part of a cache key`)
  }
}

function writeObject(value: object, depth: number): string {
  if (depth > DEPTH) throw new TypeError(`A cache key may be nested ${DEPTH} times at most`)
  if (Array.isArray(value)) return `[${Array.from(value, (item) => write(item, depth)).join()}]`
  if (value instanceof Date) return `@${value.getTime()}`
  if ('toJSON' in value && typeof value.toJSON === 'function') return write(value.toJSON(), depth)
  const prototype = Object.getPrototypeOf(value)
  // Those without a constructor are plain, too: so are the parameters of a path.
  if (prototype !== Object.prototype && prototype?.constructor !== undefined) {
    throw new TypeError(`A ${prototype.constructor.name} cannot be part of a cache key`)
  }
  return writeProperties(value as Record<string, unknown>, depth)
}

function writeProperties(value: Record<string, unknown>, depth: number): string {
  let text = ''
  for (const name of Object.keys(value).sort()) {
    const property = value[name]
    if (property === undefined) continue
    text += `${text === '' ? '' : ','}${JSON.stringify(name)}:${write(property, depth)}`
  }
  return `{${text}}`
}
