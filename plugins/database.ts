/** @ts-ignore: there where it is installed */
import type { MySQLPool } from '@fastify/mysql'
import type { FastifyInstance } from 'fastify'
/** @ts-ignore: there where it is installed */
import type { PoolOptions } from 'mysql2'
import Type, { type Static } from 'typebox'
import { attachedUrl, count, HOST, isLoopback, milliseconds, PORT } from '../src/config/schema.ts'
import { secret } from '../src/config/secret.ts'
import type { Model } from '../src/database/model/types.ts'
import type { Opening } from '../src/database/open.ts'
import type {
  Database,
  DatabaseLimits,
  DatabaseTarget,
  OpenDatabase,
  ReadLimits,
} from '../src/database/types.ts'
import { found, type PluginFinding } from '../src/findings.ts'
import { giveContext } from '../src/http/request-context.ts'
import { definePlugin, type PluginContext, type PluginGiven } from '../src/plugin.ts'
import { assertFree, checkOptions } from '../src/plugin-guards.ts'
import { currentContext } from '../src/resource/context.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The attached database, by Kysely. */
    db: Database
    /** @fastify/mysql's decorator, whose pool `db` runs on; not there on SQLite. */
    mysql?: MySQLPool
  }
}

declare module '../src/config/schema.ts' {
  interface KitConfig extends Env {}
}

const env = Type.Object({
  DATABASE_URL: attachedUrl(
    'The database. Where it is unset, none is attached.',
    '^(mysql://|sqlite:).',
    'mysql://user:password@host:3306/name or sqlite:./path/to/file.db',
    'from MYSQL_*; where MYSQL_HOST is unset: none in production, sqlite::memory: in tests, otherwise sqlite:./data/dev.db',
  ),
  DATABASE_POOL_SIZE: count('The most connections to MySQL that one process opens.', 10),
  DATABASE_QUEUE_LIMIT: count(
    'The most queries that wait for a connection; more are refused.',
    10_000,
  ),
  DATABASE_CONNECT_TIMEOUT: milliseconds('How long connecting to MySQL may take, in ms.', 5000),
  DATABASE_ACQUIRE_TIMEOUT: milliseconds('How long a query waits for a connection, in ms.', 5000),
  DATABASE_QUERY_TIMEOUT: milliseconds(
    'How long one query may take, in ms; 0 for no end.',
    30_000,
    0,
  ),
  DATABASE_SLOW_QUERY: milliseconds(
    'From how long on a query is logged with its plan, in ms; 0: never.',
    500,
    0,
  ),
  MYSQL_HOST: Type.Optional(
    Type.String({ description: 'MySQL, when DATABASE_URL is not set: its host.', ...HOST }),
  ),
  MYSQL_PORT: Type.Optional(
    Type.Integer({ description: 'The port of MYSQL_HOST; 3306 when not set.', ...PORT }),
  ),
  MYSQL_NAME: Type.Optional(
    Type.String({ description: 'The database on MYSQL_HOST.', minLength: 1 }),
  ),
  MYSQL_USER: Type.Optional(Type.String({ description: 'The user on MYSQL_HOST.', minLength: 1 })),
  MYSQL_PASSWORD: secret(
    Type.Optional(Type.String({ description: 'The password of MYSQL_USER; may be empty.' })),
  ),
})
type Env = Static<typeof env>

export interface DatabaseOptions extends Partial<DatabaseLimits> {
  /** `mysql://user:password@host:3306/name`, `sqlite:./path/to/file.db` or `sqlite::memory:`. */
  url: string
  /**
   * What the app has it as: `db` for the one that is called `database`, which is what `context.db` is. Default for others: their
   * names; in a context of Fastify with resources of its own such a one may be its `db`.
   */
  decorator?: string
  /** The folder that a relative path of SQLite starts from; default: the working directory. */
  root?: string
  /** The tables whose rows `db` fills in with who and when, or flags instead of deleting. */
  models?: readonly Model[]
  /** The id of who makes a change where no user is known: outside of requests, and in those of nobody. */
  actor?: () => string | undefined
}

/**
 * Attaches a database, opened when this is done and closed with the app. A second one has another name, by which `/readyz`
 * calls it, too: `app.register(database, { url, name: 'archive' })` is `app.archive`.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE, PLUGIN_NAME_TAKEN; DATABASE_URL_INVALID; MODEL_INVALID; DATABASE_UNAVAILABLE with the place and the reason; PACKAGE_MISSING
 */
