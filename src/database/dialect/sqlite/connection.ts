import { tracingChannel } from 'node:diagnostics_channel'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely'
import { errors } from '../../../errors.ts'
import { activeTrace, watchers } from '../../../trace.ts'
import type { Row } from '../../types.ts'
import type { SlowStatements } from '../slow.ts'
import { type Bindable, bindable, type Convert, type FormatDate, narrow } from '../values.ts'
import { hasNoRoom, isBusy, untilFree } from './errors.ts'
import { converterFor } from './values.ts'

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

// Everything else may change the tables, and rolling back may undo that.
const KEEPS_TABLES =
  /^\s*(?:select|values|with|insert|replace|update|delete|begin|commit|savepoint|release)\b/i

/** The prepared statements of a connection: as many as `limit`, those used last. */
export class Statements {
  readonly #database: DatabaseSync
  readonly #limit: number
  readonly #prepared = new Map<string, Statement>()
  #schema: unknown
  #nextLook = 0

  constructor(database: DatabaseSync, limit: number) {
    this.#database = database
    this.#limit = limit
  }

  get(sql: string): Statement {
    this.#forgetIfTablesChanged()
    const known = this.#prepared.get(sql)
    if (known) {
      this.#prepared.delete(sql)
      this.#prepared.set(sql, known)
      return known
    }
    const statement = new Statement(this.#database, sql)
    if (KEEPS_TABLES.test(sql)) this.#keep(sql, statement)
    else this.#prepared.clear()
    return statement
  }

  #keep(sql: string, statement: Statement): void {
    this.#prepared.set(sql, statement)
    if (this.#prepared.size <= this.#limit) return
    const [oldest] = this.#prepared.keys()
    if (oldest !== undefined) this.#prepared.delete(oldest)
  }

  // `select *` would go on with the old columns' names and types after another process has migrated. To look
  // before each query would cost a third of it, so it is done once a second.
  #forgetIfTablesChanged(): void {
    const now = performance.now()
    if (now < this.#nextLook) return
    this.#nextLook = now + 1000
    const { schema_version } = this.#database.prepare('pragma schema_version').get() ?? {}
    if (schema_version === this.#schema) return
    this.#schema = schema_version
    this.#prepared.clear()
    // Preparing goes by the tables as they were read last; running something that needs them reads them anew.
    this.#database.exec('select 1 from sqlite_schema limit 1')
  }
}

/** What a statement that returns no rows has done. */
interface Changes {
  changes: bigint
  lastInsertRowid: bigint
}

/**
 * A prepared statement that returns rows as plain objects with our types. The driver hands out arrays, from
 * which we make the objects: twice as fast as the objects that it makes itself.
 */
class Statement {
  /** Whether it returns rows. */
  readonly returnsRows: boolean
  readonly #statement: StatementSync
  // Reading again is harmless; an `insert … returning` must not run twice.
  readonly #readsOnly: boolean
  #wide = false
  #names: readonly string[] = []
  #conversions: readonly (readonly [name: string, convert: Convert])[] = []

  /** @throws {Error} where `sql` holds a second statement, which the driver would silently leave out */
  constructor(database: DatabaseSync, sql: string) {
    this.#statement = database.prepare(sql)
    refuseRest(sql.slice(this.#statement.sourceSQL.length))
    this.#describe()
    this.returnsRows = this.#names.length > 0
    this.#readsOnly = /^\s*(?:select|values)\b/i.test(sql)
    if (this.returnsRows) this.#statement.setReturnArrays(true)
    if (!this.#readsOnly) this.#widen()
  }

  all(parameters: readonly Bindable[]): Row[] {
    const rows = this.#read(parameters)
    if (rows[0] && rows[0].length !== this.#names.length) this.#describe()
    return rows.map((values) => this.#toRow(values))
  }

  run(parameters: readonly Bindable[]): Changes {
    return this.#statement.run(...parameters) as Changes
  }

  *iterate(parameters: readonly Bindable[]): Generator<Row> {
    // Halfway through there is no reading again.
    this.#widen()
    for (const values of this.#statement.iterate(...parameters)) {
      yield this.#toRow(values as unknown as unknown[])
    }
  }

  #read(parameters: readonly Bindable[]): unknown[][] {
    try {
      return this.#statement.all(...parameters) as unknown as unknown[][]
    } catch (error) {
      if (!this.#readsOnly || (error as NodeJS.ErrnoException).code !== 'ERR_OUT_OF_RANGE')
        throw error
      this.#widen()
      return this.#statement.all(...parameters) as unknown as unknown[][]
    }
  }

  // Read as bigints integers cost more, so it is done from the first one on that does not fit a number.
  #widen(): void {
    this.#wide = true
    this.#statement.setReadBigInts(true)
  }

  #describe(): void {
    const columns = this.#statement.columns()
    this.#names = columns.map(({ name }) => name)
    this.#conversions = columns.flatMap(({ name, type }) => {
      const convert = converterFor(type)
      return convert ? [[name, convert] as const] : []
    })
  }

  #toRow(values: readonly unknown[]): Row {
    const row: Row = {}
    for (let index = 0; index < values.length; index++) {
      row[this.#names[index] as string] = this.#wide ? narrow(values[index]) : values[index]
    }
    for (const [name, convert] of this.#conversions) {
      if (row[name] !== null) row[name] = convert(row[name])
    }
    return row
  }
}

function refuseRest(rest: string): void {
  const statement = rest.replace(/\/\*[\s\S]*?\*\/|--.*|[\s;]+/g, '')
  if (statement) throw new Error(`One statement at a time; this one has another behind it: ${rest}`)
}
