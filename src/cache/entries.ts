import { LRUCache } from 'lru-cache'
import { toMilliseconds, YEAR } from '../duration.ts'
import { steady } from '../steady.ts'
import type { Entry, EntryOptions, LoadTimes } from './types.ts'

/** An entry as it is kept: with what `invalidate` needs. */
export interface Item extends Entry {
  readonly tags: readonly string[]
}

const DAY = 24 * 60 * 60 * 1000

/**
 * What is kept of `text` from now on. Its time is up to a tenth shorter than asked for, so that what was stored
 * together does not end together.
 *
 * @throws {RangeError} where its times cannot be
 */
export function toItem(text: string, { ttl, stale = 0, tags = [] }: EntryOptions): Item {
  const stored = steady.now()
  const fresh = stored + toMilliseconds(ttl, 'ttl', LIVES) * (1 - Math.random() / 10)
  return { text, stored, fresh, until: fresh + toMilliseconds(stale, 'stale'), tags }
}

const MINUTE = 60_000
const LIVES = { least: Number.MIN_VALUE, most: YEAR }

/** How long to wait, in milliseconds. */
export interface Waits {
  readonly load: number
  readonly call: number
  readonly soft: number
}

/** @throws {RangeError} where the times of `options` cannot be */
export function readTimes(options: Partial<EntryOptions> & LoadTimes): Waits {
  const { ttl, stale = 0, loadTimeout = MINUTE, timeout = 0, softTimeout = 0 } = options
  if (ttl !== undefined) toMilliseconds(ttl, 'ttl', LIVES)
  toMilliseconds(stale, 'stale')
  return {
    load: toMilliseconds(loadTimeout, 'loadTimeout', { most: DAY }),
    call: toMilliseconds(timeout, 'timeout', { most: DAY }),
    soft: toMilliseconds(softTimeout, 'softTimeout', { most: DAY }),
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

export interface MemoryLimits {
  /** How many entries level 1 holds at most; default 10,000. */
  maxEntries: number
  /** How many bytes level 1 holds at most, about; 0: it holds none. Default 64 MB. */
  maxBytes: number
}

export const MEMORY_LIMITS: MemoryLimits = { maxEntries: 10_000, maxBytes: 64 * 1024 * 1024 }

// What an entry takes beside its key and text, about: its object, its tags and its place in the index.
const OVERHEAD = 300

/** Level 1: the entries of this process, those that were used last. */
export class MemoryLevel {
  /** Whether it holds any. */
  readonly keeps: boolean
  readonly #items: LRUCache<string, Item>
  readonly #tagged = new Map<string, Set<string>>()

  constructor({ maxEntries, maxBytes }: MemoryLimits) {
    this.keeps = maxBytes > 0
    this.#items = new LRUCache<string, Item>({
      max: maxEntries,
      // 0 would be no limit: with one byte nothing fits.
      maxSize: Math.max(1, maxBytes),
      sizeCalculation: ({ text }, key) => Buffer.byteLength(text) + key.length + OVERHEAD,
      dispose: (item, key) => this.#untag(item, key),
    })
  }

  get(key: string): Item | undefined {
    return this.keeps ? this.#items.get(key) : undefined
  }

  set(key: string, item: Item): void {
    this.#items.set(key, item)
    // One that is too large has not been taken.
    if (this.#items.peek(key) !== item) return
    for (const tag of item.tags) {
      const keys = this.#tagged.get(tag)
      if (keys) keys.add(key)
      else this.#tagged.set(tag, new Set([key]))
    }
  }

  delete(keys: readonly string[]): void {
    for (const key of keys) this.#items.delete(key)
  }

  invalidate(tags: readonly string[]): void {
    if (!this.keeps) return
    for (const tag of tags) {
      const keys = this.#tagged.get(tag)
      if (keys) this.delete([...keys])
    }
  }

  /** Returns how many there were. */
  clear(prefix: string): number {
    const keys = Array.from(this.#items.keys()).filter((key) => key.startsWith(prefix))
    if (keys.length < this.#items.size) this.delete(keys)
    else this.#items.clear()
    return keys.length
  }

  get size(): { entries: number; bytes: number } {
    return { entries: this.#items.size, bytes: this.#items.calculatedSize }
  }

  #untag(item: Item, key: string): void {
    for (const tag of item.tags) {
      const keys = this.#tagged.get(tag)
      keys?.delete(key)
      if (keys?.size === 0) this.#tagged.delete(tag)
    }
  }
}

// magic PC, version, flags | crc32 of all the rest | stored | fresh | until | length of the header | header | text
const MAGIC = 0x5043
const VERSION = 2
const COMPRESSED = 1
const FIXED = 36
/** Shorter texts are not compressed: it would take longer than sending them. */
const LONG = 1024
/** No text is longer: bytes that claim to be are none of ours. */
const LIMIT = 256 * 1024 * 1024

/** Loaded with the first entry: a process without Redis has none. */
const zlib = () => process.getBuiltinModule('node:zlib')

/**
 * An entry with its key and tags, checked by a sum, a long text compressed.
 *
 * @param ahead how many milliseconds the clock that it is kept by is ahead of this one
 */
export function encode(key: string, item: Item, ahead: number, compress = true): Buffer {
  const header = Buffer.from(JSON.stringify([key, item.tags]))
  const plain = Buffer.from(item.text)
  const packed = compress && plain.length >= LONG ? zlib().zstdCompressSync(plain) : plain
  const compressed = packed.length < plain.length
  const record = Buffer.concat([Buffer.alloc(FIXED), header, compressed ? packed : plain])
  record.writeUInt16BE(MAGIC, 0)
  record.writeUInt8(VERSION, 2)
  record.writeUInt8(compressed ? COMPRESSED : 0, 3)
  record.writeDoubleBE(item.stored + ahead, 8)
  record.writeDoubleBE(item.fresh + ahead, 16)
  record.writeDoubleBE(item.until + ahead, 24)
  record.writeUInt32BE(header.length, 32)
  record.writeUInt32BE(sumOf(record), 4)
  return record
}

/** The entry and its key, or `undefined` where these bytes are no record. */
export function decode(record: Buffer, ahead: number): (Item & { key: string }) | undefined {
  if (!isRecord(record)) return undefined
  try {
    const end = FIXED + record.readUInt32BE(32)
    const [key, tags] = JSON.parse(record.toString('utf8', FIXED, end))
    const rest = record.subarray(end)
    const compressed = record.readUInt8(3) === COMPRESSED
    const text = compressed ? zlib().zstdDecompressSync(rest, { maxOutputLength: LIMIT }) : rest
    const [stored, fresh, until] = [8, 16, 24].map((at) => record.readDoubleBE(at) - ahead) as Times
    return { key, tags, text: text.toString(), stored, fresh, until }
  } catch {
    return undefined
  }
}

type Times = [stored: number, fresh: number, until: number]

const isRecord = (record: Buffer): boolean =>
  record.length >= FIXED &&
  record.readUInt16BE(0) === MAGIC &&
  record.readUInt8(2) === VERSION &&
  record.readUInt32BE(4) === sumOf(record)

function sumOf(record: Buffer): number {
  const { crc32 } = zlib()
  return crc32(record.subarray(8), crc32(record.subarray(0, 4)))
}
