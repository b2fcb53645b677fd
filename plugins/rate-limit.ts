import type { FastifyInstance } from 'fastify'
import type { Redis } from 'ioredis'
import { redisPrefix } from '../src/config/redis-prefix.ts'
import type { Duration } from '../src/duration.ts'
import { found } from '../src/findings.ts'
import type { MemoryCounter } from '../src/http/rate-counter.ts'
import { definePlugin } from '../src/plugin.ts'
import { assertFree, checkOptions } from '../src/plugin-guards.ts'
import { limitsWithin, type PlacedLimit, type RateLimit } from '../src/resource/rate-limit.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** What limits every request, where plinth/plugins/rate-limit is registered. */
    rateLimits: readonly PlacedLimit[]
    /** What counts in this process: all of it where there is no Redis. */
    rateCounter: Pick<MemoryCounter, 'clear'>
  }
}

export type { RateLimit }

export interface RateLimitOptions {
  /** What counts for all requests, whatever they ask for. Default: nothing but what resources, modules and routes say. */
  rateLimits?: RateLimit | readonly RateLimit[]
  /** What names in Redis begin with, in braces; default `plinth`. */
  prefix?: string
  /** After how long it counts in memory, where Redis does not answer: milliseconds, or a text like `'1s'`; default 250. */
  commandTimeout?: Duration
  /** How many are counted in memory, the latest of them; default 10,000. */
  maxKeys?: number
}

/**
 * Refuses requests that are too many (`rateLimits`, here, of a resource, a module, or in the `config` of a route): counted in Redis
 * for all processes where the app has `app.redis`, else, and as long as that does not answer, in each by itself. Register it before
 * what refuses requests of strangers, so that their attempts count, and before routes.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE, RESOURCE_INVALID
 */
async function register(app: FastifyInstance, options: RateLimitOptions): Promise<void> {
  const read = checkOptions<RateLimitOptions>('rate-limit', options, {
    rateLimits: 'objects?',
    prefix: 'text?',
    commandTimeout: 'timer?',
    maxKeys: 'count?',
  })
  assertFree(app, 'rate-limit', 'rateLimits')
  const { rateLimits = [], prefix = 'plinth', commandTimeout = 250, maxKeys = 10_000 } = read
  const { MemoryCounter, RedisCounter } = await import('../src/http/rate-counter.ts')
  const { RateLimiter } = await import('../src/http/rate-limiter.ts')
  const limits = limitsWithin([], { rateLimits }, '')
  const memory = new MemoryCounter(maxKeys)
  const limiter = new RateLimiter(memory, limits)
  app.decorate('rateLimits', limits)
  app.decorate('rateCounter', memory)
  app.addHook('onRoute', (route) => limiter.plan(route))
  app.addHook('onRequest', limiter.countEarly)
  // Redis is attached later: what finds the user comes before that, and this before what finds the user.
  app.addHook('onReady', async () => {
    if (!app.hasDecorator('redis')) return
    const client = app.getDecorator<Redis>('redis')
    const { Command: command } = await import('ioredis')
    const link = { client, command, timeout: commandTimeout, log: app.log }
    const counter = new RedisCounter(memory, prefix, link)
    limiter.counter = counter
    app.addHook('onClose', async () => counter.close())
  })
}

export default definePlugin({
  name: 'rate-limit',
  after: ['request-log', 'envelope', 'decompress'],
  decorators: ['rateLimits', 'rateCounter'],
  checks: [
    (app, { production }) => {
      const message = 'each process counts requests by itself: REDIS_URL is not set'
      return production && !app.hasDecorator('redis') ? [found('rate-limits-local', message)] : []
    },
  ],
  options: ({ service, read }): RateLimitOptions | string => {
    const { rateLimits } = service
    if (rateLimits === undefined) return 'give the service rateLimits'
    const prefix = redisPrefix(service.name, read.values)
    return { rateLimits, prefix, commandTimeout: read.values.REDIS_TIMEOUT }
  },
  register,
})
