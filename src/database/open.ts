import type { Pool, PoolOptions } from 'mysql2'
import { requirePackages } from '../packages.ts'
import type { Model } from './model/types.ts'
import type { OpenDatabase, OpenOptions } from './types.ts'
import type { DatabaseTarget, MysqlTarget } from './url.ts'

export interface Opening extends OpenOptions {
  readonly models: readonly Model[]
  /** The id of who makes a change; undefined: nobody is known. */
  readonly user: () => string | undefined
}

/** Makes the pool of MySQL, whose first query has been answered. */
type MakePool = (options: PoolOptions) => Promise<Pool>

/**
 * Opens a database, on which `models` are as they say.
 *
 * @param makePool makes a pool that its maker closes; default: one that is closed with the database
 * @throws {PlinthError} MODEL_INVALID; DATABASE_UNAVAILABLE with the place and the reason; PACKAGE_MISSING
 */
export async function openDatabase(
  target: DatabaseTarget,
  { models, user, ...options }: Opening,
  makePool?: MakePool,
): Promise<OpenDatabase> {
  const { assertModels } = await import('./model/check.ts')
  const { modelDialect } = await import('./model/query/transform.ts')
  assertModels(models)
  const opening: OpenOptions = {
    ...options,
    adapt: (dialect) => modelDialect(dialect, { models, user }),
  }
  if (target.kind === 'mysql') return await openPool(target, opening, makePool)
  const { openSqlite } = await import('./dialect/sqlite/open.ts')
  return await openSqlite(target.file, opening)
}

async function openPool(
  target: MysqlTarget,
  opening: OpenOptions,
  makePool: MakePool | undefined,
): Promise<OpenDatabase> {
  requirePackages('database', ['@fastify/mysql', 'mysql2'])
  const { ofStart } = await import('./dialect/mysql/errors.ts')
  const { openMysql, poolOptions, Sockets } = await import('./dialect/mysql/open.ts')
  const { createPool } = await import('mysql2')
  const sockets = new Sockets()
  try {
    const options = poolOptions(target, opening.limits, sockets)
    const pool = await (makePool ?? ownPool)(options)
    const probe = createPool({ ...options, connectionLimit: 1, queueLimit: 0 })
    const opened = await openMysql(pool, probe, sockets, opening)
    return makePool ? opened : { ...opened, close: () => opened.close().then(() => end(pool)) }
  } catch (error) {
    // A pool whose first query fails is forgotten by its maker.
    sockets.destroy()
    throw ofStart(error as Error, target.host, target.port)
  }
}

async function ownPool(options: PoolOptions): Promise<Pool> {
  const { createPool } = await import('mysql2')
  const pool = createPool({ ...options })
  await new Promise<void>((resolve, reject) =>
    pool.query('select 1', (error) => (error ? reject(error) : resolve())),
  )
  return pool
}

function end(pool: Pool): Promise<void> {
  return new Promise((resolve) => pool.end(() => resolve()))
}
