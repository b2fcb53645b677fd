import { LRUCache } from 'lru-cache'
import type { Item } from './entry.ts'

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
