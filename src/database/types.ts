import type { ColumnType, Dialect, Kysely } from 'kysely'
import type { Duration, InMilliseconds } from '../duration.ts'
import type { SlowLog } from './dialect/driver.ts'

/**
 * The tables of a service and the types of their rows, as Kysely wants them. A service adds its own:
 * `declare module 'plinth' { interface DatabaseTables { city: CityTable } }`
 */
// biome-ignore lint/suspicious/noEmptyInterface: services fill it by declaration merging
export interface DatabaseTables {}

/** What `app.db` is. */
export type Database = Kysely<DatabaseTables>

/**
 * The type of a column of points in time: read as an ISO 8601 string in UTC with milliseconds
 * (`2026-11-22T10:00:00.000Z`), written as a `Date`, compared with `instant(date)`.
 */
export type Timestamp = ColumnType<string, Date, Date>

// ---- what is opened

export interface MysqlTarget {
  kind: 'mysql'
  host: string
  port: number
  user: string
  password: string
  database: string
  /** TLS, if it is wanted: verified against the system's authorities unless `verify` is false. */
  tls?: { verify: boolean }
}

export interface SqliteTarget {
  kind: 'sqlite'
  /** An absolute path, or `:memory:`. */
  file: string
}

export type DatabaseTarget = MysqlTarget | SqliteTarget

/** The bounds of a database connection. Times are milliseconds, or texts like `'5s'`. */
export interface DatabaseLimits {
  /** How many connections at most, per process; of SQLite how many streams are read at once. Default 10. */
  poolSize: number
  /**
   * How many may wait for a connection; whoever comes after is refused at once. A bound of memory: it is
   * `acquireTimeout` that bounds the waiting. Default 10,000.
   */
  queueLimit: number
  /** MySQL: how long a connection may take to be made. Default 5000. */
  connectTimeout: Duration
  /** How long one may wait for a connection (on SQLite: for its turn, and for other processes' locks). Default 5000. */
  acquireTimeout: Duration
  /**
   * MySQL: how long one statement may take. Default 30,000; 0: as long as it wants. SQLite runs statements
   * within the process, where nothing can interrupt them.
   */
  queryTimeout: Duration
  /** How long a statement takes that is logged, with its plan; 0: none is. Default 500. */
  slowQuery: Duration
}

/** What they have to be, by the kinds of `checkOptions`. */
export const LIMIT_KINDS = {
  poolSize: 'count?',
  queueLimit: 'count?',
  connectTimeout: 'timer?',
  acquireTimeout: 'timer?',
  queryTimeout: 'timer?',
  slowQuery: 'time?',
} as const

/** The same, once it was read. */
export type ReadLimits = InMilliseconds<DatabaseLimits>

export const DEFAULT_LIMITS: ReadLimits = {
  poolSize: 10,
  queueLimit: 10_000,
  connectTimeout: 5000,
  acquireTimeout: 5000,
  queryTimeout: 30_000,
  slowQuery: 500,
}

/** A row, before its query says more about it. */
export type Row = Record<string, unknown>

/** What a database is opened with. */
export interface OpenOptions {
  limits: ReadLimits
  /** May change how statements are compiled. */
  adapt?: (dialect: Dialect) => Dialect
  /** How many milliseconds the work that is under way may still take; default: as many as it wants. */
  timeLeft?: TimeLeft
  /** Where statements that take long are told of; default: nowhere. */
  log?: () => SlowLog
}

export type TimeLeft = () => number

export const FOREVER: TimeLeft = () => Number.POSITIVE_INFINITY

/** How a database is used: of SQLite the one connection that all but streams have in turn. */
export interface DatabaseUsage {
  /** Connections that somebody has. */
  used: number
  /** How many there may be. */
  size: number
  /** How many wait for one. */
  waiting: number
}

/** A database that has been opened. */
export interface OpenDatabase {
  db: Database
  /**
   * Whether it is there, on a connection of its own: one that is busy is there, too.
   *
   * @throws {PlinthError} DATABASE_UNAVAILABLE
   */
  check(): Promise<void>
  /** Milliseconds for which somebody has waited for a connection, as far as this is called again and again: 0 at first. */
  waited(): number
  /** What there is of it, and how many want it, now. */
  usage(): DatabaseUsage
  /** Waits for what is running, then closes it. May be called again. */
  close(): Promise<void>
}
