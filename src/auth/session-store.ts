import { LRUCache } from 'lru-cache'
import type { ExpiringRows } from '../database/expiring-rows.ts'

/** What sessions have in common that end together: somebody, a login at a provider. */
export interface SessionGroups {
  /** Their names, digests of 43 letters, digits, `-` and `_`. */
  readonly names: readonly string[]
  /** Milliseconds after which the session has ended in any case. */
  readonly ttl: number
}

/** Where sessions are kept, as texts by a key; each until nobody has read it for `ttl` milliseconds. */
export interface SessionStore {
  /** A key is never written twice. */
  add(key: string, value: string, ttl: number, groups?: SessionGroups): Promise<void>
  /** Keeps it on for another `ttl`; what has been deleted meanwhile stays away. */
  read(key: string, ttl: number): Promise<string | undefined>
  /** Of no effect where there is none. */
  delete(key: string): Promise<void>
  /** Deletes all that were added with a group of that name. */
  deleteGroup(name: string): Promise<void>
}

/** What of a client of Redis is used. */
export interface RedisCommands {
  set(key: string, value: string, unit: 'PX', ttl: number): Promise<unknown>
  getex(key: string, unit: 'PX', ttl: number): Promise<string | null>
  del(key: string): Promise<unknown>
  zadd(key: string, score: number, member: string): Promise<unknown>
  zrange(key: string, first: number, last: number): Promise<string[]>
  zremrangebyscore(key: string, least: number, most: number): Promise<unknown>
  pexpire(key: string, ttl: number): Promise<unknown>
}

/**
 * Redis 6.2 or newer. A group is a sorted set of keys, by when their sessions have ended in any case.
 *
 * @param prefix what their names begin with
 */
export function createRedisStore(redis: RedisCommands, prefix: string): SessionStore {
  const nameOf = (key: string) => `${prefix}:session:${key}`
  const groupOf = (name: string) => `${prefix}:session-group:${name}`
  return {
    async add(key, value, ttl, groups) {
      const now = Date.now()
      // First: a session that is in no group would not end with it.
      for (const name of groups?.names ?? []) {
        const group = groupOf(name)
        const end = groups?.ttl ?? 0
        await redis.zadd(group, now + end, key)
        await redis.zremrangebyscore(group, 0, now)
        await redis.pexpire(group, end)
      }
      await redis.set(nameOf(key), value, 'PX', ttl)
    },
    async read(key, ttl) {
      return (await redis.getex(nameOf(key), 'PX', ttl)) ?? undefined
    },
    async delete(key) {
      await redis.del(nameOf(key))
    },
    async deleteGroup(name) {
      // One by one: in a cluster they are in several places. They stay known until they have ended in any case: one that
      // has just begun may come only after it.
      for (const key of await redis.zrange(groupOf(name), 0, -1)) await redis.del(nameOf(key))
    },
  }
}

/** In a table; groups are in rows of it, too. */
export function createDatabaseStore(rows: ExpiringRows): SessionStore {
  return {
    async add(key, value, ttl, groups) {
      const members = (groups?.names ?? []).map((name) => ({
        ...{ id: memberOf(name, key), value: key },
        ttl: groups?.ttl ?? 0,
      }))
      await rows.add([{ id: key, value, ttl }, ...members])
    },
    read: (key, ttl) => rows.read(key, ttl),
    delete: (key) => rows.remove([key]),
    async deleteGroup(name) {
      const members = await rows.between(memberOf(name, ''), memberOf(name, '~'))
      await rows.remove(members.flatMap(({ id, value }) => [id, value]))
    },
  }
}

/**
 * The id of a row that says of a session that it is in a group: with half of the name, which is a digest and as good as all of it, for
 * both to fit. The members of a group are beside each other.
 */
function memberOf(name: string, session: string): string {
  return `${name.slice(0, 20)}.${session}`
}

/** In this process alone; the ten thousand that were used last. */
export function createMemoryStore(): SessionStore {
  const groups = new Map<string, Set<string>>()
  const leave = (key: string, { names }: { names: readonly string[] }) => {
    for (const name of names) {
      const group = groups.get(name)
      group?.delete(key)
      if (group?.size === 0) groups.delete(name)
    }
  }
  const kept = new LRUCache<string, { value: string; until: number; names: readonly string[] }>({
    max: 10_000,
    dispose: (one, key) => leave(key, one),
  })
  return {
    async add(key, value, ttl, { names } = { names: [], ttl }) {
      kept.set(key, { value, until: performance.now() + ttl, names })
      for (const name of names) groups.set(name, (groups.get(name) ?? new Set()).add(key))
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
    async deleteGroup(name) {
      for (const key of [...(groups.get(name) ?? [])]) kept.delete(key)
    },
  }
}
