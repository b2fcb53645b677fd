import { connect, type Socket } from 'node:net'
import { type Kysely, MysqlDialect, sql } from 'kysely'
import type { Connection, Pool, PoolOptions, ResultSetHeader } from 'mysql2'
import { openTracked } from '../../transaction.ts'
import {
  type DatabaseTables,
  DEFAULT_LIMITS,
  type MysqlTarget,
  type OpenDatabase,
  type OpenOptions,
  type ReadLimits,
} from '../../types.ts'
import { quoteName } from '../ddl.ts'
import { SlowStatements } from '../driver.ts'
import { BoundedPool } from './driver.ts'
import { type MysqlError, ofStart } from './errors.ts'

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

// ---- making, dropping and emptying it

/** Creates the database. Returns whether there was none. */
export async function create(target: MysqlTarget): Promise<boolean> {
  const name = quoteName(target.database, 'mysql')
  return await changes(target, `create database if not exists ${name} character set utf8mb4`)
}

/** Drops the database. Returns whether there was one. */
export async function drop(target: MysqlTarget): Promise<boolean> {
  return await changes(target, `drop database if exists ${quoteName(target.database, 'mysql')}`)
}

/** Runs one statement of the server, in no database. Returns whether it had anything to do. */
async function changes(target: MysqlTarget, statement: string): Promise<boolean> {
  const { host, port, user, password, tls } = target
  const { createConnection } = await import('mysql2/promise')
  const { connectTimeout, queryTimeout } = DEFAULT_LIMITS
  try {
    const connection = await createConnection({
      ...{ host, port, user, password, connectTimeout },
      ...(tls && { ssl: { rejectUnauthorized: tls.verify, verifyIdentity: tls.verify } }),
    })
    try {
      const [result] = await connection.query<ResultSetHeader>({
        sql: statement,
        timeout: queryTimeout,
      })
      // It warns of what `if exists` and `if not exists` have passed over.
      return result.warningStatus === 0
    } finally {
      connection.destroy()
    }
  } catch (error) {
    throw ofStart(error as MysqlError, host, port)
  }
}

/** The server's own client: the programs that do, the first that there is. */
export function client(target: MysqlTarget) {
  return {
    names: ['mariadb', 'mysql'],
    args: [...connecting(target), target.database],
    env: password(target),
  }
}

/** The program that writes the SQL of a database. */
export function dump(target: MysqlTarget, schemaOnly: boolean) {
  const how = ['--single-transaction', '--no-tablespaces', '--routines', '--hex-blob']
  const what = [...(schemaOnly ? ['--no-data'] : []), '--default-character-set=utf8mb4']
  return {
    names: ['mariadb-dump', 'mysqldump'],
    args: [...connecting(target), ...how, ...what, target.database],
    env: password(target),
  }
}

function connecting({ host, port, user }: MysqlTarget): string[] {
  return [`--host=${host}`, `--port=${port}`, `--user=${user}`, '--protocol=tcp']
}

function password(target: MysqlTarget): Record<string, string> {
  return target.password ? { MYSQL_PWD: target.password } : {}
}

/**
 * Empties tables, whatever refers to what. MySQL commits each by itself, the records of seeds first: whatever comes between, no seed
 * counts as finished.
 *
 * @param connection one that nobody else uses
 * @returns how many
 */
export async function empty<DB>(
  connection: Kysely<DB>,
  isWanted: (table: string) => boolean,
): Promise<number> {
  const { rows } = await sql<{ name: string }>`
    select table_name as name from information_schema.tables
    where table_schema = database() and table_type = 'BASE TABLE'
    order by table_name <> 'plinth_seed', table_name`.execute(connection)
  const tables = rows.filter(({ name }) => isWanted(name))
  await sql`set foreign_key_checks = 0`.execute(connection)
  try {
    for (const { name } of tables) await sql`truncate table ${sql.id(name)}`.execute(connection)
  } finally {
    await sql`set foreign_key_checks = 1`.execute(connection)
  }
  return tables.length
}
