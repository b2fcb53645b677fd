import { randomBytes } from 'node:crypto'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Kysely } from 'kysely'
import { type Static, Type } from 'typebox'
import { addStrategy } from '../src/auth/authenticator.ts'
import { readOrigins } from '../src/auth/browser.ts'
import {
  createSession,
  type SessionSettings,
  Sessions,
  type UserOfSession,
} from '../src/auth/session.ts'
import {
  createDatabaseStore,
  createMemoryStore,
  createRedisStore,
  type RedisCommands,
  type SessionStore,
} from '../src/auth/session-store.ts'
import type { UserTable } from '../src/auth/users.ts'
import { redisPrefix } from '../src/config/redis-prefix.ts'
import type { Duration } from '../src/duration.ts'
import { errors } from '../src/errors.ts'
import { definePlugin } from '../src/plugin.ts'
import { checkOptions, fromEarlier, invalidOption } from '../src/plugin-guards.ts'
import type { User } from '../src/resource/context.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The sessions of plinth/plugins/session, for plugins by which people log in. */
    sessions: Sessions
  }
  interface FastifyReply {
    /**
     * Begins a session of `user` under a new id, and ends the one there was; the user counts from the next request on. Of
     * plinth/plugins/session.
     *
     * @throws {PlinthError} CROSS_ORIGIN, AUTH_UNAVAILABLE, USER_INVALID
     */
    login(user: User): Promise<void>
    /** Ends the session, for good. @throws {PlinthError} CROSS_ORIGIN, AUTH_UNAVAILABLE: then it has not ended */
    logout(): Promise<void>
  }
}

export type { SessionStore }

export interface SessionOptions {
  /** What cookies are signed with, at least 32 characters; several while one takes the place of another. Default: SESSION_SECRET. */
  secret?: string | readonly string[]
  /** How long without a request a session goes on: milliseconds, or a text like `'30m'`; default two hours. */
  idle?: Duration
  /** After how long it ends in any case, likewise; default twelve hours. */
  lifetime?: Duration
  /** The name of the cookie; default `session`, `__Host-session` where it is secure. */
  cookie?: string
  /** Whether the cookie is for HTTPS alone; default: in production. */
  secure?: boolean
  /** The page where a person logs in: `/login`. It is told by `next` where to go from there. Default: none. */
  login?: string
  /** Pages that may make changes, beside the app's own: `https://ui.example.com`. Default: SESSION_ORIGINS. */
  origins?: string | readonly string[]
  /** Default: Redis as `app.redis`, else the database as `app.db`, else memory. */
  store?: SessionStore
  /** What the names of sessions in Redis begin with; default `plinth`. */
  prefix?: string
  /**
   * Whether users are those of plinth/plugins/users, looked up for each request: a session ends when its user is disabled, or gets
   * another password. Default: false.
   */
  users?: boolean
  /** Who it is that has logged in, asked for each request; undefined or null: nobody any more. Default: who has logged in. */
  toUser?: UserOfSession
}

const variables = Type.Object({
  SESSION_SECRET: Type.Optional(
    Type.String({
      description: 'What the cookies of sessions are signed with; needed in production.',
      expected: 'at least 32 characters; two, with a comma, while one takes the place of another',
      secret: true,
    }),
  ),
  SESSION_ORIGINS: Type.Optional(
    Type.String({
      description: 'Other origins whose pages may make changes with a session.',
      expected: 'https://ui.example.com, or several with commas between them',
    }),
  ),
})

/**
 * The strategy `session`: who has logged in by `reply.login(user)` is known by a signed cookie, until `reply.logout()`. Changes are
 * refused that pages of others make with it.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE, PLUGIN_ORDER, PLUGIN_MISSING; REDIS_MISSING in production, where there is no store
 */
