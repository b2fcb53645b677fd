import { randomUUID } from 'node:crypto'
import type { Command, Redis } from 'ioredis'
import { steady } from '../steady.ts'
import { fromShared, type Item, lifeOf, toShared } from './entry.ts'
import { keysOf, LEASE, LEASE_KEPT, Lease } from './lease.ts'
import { Pending } from './pending.ts'
import { decode, encode } from './record.ts'
import { type Change, RedisBus } from './redis-bus.ts'
import { clear, invalidate, type Run, remove, sizeOf } from './redis-changes.ts'
import { AWAY, type Log, RedisLink } from './redis-link.ts'
import { idOf, RedisNames } from './redis-names.ts'
import { ACQUIRE, PUT, RELEASE } from './redis-scripts.ts'
import type { CacheCounts } from './types.ts'

export interface RedisLevelOptions {
  client: Redis
  command: typeof Command
  prefix: string
  /** Milliseconds that one call may take. */
  timeout: number
  counts: CacheCounts
  log: Log
  onChange: (change: Change) => void
  /** Told when level 1 may hold what has been changed elsewhere. */
  onGap: () => void
}

/** `wait`: who asks waits for it; `background`: something is served meanwhile; `force`: others are to stop. */
export type LeaseMode = 'wait' | 'background' | 'force'

/** Level 2: what all processes share. A Redis that is away is no error: what it has to be told is told later. */
export class RedisLevel {
  readonly link: RedisLink
  readonly names: RedisNames
  readonly #bus: RedisBus
  readonly #counts: CacheCounts
  readonly #pending = new Pending()
  /** Leases that Redis may have given without our knowing, and their tokens. */
  readonly #orphans = new Map<string, string>()
  /** Whether there may be anything in level 1: not before changes are heard, unless Redis was away. */
  #used = false

  constructor(options: RedisLevelOptions) {
    const { client, command, timeout, counts, log, onGap } = options
    this.names = new RedisNames(options.prefix)
    this.#counts = counts
    const { channel } = this.names
    const recover = () => this.#catchUp()
    this.link = new RedisLink({
      owner: 'cache',
      client,
      command,
      timeout,
      counts,
      log,
      recover,
      onAway: () => {
        this.#used = true
      },
      onBack: () => {
        if (!this.#bus.hears) onGap()
      },
    })
    this.#bus = new RedisBus({
      client,
      channel,
      timeout,
      onChange: options.onChange,
      onHears: () => {
        if (this.#used) onGap()
        this.#used = true
      },
      onLost: () => {
        if (!this.link.away) onGap()
      },
    })
  }

  /** Whether level 1 may be used: it would hear of every change, or there is nobody to hear of. */
  get trusted(): boolean {
    return this.#bus.hears || this.link.away
  }

  /** Whether there are changes that it has not been told. */
  get isBehind(): boolean {
    return !this.#pending.isEmpty
  }

  /** What is stored under `key`, fresh or stale. */
  async read(key: string): Promise<Item | undefined> {
    if (!this.#bus.hears) await this.#bus.start()
    const record = await this.link.get(this.names.entry(key))
    return record === AWAY || record === null ? undefined : this.#decode(key, record)
  }

  /**
   * The right to load and store. `held`: another process has it; an entry: it has stored it already; `undefined`:
   * Redis is away.
   */
  async acquire(key: string, tags: readonly string[], mode: LeaseMode) {
    await this.#bus.start()
    if (this.link.away) return undefined
    const token = randomUUID()
    const keys = keysOf(this.names, key, tags)
    const args = [token, LEASE, LEASE_KEPT, idOf(key), mode]
    const onUnknown = () => this.#orphan(this.names.lease(key), token)
    const answer = await this.link.store((client) => ACQUIRE.run(client, keys, args))
    if (answer === AWAY) {
      onUnknown()
      return undefined
    }
    const [got, record] = answer as [number, Buffer | null]
    const item = record === null || mode === 'force' ? undefined : this.#decode(key, record)
    const fresh = item !== undefined && steady.now() < item.fresh
    if (!got) return fresh ? item : 'held'
    const { link, names } = this
    const lease = new Lease({ link, bus: this.#bus, names, key, tags, token, onUnknown })
    if (!fresh) return lease
    await lease.release()
    return item
  }

  async put(key: string, item: Item, compress = true): Promise<void> {
    await this.#bus.start()
    const message = this.#bus.message(['key', key])
    const args = [
      encode(key, toShared(item), compress),
      lifeOf(item),
      idOf(key),
      this.names.channel,
      message,
    ]
    const keys = keysOf(this.names, key, item.tags)
    const stored = await this.link.store((client) => PUT.run(client, keys, args))
    // What was there before is not to be served again.
    if (stored === AWAY) await this.change(['key', key])
  }

  /** Makes a change now, or, where Redis is away, when it is back. How many entries were cleared, where it is known. */
  async change(change: Change): Promise<number | undefined> {
    try {
      return await this.#apply(change, (call) => this.link.attempt(call))
    } catch {
      this.#pending.add(change)
      return undefined
    }
  }

  /** Entries and the bytes they take; `undefined` where Redis is away. */
  async size(): Promise<{ entries: number; bytes: number } | undefined> {
    try {
      return await sizeOf(this.names, (call) => this.link.attempt(call))
    } catch {
      return undefined
    }
  }

  close(): void {
    this.link.close()
    this.#bus.close()
  }

  async #apply(change: Change, run: Run): Promise<number> {
    const [kind, ...names] = change
    const message = this.#bus.message(change)
    if (kind === 'prefix') return await clear(this.names, names[0] as string, message, run)
    if (kind === 'tag') await invalidate(this.names, names, message, run)
    else await remove(this.names, names, message, run)
    return 0
  }

  // More than a few end by themselves sooner than they could be given back.
  #orphan(lease: string, token: string): void {
    if (this.#orphans.size < 1000) this.#orphans.set(lease, token)
  }

  // Before Redis is used again: leases whose fate is unknown, and what was changed meanwhile.
  async #catchUp(): Promise<void> {
    const run: Run = (call) => this.link.bounded(call)
    for (const [name, token] of this.#orphans) {
      await run((client) => RELEASE.run(client, [name], [token, 0]))
      this.#orphans.delete(name)
    }
    const changes = this.#pending.take()
    try {
      for (const change of changes) await this.#apply(change, run)
    } catch (error) {
      for (const change of changes) this.#pending.add(change)
      throw error
    }
  }

  #decode(key: string, record: Buffer): Item | undefined {
    const found = decode(record)
    const item = found && fromShared(found)
    if (item?.key === key) return steady.now() < item.until ? item : undefined
    this.#counts.garbage++
    void this.link.run((client) => client.unlink(this.names.entry(key)))
    return undefined
  }
}
