import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { type Dialect, type Kysely, SqliteIntrospector, SqliteQueryCompiler } from 'kysely'
import { errors, PlinthError } from '../../../errors.ts'
import { openTracked } from '../../transaction.ts'
import type { DatabaseTables, OpenDatabase, OpenOptions, ReadLimits } from '../../types.ts'
import { SqliteDriver } from './driver.ts'
import { untilFree } from './errors.ts'

// Milliseconds for which the process may stand still for another's lock; `untilFree` does the longer waiting.
const BUSY_TIMEOUT = 25

// WAL: readers and a writer do not hinder each other. NORMAL: a crash of the machine may undo the last
// commits, but never damages the file. 16 MB of pages in memory instead of 2: inserts into tables with several
// indexes take a quarter less time.
const SETTINGS = `
  pragma journal_mode = wal; pragma synchronous = normal; pragma foreign_keys = on; pragma cache_size = -16000`

/**
 * Opens a file of SQLite, which is created with its folder if it is not there.
 *
 * @param file an absolute path, or `:memory:`
 * @throws {PlinthError} DATABASE_UNAVAILABLE with the file and the reason; DATABASE_BUSY while others lock it
 */
export async function openSqlite(file: string, options: OpenOptions): Promise<OpenDatabase> {
  const { limits, adapt = (dialect) => dialect } = options
  const { DatabaseSync } = loadSqlite()
  const reader = () => new DatabaseSync(file, { timeout: BUSY_TIMEOUT, readOnly: true })
  const database = await open(file, limits)
  const driver = new SqliteDriver(database, options, file === ':memory:' ? undefined : reader)
  const dialect = adapt(sqliteDialect(driver))
  const db = openTracked<DatabaseTables>(dialect)
  // Not `db.destroy()`, which does nothing where no query has run yet.
  return {
    db,
    check: () => driver.check(),
    waited: () => driver.waited(),
    usage: () => driver.usage(),
    close: () => driver.destroy(),
  }
}

async function open(file: string, limits: ReadLimits): Promise<DatabaseSync> {
  const { DatabaseSync } = loadSqlite()
  let database: DatabaseSync | undefined
  try {
    if (file !== ':memory:') mkdirSync(dirname(file), { recursive: true })
    const opened = new DatabaseSync(file, { timeout: BUSY_TIMEOUT })
    database = opened
    await untilFree(limits.acquireTimeout, () => opened.exec(SETTINGS))
    return opened
  } catch (cause) {
    database?.close()
    if (PlinthError.is(cause)) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw errors.DATABASE_UNAVAILABLE.with({ cause }, `${file} cannot be opened: ${reason}`)
  }
}

/** Kysely's dialect of SQLite over `node:sqlite`. */
function sqliteDialect(driver: SqliteDriver): Dialect {
  return {
    createDriver: () => driver,
    createQueryCompiler: () => new SqliteQueryCompiler(),
    createAdapter: () => driver.adapter,
    createIntrospector: (db: Kysely<unknown>) => new SqliteIntrospector(db),
  }
}

type Sqlite = typeof import('node:sqlite')

/**
 * Loads `node:sqlite` without the line "SQLite is an experimental feature" that Node.js 22 and 24 print on
 * stderr. Every other warning is let through.
 */
export function loadSqlite(): Sqlite {
  const { emitWarning } = process
  process.emitWarning = (warning: string | Error, ...rest: unknown[]) => {
    if (String(warning).startsWith('SQLite is an experimental feature')) return
    Reflect.apply(emitWarning, process, [warning, ...rest])
  }
  try {
    return process.getBuiltinModule('node:sqlite')
  } finally {
    process.emitWarning = emitWarning
  }
}
