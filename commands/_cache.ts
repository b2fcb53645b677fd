import type { FastifyInstance } from 'fastify'
import type { Cache } from '../src/cache/types.ts'
import { errors } from '../src/errors.ts'

/**
 * The cache of all processes.
 *
 * @throws {PlinthError} REDIS_MISSING
 */
export function sharedCache(app: FastifyInstance): Cache {
  if (!app.hasDecorator('redis')) throw errors.REDIS_MISSING('Cached results')
  return app.cache
}
