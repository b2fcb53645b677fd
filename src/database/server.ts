import { existsSync, rmSync } from 'node:fs'
import { basename } from 'node:path'
import type { ResultSetHeader } from 'mysql2'
import { errors } from '../errors.ts'
import { type MysqlError, ofStart } from './mysql/failure.ts'
import { quoteName } from './schema/sql.ts'
import { openSqlite } from './sqlite/open.ts'
import { DEFAULT_LIMITS } from './types.ts'
import type { DatabaseTarget, MysqlTarget } from './url.ts'

/** What people call the database: its name, or that of its file. */
export function databaseName(target: DatabaseTarget): string {
  return target.kind === 'mysql' ? target.database : basename(target.file)
}

/**
 * Creates the database of a URL, on MySQL as utf8mb4. Returns whether there was none.
 *
 * @throws {PlinthError} DATABASE_UNAVAILABLE with the server's reason
 */
export async function createDatabase(target: DatabaseTarget): Promise<boolean> {
  if (target.kind === 'mysql') {
    const name = quoteName(target.database, 'mysql')
    return await changes(target, `create database if not exists ${name} character set utf8mb4`)
  }
  const isNew = !existsSync(target.file)
  await (await openSqlite(target.file, { limits: DEFAULT_LIMITS })).close()
  return isNew
}

/**
 * Drops the database of a URL with all that is in it. Returns whether there was one.
 *
 * @throws {PlinthError} DATABASE_UNAVAILABLE with the server's reason
 */
export async function dropDatabase(target: DatabaseTarget): Promise<boolean> {
  if (target.kind === 'mysql') {
    return await changes(target, `drop database if exists ${quoteName(target.database, 'mysql')}`)
  }
  const existed = existsSync(target.file)
  try {
    for (const ending of ['', '-wal', '-shm', '-journal']) {
      rmSync(target.file + ending, { force: true })
    }
  } catch (cause) {
    throw errors.DATABASE_UNAVAILABLE.with({ cause }, (cause as Error).message)
  }
  return existed
}

/** Runs one statement of the server, in no database. Returns whether it had anything to do. */
async function changes(target: MysqlTarget, sql: string): Promise<boolean> {
  const { host, port, user, password, tls } = target
  const { createConnection } = await import('mysql2/promise')
  const { connectTimeout, queryTimeout } = DEFAULT_LIMITS
  try {
    const connection = await createConnection({
      ...{ host, port, user, password, connectTimeout },
      ...(tls && { ssl: { rejectUnauthorized: tls.verify, verifyIdentity: tls.verify } }),
    })
    try {
      const [result] = await connection.query<ResultSetHeader>({ sql, timeout: queryTimeout })
      // It warns of what `if exists` and `if not exists` have passed over.
      return result.warningStatus === 0
    } finally {
      connection.destroy()
    }
  } catch (error) {
    throw ofStart(error as MysqlError, host, port)
  }
}
