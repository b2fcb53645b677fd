import type { Duplex } from 'node:stream'
import type { MysqlPoolConnection, MysqlQueryResult } from 'kysely'
import type { PoolConnection } from 'mysql2'
import { bindable } from '../parameters.ts'
import type { Row } from '../types.ts'
import { conversionsOf, convertRow, type Field } from './columns.ts'
import { endsConnection, type MysqlError, ofQuery } from './failure.ts'
import { streamRows } from './stream.ts'

// Milliseconds that a server has to end a statement by itself before we take it for dead.
const GRACE = 1000

const toMysql = (date: Date) => date.toISOString().replace('T', ' ').slice(0, -1)

type Answer = (error: unknown, result: MysqlQueryResult) => void

/** A connection of the pool as Kysely sees it: with our types, our errors and an end to every wait. */
export class BoundedConnection implements MysqlPoolConnection {
  readonly #connection: PoolConnection
  readonly #queryTimeout: number
  readonly #released: () => void

  /** @param released called each time that it goes back to the pool */
  constructor(connection: PoolConnection, queryTimeout: number, released: () => void) {
    this.#connection = connection
    this.#queryTimeout = queryTimeout
    this.#released = released
  }

  get config(): object {
    return this.#connection.config
  }

  get threadId(): number {
    return this.#connection.threadId
  }

  connect(callback?: (error: unknown) => void): void {
    this.#connection.connect(callback)
  }

  query(sql: string, parameters: readonly unknown[], answer?: Answer) {
    const values = bindable(parameters, toMysql)
    if (answer) this.#run(sql, values, answer)
    return { stream: () => this.#stream(sql, values) }
  }

  release(): void {
    this.#connection.release()
    this.#released()
  }

  /** Takes it out of the pool and ends it at once, without waiting for the server; its query fails. */
  destroy(): void {
    this.#connection.destroy()
    this.#socket.destroy(new Error('The connection was given up'))
  }

  // Missing in mysql2's types.
  get #socket(): Duplex {
    return (this.#connection as PoolConnection & { stream: Duplex }).stream
  }

  #run(sql: string, values: unknown[], answer: Answer): void {
    const timeout = this.#patience
    this.#connection.query({ sql, values, timeout }, (error, result, fields) => {
      if (error) return answer(this.#failed(error), [])
      answer(null, convert(result, fields as unknown as Field[] | undefined))
    })
  }

  async *#stream(sql: string, values: unknown[]): AsyncGenerator<Row> {
    let read: string | undefined
    try {
      read = yield* streamRows(this.#connection, sql, values, this.#patience)
    } catch (error) {
      throw this.#failed(error as MysqlError)
    } finally {
      // Whoever stops early leaves rows on their way, which the connection's next user would have to wait for.
      if (read !== 'all') this.destroy()
    }
  }

  get #patience(): number {
    return this.#queryTimeout && this.#queryTimeout + GRACE
  }

  #failed(error: MysqlError): Error {
    if (endsConnection(error)) this.destroy()
    return ofQuery(error, this.#queryTimeout)
  }
}

// A stored procedure answers with several results; they stay as they are.
function convert(result: unknown, fields: readonly Field[] | undefined): MysqlQueryResult {
  if (fields && Array.isArray(result) && !Array.isArray(fields[0])) {
    const conversions = conversionsOf(fields)
    if (conversions.length > 0) for (const row of result) convertRow(row, conversions)
  }
  return result as MysqlQueryResult
}
