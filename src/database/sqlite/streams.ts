import type { DatabaseSync } from 'node:sqlite'
import type { CompiledQuery, QueryResult } from 'kysely'
import { errors } from '../../errors.ts'
import { SqliteConnection } from './connection.ts'
import type { Mutex } from './mutex.ts'

/** Connections that only read, one for each stream: whoever reads slowly keeps nobody else from the database. */
export class Streams {
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
