import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { errors } from '../errors.ts'
import { parseDatabaseUrl } from './url.ts'

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
  if (target.kind === 'sqlite') {
    return { command: findProgram(['sqlite3'], path), args: [target.file], env: {} }
  }
  const { host, port, user, password, database } = target
  const args = [`--host=${host}`, `--port=${port}`, `--user=${user}`, '--protocol=tcp', database]
  return {
    command: findProgram(['mariadb', 'mysql'], path),
    args,
    env: password ? { MYSQL_PWD: password } : {},
  }
}

/** @throws {PlinthError} CLIENT_MISSING where PATH has none of them */
export function findProgram(names: readonly string[], path: string): string {
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
