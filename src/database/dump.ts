import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { errors } from '../errors.ts'
import { findProgram } from './client.ts'
import { dumpSqlite } from './sqlite/dump.ts'
import type { DatabaseTarget, MysqlTarget } from './url.ts'

export interface DumpOptions {
  /** Without the rows. */
  schemaOnly: boolean
}

/**
 * The SQL that makes a database anew, piece by piece: of MySQL by `mariadb-dump` or `mysqldump`, whose
 * complaints go to stderr; of SQLite without any program. Either is of one moment, whoever writes meanwhile.
 *
 * @throws {PlinthError} CLIENT_MISSING; DATABASE_UNAVAILABLE; DUMP_FAILED, when all has been read
 */
export function dumpDatabase(
  target: DatabaseTarget,
  options: DumpOptions,
): AsyncIterable<string | Buffer> {
  return target.kind === 'mysql' ? dumpMysql(target, options) : dumpFile(target.file, options)
}

async function* dumpFile(file: string, { schemaOnly }: DumpOptions) {
  if (!existsSync(file)) throw errors.DATABASE_UNAVAILABLE(`there is no ${file}`)
  yield* dumpSqlite(file, schemaOnly)
}

async function* dumpMysql(target: MysqlTarget, { schemaOnly }: DumpOptions) {
  const { host, port, user, password, database } = target
  const program = findProgram(['mariadb-dump', 'mysqldump'], process.env.PATH ?? '')
  const where = [`--host=${host}`, `--port=${port}`, `--user=${user}`, '--protocol=tcp']
  const how = ['--single-transaction', '--no-tablespaces', '--routines', '--hex-blob']
  const what = [...(schemaOnly ? ['--no-data'] : []), '--default-character-set=utf8mb4', database]
  const child = spawn(program, [...where, ...how, ...what], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...(password && { MYSQL_PWD: password }) },
  })
  const ended = once(child, 'close')
  try {
    yield* child.stdout as AsyncIterable<Buffer>
    const [code, signal] = await ended
    if (code !== 0) throw errors.DUMP_FAILED(program, signal ?? `exit code ${code}`)
  } finally {
    child.kill()
  }
}
