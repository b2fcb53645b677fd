import type { FastifyInstance } from 'fastify'
import type { Cache } from '../src/cache/types.ts'
import { errors } from '../src/errors.ts'

/**
 * This process ends: what Redis was not told by now nobody tells it.
 *
 * @throws {PlinthError} CACHE_UNAVAILABLE
 */
export function assertTold({ isBehind }: Cache): void {
  if (isBehind) throw errors.CACHE_UNAVAILABLE('it was not told, and still has what was there')
}

/**
 * The cache of all processes.
 *
 * @throws {PlinthError} REDIS_MISSING
 */
export function sharedCache(app: FastifyInstance): Cache {
  if (!app.cache.isShared)
    throw errors.REDIS_MISSING('Cached results', 'REDIS_URL or CACHE_REDIS_URL')
  return app.cache
}
