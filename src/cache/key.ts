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
const digest = (text: string): string => hash('sha256', Buffer.from(text, 'utf16le'), 'base64url')

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

const HEAD = 128

/** What of a key stays readable where it is hashed: its printable beginning, without the mark of hashing. */
const head = (key: string): string => /^[\x20-\x7d]*/.exec(key.slice(0, HEAD))?.[0] ?? ''

/** A key as part of a name in Redis: itself, or, where it is long or odd, its beginning and its hash. */
export function idOf(key: string): string {
  const readable = head(key)
  return readable === key ? key : `${readable}~${digest(key)}`
}

/** The pattern of SCAN that finds the id of every key that begins with `prefix`, and whether it finds no other. */
export function patternOf(prefix: string): { pattern: string; exact: boolean } {
  const readable = head(prefix)
  // Where the prefix does not stay readable as a whole, every key that begins with it is hashed.
  return readable === prefix
    ? { pattern: `${literal(prefix)}*`, exact: true }
    : { pattern: `${literal(readable)}~*`, exact: false }
}

/** A text in a pattern of SCAN. */
export const literal = (text: string): string => text.replace(/[*?[\]\\]/g, '\\$&')

/**
 * The names of everything that a cache keeps in Redis. The prefix is a hash tag: in a cluster all of it is on
 * one node, where scripts can use several keys.
 */
export class RedisNames {
  readonly #base: string
  readonly entries: string
  readonly leases: string
  /** The generation of all: a new one when the cache has been cleared. */
  readonly clears: string
  readonly fence: string
  readonly counts: string
  readonly state: string
  readonly channel: string

  /**
   * @param before what the connection puts before each name
   * @throws {TypeError} where `prefix` is not letters, digits and _ . : -
   */
  constructor(prefix: string, before = '') {
    if (!/^[\w.:-]+$/.test(prefix)) {
      throw new TypeError(
        `The prefix ${prefix} of a cache is not usable: expected letters, digits and _ . : -`,
      )
    }
    this.#base = `${before}{${prefix}}:`
    this.entries = `${this.#base}c:`
    this.leases = `${this.#base}l:`
    this.clears = `${this.#base}clears`
    this.fence = `${this.#base}fence`
    this.counts = `${this.#base}counts`
    this.state = `${this.#base}state`
    this.channel = `${this.#base}changes`
  }

  entry = (key: string): string => this.entries + idOf(key)
  /** Held by who loads the entry. */
  lease = (key: string): string => this.leases + idOf(key)
  /** The generation of a tag. */
  tag = (tag: string): string => `${this.#base}g:${idOf(tag)}`
  lock = (name: string): string => `${this.#base}lock:${idOf(name)}`
}
