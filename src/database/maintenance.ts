import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants, statSync } from 'node:fs'
import { basename, delimiter, join } from 'node:path'
import type { Kysely } from 'kysely'
import { errors } from '../errors.ts'
import * as mysql from './dialect/mysql/open.ts'
import * as sqlite from './dialect/sqlite/open.ts'
import { parseDatabaseUrl } from './open.ts'
import { dialectOf } from './portable.ts'
import type { DatabaseTarget } from './types.ts'

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
  return target.kind === 'mysql' ? await mysql.create(target) : await sqlite.create(target)
}

/**
 * Drops the database of a URL with all that is in it. Returns whether there was one.
 *
 * @throws {PlinthError} DATABASE_UNAVAILABLE with the server's reason
 */
export async function dropDatabase(target: DatabaseTarget): Promise<boolean> {
  return target.kind === 'mysql' ? await mysql.drop(target) : await sqlite.drop(target)
}

/** A program to start, with what it needs. */
export interface DatabaseClient {
  command: string
  args: string[]
  env: Record<string, string>
}

/**
 * The database's own command-line client for `url`. The password goes through the environment: arguments
 * can be seen by every user of the machine.
 *
 * @param root the folder that the path of a SQLite file starts from
 * @throws {PlinthError} CLIENT_MISSING where the machine has none
 */
export function databaseClient(
  url: string,
  root: string,
  path = process.env.PATH ?? '',
): DatabaseClient {
  const target = parseDatabaseUrl(url, root)
  const { names, ...rest } = target.kind === 'mysql' ? mysql.client(target) : sqlite.client(target)
  return { command: findProgram(names, path), ...rest }
}

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
export async function* dumpDatabase(
  target: DatabaseTarget,
  { schemaOnly }: DumpOptions,
): AsyncGenerator<string | Buffer> {
  if (target.kind === 'sqlite') return yield* sqlite.dump(target, schemaOnly)
  const { names, args, env } = mysql.dump(target, schemaOnly)
  const program = findProgram(names, process.env.PATH ?? '')
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
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

/**
 * Empties all tables, whatever refers to what, but those that record migrations; the numbers of generated keys start anew.
 *
 * @param kept those that are left alone, too
 * @returns how many tables
 */
export async function emptyTables<DB>(
  db: Kysely<DB>,
  kept: readonly string[] = [],
): Promise<number> {
  const empty = dialectOf(db) === 'sqlite' ? sqlite.empty : mysql.empty
  const isWanted = (table: string) => !table.startsWith('plinth_migration') && !kept.includes(table)
  return await db.connection().execute((connection) => empty(connection, isWanted))
}

/** @throws {PlinthError} CLIENT_MISSING where PATH has none of them */
function findProgram(names: readonly string[], path: string): string {
  for (const name of names) {
    const found = path
      .split(delimiter)
      .map((folder) => join(folder, name))
      .find(isExecutable)
    if (found) return found
  }
  throw errors.CLIENT_MISSING(names.join(' or '))
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return statSync(file).isFile()
  } catch {
    return false
  }
}
