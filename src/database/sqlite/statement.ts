import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Bindable } from '../parameters.ts'
import { type Convert, narrow, type Row } from '../types.ts'
import { converterFor } from './columns.ts'

/** What a statement that returns no rows has done. */
export interface Changes {
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
