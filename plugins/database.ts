import mysql, { type MySQLPool } from '@fastify/mysql'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { sql } from 'kysely'
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
}

type Check = (signal: AbortSignal) => Promise<void>

/**
 * Attaches a database, opened when this is done and closed with the app.
 *
 * @throws {PlinthError} DATABASE_URL_INVALID; DATABASE_UNAVAILABLE with the place and the reason
 */
async function database(app: FastifyInstance, options: DatabaseOptions): Promise<void> {
  const { url, root, ...given } = options
  const target = parseDatabaseUrl(url, root)
  const limits: DatabaseLimits = { ...DEFAULT_LIMITS, ...given }
  const { db, close } =
    target.kind === 'mysql'
      ? await attachMysql(app, target, limits)
      : await openSqlite(target.file, limits)
  app.addHook('onClose', close)
  app.decorate('db', db)
  if (app.hasDecorator('readiness')) {
    app.getDecorator<Map<string, Check>>('readiness').set('database', async (signal) => {
      await sql`select 1`.execute(db, { signal })
    })
  }
}

async function attachMysql(
  app: FastifyInstance,
  target: MysqlTarget,
  limits: DatabaseLimits,
): Promise<OpenDatabase> {
  const sockets = new Sockets()
  try {
    await app.register(mysql, poolOptions(target, limits, sockets))
    const { pool } = app.getDecorator<MySQLPool>('mysql')
    return await openMysql(pool, limits, sockets)
  } catch (error) {
    // @fastify/mysql forgets a pool whose first query fails.
    sockets.destroy()
    throw ofStart(error as Error, target.host, target.port)
  }
}

export default fp(database, { name: 'plinth-database', fastify: '5.x' })
