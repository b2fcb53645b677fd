import {
  type CompiledQuery,
  type DatabaseConnection,
  type QueryResult,
  SelectQueryNode,
} from 'kysely'
import type { SqliteConnection } from './connection.ts'
import type { Streams } from './streams.ts'

/** Whose connection it is. */
export interface Lender {
  connection: SqliteConnection
  /** Undefined of a database in memory, to which there is no other connection. */
  streams: Streams | undefined
  /** Whether it is a part of something, as of a transaction, that has to see what it does. */
  isHeld: () => boolean
  release: () => void
}

/** The connection of the process in the hands of who has acquired it. */
export class Lease implements DatabaseConnection {
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