export default definePlugin({
  name: 'session',
  env: variables,
  after: ['config', 'redis', 'database', 'envelope', 'users'],
  decorators: ['sessions', 'auth'],
  options: ({ service, read }): SessionOptions => ({
    prefix: redisPrefix(service.name, read.values),
  }),
  async register(app, options: SessionOptions, { name, env }) {
    const read = checkOptions<SessionOptions>('session', options, {
      secret: 'some?',
      idle: 'span?',
      lifetime: 'span?',
      cookie: 'text?',
      secure: 'flag?',
      login: 'text?',
      origins: 'some?',
      store: 'object?',
      prefix: 'text?',
      users: 'flag?',
      toUser: 'function?',
    })
    const production = isProduction(app)
    const { secure = production, idle = 7_200_000, lifetime = 43_200_000, login } = read
    const { cookie = secure ? '__Host-session' : 'session' } = options
    if (!/^[\w-]+$/.test(cookie)) throw invalidOption('session', 'cookie', cookie, 'a plain name')
    if (options.users && !app.hasDecorator('users'))
      throw errors.PLUGIN_MISSING(name, 'users', 'register it first')
    const users = options.users ? app.getDecorator<UserTable>('users') : undefined
    const settings: SessionSettings = {
      store: options.store ?? (await chooseStore(app, production, options.prefix)),
      secrets: readSecrets(app, options, env, production),
      cookie,
      secure,
      idle,
      lifetime,
      origins: readOrigins('session', options.origins ?? env.SESSION_ORIGINS),
      page: login,
      toUser: options.toUser ?? ((user: User) => user),
      load: users && ((id) => users.loadBound(id)),
    }
    const sessions = new Sessions(settings)
    if (app.hasReplyDecorator('login')) throw errors.PLUGIN_TWICE(name)
    app.decorate('sessions', sessions)
    app.decorateReply('login', function login(this: FastifyReply, user: User) {
      return sessions.begin(this.request, this, user)
    })
    app.decorateReply('logout', function logout(this: FastifyReply) {
      return sessions.end(this.request, this)
    })
    addStrategy(app, createSession(name, sessions, settings))
  },
})

/** As the service reads it, else as the process has it. */
function isProduction(app: FastifyInstance): boolean {
  const { NODE_ENV = process.env.NODE_ENV } = app.hasDecorator('config')
    ? app.getDecorator<{ NODE_ENV?: string }>('config')
    : {}
  return NODE_ENV === 'production'
}

/** One of each process counts for as long as that lives, and for no other. */
function readSecrets(
  app: FastifyInstance,
  { secret }: SessionOptions,
  { SESSION_SECRET }: Static<typeof variables>,
  production: boolean,
): readonly string[] {
  const given = secret ?? SESSION_SECRET?.split(',').map((one) => one.trim())
  const secrets = [given ?? []].flat()
  const wanted = 'one of at least 32 characters (SESSION_SECRET), or several'
  if (secrets.some((one) => one.length < 32))
    throw invalidOption('session', 'secret', given, wanted)
  if (secrets.length > 0) return secrets
  if (production) throw invalidOption('session', 'secret', undefined, wanted)
  app.log.warn('SESSION_SECRET is not set: sessions end with this process')
  return [randomBytes(32).toString('base64url')]
}

async function chooseStore(
  app: FastifyInstance,
  production: boolean,
  prefix = 'plinth',
): Promise<SessionStore> {
  const redis = fromEarlier<RedisCommands>(app, 'session', { plugin: 'redis', decorator: 'redis' })
  if (redis) return createRedisStore(redis, prefix)
  const db = fromEarlier<Kysely<never>>(app, 'session', { plugin: 'database', decorator: 'db' })
  if (db) {
    const { ExpiringRows } = await import('../src/database/expiring-rows.ts')
    const rows = new ExpiringRows(db, 'plinth_session')
    // Where the database is away it is made with the first session.
    app.addHook('onReady', () => rows.prepare().catch(() => {}))
    return createDatabaseStore(rows)
  }
  if (production) throw errors.REDIS_MISSING('Sessions', 'REDIS_URL')
  app.log.warn('sessions are in memory: they end with this process, and no other has them')
  return createMemoryStore()
}
