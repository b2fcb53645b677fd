import { LRUCache } from 'lru-cache'

/** Where sessions are kept, as texts by a key; each until nobody has read it for `ttl` milliseconds. */
export interface SessionStore {
  /** A key is never written twice. */
  add(key: string, value: string, ttl: number): Promise<void>
  /** Keeps it on for another `ttl`; what has been deleted meanwhile stays away. */
  read(key: string, ttl: number): Promise<string | undefined>
  /** Of no effect where there is none. */
  delete(key: string): Promise<void>
}

/** What of a client of Redis is used. */
export interface RedisCommands {
  set(key: string, value: string, unit: 'PX', ttl: number): Promise<unknown>
  getex(key: string, unit: 'PX', ttl: number): Promise<string | null>
  del(key: string): Promise<unknown>
}

/** Redis 6.2 or newer. */
export function createRedisStore(redis: RedisCommands): SessionStore {
  const nameOf = (key: string) => `plinth:session:${key}`
  return {
    async add(key, value, ttl) {
      await redis.set(nameOf(key), value, 'PX', ttl)
    },
    async read(key, ttl) {
      return (await redis.getex(nameOf(key), 'PX', ttl)) ?? undefined
    },
    async delete(key) {
      await redis.del(nameOf(key))
    },
  }
}

/** In this process alone; the ten thousand that were used last. */
export function createMemoryStore(): SessionStore {
  const kept = new LRUCache<string, { value: string; until: number }>({ max: 10_000 })
  return {
    async add(key, value, ttl) {
      kept.set(key, { value, until: performance.now() + ttl })
    },
    async read(key, ttl) {
      const found = kept.get(key)
      const now = performance.now()
      if (!found || found.until <= now) return undefined
      found.until = now + ttl
      return found.value
    },
    async delete(key) {
      kept.delete(key)
    },
  }
}
