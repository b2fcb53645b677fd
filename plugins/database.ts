/** @ts-ignore: there where it is installed */
import type { MySQLPool } from '@fastify/mysql'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { assertModels } from '../src/database/model/check-models.ts'
import { modelDialect } from '../src/database/model/dialect.ts'
import type { Model } from '../src/database/model/model.ts'
import { ofStart } from '../src/database/mysql/failure.ts'
import { openMysql } from '../src/database/mysql/open.ts'
import { poolOptions } from '../src/database/mysql/options.ts'
import { Sockets } from '../src/database/mysql/sockets.ts'
import { openSqlite } from '../src/database/sqlite/open.ts'
import {
  type Database,
  type DatabaseLimits,
  DEFAULT_LIMITS,
  type OpenDatabase,
  type OpenOptions,
} from '../src/database/types.ts'
import { type MysqlTarget, parseDatabaseUrl } from '../src/database/url.ts'
import { giveContext } from '../src/http/request-context.ts'
import { addCheck, assertOnce, checkOptions, requirePackages } from '../src/plugin.ts'
import { assertNameFree, readinessOf } from '../src/process/readiness.ts'
import { currentContext } from '../src/resource/context.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The attached database, by Kysely. */
    db: Database
    /** @fastify/mysql's decorator, whose pool `db` runs on; not there on SQLite. */
    mysql?: MySQLPool
  }
}

export interface DatabaseOptions extends Partial<DatabaseLimits> {
  /** `mysql://user:password@host:3306/name`, `sqlite:./path/to/file.db` or `sqlite::memory:`. */
  url: string
  /** What `/readyz` calls it; default `database`. Where an app has two, each needs its own. */
  name?: string
  /** The folder that a relative path of SQLite starts from; default: the working directory. */
  root?: string
  /** The tables whose rows `db` fills in with who and when, or flags instead of deleting. */
  models?: readonly Model[]
  /** The id of who makes a change where no user is known: outside of requests, and in those of nobody. */
  actor?: () => string | undefined
}

/**
 * Attaches a database, opened when this is done and closed with the app.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE, PLUGIN_NAME_TAKEN; DATABASE_URL_INVALID; MODEL_INVALID; DATABASE_UNAVAILABLE with the place and the reason; PACKAGE_MISSING
 */
async function database(app: FastifyInstance, options: DatabaseOptions): Promise<void> {
  checkOptions<DatabaseOptions>('database', options, {
    url: 'text',
    name: 'text?',
    root: 'text?',
    models: 'models?',
    actor: 'function?',
    poolSize: 'count?',
    queueLimit: 'count?',
    connectTimeout: 'number?',
    acquireTimeout: 'number?',
    queryTimeout: 'number?',
    slowQuery: 'number?',
  })
  assertOnce(app, 'database', 'db')
  const { url, name = 'database', root, models = [], actor, ...given } = options
  assertNameFree(app, 'plinth/plugins/database', name)
  assertModels(models)
  const target = parseDatabaseUrl(url, root)
  const limits: DatabaseLimits = { ...DEFAULT_LIMITS, ...given }
  const user = () => currentContext()?.user?.id ?? actor?.()
  const opening: OpenOptions = {
    limits,
    adapt: (dialect) => modelDialect(dialect, { models, user }),
    timeLeft: () => (currentContext()?.expires ?? Number.POSITIVE_INFINITY) - performance.now(),
    log: () => {
      const context = currentContext()
      // Asked for with every statement: the logger of a request is made when there is something to tell.
      return context ? { warn: (fields, text) => context.log.warn(fields, text) } : app.log
    },
  }
  const { db, check, close } =
    target.kind === 'mysql'
      ? await attachMysql(app, name, target, opening)
      : await openSqlite(target.file, opening)
  app.addHook('onClose', close)
  app.decorate('db', db)
  giveContext(app)
  readinessOf(app).set(name, check)
  const local = 'the database is a SQLite file: it is not shared between machines'
  addCheck(app, 'production', ({ production }) =>
    production && target.kind === 'sqlite' ? [{ level: 'warning', message: local }] : [],
  )
}

async function attachMysql(
  app: FastifyInstance,
  name: string,
  target: MysqlTarget,
  opening: OpenOptions,
): Promise<OpenDatabase> {
  requirePackages('database', '@fastify/mysql', 'mysql2')
  const { default: mysql } = await import('@fastify/mysql')
  const { createPool } = await import('mysql2')
  const sockets = new Sockets()
  try {
    // Where a context around this one has a pool, @fastify/mysql wants a name for another.
    const around = app.hasDecorator('mysql') && app.getDecorator<Record<string, MySQLPool>>('mysql')
    const options = poolOptions(target, opening.limits, sockets)
    await app.register(mysql, around ? { ...options, name } : { ...options })
    if (around) app.decorate('mysql', around[name] as MySQLPool)
    const { pool } = app.getDecorator<MySQLPool>('mysql')
    const probe = createPool({ ...options, connectionLimit: 1, queueLimit: 0 })
    return await openMysql(pool, probe, sockets, opening)
  } catch (error) {
    // @fastify/mysql forgets a pool whose first query fails.
    sockets.destroy()
    throw ofStart(error as Error, target.host, target.port)
  }
}

export default fp(database, { name: 'plinth-database', fastify: '5.x' })
