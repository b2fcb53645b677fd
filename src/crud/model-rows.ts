import { type TObject, type TSchema, Type } from 'typebox'
import type { Model } from '../database/model/model.ts'
import { PreparedQueries } from '../database/prepared.ts'
import { inTransaction } from '../database/transaction.ts'
import type { Database } from '../database/types.ts'
import { notFound } from '../errors.ts'
import { type ColumnRule, canHave, columnRule, toColumn } from './column-value.ts'
import { type Attempt, explainRefusal } from './model-failures.ts'
import { type AnyTables, fallbacks, insertRows, pick, type Values } from './model-write.ts'

/** Reads and writes the rows of a model by their primary keys. */
export class ModelRows {
  readonly #model: Model
  readonly #noun: string
  readonly #rules: ReadonlyMap<string, ColumnRule>
  readonly #queries = new PreparedQueries()
  /** The primary key, as a request and an answer have it. */
  readonly request: TObject
  /** The path of one row: `/:id`. */
  readonly path: string

  constructor(model: Model, noun: string) {
    const { primaryKey } = model.state
    this.#model = model
    this.#noun = noun
    const { properties } = model.schema
    this.#rules = new Map(
      model.columns.map((name) => [name, columnRule(properties[name] as TSchema)]),
    )
    this.request = Type.Pick(model.schema, [...primaryKey])
    this.path = primaryKey.map((name) => `/:${name}`).join('')
  }

  /** @throws {PlinthError} NOT_FOUND */
  async find(db: Database, key: Values): Promise<Values> {
    const wanted = this.#keyOf(key)
    const names = Object.keys(wanted)
    const [found] = await this.#queries.run(db, 'find', Object.values(wanted), (values) => {
      const pairs = names.map((name, i) => [name, values[i]])
      return anyTables(db)
        .selectFrom(this.#model.table)
        .select(this.#model.columns)
        .where(({ and }) => and(Object.fromEntries(pairs)))
    })
    return found ?? this.#missing(key)
  }

  async create(db: Database, row: Values): Promise<Values> {
    const values = this.#toColumns(row)
    const [key = {}] = await this.#write(db, { rows: [values] }, () =>
      insertRows(anyTables(db), this.#model, [values]),
    )
    return await this.find(db, key)
  }

  /** Inserts all or none; returns their keys. */
  async createMany(db: Database, list: readonly Values[]): Promise<Values[]> {
    const rows = list.map((row, index) => this.#toColumns(row, `/${index}`))
    const inserted: Values[] = []
    const insert = (trx: AnyTables) => insertRows(trx, this.#model, rows, inserted)
    return await this.#write(db, { rows, inserted }, () => inTransaction(anyTables(db), insert))
  }

  /** What the row does not say is as in a new one. */
  async replace(db: Database, row: Values): Promise<Values> {
    return await this.update(db, { ...fallbacks(this.#model), ...row })
  }

  async update(db: Database, row: Values): Promise<Values> {
    const { table, state } = this.#model
    const said = Object.entries(row).filter(([name]) => !state.primaryKey.includes(name))
    const values = this.#toColumns(Object.fromEntries(said))
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

  #write<T>(db: Database, what: Pick<Attempt, 'rows' | 'inserted'>, write: () => Promise<T>) {
    const attempt = { ...what, db: anyTables(db), model: this.#model, noun: this.#noun }
    return explainRefusal(attempt, write)
  }

  /**
   * The key of a row, to find it by.
   *
   * @throws {PlinthError} NOT_FOUND for one that its columns cannot have
   */
  #keyOf(row: Values): Values {
    const key = pick(row, this.#model.state.primaryKey)
    for (const [name, value] of Object.entries(key)) {
      const rule = this.#rules.get(name)
      if (rule && !canHave(rule, value)) this.#missing(row)
    }
    return this.#toColumns(key)
  }

  #toColumns(input: Values, path = ''): Values {
    const entries = Object.entries(input).map(([name, value]) => {
      const rule = this.#rules.get(name)
      return [name, rule ? toColumn(rule, value, `${path}/${name}`, this.#model.table) : value]
    })
    return Object.fromEntries(entries)
  }

  #missing(key: Values): never {
    const { primaryKey } = this.#model.state
    return notFound(this.#noun, primaryKey.map((name) => key[name]).join('/'))
  }
}

const anyTables = (db: Database) => db as unknown as AnyTables
