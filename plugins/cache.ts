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
import type { Redis } from 'ioredis'
import Type, { type Static } from 'typebox'
import type { CacheOptions as OpenOptions } from '../src/cache/open.ts'
import type { Cache, CacheCounts, Lock, LockOptions } from '../src/cache/types.ts'
import { redisPrefix } from '../src/config/redis-prefix.ts'
import { afterEveryCommit, isInTransaction } from '../src/database/current-transaction.ts'
import { definePlugin, type PluginMetric } from '../src/plugin.ts'
import { assertFree, checkOptions, earlierRedis } from '../src/plugin-guards.ts'

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

declare module '../src/config/schema.ts' {
  interface KitConfig extends Static<typeof env> {}
}

const env = Type.Object({
  CACHE_MEMORY: Type.Integer({
    description: 'The most bytes of cached results that one process keeps; 0: it keeps none.',
    default: 67_108_864,
    minimum: 0,
  }),
})

export type CacheOptions = Omit<OpenOptions, 'client' | 'log' | 'transactions'>

/**
 * A cache in memory, with Redis behind it where `app.redis` is there already; one that comes later is refused. A Redis that fails, hangs or is
 * full fails no call. In a transaction of `app.db`, or of any database of plinth/plugins/database, it changes with the commit.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE, PLUGIN_ORDER; REDIS_UNUSABLE where `app.redis` has a keyPrefix, or is of a cluster
 * @throws {TypeError} where a prefix or a limit is not usable
 */
async function register(
  app: FastifyInstance,
  options: CacheOptions,
  { name }: { name: string },
): Promise<void> {
  checkOptions<CacheOptions>('cache', options, {
    prefix: 'text?',
    commandTimeout: 'number?',
    maxEntries: 'number?',
    maxBytes: 'number?',
  })
  assertFree(app, name, name)
  const client = earlierRedis<Redis>(app, 'cache')
  const { openCache } = await import('../src/cache/open.ts')
  const onError = (err: unknown) =>
    app.log.error({ err }, 'the cache was not changed after a commit')
  const transactions = {
    active: isInTransaction,
    afterCommit: (work: () => Promise<unknown>) => afterEveryCommit(work, onError),
  }
  const cache = await openCache({ ...options, client, transactions, log: app.log })
  app.decorate(name, cache)
  const lock = (name: string, options: LockOptions) => cache.lock(name, options)
  if (name === 'cache') app.decorate('lock', lock as never)
  app.addHook('onClose', () => cache.close())
}

/** A number that the cache counts itself. */
function counter(name: string, help: string, of: keyof CacheCounts): PluginMetric {
  const collect: PluginMetric['collect'] = (app, { name }) =>
    app.getDecorator<Cache>(name).counts[of]
  return { name, help, type: 'counter', collect }
}

export default definePlugin({
  name: 'cache',
  env,
  after: ['redis', 'database', 'deadline'],
  decorators: ['cache', 'lock'],
  metrics: [
    {
      name: 'hits_total',
      help: 'Results that were there: in the memory of the process, or in Redis',
      type: 'counter',
      collect(app, { name }) {
        const { hits_memory, hits_redis } = app.getDecorator<Cache>(name).counts
        return [
          { labels: { level: 'memory' }, value: hits_memory },
          { labels: { level: 'redis' }, value: hits_redis },
        ]
      },
    },
    counter('misses_total', 'Results that had to be loaded', 'misses'),
    counter('stale_total', 'Answers with a result that was no longer fresh', 'stale'),
    counter('failures_total', 'Loads that failed', 'failures'),
    counter('errors_total', 'Calls of Redis that failed, and were done without', 'errors'),
  ],
  options({ env, service, name, read }): CacheOptions {
    const prefix = redisPrefix(service.name, read.values)
    return {
      prefix: name === 'cache' ? prefix : `${prefix}:${name}`,
      maxBytes: env.CACHE_MEMORY,
    }
  },
  register,
})
