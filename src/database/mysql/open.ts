import { type Dialect, Kysely, MysqlDialect } from 'kysely'
import type { Pool } from 'mysql2'
import { trackTransactions } from '../transaction.ts'
import type { DatabaseLimits, DatabaseTables, OpenDatabase } from '../types.ts'
import { BoundedPool } from './pool.ts'
import { prepareSessions, sessionSql } from './session.ts'
import type { Sockets } from './sockets.ts'

// Milliseconds for a server to hang up after we have said goodbye.
const GOODBYE = 1000

/**
 * Kysely on a pool that was made with `poolOptions`. Closing it leaves the pool to its maker.
 *
 * @param adapt may change how statements are compiled
 * @throws {Error} mysql2's, when the sessions cannot be prepared
 */
export async function openMysql(
  pool: Pool,
  limits: DatabaseLimits,
  sockets: Sockets,
  adapt = (dialect: Dialect): Dialect => dialect,
): Promise<OpenDatabase> {
  await prepareSessions(pool, sessionSql(limits.queryTimeout))
  const bounded = new BoundedPool(pool, limits)
  const dialect = adapt(new MysqlDialect({ pool: bounded }))
  const db = trackTransactions(new Kysely<DatabaseTables>({ dialect }))
  const close = async () => {
    await bounded.drain()
    sockets.destroyAfter(GOODBYE)
  }
  return { db, close }
}
