import { unlessAborted } from '../abort.ts'
import { steady } from '../steady.ts'
import type { CountsShare } from './counts.ts'
import { assertTimes, toItem, toJson } from './entry.ts'
import { bounded, type Loader } from './loader.ts'
import { acquireLock, type LockPlace } from './lock.ts'
import type { MemoryLevel } from './memory-level.ts'
import type { Change } from './redis-bus.ts'
import type { RedisLevel } from './redis-level.ts'
import type {
  Cache,
  CacheCounts,
  CacheStats,
  EntryOptions,
  Load,
  LoadOptions,
  LoadTimes,
  Lock,
  LockOptions,
  Transactions,
} from './types.ts'

export interface Levels {
  memory: MemoryLevel
  redis: RedisLevel | undefined
  loader: Loader
  locks: LockPlace
  counts: CacheCounts
  shared: CountsShare | undefined
  transactions: Transactions | undefined
}

/** Level 1 in this process, level 2, if there is one, in Redis. */
export class TwoLevelCache implements Cache {
  readonly keeps: boolean
  readonly counts: CacheCounts
  readonly #memory: MemoryLevel
  readonly #redis: RedisLevel | undefined
  readonly #locks: LockPlace
  readonly #shared: CountsShare | undefined
  readonly #loader: Loader
  readonly #transactions: Transactions | undefined

  constructor({ memory, redis, loader, locks, counts, shared, transactions }: Levels) {
    this.keeps = memory.keeps || redis !== undefined
    this.#memory = memory
    this.#redis = redis
    this.#loader = loader
    this.#transactions = transactions
    this.#locks = locks
    this.counts = counts
    this.#shared = shared
  }

  get isBehind(): boolean {
    return this.#redis?.isBehind ?? false
  }

  peek(key: string): string | undefined {
    return this.#transactions?.active() ? undefined : this.#fresh(key)
  }

  #fresh(key: string): string | undefined {
    const item = this.#memory.get(key)
    if (item === undefined || steady.now() >= item.fresh) return undefined
    this.counts.hits_memory++
    return item.text
  }

  async text(
    key: string,
    load: Load<string | undefined>,
    options: LoadOptions,
  ): Promise<string | undefined> {
    if (this.#transactions?.active()) return await bounded(load, options)
    const item = this.#memory.get(key)
    const now = steady.now()
    if (item !== undefined && now < item.fresh) {
      this.counts.hits_memory++
      return item.text
    }
    assertTimes(options)
    options.signal?.throwIfAborted()
    this.#shared?.start()
    if (item !== undefined && now < item.until) {
      this.#loader.reload(key, load, options)
      this.counts.stale++
      return item.text
    }
    const found = this.#loader.find(key, load, options)
    const answer = await (options.signal ? unlessAborted(found, options.signal) : found)
    if (answer.from === 'stale') this.#loader.reload(key, load, options)
    this.counts[answer.from]++
    return answer.text
  }

  async refresh(
    key: string,
    load: Load<string | undefined>,
    options: LoadOptions,
  ): Promise<string | undefined> {
    assertTimes(options)
    options.signal?.throwIfAborted()
    if (this.#transactions?.active()) {
      const text = await bounded(load, options)
      await this.delete(key)
      return text
    }
    const answer = this.#loader.refresh(key, load, options)
    return (await unlessAborted(answer, options.signal)).text
  }

  async getOrSet<T>(
    key: string,
    load: (signal: AbortSignal) => Promise<T> | T,
    options: EntryOptions & LoadTimes,
  ): Promise<T> {
    const text = await this.text(key, async (signal) => toJson(key, await load(signal)), options)
    return (text === undefined ? undefined : JSON.parse(text)) as T
  }

  async get<T>(key: string): Promise<T | undefined> {
    const text = this.#fresh(key) ?? (await this.#read(key))
    return text === undefined ? undefined : (JSON.parse(text) as T)
  }

  async set(key: string, value: unknown, options: EntryOptions): Promise<void> {
    assertTimes(options)
    const text = toJson(key, value)
    if (text === undefined) return await this.delete(key)
    await this.#change(() => this.#loader.put(key, toItem(text, options), options))
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
      cleared = await this.#clear(prefix)
    })
    return cleared
  }

  async #clear(prefix: string): Promise<number> {
    const here = this.#loader.forget(['prefix', prefix])
    const there = await this.#redis?.change(['prefix', prefix])
    this.#loader.forget(['prefix', prefix])
    return there ?? here
  }

  async lock(name: string, options: LockOptions): Promise<Lock> {
    return await acquireLock(this.#locks, name, options)
  }

  async stats(): Promise<CacheStats> {
    const counts = (await this.#shared?.total()) ?? { ...this.counts }
    const redis = (await this.#redis?.size()) ?? null
    return { counts, memory: this.#memory.size, redis }
  }

  async close(): Promise<void> {
    await this.#shared?.stop()
    this.#redis?.close()
  }

  async #read(key: string): Promise<string | undefined> {
    this.#shared?.start()
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
  async #forget(change: Change): Promise<void> {
    this.#loader.forget(change)
    if (!this.#redis) return
    await this.#redis.change(change)
    this.#loader.forget(change)
  }
}
