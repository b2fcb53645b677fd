import { setTimeout as delay } from 'node:timers/promises'
/** @ts-ignore: there where it is installed */
import type { FastifyRedis } from '@fastify/redis'
import type { FastifyInstance } from 'fastify'
import type { Redis } from 'ioredis'
import Type, { type Static } from 'typebox'
import type { RedisClient } from '../src/config/redis-client.ts'
import {
  parseRedisUrl,
  placeOf,
  REDIS_LIMITS,
  type RedisLimits,
  requestConnection,
} from '../src/config/redis-connection.ts'
import { attachedUrl, HOST, isLoopback, milliseconds, PORT } from '../src/config/schema.ts'
import { secret } from '../src/config/secret.ts'
import { found, type PluginFinding } from '../src/findings.ts'
import { definePlugin, type PluginContext, type PluginGiven } from '../src/plugin.ts'
import { assertFree, checkOptions, requirePackages } from '../src/plugin-guards.ts'

// The type of `app.redis`.
/** @ts-ignore: there where it is installed */
export type {} from '@fastify/redis'

declare module '../src/config/schema.ts' {
  interface KitConfig extends Env {}
}

const env = Type.Object({
  REDIS_URL: attachedUrl(
    'Redis. Where it is unset, what needs it works in memory.',
    '^rediss?([+]sentinel)?://.',
    'redis://:password@host:6379/0, rediss:// for TLS, or redis+sentinel://:password@host:26379,host:26379/NAME/0',
    'from REDIS_*; where REDIS_HOST is unset: none',
  ),
  REDIS_HOST: Type.Optional(
    Type.String({ description: 'Redis, when REDIS_URL is not set: its host.', ...HOST }),
  ),
  REDIS_PORT: Type.Optional(
    Type.Integer({ description: 'The port of REDIS_HOST; 6379 when not set.', ...PORT }),
  ),
  REDIS_PASSWORD: secret(
    Type.Optional(
      Type.String({ description: 'The password of REDIS_HOST; none when empty or not set.' }),
    ),
  ),
  REDIS_DB: Type.Optional(
    Type.Integer({
      description: 'The number of the database on REDIS_HOST; 0 when not set.',
      minimum: 0,
    }),
  ),
  REDIS_TIMEOUT: milliseconds(
    'How long Redis may take to answer before a request goes on without it, in ms.',
    250,
  ),
})
type Env = Static<typeof env>

export interface RedisPluginOptions extends Partial<RedisLimits> {
  /**
   * `redis://user:password@host:6379/0`, `rediss://` for TLS with `?ca=FILE&cert=FILE&key=FILE`,
   * `redis+sentinel://user:password@host:26379,host:26379/NAME/0?sentinel=user:password`.
   */
  url: string
  /**
   * What the app has it as. Default: its name; in a context of Fastify with a cache or tasks of its own one of another name may be
   * its `redis`.
   */
  decorator?: string
}

/** Milliseconds that giving the connection back may take. */
const GOODBYE = 500

/**
 * Attaches a Redis as `app.redis`, for what requests need at once: a command fails where it cannot be done now.
 * The app starts without it, too, and uses it as soon as it is there. It is closed with the app. A second one has another name,
 * by which `/readyz` calls it, too: `app.register(redis, { url, name: 'sessions' })` is `app.sessions`.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE, PLUGIN_NAME_TAKEN; REDIS_URL_INVALID, REDIS_UNUSABLE where it is a node
 * of a cluster; PACKAGE_MISSING
 */
async function register(
  app: FastifyInstance,
  options: RedisPluginOptions,
  context: PluginContext,
): Promise<void> {
  const read = checkOptions<RedisPluginOptions>('redis', options, {
    url: 'text',
    decorator: 'text?',
    commandTimeout: 'timer?',
    connectTimeout: 'timer?',
  })
  const { name } = context
  const { url, decorator: _, ...given } = read
  const decorator = decoratorOf(context)
  assertFree(app, name, decorator)
  const target = requestConnection(url, { ...REDIS_LIMITS, ...given })
  requirePackages('redis', ['@fastify/redis', 'ioredis'])
  const { default: fastifyRedis } = await import('@fastify/redis')
  const { RedisClient } = await import('../src/config/redis-client.ts')
  const client = new RedisClient(target)
  logOutages(app, client, placeOf(target))
  // @fastify/redis waits for a client that is not ready, and gives up where it never will be.
  client.status = 'ready'
  // Where the app has a client, @fastify/redis wants a name for another; for one with a name it would be a plain object.
  if (decorator === 'redis' && !app.hasDecorator('redis'))
    await app.register(fastifyRedis, { client })
  else app.decorate(decorator, client as Redis as FastifyRedis)
  client.status = 'wait'
  app.addHook('onClose', () => close(client))
  const { connectTimeout = REDIS_LIMITS.connectTimeout } = target
  const late = delay(2 * connectTimeout, undefined, { ref: false })
  // Where no Sentinel answers it is tried again and again.
  await Promise.race([client.connect().catch(() => {}), late])
  if (!client.refused) return
  await close(client)
  throw client.refused
}

function decoratorOf({ name, options }: PluginContext): string {
  return (options as RedisPluginOptions).decorator ?? name
}

/** Whether others can read what goes there, or use it. */
function checkAddress(url: string): PluginFinding[] {
  const { tls, password, host = '', sentinels = [{ host }] } = parseRedisUrl(url)
  const away = sentinels.find(({ host = '' }) => !isLoopback(host))?.host
  if (away === undefined) return []
  const unencrypted = `what goes to ${away} and back can be read on its way`
  const open = `whoever reaches ${away} may read and change what is in it`
  return [
    ...(tls ? [] : [found('redis-unencrypted', unencrypted)]),
    ...(password === undefined ? [found('redis-no-password', open)] : []),
  ]
}

/** One line when it is lost, or cannot be reached at first, and one when it is there again. */
function logOutages(app: FastifyInstance, client: RedisClient, place: string): void {
  let lost = false
  // Why the last Sentinel that was asked has told no master: all that is known of them later is that none has.
  let untold: string | undefined
  const lose = (problem: string) => {
    if (!lost && !closed.has(client)) app.log.warn({ place, problem }, 'Redis cannot be used')
    lost = true
  }
  client.on('sentinelError', ({ message }: Error) => {
    untold = message
  })
  client.on('error', (error: NodeJS.ErrnoException) => {
    lose(untold ?? (error.message || `${error.code}`))
    // Otherwise ioredis would go on in database 0.
    if (error.message.includes('DB index is out of range')) client.disconnect(true)
  })
  client.on('close', () => lose('the connection was closed'))
  client.on('ready', () => {
    if (lost) app.log.info({ place }, 'Redis can be used again')
    lost = false
    untold = undefined
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

function optionsOf({ env, named }: PluginGiven<Env>): RedisPluginOptions | string {
  const { REDIS_URL: url, REDIS_TIMEOUT: commandTimeout } = env
  return url ? { url, commandTimeout } : `set ${named('REDIS_URL')}`
}

export default definePlugin({
  name: 'redis',
  env,
  after: ['config', 'deadline'],
  decorators: ['redis'],
  readiness: {
    redis: {
      optional: true,
      async check(app, _signal, context) {
        await app.getDecorator<Redis>(decoratorOf(context)).ping()
      },
    },
  },
  checks: [
    (_, { options, production }) =>
      production ? checkAddress((options as RedisPluginOptions).url) : [],
  ],
  options: optionsOf,
  register,
})
