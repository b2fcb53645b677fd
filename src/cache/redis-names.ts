import { digest } from './key.ts'

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

const literal = (text: string): string => text.replace(/[*?[\]\\]/g, '\\$&')

/**
 * The names of everything that a cache keeps in Redis. The prefix is a hash tag: in a cluster all of it is on
 * one node, where scripts can use several keys.
 */
export class RedisNames {
  readonly #base: string

  /** @throws {TypeError} where `prefix` is not letters, digits and _ . : - */
  constructor(prefix: string) {
    if (!/^[\w.:-]+$/.test(prefix)) {
      throw new TypeError(
        `The prefix ${prefix} of a cache is not usable: expected letters, digits and _ . : -`,
      )
    }
    this.#base = `{${prefix}}:`
  }

  entry = (key: string): string => this.entries + idOf(key)
  /** Held by who loads the entry. */
  lease = (key: string): string => this.leases + idOf(key)
  tag = (tag: string): string => `${this.#base}t:${idOf(tag)}`
  lock = (name: string): string => `${this.#base}lock:${idOf(name)}`

  get entries(): string {
    return `${this.#base}c:`
  }

  get leases(): string {
    return `${this.#base}l:`
  }

  /** How often the cache has been cleared. */
  get clears(): string {
    return `${this.#base}clears`
  }

  get fence(): string {
    return `${this.#base}fence`
  }

  get counts(): string {
    return `${this.#base}counts`
  }

  get channel(): string {
    return `${this.#base}changes`
  }
}
