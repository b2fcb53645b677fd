import { hash } from 'node:crypto'
import { type SelectQueryBuilder, sql } from 'kysely'
import { type TObject, type TProperties, type TSchema, Type } from 'typebox'
import { inBatches } from '../database/insert.ts'
import { copySchema } from '../database/model/schemas.ts'
import type { Model } from '../database/model/types.ts'
import { dialectOf } from '../database/portable.ts'
import { PreparedQueries } from '../database/prepared.ts'
import { retryTransaction } from '../database/transaction.ts'
import type { Database } from '../database/types.ts'
import { errors, notFound } from '../errors.ts'
import type { Context, User } from '../resource/context.ts'
import type { RowScope } from '../resource/contract.ts'
import { type Change, secretsOf, writeChanges } from './change-log.ts'
import { type ColumnRule, canHave, columnRule, toColumn } from './column-value.ts'
import { type Attempt, explainRefusal } from './model-failures.ts'
import type { ModelFields } from './model-fields.ts'
import { type AnyTables, fallbacks, insertRows, pick, type Values } from './model-write.ts'

export interface RowSettings {
  /** What a row is called in messages. */
  noun: string
  /** The column that tells one state of a row from another: a number, or `updated_at`. Default: all that clients see. */
  version?: string | undefined
  /** Whether a request that changes a row has to have `If-Match`. */
  requireMatch?: boolean
  /** Which rows a caller has: the others are not there, and a row that is written is one of them afterwards. */
  scope?: RowScope | undefined
  fields: ModelFields
  fill?: Fill
  /** The columns that say of what a row is part, with their schemas: every request has them. */
  within?: TProperties
}

/** What columns of every new row are, by who makes it. */
export type Fill = Readonly<Record<string, (context: Context & { user: User }) => unknown>>

/** Reads and writes the rows of a model by their primary keys. */
export class ModelRows {
  readonly #model: Model
  readonly #noun: string
  readonly #rules: ReadonlyMap<string, ColumnRule>
  readonly #queries = new PreparedQueries()
  readonly #version: string | undefined
  readonly #requireMatch: boolean
  readonly #scope: RowScope | undefined
  /** What is read of a row. */
  readonly #columns: readonly string[]
  /** What of that a client sees; undefined: all. */
  readonly #shown: readonly string[] | undefined
  readonly #unsaid: readonly string[]
  /** The columns whose values the audit log does not have. */
  readonly #secrets: readonly string[]
  /** Whether a row is looked at before and after it is changed. */
  readonly #isWatched: boolean
  readonly #hidden: readonly string[]
  /** The columns that a request says of a row to find it. */
  readonly #key: readonly string[]
  readonly #fill: readonly (readonly [string, Fill[string]])[]
  // What the conditions of a request were held against: its work is for that state of the row alone.
  readonly #seen = new WeakMap<Context, Values>()
  /** The primary key, as a request and an answer have it. */
  readonly request: TObject
  /** The path of one row: `/:id`. */
  readonly path: string

