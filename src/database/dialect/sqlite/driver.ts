import { tracingChannel } from 'node:diagnostics_channel'
import type { DatabaseSync } from 'node:sqlite'
import {
  CompiledQuery,
  type DatabaseConnection,
  type Driver,
  type QueryResult,
  SelectQueryNode,
  SqliteAdapter,
  type TransactionSettings,
} from 'kysely'
import { errors } from '../../../errors.ts'
import { activeTrace, watchers } from '../../../trace.ts'
import { holdsConnection } from '../../current-transaction.ts'
import {
  type DatabaseUsage,
  FOREVER,
  type OpenOptions,
  type ReadLimits,
  type TimeLeft,
} from '../../types.ts'
import { quoteName } from '../ddl.ts'
import { LongestWait, SlowStatements } from '../driver.ts'
import { type Bindable, bindable, type FormatDate } from '../values.ts'
import { hasNoRoom, isBusy, untilFree } from './errors.ts'
import { type Statement, Statements } from './values.ts'

// Migrations are locked by the kit's migrator, not by the adapter.
class Adapter extends SqliteAdapter {
  /** Our driver has the mutex, with a bounded queue. */
  override get supportsMultipleConnections(): boolean {
    return true
  }

  override get supportsTransactionalDdl(): boolean {
    return true
  }
}

/** Kysely's driver of a process's one connection, which whoever acquires it has alone until it is released. */
export class SqliteDriver implements Driver {
  readonly adapter = new Adapter()
  readonly #database: DatabaseSync
  readonly #connection: SqliteConnection
  readonly #streams: Streams | undefined
  readonly #lender: Lender
  readonly #mutex: Mutex
  #closed: Promise<void> | undefined

