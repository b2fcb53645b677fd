import mysql, { type MySQLPool } from '@fastify/mysql'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { type Dialect, sql } from 'kysely'
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
} from '../src/database/types.ts'
import { type MysqlTarget, parseDatabaseUrl } from '../src/database/url.ts'
import type { ReadinessCheck } from '../src/process/readiness.ts'
import { currentContext, giveContext } from '../src/resource/context.ts'

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
 * @throws {PlinthError} DATABASE_URL_INVALID; MODEL_INVALID; DATABASE_UNAVAILABLE with the place and the reason
 */
async function database(app: FastifyInstance, options: DatabaseOptions): Promise<void> {
  const { url, root, models = [], actor, ...given } = options
  assertModels(models)
  const target = parseDatabaseUrl(url, root)
  const limits: DatabaseLimits = { ...DEFAULT_LIMITS, ...given }
  const user = () => currentContext()?.user?.id ?? actor?.()
  const adapt = (dialect: Dialect) => modelDialect(dialect, { models, user })
  const { db, close } =
    target.kind === 'mysql'
      ? await attachMysql(app, target, limits, adapt)
      : await openSqlite(target.file, limits, adapt)
  app.addHook('onClose', close)
  app.decorate('db', db)
  giveContext(app)
  if (app.hasDecorator('readiness')) {
    app.getDecorator<Map<string, ReadinessCheck>>('readiness').set('database', async (signal) => {
      await sql`select 1`.execute(db, { signal })
    })
  }
}

async function attachMysql(
  app: FastifyInstance,
  target: MysqlTarget,
  limits: DatabaseLimits,
  adapt: (dialect: Dialect) => Dialect,
): Promise<OpenDatabase> {
  const sockets = new Sockets()
  try {
    await app.register(mysql, poolOptions(target, limits, sockets))
    const { pool } = app.getDecorator<MySQLPool>('mysql')
    return await openMysql(pool, limits, sockets, adapt)
  } catch (error) {
    // @fastify/mysql forgets a pool whose first query fails.
    sockets.destroy()
    throw ofStart(error as Error, target.host, target.port)
  }
}

export default fp(database, { name: 'plinth-database', fastify: '5.x' })
