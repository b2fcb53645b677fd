import type { DatabaseSync } from 'node:sqlite'
import {
  CompiledQuery,
  type DatabaseConnection,
  type Driver,
  SqliteAdapter,
  type TransactionSettings,
} from 'kysely'
import { errors } from '../../errors.ts'
import { holdsConnection } from '../current-transaction.ts'
import { SlowStatements } from '../slow.ts'
import type { DatabaseUsage, OpenOptions } from '../types.ts'
import { isBusy } from './busy.ts'
import { SqliteConnection } from './connection.ts'
import { Lease, type Lender } from './lease.ts'
import { Mutex } from './mutex.ts'
import { Streams } from './streams.ts'

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
    await this.#execute(`savepoint ${quote(name)}`)
  }

  async rollbackToSavepoint(_: DatabaseConnection, name: string): Promise<void> {
    await this.#execute(`rollback to ${quote(name)}`)
  }

  async releaseSavepoint(_: DatabaseConnection, name: string): Promise<void> {
    await this.#execute(`release ${quote(name)}`)
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

const quote = (name: string) => `"${name.replaceAll('"', '""')}"`
