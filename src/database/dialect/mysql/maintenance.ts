import { type Kysely, sql } from 'kysely'
import type { ResultSetHeader } from 'mysql2'
import type { MysqlTarget } from '../../types.ts'
import { DEFAULT_LIMITS } from '../../types.ts'
import { quoteName } from '../ddl.ts'
import { type MysqlError, ofStart } from './errors.ts'

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
