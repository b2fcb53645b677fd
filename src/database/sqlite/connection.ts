import { tracingChannel } from 'node:diagnostics_channel'
import type { DatabaseSync } from 'node:sqlite'
import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely'
import { errors } from '../../errors.ts'
import { activeTrace, watchers } from '../../trace.ts'
import { type Bindable, bindable, type FormatDate } from '../parameters.ts'
import type { SlowStatements } from '../slow.ts'
import { hasNoRoom, isBusy, untilFree } from './busy.ts'
import type { Statement } from './statement.ts'
import { Statements } from './statements.ts'

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
