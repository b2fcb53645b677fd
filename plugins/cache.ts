import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyTypeProvider,
  FastifyTypeProviderDefault,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerBase,
  RawServerDefault,
} from 'fastify'
import fp from 'fastify-plugin'
import type { Redis } from 'ioredis'
import type { CacheOptions as OpenOptions } from '../src/cache/open.ts'
import type { Cache, Lock, LockOptions } from '../src/cache/types.ts'
import { afterEveryCommit, isInTransaction } from '../src/database/current-transaction.ts'
import { assertOnce, assertOrder, checkOptions } from '../src/plugin.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Of this process, and of all that share a Redis where plinth/plugins/redis, or @fastify/redis, is registered. */
    cache: Cache
  }
}

// Fastify's types have `app.lock` already, of routes with the method LOCK, though no app has it unless it adds
// that method: its type is that of all such functions, and another one cannot be given to it alone.
declare module 'fastify/types/route.js' {
  interface RouteShorthandMethod<
    RawServer extends RawServerBase = RawServerDefault,
    RawRequest extends
      RawRequestDefaultExpression<RawServer> = RawRequestDefaultExpression<RawServer>,
    RawReply extends RawReplyDefaultExpression<RawServer> = RawReplyDefaultExpression<RawServer>,
    TypeProvider extends FastifyTypeProvider = FastifyTypeProviderDefault,
    Logger extends FastifyBaseLogger = FastifyBaseLogger,
  > {
    /** Of `app.lock` only. Waits for a lock and holds it until it is released: see `Cache.lock`. */
    // biome-ignore lint/style/useShorthandFunctionType: it joins the interface of Fastify.
    (name: string, options: LockOptions): Promise<Lock>
  }
}

export type CacheOptions = Omit<OpenOptions, 'client' | 'log' | 'transactions'>

/**
 * A cache in memory, with Redis behind it where `app.redis` is there already; one that comes later is refused. A Redis that fails, hangs or is
 * full fails no call. In a transaction of `app.db`, or of any database of plinth/plugins/database, it changes with the commit.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE, PLUGIN_ORDER
 * @throws {TypeError} where a prefix or a limit is not usable
 */
async function cache(app: FastifyInstance, options: CacheOptions): Promise<void> {
  checkOptions<CacheOptions>('cache', options, {
    prefix: 'text?',
    commandTimeout: 'number?',
    maxEntries: 'number?',
    maxBytes: 'number?',
  })
  assertOnce(app, 'cache', 'cache')
  assertOrder(app, 'cache', { plugin: 'redis', decorator: 'redis' })
  const { openCache } = await import('../src/cache/open.ts')
  const client = app.hasDecorator('redis') ? app.getDecorator<Redis>('redis') : undefined
  const onError = (err: unknown) =>
    app.log.error({ err }, 'the cache was not changed after a commit')
  const transactions = {
    active: isInTransaction,
    afterCommit: (work: () => Promise<unknown>) => afterEveryCommit(work, onError),
  }
  const cache = await openCache({ ...options, client, transactions, log: app.log })
  app.decorate('cache', cache)
  const lock = (name: string, options: LockOptions) => cache.lock(name, options)
  app.decorate('lock', lock as never)
  app.addHook('onClose', () => cache.close())
}

export default fp(cache, { name: 'plinth-cache', fastify: '5.x' })
