import { steady } from '../steady.ts'
import type { Entry, EntryOptions, LoadTimes } from './types.ts'

/** An entry as it is kept: with what `invalidate` needs. */
export interface Item extends Entry {
  readonly tags: readonly string[]
}

const YEAR = 366 * 24 * 60 * 60
const DAY = 24 * 60 * 60

/**
 * What is kept of `text` from now on. Its time is up to a tenth shorter than asked for, so that what was stored
 * together does not end together.
 */
export function toItem(text: string, { ttl, stale = 0, tags = [] }: EntryOptions): Item {
  const fresh = steady.now() + ttl * 1000 * (1 - Math.random() / 10)
  return { text, fresh, until: fresh + stale * 1000, tags }
}

/** @throws {RangeError} where the times of `options` cannot be */
export function assertTimes({ ttl, stale = 0, loadTimeout = 0 }: EntryOptions & LoadTimes): void {
  if (!(ttl > 0 && ttl <= YEAR)) {
    throw new RangeError(`ttl is ${ttl}; expected seconds above 0, a year at most`)
  }
  if (!(stale >= 0 && stale <= YEAR)) {
    throw new RangeError(`stale is ${stale}; expected seconds from 0, a year at most`)
  }
  if (!(loadTimeout >= 0 && loadTimeout <= DAY)) {
    throw new RangeError(`loadTimeout is ${loadTimeout}; expected seconds from 0, a day at most`)
  }
}

/**
 * The JSON of a value that is to be stored under `key`; `undefined` of `undefined`.
 *
 * @throws {TypeError} where `value` is or contains a function, a symbol, a bigint or itself
 */
export function toJson(key: string, value: unknown): string | undefined {
  try {
    return JSON.stringify(value, refuse)
  } catch (cause) {
    const problem = (cause as Error).message.split('\n', 1)[0]
    throw new TypeError(`The value for the cache key ${key} is no JSON: ${problem}`, { cause })
  }
}

// JSON.stringify leaves these out in silence.
function refuse(name: string, value: unknown): unknown {
  if (typeof value !== 'function' && typeof value !== 'symbol') return value
  throw new TypeError(`${name === '' ? 'it' : `its property ${name}`} is a ${typeof value}`)
}

/** `item` with its times by the clocks that all processes share, as Redis has it; here they are those of `steady`. */
export const toShared = (item: Item): Item => moved(item, Date.now() - steady.now())

/** The same back. */
export const fromShared = <T extends Item>(item: T): T => moved(item, steady.now() - Date.now())

function moved<T extends Item>(item: T, by: number): T {
  return { ...item, fresh: item.fresh + by, until: item.until + by }
}

/** Milliseconds that it lives in Redis, which takes no less than one. */
export const lifeOf = ({ until }: Item): number => Math.max(1, Math.ceil(until - steady.now()))
