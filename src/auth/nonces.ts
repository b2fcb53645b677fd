import type { FastifyInstance } from 'fastify'
import { LRUCache } from 'lru-cache'
import { errors } from '../errors.ts'

/** Remembers what was used once. */
export interface Nonces {
  /**
   * @param ttl milliseconds that it is remembered for
   * @returns false where it was used before
   * @throws {PlinthError} AUTH_UNAVAILABLE where that cannot be told
   */
  use(nonce: string, ttl: number): Promise<boolean>
}

// Of about 200 bytes each.
const REMEMBERED = 100_000

/** In Redis, for all processes, where the app has one; else in this process, which then has to be the only one. */
export function createNonces(app: FastifyInstance, prefix: string): Nonces {
  return app.hasDecorator('redis') ? redisNonces(app, prefix) : memoryNonces()
}

function redisNonces({ redis }: FastifyInstance, prefix: string): Nonces {
  return {
    async use(nonce, ttl) {
      try {
        return (await redis.set(`${prefix}:${nonce}`, '1', 'PX', ttl, 'NX')) === 'OK'
      } catch (cause) {
        throw errors.AUTH_UNAVAILABLE.with({ cause }, 'Redis does not tell what was used before')
      }
    },
  }
}

function memoryNonces(): Nonces {
  const used = new LRUCache<string, true>({ max: REMEMBERED, ttl: 1, ttlAutopurge: false })
  return {
    async use(nonce, ttl) {
      if (used.has(nonce)) return false
      if (used.size >= REMEMBERED) used.purgeStale()
      // To forget one that still counts would let it in again.
      if (used.size >= REMEMBERED) throw errors.AUTH_UNAVAILABLE('too much was used at once')
      used.set(nonce, true, { ttl })
      return true
    },
  }
}
