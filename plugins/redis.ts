/** @ts-ignore: there where it is installed */
import type { FastifyRedis } from '@fastify/redis'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Redis } from 'ioredis'
import {
  type ConnectionOptions,
  REDIS_LIMITS,
  type RedisLimits,
  requestConnection,
} from '../src/config/redis-connection.ts'
import {
  addCheck,
  assertOnce,
  checkOptions,
  type PluginFinding,
  requirePackages,
} from '../src/plugin.ts'
import { assertNameFree, type ReadinessCheck, readinessOf } from '../src/process/readiness.ts'

// The type of `app.redis`.
/** @ts-ignore: there where it is installed */
export type {} from '@fastify/redis'

export interface RedisPluginOptions extends Partial<RedisLimits> {
  /** `redis://user:password@host:6379/0`, `rediss://` for TLS. */
  url: string
  /** What `/readyz` calls it; default `redis`. Where an app has two, each needs its own. */
  name?: string
}

/** Milliseconds that giving the connection back may take. */
const GOODBYE = 500

/**
 * Attaches a Redis as `app.redis`, for what requests need at once: a command fails where it cannot be done now.
 * The app starts without it, too, and uses it as soon as it is there. It is closed with the app.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE, PLUGIN_NAME_TAKEN; REDIS_URL_INVALID; PACKAGE_MISSING
 */
async function redis(app: FastifyInstance, options: RedisPluginOptions): Promise<void> {
  checkOptions<RedisPluginOptions>('redis', options, {
    url: 'text',
    name: 'text?',
    commandTimeout: 'number?',
    connectTimeout: 'number?',
  })
  assertOnce(app, 'redis', 'redis')
  const { url, name = 'redis', ...given } = options
  assertNameFree(app, 'plinth/plugins/redis', name)
  const target = requestConnection(url, { ...REDIS_LIMITS, ...given })
  requirePackages('redis', '@fastify/redis', 'ioredis')
  const { default: fastifyRedis } = await import('@fastify/redis')
  const { Redis } = await import('ioredis')
  const client = new Redis(target)
  logOutages(app, client, target)
  // @fastify/redis waits for a client that is not ready, and gives up where it never will be.
  client.status = 'ready'
  // Where a context around this one has a client, @fastify/redis wants a name for another.
  const isSecond = app.hasDecorator('redis')
  await app.register(fastifyRedis, isSecond ? { client, namespace: name } : { client })
  if (isSecond) app.decorate('redis', client as FastifyRedis)
  client.status = 'wait'
  app.addHook('onClose', () => close(client))
  const check: ReadinessCheck = async () => {
    await client.ping()
  }
  check.optional = true
  readinessOf(app).set(name, check)
  addCheck(app, 'production', (of) => (of.production ? checkServer(client) : []))
  await client.connect().catch(() => {})
}

/** Whether Redis keeps what it is given. */
async function checkServer(client: Redis): Promise<PluginFinding[]> {
  const info = await client.info().catch(() => undefined)
  // That it does not answer is told by its readiness.
  if (info === undefined) return []
  const wanted = {
    'maxmemory_policy:noeviction':
      'the maxmemory-policy of Redis is not noeviction: it may forget tasks',
    'aof_enabled:1': 'Redis keeps no append-only file (appendonly yes): a restart may lose tasks',
  }
  return Object.entries(wanted)
    .filter(([line]) => !info.includes(`${line}\r\n`))
    .map(([, message]) => ({ level: 'warning', message }))
}

/** One line when it is lost, or cannot be reached at first, and one when it is there again. */
function logOutages(app: FastifyInstance, client: Redis, { host, port }: ConnectionOptions): void {
  const place = `${host}:${port}`
  let lost = false
  const lose = (problem: string) => {
    if (!lost && !closed.has(client)) app.log.warn({ place, problem }, 'Redis cannot be used')
    lost = true
  }
  client.on('error', (error: NodeJS.ErrnoException) => {
    lose(error.message || `${error.code}`)
    // Otherwise ioredis would go on in database 0.
    if (error.message.includes('DB index is out of range')) client.disconnect(true)
  })
  client.on('close', () => lose('the connection was closed'))
  client.on('ready', () => {
    if (lost) app.log.info({ place }, 'Redis can be used again')
    lost = false
  })
}

const closed = new WeakSet<Redis>()

async function close(client: Redis): Promise<void> {
  closed.add(client)
  const ended = new Promise((resolve) => client.once('end', resolve))
  const cut = () => {
    client.disconnect()
    client.stream?.destroy()
  }
  const timer = setTimeout(cut, GOODBYE)
  await client.quit().then(() => ended, cut)
  clearTimeout(timer)
}

export default fp(redis, { name: 'plinth-redis', fastify: '5.x' })
