/** @ts-ignore: there where it is installed */
import type { Redis } from 'ioredis'
import { unlessAborted } from '../abort.ts'
import { whenLate } from '../deadlines.ts'
import { type Duration, TIMER, toMilliseconds } from '../duration.ts'
import { errors } from '../errors.ts'
import { steady } from '../steady.ts'
import {
  type Item,
  MEMORY_LIMITS,
  MemoryLevel,
  type MemoryLimits,
  readTimes,
  toItem,
  toJson,
} from './entries.ts'
import { type Answer, bounded, Loader } from './loader.ts'
import { Locks, MemoryLocks, RedisLocks } from './lock.ts'
import type { Change, Log } from './redis-connection.ts'
import { RedisLevel } from './redis-level.ts'
import type {
  Cache,
  CacheCounts,
  CacheStats,
  Entry,
  EntryOptions,
  Found,
  Load,
  LoadOptions,
  LoadTimes,
  Lock,
  LockOptions,
  Transactions,
  ValueOptions,
} from './types.ts'

export interface CacheOptions extends Partial<MemoryLimits> {
  /** A connection to Redis, which stays the caller's; without one everything is in memory. */
  client?: Redis | undefined
  /** What every name in Redis begins with, in braces; default `plinth`. Letters, digits and _ . : - */
  prefix?: string
  /** After how long the cache goes on without an answer of Redis: milliseconds, or a text like `'1s'`; default 250. */
  commandTimeout?: Duration
  /** Default: there are none. */
  transactions?: Transactions
  log: Log
}

/**
 * Opens a cache. Nothing is asked of Redis before it is used.
 *
 * @throws {TypeError} where the prefix or a limit is not usable
 */
export async function openCache(options: CacheOptions): Promise<Cache> {
  const { client, prefix = 'plinth', commandTimeout = 250, log, transactions } = options
  const timeout = toMilliseconds(commandTimeout, 'commandTimeout', { ...TIMER, whole: false })
  const { maxEntries = MEMORY_LIMITS.maxEntries, maxBytes = MEMORY_LIMITS.maxBytes } = options
  const memory = new MemoryLevel({ maxEntries, maxBytes })
  const counts: CacheCounts = {
    ...{ hits_memory: 0, hits_redis: 0, misses: 0, stale: 0 },
    ...{ failures: 0, garbage: 0, errors: 0 },
  }
  const redis =
    client &&
    new RedisLevel({
      client,
      command: (await import('ioredis')).Command,
      prefix,
      timeout,
      counts,
      log,
      onChange: (change) => loader.forget(change),
      onGap: () => loader.forget(['prefix', '']),
    })
  const loader = new Loader(memory, redis, counts)
  const locks = new Locks(redis ? new RedisLocks(redis) : new MemoryLocks())
  return new TwoLevelCache({ memory, redis, loader, locks, counts, transactions })
}

interface Levels {
  memory: MemoryLevel
  redis: RedisLevel | undefined
  loader: Loader
  locks: Locks
  counts: CacheCounts
  transactions: Transactions | undefined
}

type TextLoad = Load<string | undefined>

/** What a cache does with values, by what it does with texts; a namespace by what the cache does that it is a part of. */
abstract class ValueCache {
  abstract find(key: string, load: TextLoad, options: LoadOptions): Promise<Found>

  async getOrSet<T>(
    key: string,
    load: (signal: AbortSignal) => Promise<T> | T,
    options: ValueOptions<T> & LoadTimes,
  ): Promise<T> {
    let value: T
    const loadText = async (signal: AbortSignal) => {
      value = await load(signal)
      return toJson(key, value)
    }
    const { ttl, tags, ...others } = options
    const how =
      typeof ttl === 'function' || typeof tags === 'function'
        ? { ...others, ...fixed(options), decide: () => settled(options, value) }
        : (options as LoadOptions)
    const { text } = await this.find(key, loadText, how)
    return (text === undefined ? undefined : JSON.parse(text)) as T
  }
}

/** Of options what does not follow from a value. */
function fixed<T>({ ttl, tags }: ValueOptions<T>): Pick<EntryOptions, 'ttl' | 'tags'> {
  return {
    // Whatever it is then, nothing is stored before that is known.
    ttl: typeof ttl === 'function' ? '1m' : ttl,
    ...(Array.isArray(tags) && { tags }),
  }
}

