import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { type Dialect, type Kysely, SqliteIntrospector, SqliteQueryCompiler, sql } from 'kysely'
import { errors, PlinthError } from '../../../errors.ts'
import { openTracked } from '../../transaction.ts'
import {
  type DatabaseTables,
  DEFAULT_LIMITS,
  type OpenDatabase,
  type OpenOptions,
  type ReadLimits,
  type SqliteTarget,
} from '../../types.ts'
import { quoteName, quoteNames, quoteText } from '../ddl.ts'
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

// ---- making, dropping, dumping and emptying it

interface Entry {
  type: string
  name: string
  table: string
  sql: string
}

// Virtual tables keep their rows in shadow tables, which they make themselves.
const TABLES = `
  select s.name, s.sql from sqlite_schema s join pragma_table_list l on l.name = s.name and l.schema = 'main'
  where s.type = 'table' and l.type = 'table' and s.name not like 'sqlite\\_%' escape '\\' order by s.rowid`

const REST = `
  select sql from sqlite_schema where type in ('index', 'view', 'trigger') and sql is not null
  order by case type when 'index' then 1 when 'view' then 2 else 3 end, rowid`

const VIRTUAL = `select name from pragma_table_list where type = 'virtual' and schema = 'main'`

/** Creates the file. Returns whether there was none. */
export async function create({ file }: SqliteTarget): Promise<boolean> {
  const isNew = !existsSync(file)
  await (await openSqlite(file, { limits: DEFAULT_LIMITS })).close()
  return isNew
}

/** Removes the file, with those beside it. Returns whether there was one. */
export async function drop({ file }: SqliteTarget): Promise<boolean> {
  const existed = existsSync(file)
  try {
    for (const ending of ['', '-wal', '-shm', '-journal']) rmSync(file + ending, { force: true })
  } catch (cause) {
    throw errors.DATABASE_UNAVAILABLE.with({ cause }, (cause as Error).message)
  }
  return existed
}

/** The client of SQLite. */
export function client({ file }: SqliteTarget) {
  return { names: ['sqlite3'], args: [file], env: {} }
}

/**
 * The SQL of a file, statement by statement. Virtual tables are left out; a comment names them.
 *
 * @param schemaOnly without the rows
 */
export function* dump({ file }: SqliteTarget, schemaOnly: boolean): Generator<string> {
  if (!existsSync(file)) throw errors.DATABASE_UNAVAILABLE(`there is no ${file}`)
  const { DatabaseSync } = loadSqlite()
  const database = new DatabaseSync(file, { readOnly: true, timeout: 5000 })
  try {
    // What is read in one transaction is of one moment.
    database.exec('begin')
    yield* statements(database, schemaOnly)
  } finally {
    database.close()
  }
}

function* statements(database: DatabaseSync, schemaOnly: boolean): Generator<string> {
  const all = <T>(sql: string) => database.prepare(sql).all() as unknown as T[]
  yield 'pragma foreign_keys = off;\nbegin;\n'
  for (const { name } of all<Entry>(VIRTUAL)) yield `-- left out: the virtual table ${name}\n`
  for (const { name, sql } of all<Entry>(TABLES)) {
    yield `${sql};\n`
    if (!schemaOnly) yield* rows(database, name)
  }
  if (!schemaOnly) yield* sequences(database)
  for (const { sql } of all<Entry>(REST)) yield `${sql};\n`
  yield 'commit;\n'
}

function* rows(database: DatabaseSync, table: string): Generator<string> {
  const columns = database
    .prepare('select name from pragma_table_xinfo(?) where hidden = 0 order by cid')
    .all(table)
    .map(({ name }) => String(name))
  const names = quoteNames(columns, 'sqlite')
  const name = quoteName(table, 'sqlite')
  const read = database.prepare(`select ${names.slice(1, -1)} from ${name}`)
  read.setReadBigInts(true)
  read.setReturnArrays(true)
  for (const row of read.iterate() as Iterable<unknown>) {
    const values = (row as unknown[]).map(literal).join(', ')
    yield `insert into ${name} ${names} values (${values});\n`
  }
}

/** Where the numbers of tables with autoincrement go on. */
function* sequences(database: DatabaseSync): Generator<string> {
  const found = database.prepare(`select 1 from sqlite_schema where name = 'sqlite_sequence'`).get()
  if (!found) return
  yield 'delete from sqlite_sequence;\n'
  yield* rows(database, 'sqlite_sequence')
}

function literal(value: unknown): string {
  if (value === null) return 'null'
  if (value instanceof Uint8Array) return `x'${Buffer.from(value).toString('hex')}'`
  if (typeof value === 'string') return text(value)
  if (typeof value !== 'number') return String(value)
  if (!Number.isFinite(value)) return value > 0 ? '9e999' : '-9e999'
  // So that it stays a floating point number.
  return Number.isInteger(value) && Math.abs(value) < 1e15 ? value.toFixed(1) : String(value)
}

// SQLite's parser ends at a NUL.
function text(value: string): string {
  if (!value.includes('\0')) return quoteText(value, 'sqlite')
  return `cast(x'${Buffer.from(value).toString('hex')}' as text)`
}

/**
 * Empties tables, whatever refers to what, in one transaction.
 *
 * @param connection one that nobody else uses
 * @returns how many
 */
export async function empty<DB>(
  connection: Kysely<DB>,
  isWanted: (table: string) => boolean,
): Promise<number> {
  // Does nothing within a transaction.
  await sql`pragma foreign_keys = off`.execute(connection)
  try {
    return await connection.transaction().execute(async (db) => {
      // Shadow tables go with the virtual ones that they belong to.
      const { rows } = await sql<{ name: string }>`select name from pragma_table_list
        where schema = 'main' and type in ('table', 'virtual') and name not like 'sqlite\\_%' escape '\\'`.execute(
        db,
      )
      const tables = rows.filter(({ name }) => isWanted(name))
      for (const { name } of tables) await sql`delete from ${sql.id(name)}`.execute(db)
      await restartNumbers(db)
      return tables.length
    })
  } finally {
    await sql`pragma foreign_keys = on`.execute(connection)
  }
}

/** SQLite makes the table of the numbers with the first table that has some. */
async function restartNumbers<DB>(db: Kysely<DB>): Promise<void> {
  const { rows } = await sql`select 1 from sqlite_schema where name = 'sqlite_sequence'`.execute(db)
  if (rows.length > 0) await sql`delete from sqlite_sequence`.execute(db)
}
