import { type Item, lifeOf, toShared } from './entry.ts'
import { encode } from './record.ts'
import type { RedisBus } from './redis-bus.ts'
import { AWAY, type RedisLink } from './redis-link.ts'
import { idOf, type RedisNames } from './redis-names.ts'
import { RELEASE, RENEW, STORE } from './redis-scripts.ts'

/** Milliseconds after which the lease of a process that has died is free. */
export const LEASE = 2000
/** Milliseconds after which a lease that nobody has taken meanwhile is lost all the same. */
export const LEASE_KEPT = 60_000

export interface LeaseOptions {
  link: RedisLink
  bus: RedisBus
  names: RedisNames
  key: string
  tags: readonly string[]
  token: string
  /** Told when Redis did not answer, so that the lease may still be there. */
  onUnknown: () => void
}

export interface StoreOptions {
  /** Default true. */
  compress?: boolean
  /** Whether the other processes are to forget what they have; default false. */
  announce?: boolean | undefined
}

/**
 * The right to store an entry: one process has it at a time, and loses it where the entry is invalidated while
 * it is loaded.
 */
export class Lease {
  readonly #options: LeaseOptions
  readonly #keys: readonly string[]
  readonly #timer: NodeJS.Timeout

  constructor(options: LeaseOptions) {
    const { names, key, tags } = options
    this.#options = options
    this.#keys = keysOf(names, key, tags)
    this.#timer = setInterval(() => this.#renew(), LEASE / 4).unref()
  }

  /**
   * Stores what was loaded and gives the lease back.
   *
   * @returns false where the lease was lost: what was loaded is out of date
   */
  async store(item: Item, { compress, announce }: StoreOptions): Promise<boolean> {
    clearInterval(this.#timer)
    const { link, bus, names, key, token } = this.#options
    const message = announce ? bus.message(['key', key]) : ''
    const args = [
      token,
      encode(key, toShared(item), compress),
      lifeOf(item),
      idOf(key),
      names.channel,
      message,
    ]
    const stored = await link.store((client) => STORE.run(client, this.#keys, args))
    if (stored === AWAY) this.#options.onUnknown()
    return stored !== 0
  }

  /** Gives it back; for `pause` ms nobody is to load in the background then. */
  async release(pause = 0): Promise<void> {
    clearInterval(this.#timer)
    const { link, names, key, token } = this.#options
    const done = await link.run((client) => RELEASE.run(client, [names.lease(key)], [token, pause]))
    if (done === AWAY) this.#options.onUnknown()
  }

  async #renew(): Promise<void> {
    const { link, key, token } = this.#options
    const args = [token, LEASE, LEASE_KEPT, idOf(key)]
    const kept = await link.run((client) => RENEW.run(client, this.#keys, args))
    if (kept === 0) clearInterval(this.#timer)
  }
}

/** What the scripts of leases are given: the entry, its lease, how often all was cleared, the tags. */
export function keysOf(names: RedisNames, key: string, tags: readonly string[]): string[] {
  return [names.entry(key), names.lease(key), names.clears, ...tags.map(names.tag)]
}
