import { LRUCache } from 'lru-cache'
import type { ExpiringRows } from '../database/expiring-rows.ts'

/** An answer that is given again. */
export interface KeptAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** As it was sent. */
  readonly body: string | null
}

/** What is known of a request that was begun. */
export interface KeptRequest {
  /** Of what it asks for: with another one it is another request. */
  readonly print: string
  /** Whose it is. */
  readonly token: string
  /** Not there: it is still being answered. */
  readonly answer?: KeptAnswer
}

/** Where requests are kept, by texts of 43 characters. */
export interface IdempotencyStore {
  /** Takes `id` for `lease` ms, where nobody has it; else what is there. In one step, for all who ask at once. */
  begin(id: string, request: KeptRequest, lease: number): Promise<KeptRequest | undefined>
  /** Keeps an answer for `ttl` ms, unless another request has `id` by now: what was begun may be over, or lost. */
  finish(id: string, request: KeptRequest, ttl: number): Promise<void>
  /** Lets the next one in, where the request that was begun still has its token. */
  release(id: string, token: string): Promise<void>
}

/** The bytes of answers that a process keeps. */
const MOST = 16 * 1024 * 1024

/** For one process. */
export function memoryIdempotency(): IdempotencyStore {
  const kept = new LRUCache<string, KeptRequest>({
    maxSize: MOST,
    sizeCalculation: ({ answer }) => 256 + 2 * (answer?.body?.length ?? 0),
  })
  return {
    async begin(id, request, lease) {
      const there = kept.get(id)
      if (!there) kept.set(id, request, { ttl: lease })
      return there
    },
    async finish(id, request, ttl) {
      const there = kept.peek(id)
      if (!there || there.token === request.token) kept.set(id, request, { ttl })
    },
    async release(id, token) {
      if (kept.peek(id)?.token === token) kept.delete(id)
    },
  }
}

/** What of a client of Redis is used. */
interface Scripts {
  eval(script: string, keys: number, ...args: (string | number)[]): Promise<unknown>
}

const BEGIN = `
local there = redis.call('GET', KEYS[1])
if there then return there end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
`

// `ttl` 0: it is gone.
const END = `
local there = redis.call('GET', KEYS[1])
if there and cjson.decode(there).token ~= ARGV[1] then return 0 end
if ARGV[3] == '0' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
`

/** For all processes that share a Redis. @param prefix what names begin with, in braces */
export function redisIdempotency(redis: Scripts, prefix: string): IdempotencyStore {
  const nameOf = (id: string) => `{${prefix}}:idempotency:${id}`
  const end = async (id: string, token: string, text: string, ttl: number) => {
    await redis.eval(END, 1, nameOf(id), token, text, ttl)
  }
  return {
    async begin(id, request, lease) {
      const begin = () => redis.eval(BEGIN, 1, nameOf(id), JSON.stringify(request), lease)
      // Where it was only late it has done it by now, and tells of this request itself.
      const text = await begin().catch(begin)
      const there: KeptRequest | undefined = typeof text === 'string' ? JSON.parse(text) : undefined
      return there?.token === request.token ? undefined : there
    },
    finish: (id, request, ttl) => end(id, request.token, JSON.stringify(request), ttl),
    release: (id, token) => end(id, token, '', 0),
  }
}

/** For all processes that share a database. @param rows which have tokens */
export function databaseIdempotency(rows: ExpiringRows): IdempotencyStore {
  const toRow = (id: string, request: KeptRequest, ttl: number) => {
    return { id, token: request.token, value: JSON.stringify(request), ttl }
  }
  return {
    async begin(id, request, lease) {
      const there = await rows.addMissing(toRow(id, request, lease))
      return there === undefined ? undefined : JSON.parse(there)
    },
    finish: (id, request, ttl) => rows.replace(toRow(id, request, ttl)),
    release: (id, token) => rows.removeOwned(id, token),
  }
}
