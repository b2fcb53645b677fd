import { connect, type Socket } from 'node:net'
import { MysqlDialect } from 'kysely'
import type { Connection, Pool, PoolOptions } from 'mysql2'
import { openTracked } from '../../transaction.ts'
import type {
  DatabaseTables,
  MysqlTarget,
  OpenDatabase,
  OpenOptions,
  ReadLimits,
} from '../../types.ts'
import { SlowStatements } from '../driver.ts'
import { BoundedPool } from './driver.ts'

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
  const db = openTracked<DatabaseTables>(dialect)
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

/** What mysql2's pool is made of. The texts that it hands out become our types in values.ts. */
export function poolOptions(
  { host, port, user, password, database, tls }: MysqlTarget,
  { poolSize, queueLimit, connectTimeout }: ReadLimits,
  sockets: Sockets,
): PoolOptions {
  return {
    ...{ host, port, user, password, database, connectTimeout, queueLimit },
    ...(tls && { ssl: { rejectUnauthorized: tls.verify, verifyIdentity: tls.verify } }),
    connectionLimit: poolSize,
    stream: () => sockets.connect(host, port),
    timezone: 'Z',
    dateStrings: true,
    supportBigNumbers: true,
    jsonStrings: true,
  }
}

const MODE =
  'STRICT_TRANS_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'

/**
 * The statement that makes a session ours whatever the server's settings are. The comments are no comments:
 * the first is read by MariaDB, in seconds, the second by MySQL, in milliseconds and for SELECT only.
 */
export function sessionSql(queryTimeout: number): string {
  const mariadb = `/*M! , max_statement_time = ${queryTimeout / 1000} */`
  const mysql = `/*!50708 , max_execution_time = ${queryTimeout} */`
  return `set names utf8mb4, time_zone = '+00:00', sql_mode = '${MODE}' ${mariadb} ${mysql}`
}

/**
 * Prepares every connection of a pool. The statement is the first in each new connection's queue, so nobody's query
 * runs before it; where it fails, the connection is destroyed together with what waits in that queue.
 */
export async function prepareSessions(pool: Pool, sql: string): Promise<void> {
  pool.on('connection', (connection: Connection) => {
    connection.query(sql, (error) => {
      if (error) connection.destroy()
    })
  })
  await prepareFirst(pool, sql)
}

// @fastify/mysql has made one already, to try whether it can.
function prepareFirst(pool: Pool, sql: string): Promise<void> {
  return new Promise((resolve, reject) => {
    pool.getConnection((error, connection) => {
      if (error) return reject(error)
      connection.query(sql, (error) => {
        if (error) {
          connection.destroy()
          return reject(error)
        }
        connection.release()
        resolve()
      })
    })
  })
}

// Milliseconds until the first probe, so that firewalls keep idle connections and dead ones are noticed.
const KEEP_ALIVE = 10_000

/**
 * The sockets of a pool. mysql2 ends a connection politely: it says goodbye and waits for the server to hang up.
 * One that has gone silent would keep the process alive, hence this.
 */
export class Sockets {
  readonly #open = new Set<Socket>()

  /** mysql2's option `stream`. */
  connect(host: string, port: number): Socket {
    const socket = connect({
      host,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE,
    })
    this.#open.add(socket)
    socket.once('close', () => this.#open.delete(socket))
    return socket
  }

  destroy(): void {
    for (const socket of this.#open) socket.destroy()
  }

  /** Leaves the server some time to hang up. */
  destroyAfter(milliseconds: number): void {
    setTimeout(() => this.destroy(), milliseconds).unref()
  }
}
