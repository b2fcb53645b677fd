import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Row } from '../../types.ts'
import { type Bindable, type Convert, narrow, readTime, toBuffer } from '../values.ts'

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
export class Statement {
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

/**
 * How to make a column's value from what SQLite has stored. SQLite knows numbers, texts and blobs only, so
 * the type in the table's definition decides.
 *
 * @param declared the type as declared (`datetime(3)`); null for an expression such as `count(*)`
 * @returns undefined where the stored value is right as it is
 */
export function converterFor(declared: string | null): Convert | undefined {
  // An expression has no declared type, but what it makes of blobs is a blob.
  if (declared === null) return toBufferIfBytes
  const type = declared.toUpperCase()
  return CONVERTERS.find(([pattern]) => pattern.test(type))?.[1](type)
}

const CONVERTERS: readonly (readonly [RegExp, (type: string) => Convert])[] = [
  [/^BOOL|^TINYINT\(1\)/, () => (value) => Boolean(value)],
  [/^DATETIME|^TIMESTAMP/, () => toInstant],
  [/^DATE\b/, () => (value) => String(value).slice(0, 10)],
  [/^TIME\b/, () => readTime],
  [/^JSON/, () => (value) => JSON.parse(String(value))],
  [/^DECIMAL|^NUMERIC/, toDecimal],
  [/BLOB|BINARY/, () => toBufferIfBytes],
]

const toBufferIfBytes: Convert = (value) => (value instanceof Uint8Array ? toBuffer(value) : value)

const ISO_LENGTH = '2026-11-22T10:00:00.000Z'.length

// Dates that we wrote are right already; CURRENT_TIMESTAMP and SQLite's functions write `2026-11-22 10:00:00`, in UTC.
const toInstant: Convert = (value) => {
  const text = String(value)
  if (text.length === ISO_LENGTH) return text
  const date = new Date(`${text.replace(' ', 'T').replace(/Z$/, '')}Z`)
  return Number.isNaN(date.getTime()) ? text : date.toISOString()
}

// DECIMAL(10,2), and DECIMAL_TEXT(20,2): MySQL answers with as many decimals as were declared.
function toDecimal(type: string): Convert {
  const scale = Number(/,\s*(\d+)/.exec(type)?.[1] ?? 0)
  return (value) => {
    // Of as many digits as a number keeps, the nearest decimal is the one that was written.
    if (typeof value === 'number') return value.toFixed(scale)
    const [whole = '', decimals = ''] = String(value).split('.')
    return scale === 0 && decimals === '' ? whole : `${whole}.${decimals.padEnd(scale, '0')}`
  }
}