  /** @param reader makes a connection that only reads; of a database in memory there is no other */
  constructor(
    database: DatabaseSync,
    { limits, timeLeft, log }: OpenOptions,
    reader: (() => DatabaseSync) | undefined,
  ) {
    this.#database = database
    this.#connection = new SqliteConnection(
      database,
      limits.acquireTimeout,
      log && new SlowStatements({ threshold: limits.slowQuery, log }),
    )
    this.#mutex = new Mutex(limits, timeLeft)
    const { poolSize, acquireTimeout } = limits
    this.#streams =
      reader && new Streams(reader, new Mutex(limits, timeLeft, poolSize), acquireTimeout)
    this.#lender = {
      connection: this.#connection,
      streams: this.#streams,
      isHeld: () => database.isTransaction || holdsConnection(this.adapter),
      release: () => this.#mutex.release(),
    }
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<Lease> {
    if (this.#closed) throw errors.DATABASE_UNAVAILABLE('it has been closed')
    if (holdsConnection(this.adapter)) throw errors.TRANSACTION_BYPASSED()
    await this.#mutex.acquire()
    return new Lease(this.#lender)
  }

  /** Beside whoever has the connection: it is the same process, and the file is there or not. */
  async check(): Promise<void> {
    if (!this.#database.isOpen) throw errors.DATABASE_UNAVAILABLE('it has been closed')
    try {
      this.#database.prepare('select 1 from sqlite_schema').get()
    } catch (cause) {
      if (!isBusy(cause)) throw errors.DATABASE_UNAVAILABLE.with({ cause }, 'it cannot be read')
    }
  }

  waited(): number {
    return this.#mutex.waited()
  }

  usage(): DatabaseUsage {
    return this.#mutex.usage()
  }

  async releaseConnection(lease: Lease): Promise<void> {
    lease.release()
  }

  // At once with the right to write: a transaction that reads first and writes later could not wait for another
  // process then, it would fail. SQLite's transactions are serializable, whatever level is asked for.
  async beginTransaction(
    _: DatabaseConnection,
    { accessMode }: TransactionSettings,
  ): Promise<void> {
    await this.#execute(accessMode === 'read only' ? 'begin' : 'begin immediate')
  }

  async commitTransaction(): Promise<void> {
    await this.#execute('commit')
  }

  // After some errors (a full disk) SQLite has rolled back already; those are what the caller should see.
  async rollbackTransaction(): Promise<void> {
    if (this.#database.isOpen && this.#database.isTransaction) await this.#execute('rollback')
  }

  async savepoint(_: DatabaseConnection, name: string): Promise<void> {
    await this.#execute(`savepoint ${quoteName(name, 'sqlite')}`)
  }

  async rollbackToSavepoint(_: DatabaseConnection, name: string): Promise<void> {
    await this.#execute(`rollback to ${quoteName(name, 'sqlite')}`)
  }

  async releaseSavepoint(_: DatabaseConnection, name: string): Promise<void> {
    await this.#execute(`release ${quoteName(name, 'sqlite')}`)
  }

  /** Waits for who has the connection and who is in the queue already, then closes the file. */
  async destroy(): Promise<void> {
    this.#closed ??= this.#close()
    await this.#closed
  }

  async #close(): Promise<void> {
    // Who has not let go after all that time is cut off: the file is closed, the transaction undone.
    await Promise.all([this.#mutex.acquire().catch(() => {}), this.#streams?.close()])
    this.#database.close()
  }

  async #execute(sql: string): Promise<void> {
    await this.#connection.executeQuery(CompiledQuery.raw(sql))
  }
}

/** Whose connection it is. */
interface Lender {
  connection: SqliteConnection
  /** Undefined of a database in memory, to which there is no other connection. */
  streams: Streams | undefined
  /** Whether it is a part of something, as of a transaction, that has to see what it does. */
  isHeld: () => boolean
  release: () => void
}

/** The connection of the process in the hands of who has acquired it. */
class Lease implements DatabaseConnection {
  readonly #lender: Lender
  #released = false

  constructor(lender: Lender) {
    this.#lender = lender
  }

  executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    return this.#lender.connection.executeQuery(query)
  }

  /** A stream that only reads lets go of the connection at once: it has one of its own, or, in memory, all rows. */
  async *streamQuery<R>(
    query: CompiledQuery,
    chunkSize: number,
  ): AsyncIterableIterator<QueryResult<R>> {
    const { connection, streams, isHeld } = this.#lender
    if (isHeld() || !readsOnly(query)) yield* connection.streamQuery<R>(query, chunkSize)
    else if (streams) {
      this.release()
      yield* streams.read<R>(query, chunkSize)
    } else {
      const { rows } = await connection.executeQuery<R>(query)
      this.release()
      for (let at = 0; at < rows.length; at += chunkSize)
        yield { rows: rows.slice(at, at + chunkSize) }
    }
  }

  /** May be called again. */
  release(): void {
    if (this.#released) return
    this.#released = true
    this.#lender.release()
  }
}

function readsOnly({ query, sql }: CompiledQuery): boolean {
  return SelectQueryNode.is(query) || /^\s*(?:select|values)\b/i.test(sql)
}

/** Connections that only read, one for each stream: whoever reads slowly keeps nobody else from the database. */
class Streams {
  readonly #open: () => DatabaseSync
  readonly #places: Mutex
  readonly #busyTimeout: number
  readonly #databases = new Set<DatabaseSync>()

  /** @param open makes such a connection */
  constructor(open: () => DatabaseSync, places: Mutex, busyTimeout: number) {
    this.#open = open
    this.#places = places
    this.#busyTimeout = busyTimeout
  }

  /** @throws {PlinthError} DATABASE_BUSY where too many are read already; DATABASE_UNAVAILABLE */
  async *read<R>(query: CompiledQuery, chunkSize: number): AsyncGenerator<QueryResult<R>> {
    await this.#places.acquire()
    let database: DatabaseSync | undefined
    try {
      database = this.#open()
      this.#databases.add(database)
      yield* new SqliteConnection(database, this.#busyTimeout).streamQuery<R>(query, chunkSize)
    } catch (error) {
      throw database?.isOpen === false ? errors.DATABASE_UNAVAILABLE('it has been closed') : error
    } finally {
      if (database) this.#close(database)
      this.#places.release()
    }
  }

  /** Waits for what is being read, as long as one may wait for a place; then it is cut off. */
  async close(): Promise<void> {
    await this.#places.acquireAll().catch(() => {})
    for (const database of this.#databases) this.#close(database)
  }

  #close(database: DatabaseSync): void {
    this.#databases.delete(database)
    if (database.isOpen) database.close()
  }
}

// Milliseconds. What the database does it does within the process, and one after the other nothing else would happen
// meanwhile: no timer, no other request.
const TURN = 10

/**
 * Lets a few in at a time, in the order of asking; a bounded number waits, for a bounded time, and no longer than their work
 * may take.
 */
class Mutex {
  readonly #limits: Pick<ReadLimits, 'queueLimit' | 'acquireTimeout'>
  readonly #waiting: (() => void)[] = []
  readonly #longestWait = new LongestWait()
  readonly #timeLeft: TimeLeft
  readonly #places: number
  #free: number
  #turnBegan = 0

  constructor(
    limits: Pick<ReadLimits, 'queueLimit' | 'acquireTimeout'>,
    timeLeft: TimeLeft = FOREVER,
    places = 1,
  ) {
    this.#limits = limits
    this.#timeLeft = timeLeft
    this.#places = places
    this.#free = places
  }

  /** @throws {PlinthError} DATABASE_BUSY when the queue is full or the time is over, DEADLINE_EXCEEDED */
  async acquire(): Promise<void> {
    if (this.#free > 0) this.#free--
    else await this.#turn()
  }

  /** As often as there are places. */
  async acquireAll(): Promise<void> {
    await Promise.all(Array.from({ length: this.#places }, () => this.acquire()))
  }

  /** The place of whoever leaves is the next one's, so that nobody slips in between. */
  release(): void {
    const next = this.#waiting.shift()
    if (!next) this.#free++
    else if (performance.now() - this.#turnBegan < TURN) next()
    else setImmediate(this.#begin, next)
  }

  /** Milliseconds for which somebody has waited: {@link LongestWait.measure}. */
  waited(): number {
    return this.#longestWait.measure(this.#waiting.length)
  }

  usage(): DatabaseUsage {
    const size = this.#places
    return { used: size - this.#free, size, waiting: this.#waiting.length }
  }

  readonly #begin = (next: () => void): void => {
    this.#turnBegan = performance.now()
    next()
  }

  #turn(): Promise<void> {
    const { queueLimit, acquireTimeout } = this.#limits
    if (this.#waiting.length >= queueLimit) throw errors.DATABASE_BUSY(0)
    const left = this.#timeLeft()
    if (left <= 0) throw errors.DEADLINE_EXCEEDED(0)
    const patience = Math.ceil(Math.min(acquireTimeout, left))
    return new Promise((resolve, reject) => {
      const enter = () => {
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(() => {
        const at = this.#waiting.indexOf(enter)
        // Its turn has come already, and begins at the next immediate.
        if (at < 0) return
        this.#waiting.splice(at, 1)
        const late = left < acquireTimeout
        reject((late ? errors.DEADLINE_EXCEEDED : errors.DATABASE_BUSY)(patience))
      }, patience)
      this.#waiting.push(enter)
      this.#longestWait.add()
    })
  }
}

// ---- one connection to a file

const PREPARED = 500
const NO_ROOM = 'its file cannot be written; look whether the disk is full'

/** What subscribers of the tracing channel `plinth:sqlite` get: mysql2 has one of its own. */
export interface SqlMessage {
  readonly sql: string
  error?: unknown
}

const channel = tracingChannel<unknown, SqlMessage>('plinth:sqlite')

// The rows of an insert mostly have one instant in common, and formatting takes longer than comparing.
function rememberIso(): FormatDate {
  let time = Number.NaN
  let text = ''
  return (date) => {
    if (date.getTime() !== time) {
      time = date.getTime()
      text = date.toISOString()
    }
    return text
  }
}

/** The one connection of a process to a file, as Kysely sees it. */
export class SqliteConnection implements DatabaseConnection {
  readonly #database: DatabaseSync
  readonly #statements: Statements
  readonly #busyTimeout: number
  readonly #slow: SlowStatements | undefined
  readonly #toIso = rememberIso()

  constructor(database: DatabaseSync, busyTimeout: number, slow?: SlowStatements) {
    this.#database = database
    this.#statements = new Statements(database, PREPARED)
    this.#busyTimeout = busyTimeout
    this.#slow = slow
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const values = bindable(parameters, this.#toIso)
    const run = () => {
      const began = performance.now()
      const result = execute(this.#statements.get(sql), values) as QueryResult<R>
      const took = performance.now() - began
      if (this.#slow?.isSlow(took)) this.#tell(this.#slow, sql, values, took)
      return result
    }
    try {
      // Most is done in no trace.
      const isTraced =
        channel.hasSubscribers && (watchers.size > 0 || activeTrace.getStore() !== undefined)
      return isTraced ? channel.traceSync(run, { sql }) : run()
    } catch (error) {
      if (!this.#database.isOpen) throw errors.DATABASE_UNAVAILABLE('it has been closed')
      if (hasNoRoom(error)) throw errors.DATABASE_UNAVAILABLE.with({ cause: error }, NO_ROOM)
      // Within a transaction the lock is ours, or what we have read is outdated: waiting would not help.
      if (!isBusy(error) || this.#database.isTransaction) throw error
      return await untilFree(this.#busyTimeout, run)
    }
  }

  #tell(slow: SlowStatements, sql: string, values: readonly Bindable[], took: number): void {
    const plan = slow.wantsPlan(sql) ? this.#explain(sql, values) : undefined
    slow.tell(slow.log, sql, took, plan)
  }

  #explain(sql: string, values: readonly Bindable[]): unknown[] | undefined {
    try {
      const steps = this.#database.prepare(`explain query plan ${sql}`).all(...values)
      return steps.map(({ detail }) => detail)
    } catch {
      // What was to be told is told without.
      return undefined
    }
  }

  async *streamQuery<R>(
    { sql, parameters }: CompiledQuery,
    chunkSize: number,
  ): AsyncIterableIterator<QueryResult<R>> {
    let rows: R[] = []
    for (const row of this.#statements.get(sql).iterate(bindable(parameters, this.#toIso))) {
      if (rows.push(row as R) < chunkSize) continue
      yield { rows }
      rows = []
    }
    if (rows.length > 0) yield { rows }
  }
}

function execute(statement: Statement, parameters: readonly Bindable[]): QueryResult<unknown> {
  if (statement.returnsRows) return { rows: statement.all(parameters) }
  const { changes, lastInsertRowid } = statement.run(parameters)
  return { insertId: lastInsertRowid, numAffectedRows: changes, rows: [] }
}
