import type { FastifyInstance } from 'fastify'
import type { Redis } from 'ioredis'
import Type, { type Static } from 'typebox'
import type { CacheOptions as OpenOptions } from '../src/cache/open.ts'
import type { Cache, CacheCounts } from '../src/cache/types.ts'
import { redisPrefix } from '../src/config/redis-prefix.ts'
import { afterEveryCommit, isInTransaction } from '../src/database/current-transaction.ts'
import { found, type PluginFinding } from '../src/findings.ts'
import { definePlugin, type PluginMetric } from '../src/plugin.ts'
import { assertFree, checkOptions, earlierRedis } from '../src/plugin-guards.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Of this process, and of all that share a Redis where plinth/plugins/redis, or @fastify/redis, is registered. */
    cache: Cache
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

/** Variables of the Redis that the cache has to itself. */
interface Apart {
  CACHE_REDIS_URL?: string
  CACHE_REDIS_TIMEOUT: number
}

export type CacheOptions = Omit<OpenOptions, 'client' | 'log' | 'transactions'>

/**
 * A cache in memory, with Redis behind it where `app.redis` is there already, or one for caches alone, which is called `cache-redis`; one
 * that comes later is refused. A Redis that fails, hangs or is
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
  const read = checkOptions<CacheOptions>('cache', options, {
    prefix: 'text?',
    commandTimeout: 'timer?',
    maxEntries: 'number?',
    maxBytes: 'number?',
  })
  assertFree(app, name, name)
  const client = redisOf(app, name)
  const { openCache } = await import('../src/cache/open.ts')
  const onError = (err: unknown) =>
    app.log.error({ err }, 'the cache was not changed after a commit')
  const transactions = {
    active: isInTransaction,
    afterCommit: (work: () => Promise<unknown>) => afterEveryCommit(work, onError),
  }
  const cache = await openCache({ ...read, client, transactions, log: app.log })
  app.decorate(name, cache)
  app.addHook('onClose', () => cache.close())
}

/** Its Redis: one of its own, that of all caches, or that of the app. */
function redisOf(app: FastifyInstance, name: string): Redis | undefined {
  for (const decorator of [...ownRedis(name), 'redis']) {
    const client = earlierRedis<Redis>(app, 'cache', decorator)
    if (client) return client
  }
  return undefined
}

const ownRedis = (name: string): string[] => [...new Set([`${name}-redis`, 'cache-redis'])]

/** Whether a Redis that only the cache has makes room for what is new. The tasks look at theirs, which must not. */
async function checkRedis(
  app: FastifyInstance,
  { name, production }: { name: string; production: boolean },
): Promise<PluginFinding[]> {
  const own = ownRedis(name).find((decorator) => app.hasDecorator(decorator))
  if (!production || own === undefined) return []
  // That it does not answer is told by its readiness.
  const info = await app
    .getDecorator<Redis>(own)
    .info('memory')
    .catch(() => '')
  const message =
    'the maxmemory-policy of the Redis of the cache is noeviction: where it is full nothing new is cached'
  return info.includes('maxmemory_policy:noeviction') ? [found('cache-never-evicts', message)] : []
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
  after: ['redis', 'cache-redis', 'database', 'deadline'],
  decorators: ['cache'],
  checks: [checkRedis],
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
    const { CACHE_REDIS_URL, CACHE_REDIS_TIMEOUT, REDIS_TIMEOUT, ...values } =
      read.values as typeof read.values & Apart
    const prefix = redisPrefix(service.name, values)
    return {
      commandTimeout: CACHE_REDIS_URL ? CACHE_REDIS_TIMEOUT : REDIS_TIMEOUT,
      prefix: name === 'cache' ? prefix : `${prefix}:${name}`,
      maxBytes: env.CACHE_MEMORY,
    }
  },
  register,
})