function settled<T>({ ttl, tags, ...others }: ValueOptions<T>, value: T): EntryOptions {
  return {
    ...others,
    ttl: typeof ttl === 'function' ? ttl(value) : ttl,
    ...(tags && { tags: typeof tags === 'function' ? tags(value) : tags }),
  }
}

/** Level 1 in this process, level 2, if there is one, in Redis. */
class TwoLevelCache extends ValueCache implements Cache {
  readonly keeps: boolean
  readonly counts: CacheCounts
  readonly #memory: MemoryLevel
  readonly #redis: RedisLevel | undefined
  readonly #locks: Locks
  readonly #loader: Loader
  readonly #transactions: Transactions | undefined

  constructor({ memory, redis, loader, locks, counts, transactions }: Levels) {
    super()
    this.keeps = memory.keeps || redis !== undefined
    this.#memory = memory
    this.#redis = redis
    this.#loader = loader
    this.#transactions = transactions
    this.#locks = locks
    this.counts = counts
  }

  get isBehind(): boolean {
    return this.#redis?.isBehind ?? false
  }

  get isShared(): boolean {
    return this.#redis !== undefined
  }

  peek(key: string): Entry | undefined {
    return this.#transactions?.active() ? undefined : this.#fresh(key)
  }

  #fresh(key: string): Item | undefined {
    const item = this.#memory.get(key)
    if (item === undefined || steady.now() >= item.fresh) return undefined
    this.counts.hits_memory++
    return item
  }

  async find(key: string, load: TextLoad, options: LoadOptions): Promise<Found> {
    if (this.#transactions?.active()) return await this.#without(load, options)
    const item = this.#memory.get(key)
    if (item !== undefined && steady.now() < item.fresh) {
      this.counts.hits_memory++
      return item
    }
    const { call, soft } = readTimes(options)
    options.signal?.throwIfAborted()
    if (item !== undefined && steady.now() < item.until)
      return await this.#renew(key, load, options, soft, item)
    const found = this.#loader.find(key, load, options)
    const answer = await waitedFor(found, call, options.signal)
    if (answer.from === 'stale') return await this.#renew(key, load, options, soft, answer)
    this.counts[answer.from]++
    return answer
  }

  /** A stale one, or the fresh one where it is there soon enough. */
  async #renew(
    key: string,
    load: TextLoad,
    options: LoadOptions,
    soft: number,
    stale: Found,
  ): Promise<Found> {
    const reload = this.#loader.reload(key, load, options)
    const fresh = soft > 0 && reload ? await soon(reload, soft, options.signal) : undefined
    this.counts[fresh?.text === undefined ? 'stale' : fresh.from]++
    return fresh?.text === undefined ? stale : fresh
  }

  async #without(load: TextLoad, options: LoadOptions): Promise<Found> {
    const text = await bounded(load, readTimes(options).load)
    return { text, stored: steady.now() }
  }

  async refresh(key: string, load: TextLoad, options: LoadOptions): Promise<Found> {
    const { call } = readTimes(options)
    options.signal?.throwIfAborted()
    if (this.#transactions?.active()) {
      const found = await this.#without(load, options)
      await this.delete(key)
      return found
    }
    return await waitedFor(this.#loader.refresh(key, load, options), call, options.signal)
  }

  async get<T>(key: string): Promise<T | undefined> {
    const text = this.#fresh(key)?.text ?? (await this.#read(key))
    return text === undefined ? undefined : (JSON.parse(text) as T)
  }

  async set<T>(key: string, value: T, options: ValueOptions<T>): Promise<void> {
    const text = toJson(key, value)
    if (text === undefined) return await this.delete(key)
    const how = settled(options, value)
    readTimes(how)
    await this.#change(() => this.#loader.put(key, toItem(text, how), how))
  }

  async delete(...keys: string[]): Promise<void> {
    if (keys.length > 0) await this.#change(() => this.#forget(['key', ...keys]))
  }

  async invalidate(...tags: string[]): Promise<void> {
    if (tags.length > 0) await this.#change(() => this.#forget(['tag', ...tags]))
  }

  async clear(prefix = ''): Promise<number> {
    let cleared = 0
    await this.#change(async () => {
      cleared = await this.#forget(['prefix', prefix])
    })
    return cleared
  }

  async lock(name: string, options: LockOptions): Promise<Lock> {
    return await this.#locks.acquire(name, options)
  }

  namespace(name: string): Cache {
    return new Namespace(this, name)
  }

  async stats(): Promise<CacheStats> {
    const counts = (await this.#redis?.counts()) ?? { ...this.counts }
    const redis = (await this.#redis?.size()) ?? null
    return { counts, memory: this.#memory.size, redis }
  }

  async close(): Promise<void> {
    await this.#redis?.close()
  }

  async #read(key: string): Promise<string | undefined> {
    const item = await this.#loader.read(key)
    const fresh = item !== undefined && steady.now() < item.fresh
    this.counts[fresh ? 'hits_redis' : 'misses']++
    return fresh ? item.text : undefined
  }

  // What others can read before the commit is the old, which would be stored again.
  async #change(make: () => Promise<unknown>): Promise<void> {
    if (this.#transactions?.active()) this.#transactions.afterCommit(make)
    else await make()
  }

  // Before, so that nothing old is served here meanwhile; after, as it may have been read again meanwhile.
  async #forget(change: Change): Promise<number> {
    const here = this.#loader.forget(change)
    if (!this.#redis) return here
    const there = await this.#redis.change(change)
    this.#loader.forget(change)
    return there ?? here
  }
}

/** @param timeout milliseconds; 0: as long as it takes. @throws {PlinthError} DEADLINE_EXCEEDED */
async function waitedFor<T>(
  work: Promise<T>,
  timeout: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (timeout === 0) return await unlessAborted(work, signal)
  const end = new AbortController()
  const inTime = whenLate(timeout, () => end.abort(errors.DEADLINE_EXCEEDED(timeout)))
  return await unlessAborted(work, signal, end.signal).finally(inTime)
}

/** What `reload` comes to within `timeout` ms; `undefined` where it fails, too. @throws the reason of `signal` */
async function soon(
  reload: Promise<Answer | undefined>,
  timeout: number,
  signal: AbortSignal | undefined,
): Promise<Answer | undefined> {
  const answer = waitedFor(reload, timeout, signal)
  return await answer.catch(() => {
    signal?.throwIfAborted()
    return undefined
  })
}

/** A part of a cache: its names begin with its own. */
class Namespace extends ValueCache implements Cache {
  readonly #cache: Cache
  readonly #name: string

  constructor(cache: Cache, name: string) {
    super()
    this.#cache = cache
    // It says itself where it ends: no other begins like it.
    this.#name = `${JSON.stringify(name)}/`
  }

  get keeps(): boolean {
    return this.#cache.keeps
  }

  get counts(): Readonly<CacheCounts> {
    return this.#cache.counts
  }

  get isBehind(): boolean {
    return this.#cache.isBehind
  }

  get isShared(): boolean {
    return this.#cache.isShared
  }

  peek(key: string): Entry | undefined {
    return this.#cache.peek(this.#name + key)
  }

  async find(key: string, load: TextLoad, options: LoadOptions): Promise<Found> {
    return await this.#cache.find(this.#name + key, load, this.#own(options))
  }

  async refresh(key: string, load: TextLoad, options: LoadOptions): Promise<Found> {
    return await this.#cache.refresh(this.#name + key, load, this.#own(options))
  }

  async get<T>(key: string): Promise<T | undefined> {
    return await this.#cache.get<T>(this.#name + key)
  }

  async set<T>(key: string, value: T, options: ValueOptions<T>): Promise<void> {
    if (value === undefined) return await this.delete(key)
    await this.#cache.set(this.#name + key, value, this.#ownTags(settled(options, value)))
  }

  async delete(...keys: string[]): Promise<void> {
    await this.#cache.delete(...keys.map((key) => this.#name + key))
  }

  async invalidate(...tags: string[]): Promise<void> {
    await this.#cache.invalidate(...tags.map((tag) => this.#name + tag))
  }

  async clear(prefix = ''): Promise<number> {
    return await this.#cache.clear(this.#name + prefix)
  }

  async lock(name: string, options: LockOptions): Promise<Lock> {
    return await this.#cache.lock(this.#name + name, options)
  }

  namespace(name: string): Cache {
    return new Namespace(this, name)
  }

  async stats(): Promise<CacheStats> {
    return await this.#cache.stats()
  }

  /** Of no effect: it is that of the whole cache. */
  async close(): Promise<void> {}

  #own(options: LoadOptions): LoadOptions {
    const { decide } = options
    if (!decide) return this.#ownTags(options)
    return { ...this.#ownTags(options), decide: (text) => this.#ownTags(decide(text)) }
  }

  #ownTags<Options extends { tags?: readonly string[] }>(options: Options): Options {
    const { tags } = options
    return tags ? { ...options, tags: tags.map((tag) => this.#name + tag) } : options
  }
}
