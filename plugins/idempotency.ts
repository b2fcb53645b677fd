import type { FastifyInstance } from 'fastify'
import type { Redis } from 'ioredis'
import type { Kysely } from 'kysely'
import { redisPrefix } from '../src/config/redis-prefix.ts'
import type { Duration } from '../src/duration.ts'
import { IdempotentAnswers } from '../src/http/idempotency.ts'
import type { IdempotencyStore } from '../src/http/idempotency-store.ts'
import { definePlugin } from '../src/plugin.ts'
import { assertFree, checkOptions, fromEarlier } from '../src/plugin-guards.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** What answers requests that come again, where plinth/plugins/idempotency is registered. */
    idempotency: IdempotentAnswers
  }
}

export type { IdempotencyStore }

export interface IdempotencyOptions {
  /** How long an answer is kept: milliseconds, or a text like `'2d'`; default a day. */
  keepFor?: Duration
  /** What names in Redis begin with, in braces, and what tells its requests in a database from those of others; default `plinth`. */
  prefix?: string
  /** Default: Redis as `app.redis`, else the database as `app.db`, else the memory of the process. */
  store?: IdempotencyStore
}

/**
 * Gives resources that have `idempotency` the same answer again for the header `Idempotency-Key`. Register it after what keeps the
 * answers, and before the resources.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE, PLUGIN_ORDER
 */
async function register(app: FastifyInstance, options: IdempotencyOptions): Promise<void> {
  const read = checkOptions<IdempotencyOptions>('idempotency', options, {
    keepFor: 'span?',
    prefix: 'text?',
    store: 'object?',
  })
  assertFree(app, 'idempotency', 'idempotency')
  const { keepFor = 86_400_000, prefix = 'plinth' } = read
  const store = options.store ?? (await chooseStore(app, prefix))
  app.decorate('idempotency', new IdempotentAnswers({ store, keepFor, prefix, log: app.log }))
}

async function chooseStore(app: FastifyInstance, prefix: string): Promise<IdempotencyStore> {
  const { databaseIdempotency, memoryIdempotency, redisIdempotency } = await import(
    '../src/http/idempotency-store.ts'
  )
  const redis = fromEarlier<Redis>(app, 'idempotency', { plugin: 'redis', decorator: 'redis' })
  if (redis) return redisIdempotency(redis, prefix)
  const database = { plugin: 'database', decorator: 'db' }
  const db = fromEarlier<Kysely<never>>(app, 'idempotency', database)
  if (!db) return memoryIdempotency()
  const { ExpiringRows } = await import('../src/database/expiring-rows.ts')
  return databaseIdempotency(new ExpiringRows(db, 'plinth_idempotency', { owned: true }))
}

export default definePlugin({
  name: 'idempotency',
  after: ['redis', 'database', 'deadline', 'envelope'],
  decorators: ['idempotency'],
  options: ({ service, read }): IdempotencyOptions => ({
    prefix: redisPrefix(service.name, read.values),
  }),
  register,
})
