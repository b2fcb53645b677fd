/** @ts-ignore: there where it is installed */
import type { Redis } from 'ioredis'
import { CountsShare, noCounts } from './counts.ts'
import { Loader } from './loader.ts'
import { MemoryLocks, RedisLocks } from './lock-places.ts'
import { MEMORY_LIMITS, MemoryLevel, type MemoryLimits } from './memory-level.ts'
import { RedisLevel } from './redis-level.ts'
import type { Log } from './redis-link.ts'
import { TwoLevelCache } from './two-level-cache.ts'
import type { Cache, Transactions } from './types.ts'

export interface CacheOptions extends Partial<MemoryLimits> {
  /** A connection to Redis, which stays the caller's; without one everything is in memory. */
  client?: Redis | undefined
  /** What every name in Redis begins with, in braces; default `plinth`. Letters, digits and _ . : - */
  prefix?: string
  /** Milliseconds after which the cache goes on without an answer of Redis; default 250. */
  commandTimeout?: number
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
  const { client, prefix = 'plinth', commandTimeout: timeout = 250, log, transactions } = options
  const { maxEntries = MEMORY_LIMITS.maxEntries, maxBytes = MEMORY_LIMITS.maxBytes } = options
  const memory = new MemoryLevel({ maxEntries, maxBytes })
  const counts = noCounts()
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
  const locks = redis ? new RedisLocks(redis.link, redis.names) : new MemoryLocks()
  const shared = redis && new CountsShare(redis.link, redis.names.counts, counts)
  return new TwoLevelCache({ memory, redis, loader, locks, counts, shared, transactions })
}