async function register(
  app: FastifyInstance,
  options: DatabaseOptions,
  context: PluginContext,
): Promise<void> {
  const { DEFAULT_LIMITS, LIMIT_KINDS } = await import('../src/database/types.ts')
  const read = checkOptions<DatabaseOptions>('database', options, {
    url: 'text',
    decorator: 'text?',
    root: 'text?',
    models: 'models?',
    actor: 'function?',
    ...LIMIT_KINDS,
  })
  const { name } = context
  const { url, decorator: _, root, models = [], actor, ...given } = read
  const decorator = decoratorOf(context)
  assertFree(app, name, decorator)
  const { openDatabase, parseDatabaseUrl } = await import('../src/database/open.ts')
  const limits: ReadLimits = { ...DEFAULT_LIMITS, ...given }
  const opening = {
    limits,
    models,
    user: () => currentContext()?.user?.id ?? actor?.(),
    timeLeft: () => (currentContext()?.expires ?? Number.POSITIVE_INFINITY) - performance.now(),
    log: () => {
      const context = currentContext()
      // Asked for with every statement: the logger of a request is made when there is something to tell.
      return context ? { warn: (fields, text) => context.log.warn(fields, text) } : app.log
    },
  } satisfies Opening
  const { db, check, waited, usage, close } = await openDatabase(
    parseDatabaseUrl(url, root),
    opening,
    (pool) => attachPool(app, name, pool),
  )
  app.addHook('onClose', close)
  app.decorate(decorator, db)
  // Whoever comes then would wait at least as long again, and be refused by the database.
  if (app.hasDecorator('pressures'))
    app.pressures.set(`${name} is waited for`, () => waited() / (limits.acquireTimeout / 2))
  opened.set(db, { check, waited, usage })
  giveContext(app)
}

/** What is asked of a database later. */
const opened = new WeakMap<Database, Pick<OpenDatabase, 'check' | 'waited' | 'usage'>>()

function openedIn(app: FastifyInstance, context: PluginContext) {
  return opened.get(app.getDecorator<Database>(decoratorOf(context)))
}

function decoratorOf({ name, options }: PluginContext): string {
  return (options as DatabaseOptions).decorator ?? (name === 'database' ? 'db' : name)
}

/** The pool is that of @fastify/mysql. */
async function attachPool(
  app: FastifyInstance,
  name: string,
  options: PoolOptions,
): Promise<MySQLPool['pool']> {
  const { default: mysql } = await import('@fastify/mysql')
  // Where the app has a pool, @fastify/mysql wants a name for another.
  const other = app.hasDecorator('mysql') && app.getDecorator<Record<string, MySQLPool>>('mysql')
  await app.register(mysql, other ? { ...options, name } : { ...options })
  const own = other ? (other[name] as MySQLPool) : app.getDecorator<MySQLPool>('mysql')
  // Of a context around this one: here it is that of this one's `db`.
  if (other && !Object.hasOwn(app, 'mysql')) app.decorate('mysql', own)
  return own.pool
}

/** Whether it is one for production. */
function checkTarget(target: DatabaseTarget): PluginFinding[] {
  if (target.kind === 'sqlite')
    return [found('database-file', 'it is a SQLite file, not shared between machines')]
  const { host, tls } = target
  if (tls?.verify || isLoopback(host)) return []
  return tls
    ? [
        found(
          'database-unverified',
          `whoever is between can be ${host}: its certificate is not checked`,
        ),
      ]
    : [found('database-unencrypted', `what goes to ${host} and back can be read on its way`)]
}

function optionsOf({
  env,
  service,
  root,
  models,
  named,
}: PluginGiven<Env>): DatabaseOptions | string {
  if (!env.DATABASE_URL) return `set ${named('DATABASE_URL')}`
  return {
    url: env.DATABASE_URL,
    root,
    models,
    ...(service.actor && { actor: service.actor }),
    poolSize: env.DATABASE_POOL_SIZE,
    queueLimit: env.DATABASE_QUEUE_LIMIT,
    connectTimeout: env.DATABASE_CONNECT_TIMEOUT,
    acquireTimeout: env.DATABASE_ACQUIRE_TIMEOUT,
    queryTimeout: env.DATABASE_QUERY_TIMEOUT,
    slowQuery: env.DATABASE_SLOW_QUERY,
  }
}

export default definePlugin({
  name: 'database',
  env,
  after: ['config', 'load-shedding', 'deadline'],
  decorators: ['db'],
  readiness: {
    database: async (app, _signal, context) => await openedIn(app, context)?.check(),
  },
  checks: [
    async (_, { options, production }) => {
      if (!production) return []
      const { parseDatabaseUrl } = await import('../src/database/open.ts')
      return checkTarget(parseDatabaseUrl((options as DatabaseOptions).url))
    },
  ],
  metrics: [
    {
      name: 'connections_used',
      help: 'Connections that somebody has',
      type: 'gauge',
      collect: (app, context) => openedIn(app, context)?.usage().used ?? 0,
    },
    {
      name: 'connections_max',
      help: 'Connections that there may be',
      type: 'gauge',
      collect: (app, context) => openedIn(app, context)?.usage().size ?? 0,
    },
    {
      name: 'waiting',
      help: 'How many wait for a connection',
      type: 'gauge',
      collect: (app, context) => openedIn(app, context)?.usage().waiting ?? 0,
    },
    {
      name: 'waited_seconds',
      help: 'How long the first of them has waited, at least',
      type: 'gauge',
      shared: true,
      collect: (app, context) => (openedIn(app, context)?.waited() ?? 0) / 1000,
    },
  ],
  options: optionsOf,
  register,
})
