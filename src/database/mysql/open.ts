import { Kysely, MysqlDialect } from 'kysely'
import type { Pool } from 'mysql2'
import { SlowStatements } from '../slow.ts'
import { trackTransactions } from '../transaction.ts'
import type { DatabaseTables, OpenDatabase, OpenOptions } from '../types.ts'
import { BoundedPool } from './pool.ts'
import { prepareSessions, sessionSql } from './session.ts'
import type { Sockets } from './sockets.ts'

// Milliseconds for a server to hang up after we have said goodbye.
const GOODBYE = 1000

// Milliseconds that a server has to show that it is there.
const PROBE = { acquireTimeout: 2000, queryTimeout: 1000 }

/**
 * Kysely on a pool that was made with `poolOptions`. Closing it leaves the pool to its maker.
 *
 * @param probe another such pool, of one connection, for `check` alone: it connects when that is called first
 * @throws {Error} mysql2's, when the sessions cannot be prepared
 */
export async function openMysql(
  pool: Pool,
  probe: Pool,
  sockets: Sockets,
  { limits, adapt = (dialect) => dialect, timeLeft, log }: OpenOptions,
): Promise<OpenDatabase> {
  await prepareSessions(pool, sessionSql(limits.queryTimeout))
  const bounded = new BoundedPool(pool, limits, {
    timeLeft,
    slow: log && new SlowStatements({ threshold: limits.slowQuery, log }),
  })
  const dialect = adapt(new MysqlDialect({ pool: bounded }))
  const db = trackTransactions(new Kysely<DatabaseTables>({ dialect }))
  const checks = new BoundedPool(probe, { ...limits, ...PROBE })
  const close = async () => {
    await Promise.all([bounded.drain(), checks.drain()])
    probe.end(() => {})
    sockets.destroyAfter(GOODBYE)
  }
  return {
    db,
    check: () => ping(checks),
    waited: () => bounded.waited(),
    usage: () => bounded.usage(),
    close,
  }
}

function ping(pool: BoundedPool): Promise<void> {
  return new Promise((resolve, reject) => {
    pool.getConnection((error, connection) => {
      if (error) return reject(error)
      connection.query('select 1', [], (error) => {
        connection.release()
        if (error) reject(error)
        else resolve()
      })
    })
  })
}