  constructor(model: Model, settings: RowSettings) {
    const { noun, version, requireMatch = false, scope, fields, fill = {}, within = {} } = settings
    const { primaryKey } = model.state
    const shown = Object.keys(fields.shown.properties)
    const read = [...shown, ...(version === undefined ? [] : [version])]
    this.#columns = model.columns.filter((name) => model.isLogged || read.includes(name))
    this.#secrets = model.isLogged ? [...secretsOf(model), ...fields.writeOnly] : []
    this.#isWatched = model.isLogged || scope !== undefined
    this.#shown = shown.length < this.#columns.length ? shown : undefined
    this.#unsaid = fields.unsaid
    this.#hidden = fields.hidden
    this.#fill = Object.entries(fill)
    this.#version = version
    this.#requireMatch = requireMatch
    this.#scope = scope
    this.#model = model
    this.#noun = noun
    const { properties } = model.schema
    this.#rules = new Map(
      model.columns.map((name) => [name, columnRule(properties[name] as TSchema)]),
    )
    const key = primaryKey.map((name) => [name, keySchema(model, name)])
    this.request = Type.Object({ ...Object.fromEntries(key), ...within })
    this.#key = Object.keys(this.request.properties)
    const own = primaryKey.filter((name) => !(name in within))
    this.path = own.map((name) => `/:${name}`).join('')
  }

  /**
   * The entity tag of the row that a request is about; undefined where nothing depends on it, or there is no such row.
   *
   * @throws {PlinthError} PRECONDITION_REQUIRED
   */
  async tagOf(key: Values, context: Context): Promise<string | undefined> {
    const { method, headers } = context.request ?? {}
    const isRead = method === 'GET' || method === 'HEAD'
    if (this.#requireMatch && !isRead && headers?.['if-match'] === undefined)
      throw errors.PRECONDITION_REQUIRED()
    const isAsked = headers?.['if-match'] !== undefined || headers?.['if-none-match'] !== undefined
    if (!isAsked && !isRead) return undefined
    const row = await this.#look(context.db, key, context)
    if (row) this.#seen.set(context, row)
    return row && this.#tag(row)
  }

  /** What tells this state of a row from others. */
  #tag(row: Values): string {
    if (this.#version !== undefined) return String(row[this.#version])
    const text = JSON.stringify(this.#answer(row), (_, value) =>
      typeof value === 'bigint' ? String(value) : value,
    )
    return hash('sha256', text, 'base64url').slice(0, TAG_LENGTH)
  }

  /** @throws {PlinthError} NOT_FOUND */
  async retrieve(key: Values, context: Context): Promise<Values> {
    const seen = this.#seenOf(key, context)
    this.#seen.delete(context)
    return this.#answer(seen ?? (await this.#look(context.db, key, context)) ?? this.#missing(key))
  }

  async #look(db: Database, key: Values, context: Context): Promise<Values | undefined> {
    const wanted = this.#keyOf(key)
    if (this.#scope) return await this.#scope(context, this.#select(db, wanted)).executeTakeFirst()
    const names = Object.keys(wanted)
    const [found] = await this.#queries.run(db, '', Object.values(wanted), (values) =>
      this.#select(db, Object.fromEntries(names.map((name, i) => [name, values[i]]))),
    )
    return found
  }

  #select(db: Database, key: Values) {
    return anyTables(db)
      .selectFrom(this.#model.table)
      .select(this.#columns)
      .where(({ and }) => and(key))
  }

  /** @throws {PlinthError} FORBIDDEN where it would not be a row of the caller's */
  async create(row: Values, context: Context): Promise<Values> {
    const values = this.#newRow(row, context)
    return await this.#write(context, { rows: [values] }, async (db) => {
      const [key = {}] = await insertRows(db, this.#model, [values])
      const after = await this.#written(db, { ...row, ...key }, context)
      if (this.#isWatched) await this.#log(context, [{ after }])
      return this.#answer(after)
    })
  }

  /** Inserts all or none; returns their keys. @throws {PlinthError} as for `create` */
  async createMany(list: readonly Values[], context: Context): Promise<Values[]> {
    const rows = list.map((row, index) => this.#newRow(row, context, `/${index}`))
    const inserted: Values[] = []
    return await this.#write(context, { rows, inserted }, async (db) => {
      inserted.length = 0
      const keys = await insertRows(db, this.#model, rows, inserted)
      if (this.#isWatched) await this.#watchAll(db, keys, context)
      return keys
    })
  }

  /** What the row does not say is as in a new one, but for what no client says. */
  async replace(row: Values, context: Context): Promise<Values> {
    const left = Object.entries(fallbacks(this.#model)).filter(
      ([name]) => !this.#unsaid.includes(name),
    )
    return await this.update({ ...Object.fromEntries(left), ...row }, context)
  }

  /**
   * @throws {PlinthError} NOT_FOUND; FORBIDDEN where it would be no row of the caller's any more; PRECONDITION_FAILED where it
   *   has changed since the request's condition was looked at
   */
  async update(row: Values, context: Context): Promise<Values> {
    const { table } = this.#model
    const said = Object.entries(row).filter(
      ([name]) => !this.#key.includes(name) && name !== this.#version,
    )
    const values = this.#toColumns(Object.fromEntries(said))
    const holds = this.#holds(row, context)
    return await this.#write(context, { rows: [values], holds }, async (db) => {
      const before = holds ? await this.hold(db, row, context) : undefined
      if (said.length > 0) {
        const state = this.#stateOf(row, context)
        const { numUpdatedRows } = await db
          .updateTable(table)
          .set({ ...values, ...this.#nextVersion(row, context) })
          .where(({ and }) => and(state))
          .executeTakeFirstOrThrow()
        if (numUpdatedRows === 0n) this.#assertUnconditional(row, context)
      }
      const after = await this.#written(db, row, context)
      if (this.#isWatched) await this.#log(context, [{ before, after }])
      return this.#answer(after)
    })
  }

  /** @throws {PlinthError} NOT_FOUND; PRECONDITION_FAILED as for `update` */
  async remove(key: Values, context: Context): Promise<null> {
    const state = this.#stateOf(key, context)
    const holds = this.#holds(key, context)
    return await this.#write(context, { rows: [], holds }, async (db) => {
      const before = holds ? await this.hold(db, key, context) : undefined
      const { numDeletedRows } = await db
        .deleteFrom(this.#model.table)
        .where(({ and }) => and(state))
        .executeTakeFirstOrThrow()
      if (numDeletedRows === 0n) {
        this.#assertUnconditional(key, context)
        this.#missing(key)
      }
      if (this.#isWatched) await this.#log(context, [{ before }])
      return null
    })
  }

  /** Whether a row is looked at before it is changed: where no column says whether it is the one that the client has seen, too. */
  #holds(key: Values, context: Context): boolean {
    return this.#isWatched || (this.#version === undefined && !!this.#condition(key, context))
  }

  /**
   * The row before a change: whether it is the caller's, still what its client has seen, and for the log. It stays as it is until the
   * end of the transaction, so that to change it needs its key only: MySQL changes no table that a condition reads.
   *
   * @param db the transaction
   * @throws {PlinthError} NOT_FOUND; PRECONDITION_FAILED as for `update`
   */
  async hold(db: AnyTables, key: Values, context: Context): Promise<Values> {
    const row = this.#select(db as never, this.#keyOf(key))
    const held = dialectOf(db) === 'mysql' ? row.forUpdate() : row
    const found = await this.#within(context, held).executeTakeFirst()
    const seen = this.#condition(key, context)
    if (found && (!seen || this.#tag(found) === this.#tag(seen))) return found
    this.#assertUnconditional(key, context)
    return this.#missing(key)
  }

  /** The row as it is after a change. */
  async #written(db: AnyTables, key: Values, context: Context): Promise<Values> {
    const row = await this.#look(db as never, key, context)
    return row ?? (this.#scope ? forbidden('') : this.#missing(key))
  }

  /** @throws {PlinthError} FORBIDDEN with the place of the first new row that is not the caller's */
  async #watchAll(db: AnyTables, keys: readonly Values[], context: Context): Promise<void> {
    let first = 0
    for (const batch of inBatches(keys, MANY_KEYS)) {
      const found = await this.#within(context, this.#selectAll(db, batch)).execute()
      const known = new Set(found.map((row) => this.#textOf(row)))
      const missing = batch.findIndex((key) => !known.has(this.#textOf(key)))
      // The same key may be read in another form than it was written in: then their number tells.
      if (found.length < batch.length) forbidden(`/${first + Math.max(0, missing)}`)
      first += batch.length
      await this.#log(
        context,
        found.map((after) => ({ after })),
      )
    }
  }

  #within(context: Context, query: Rows): Rows {
    return this.#scope ? this.#scope(context, query) : query
  }

  /** In the transaction of the change. */
  async #log(context: Context, changes: readonly Change[]): Promise<void> {
    if (this.#model.isLogged) await writeChanges(context, this.#model, changes, this.#secrets)
  }

  #selectAll(db: AnyTables, keys: readonly Values[]) {
    const { table, state } = this.#model
    const [first = '', ...others] = state.primaryKey
    const rows = db.selectFrom(table).select(this.#columns)
    return others.length === 0
      ? rows.where(
          first,
          'in',
          keys.map((key) => key[first]),
        )
      : rows.where(({ or, and }) => or(keys.map((key) => and(pick(key, state.primaryKey)))))
  }

  #answer(row: Values): Values {
    return this.#shown ? pick(row, this.#shown) : row
  }

  #textOf(row: Values): string {
    return this.#model.state.primaryKey.map((name) => row[name]).join('/')
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

  /** @throws {PlinthError} UNAUTHENTICATED where something is to be filled in for nobody */
  #newRow(row: Values, context: Context, path = ''): Values {
    const version = this.#version
    const isNumber = version !== undefined && version !== 'updated_at'
    if (this.#fill.length > 0 && context.user === undefined) throw errors.UNAUTHENTICATED()
    const filled = this.#fill.map(([name, value]) => [name, value(context as never)])
    const whole = { ...row, ...Object.fromEntries(filled) }
    return { ...this.#toColumns(whole, path), ...(isNumber && { [version]: 1 }) }
  }

  /** In a transaction, where it is more than one statement that changes something, or must be taken back. */
  async #write<T>(
    context: Context,
    { holds = this.#isWatched, ...what }: Pick<Attempt, 'rows' | 'inserted'> & { holds?: boolean },
    write: (db: AnyTables) => Promise<T>,
  ): Promise<T> {
    const db = anyTables(context.db)
    const isOne = !what.inserted && !holds
    const attempt = { ...what, db, model: this.#model, noun: this.#noun, hidden: this.#hidden }
    return await explainRefusal(attempt, () =>
      isOne ? write(db) : retryTransaction(db, write, { signal: context.signalIfAny }),
    )
  }

  /**
   * The key of a row, to find it by.
   *
   * @throws {PlinthError} NOT_FOUND for one that its columns cannot have
   */
  #keyOf(row: Values): Values {
    const key = pick(row, this.#key)
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
    return notFound(this.#noun, this.#textOf(key))
  }
}

/** A column of the key, as paths have it: of 64 bits, where it is. */
function keySchema({ schema, state }: Model, name: string): TSchema {
  const own = schema.properties[name] as TSchema
  return state.columns[name]?.type === 'bigint' && Type.IsInteger(own)
    ? copySchema(own, { format: 'int64' })
    : own
}

type Rows = SelectQueryBuilder<Record<string, Values>, string, Values>

function forbidden(path: string): never {
  const message = 'would be a row that this user may not have'
  throw errors.FORBIDDEN.with({ errors: [{ path, message }] })
}

/** Of one statement that finds rows by their keys. */
const MANY_KEYS = 500

/** 132 bits. */
const TAG_LENGTH = 22

const anyTables = (db: Database) => db as unknown as AnyTables
