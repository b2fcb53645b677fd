import { type Insertable, type Kysely, type Selectable, sql } from 'kysely'
import type { Model, TableOf } from '../database/model/types.ts'
import type { ColumnState } from '../database/schema/state.ts'
import { isUniqueViolation } from '../database/violations.ts'
import type { JsonSchema } from '../schema/json-schema.ts'
import { Random } from './random.ts'

export interface FactoryOptions {
  /** The same seed, the same rows, in the same order; default 1. */
  seed?: number
  /** What makes the rows that its rows refer to, by their tables: `parents: [countries]`. */
  parents?: readonly Factory<Model>[]
}

/** Makes rows of a model: random ones that are valid. */
export interface Factory<M extends Model> {
  readonly model: M
  /** A row that can be inserted. @param given what it is to have */
  build(given?: Partial<Insertable<TableOf<M>>>): Insertable<TableOf<M>>
  /**
   * Inserts a row, and before it, by the factories of `parents`, those that it has to refer to and that are not given.
   *
   * @returns it as it is read
   */
  create<DB>(
    db: Kysely<DB>,
    given?: Partial<Insertable<TableOf<M>>>,
  ): Promise<Selectable<TableOf<M>>>
  /** Inserts several. */
  createMany<DB>(
    db: Kysely<DB>,
    count: number,
    given?: Partial<Insertable<TableOf<M>>>,
  ): Promise<Selectable<TableOf<M>>[]>
}

type Row = Record<string, unknown>

/** How often another row is tried where one has a key that is taken. */
const TRIES = 50

/** Makes rows of `model` for tests: each column has a value that its schema takes, and its table. */
export function factory<M extends Model>(model: M, options: FactoryOptions = {}): Factory<M> {
  return new RowFactory(model, options) as unknown as Factory<M>
}

class RowFactory {
  readonly model: Model
  readonly #random: Random
  readonly #parents: ReadonlyMap<string, RowFactory>

  constructor(model: Model, { seed = 1, parents = [] }: FactoryOptions) {
    this.model = model
    this.#random = new Random(seed)
    this.#parents = new Map(
      parents.map((parent) => [parent.model.table, parent as unknown as RowFactory]),
    )
  }

  build(given: Row = {}): Row {
    const { state, uuids, schema, audit } = this.model
    const row: Row = {}
    for (const [name, column] of Object.entries(state.columns)) {
      if (name in given) row[name] = given[name]
      else if (uuids.includes(name)) row[name] = this.#random.uuid()
      // The database fills it in.
      else if (column.generated || audit.includes(name as never) || name === 'deleted_at') continue
      else row[name] = this.#value(name, column, schema.properties[name] as JsonSchema)
    }
    return row
  }

  async create<DB>(db: Kysely<DB>, given: Row = {}): Promise<Row> {
    const all = { ...given }
    for (const { columns, table, references } of this.model.state.foreignKeys ?? []) {
      if (columns.some((column) => column in all)) continue
      const parent = this.#parents.get(table)
      if (parent) {
        const row = await parent.create(db)
        for (const [at, column] of columns.entries()) all[column] = row[references[at] as string]
      } else if (columns.every((column) => this.model.state.columns[column]?.nullable)) {
        for (const column of columns) all[column] = null
      } else {
        throw new TypeError(
          `A row of ${this.model.table} refers to one of ${table}: give ${columns.join(', ')}, or the factory of ${table} in parents`,
        )
      }
    }
    return await this.#insert(db as unknown as Kysely<Record<string, Row>>, all)
  }

  async createMany<DB>(db: Kysely<DB>, count: number, given: Row = {}): Promise<Row[]> {
    const rows: Row[] = []
    for (let made = 0; made < count; made++) rows.push(await this.create(db, given))
    return rows
  }

  /** Where a key is taken, by what is there already, another row is tried. */
  async #insert(db: Kysely<Record<string, Row>>, given: Row): Promise<Row> {
    const { table, state, columns } = this.model
    for (let tries = 1; ; tries++) {
      const row = this.build(given)
      try {
        const { insertId } = await db.insertInto(table).values(row).executeTakeFirstOrThrow()
        let found = db.selectFrom(table).select(columns as never)
        for (const column of state.primaryKey)
          found = found.where(sql.ref(`${table}.${column}`), '=', row[column] ?? insertId) as never
        return (await found.executeTakeFirstOrThrow()) as Row
      } catch (error) {
        if (tries >= TRIES || !isUniqueViolation(error)) throw error
      }
    }
  }

  #value(name: string, column: ColumnState, schema: JsonSchema): unknown {
    if (column.nullable && this.#random.chance(0.2)) return null
    const { type } = column
    const random = this.#random
    if (type === 'datetime') return random.instant()
    if (type === 'time') return random.instant().toISOString().slice(11, 19)
    if (type === 'blob') return Buffer.from(random.uuid())
    const [, digits = 0, scale = 0] =
      /^decimal\((\d+),(\d+)\)$/.exec(typeof type === 'string' ? type : '')?.map(Number) ?? []
    if (digits > 0) return decimalOf(random, digits - scale, scale)
    const value = random.value(valued(schema, column))
    if (value === undefined)
      throw new TypeError(
        `The schema of ${this.model.table}.${name} is none by which to make a value: give it`,
      )
    return value
  }
}

function decimalOf(random: Random, whole: number, scale: number): string {
  const text = String(whole > 0 ? random.between(0, 10 ** Math.min(whole, 6) - 1) : 0)
  if (scale === 0) return text
  return `${text}.${String(random.between(0, 10 ** Math.min(scale, 6) - 1))
    .padStart(Math.min(scale, 6), '0')
    .padEnd(scale, '0')}`
}

const BITS: Readonly<Record<string, number>> = { tinyint: 8, smallint: 16, integer: 32 }

/** The schema without null, within what the column takes. */
function valued(schema: JsonSchema, { type, values }: ColumnState): JsonSchema {
  if (values) return { enum: [...values] } as JsonSchema
  const members = (schema.anyOf as readonly JsonSchema[] | undefined)?.filter(
    (one) => one.type !== 'null',
  )
  const [only, ...others] = members ?? [schema]
  if (!only || others.length > 0) return { ...schema, anyOf: members } as JsonSchema
  const name = typeof type === 'string' ? type : ''
  const bits = BITS[name]
  const length = /^(?:var)?char\((\d+)\)$/.exec(name)?.[1]
  return {
    ...only,
    ...(bits &&
      only.type === 'integer' && {
        minimum: only.minimum ?? 0,
        maximum: only.maximum ?? 2 ** (bits - 1) - 1,
      }),
    ...(length && { maxLength: Number(only.maxLength ?? length) }),
  } as JsonSchema
}
