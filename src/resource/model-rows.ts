import { type TObject, Type } from 'typebox'
import type { Model } from '../database/model/model.ts'
import { inTransaction } from '../database/transaction.ts'
import type { Database } from '../database/types.ts'
import { notFound } from '../errors.ts'
import { type Attempt, explainKeys } from './model-failures.ts'
import {
  type AnyTables,
  fallbacks,
  insertRows,
  pick,
  toColumns,
  type Values,
} from './model-write.ts'

/** Reads and writes the rows of a model by their primary keys. */
export class ModelRows {
  readonly #model: Model
  readonly #noun: string
  readonly #columns: readonly string[]
  /** The primary key, as a request and an answer have it. */
  readonly request: TObject
  /** The path of one row: `/:id`. */
  readonly path: string

  constructor(model: Model, noun: string) {
    const { primaryKey } = model.state
    this.#model = model
    this.#noun = noun
    this.#columns = Object.keys(model.schema.properties)
    this.request = Type.Pick(model.schema, [...primaryKey])
    this.path = primaryKey.map((name) => `/:${name}`).join('')
  }

  /** @throws {PlinthError} NOT_FOUND */
  async find(db: Database, key: Values): Promise<Values> {
    const found = await anyTables(db)
      .selectFrom(this.#model.table)
      .select(this.#columns)
      .where(({ and }) => and(this.#keyOf(key)))
      .executeTakeFirst()
    return found ?? this.#missing(key)
  }

  async create(db: Database, row: Values): Promise<Values> {
    const values = toColumns(this.#model, row)
    const [key = {}] = await this.#write(db, { rows: [values] }, () =>
      insertRows(anyTables(db), this.#model, [values]),
    )
    return await this.find(db, key)
  }

  /** Inserts all or none; returns their keys. */
  async createMany(db: Database, list: readonly Values[]): Promise<Values[]> {
    const rows = list.map((row, index) => toColumns(this.#model, row, `/${index}`))
    const insert = (trx: AnyTables) => insertRows(trx, this.#model, rows)
    return await this.#write(db, { rows, many: true }, () => inTransaction(anyTables(db), insert))
  }

  /** What the row does not say is as in a new one. */
  async replace(db: Database, row: Values): Promise<Values> {
    return await this.update(db, { ...fallbacks(this.#model), ...row })
  }

  async update(db: Database, row: Values): Promise<Values> {
    const { table, state } = this.#model
    const said = Object.entries(row).filter(([name]) => !state.primaryKey.includes(name))
    const values = toColumns(this.#model, Object.fromEntries(said))
    if (said.length > 0) {
      await this.#write(db, { rows: [values] }, () =>
        anyTables(db)
          .updateTable(table)
          .set(values)
          .where(({ and }) => and(this.#keyOf(row)))
          .execute(),
      )
    }
    return await this.find(db, row)
  }

  /** @throws {PlinthError} NOT_FOUND */
  async remove(db: Database, key: Values): Promise<null> {
    const { numDeletedRows } = await this.#write(db, { rows: [] }, () =>
      anyTables(db)
        .deleteFrom(this.#model.table)
        .where(({ and }) => and(this.#keyOf(key)))
        .executeTakeFirstOrThrow(),
    )
    return numDeletedRows > 0n ? null : this.#missing(key)
  }

  #write<T>(db: Database, what: Pick<Attempt, 'rows' | 'many'>, write: () => Promise<T>) {
    const attempt = { ...what, db: anyTables(db), model: this.#model, noun: this.#noun }
    return explainKeys(attempt, write)
  }

  #keyOf(row: Values): Values {
    return toColumns(this.#model, pick(row, this.#model.state.primaryKey))
  }

  #missing(key: Values): never {
    const { primaryKey } = this.#model.state
    return notFound(this.#noun, primaryKey.map((name) => key[name]).join('/'))
  }
}

const anyTables = (db: Database) => db as unknown as AnyTables
