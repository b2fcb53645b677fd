import { sql } from 'kysely'
import { type TObject, type TSchema, Type } from 'typebox'
import type { Model } from '../database/model/model.ts'
import { PreparedQueries } from '../database/prepared.ts'
import { inTransaction } from '../database/transaction.ts'
import type { Database } from '../database/types.ts'
import { errors, notFound } from '../errors.ts'
import type { Context } from '../resource/context.ts'
import { type ColumnRule, canHave, columnRule, toColumn } from './column-value.ts'
import { type Attempt, explainRefusal } from './model-failures.ts'
import { type AnyTables, fallbacks, insertRows, pick, type Values } from './model-write.ts'

/** Reads and writes the rows of a model by their primary keys. */
export class ModelRows {
  readonly #model: Model
  readonly #noun: string
  readonly #rules: ReadonlyMap<string, ColumnRule>
  readonly #queries = new PreparedQueries()
  readonly #version: string | undefined
  // What the conditions of a request were held against: its work is for that state of the row alone.
  readonly #seen = new WeakMap<Context, Values>()
  /** The primary key, as a request and an answer have it. */
  readonly request: TObject
  /** The path of one row: `/:id`. */
  readonly path: string

  /** @param version the column that tells one state of a row from another: a number, or `updated_at` */
  constructor(model: Model, noun: string, version?: string) {
    const { primaryKey } = model.state
    this.#version = version
    this.#model = model
    this.#noun = noun
    const { properties } = model.schema
    this.#rules = new Map(
      model.columns.map((name) => [name, columnRule(properties[name] as TSchema)]),
    )
    this.request = Type.Pick(model.schema, [...primaryKey])
    this.path = primaryKey.map((name) => `/:${name}`).join('')
  }

  /**
   * The entity tag of the row that a request is about; undefined where nothing depends on it, or there is no such row.
   *
   * @param version that column
   */
  async tagOf(version: string, key: Values, context: Context): Promise<string | undefined> {
    const { method, headers } = context.request ?? {}
    const isAsked = headers?.['if-match'] !== undefined || headers?.['if-none-match'] !== undefined
    if (!isAsked && method !== 'GET' && method !== 'HEAD') return undefined
    const row = await this.#look(context.db, key)
    if (row) this.#seen.set(context, row)
    return row && String(row[version])
  }

  /** @throws {PlinthError} NOT_FOUND */
  async retrieve(key: Values, context: Context): Promise<Values> {
    const seen = this.#seenOf(key, context)
    this.#seen.delete(context)
    return seen ?? (await this.find(context.db, key))
  }

  /** @throws {PlinthError} NOT_FOUND */
  async find(db: Database, key: Values): Promise<Values> {
    return (await this.#look(db, key)) ?? this.#missing(key)
  }

  async #look(db: Database, key: Values): Promise<Values | undefined> {
    const wanted = this.#keyOf(key)
    const names = Object.keys(wanted)
    const [found] = await this.#queries.run(db, '', Object.values(wanted), (values) => {
      const pairs = names.map((name, i) => [name, values[i]])
      return anyTables(db)
        .selectFrom(this.#model.table)
        .select(this.#model.columns)
        .where(({ and }) => and(Object.fromEntries(pairs)))
    })
    return found
  }

  async create(db: Database, row: Values): Promise<Values> {
    const values = this.#newRow(row)
    const [key = {}] = await this.#write(db, { rows: [values] }, () =>
      insertRows(anyTables(db), this.#model, [values]),
    )
    return await this.find(db, key)
  }

  /** Inserts all or none; returns their keys. */
  async createMany(db: Database, list: readonly Values[]): Promise<Values[]> {
    const rows = list.map((row, index) => this.#newRow(row, `/${index}`))
    const inserted: Values[] = []
    const insert = (trx: AnyTables) => insertRows(trx, this.#model, rows, inserted)
    return await this.#write(db, { rows, inserted }, () => inTransaction(anyTables(db), insert))
  }

  /** What the row does not say is as in a new one. */
  async replace(row: Values, context: Context): Promise<Values> {
    return await this.update({ ...fallbacks(this.#model), ...row }, context)
  }

  /** @throws {PlinthError} NOT_FOUND; PRECONDITION_FAILED where it has changed since the request's condition was looked at */
  async update(row: Values, context: Context): Promise<Values> {
    const { table, state } = this.#model
    const { db } = context
    const said = Object.entries(row).filter(
      ([name]) => !state.primaryKey.includes(name) && name !== this.#version,
    )
    const values = this.#toColumns(Object.fromEntries(said))
    if (said.length > 0) {
      const state = this.#stateOf(row, context)
      const { numUpdatedRows } = await this.#write(db, { rows: [values] }, () =>
        anyTables(db)
          .updateTable(table)
          .set({ ...values, ...this.#nextVersion(row, context) })
          .where(({ and }) => and(state))
          .executeTakeFirstOrThrow(),
      )
      if (numUpdatedRows === 0n) this.#assertUnconditional(row, context)
    }
    return await this.find(db, row)
  }

  /** @throws {PlinthError} NOT_FOUND; PRECONDITION_FAILED as for `update` */
  async remove(key: Values, context: Context): Promise<null> {
    const { db } = context
    const state = this.#stateOf(key, context)
    const { numDeletedRows } = await this.#write(db, { rows: [] }, () =>
      anyTables(db)
        .deleteFrom(this.#model.table)
        .where(({ and }) => and(state))
        .executeTakeFirstOrThrow(),
    )
    if (numDeletedRows > 0n) return null
    this.#assertUnconditional(key, context)
    return this.#missing(key)
  }

  /** What says which row is changed: its key, and where the request depends on what it was like, that. */
  #stateOf(row: Values, context: Context): Values {
    const key = this.#keyOf(row)
    const seen = this.#condition(row, context)
    const version = this.#version
    return seen && version ? { ...key, ...this.#toColumns({ [version]: seen[version] }) } : key
  }

  /** The row that the request's `If-Match` was held against. */
  #condition(key: Values, context: Context): Values | undefined {
    const given = context.request?.headers['if-match']
    return given === undefined || given.trim() === '*' ? undefined : this.#seenOf(key, context)
  }

  // Calls of others within the request have its context, too.
  #seenOf(key: Values, context: Context): Values | undefined {
    const seen = this.#seen.get(context)
    const isIt = this.#model.state.primaryKey.every((name) => seen?.[name] === key[name])
    return isIt ? seen : undefined
  }

  #assertUnconditional(key: Values, context: Context): void {
    if (this.#condition(key, context)) throw errors.PRECONDITION_FAILED()
  }

  #nextVersion(key: Values, context: Context): Values {
    const version = this.#version
    if (version === undefined) return {}
    if (version !== 'updated_at') return { [version]: sql`${sql.ref(version)} + 1` }
    const seen = this.#condition(key, context)
    // Two changes within a millisecond are two states, too.
    return seen
      ? { [version]: new Date(Math.max(Date.now(), Date.parse(`${seen[version]}`) + 1)) }
      : {}
  }

  #newRow(row: Values, path = ''): Values {
    const version = this.#version
    const isNumber = version !== undefined && version !== 'updated_at'
    return { ...this.#toColumns(row, path), ...(isNumber && { [version]: 1 }) }
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
