import { createHash } from 'node:crypto'
import { type RawBuilder, sql } from 'kysely'
import type { TSchema } from 'typebox'
import { columnState, partsOf } from '../database/model/schemas.ts'
import type { Row } from '../database/types.ts'
import { errors } from '../errors.ts'
import { asNumber, type ColumnRule, canHave, columnRule, isLongDecimal } from './column-value.ts'
import type { Term } from './filters.ts'

/** A column that rows may be ordered by, as a cursor has it. */
export interface SortColumn {
  kind: Kind
  nullable: boolean
  rule: ColumnRule
}

/** What its values are to the database; `time`: a date, a time, or both. */
type Kind = 'text' | 'integer' | 'number' | 'decimal' | 'boolean' | 'time'

const KINDS: readonly (readonly [RegExp, Kind])[] = [
  [/^(?:bool|tinyint\(1\))/i, 'boolean'],
  [/^(?:tiny|small|medium|big)?int/i, 'integer'],
  [/^(?:double|float|real)/i, 'number'],
  [/^(?:decimal|numeric)/i, 'decimal'],
  [/^(?:date|time)/i, 'time'],
]

/** Undefined where rows have no order by it that both sides know: JSON, bytes. */
export function sortColumn(schema: TSchema): SortColumn | undefined {
  const type = columnState(schema)?.type ?? ''
  const name = typeof type === 'object' ? type.mysql : type
  if (/json|blob|binary/i.test(name)) return undefined
  const kind = KINDS.find(([pattern]) => pattern.test(name))?.[1] ?? 'text'
  return { kind, nullable: partsOf(schema).nullable, rule: columnRule(schema) }
}

/** The columns that rows are ordered by, the unique ones among them. */
export type Order = readonly (readonly [column: string, direction: 'asc' | 'desc'])[]

type Value = string | number | boolean | null

export interface CursorSettings {
  columns: ReadonlyMap<string, SortColumn>
  order: Order
  /** What else is asked for: a cursor is of that alone. */
  asked: readonly unknown[]
  /** The only columns that rows have; undefined: all. */
  fields: readonly string[] | undefined
  isMysql: boolean
}

/**
 * The cursors of a list in one order. One holds what its order has of the last row of a page, as the database itself says it: the
 * next page are the rows behind. It is no secret, and nobody signs it: who makes one up gets what a filter by these columns would
 * give. What it is not made for is refused.
 */
export class Cursors {
  readonly #places: readonly Place[]
  readonly #asked: string
  readonly #isMysql: boolean

  constructor({ columns, order, asked, fields, isMysql }: CursorSettings) {
    this.#asked = JSON.stringify(asked, withoutLong)
    this.#isMysql = isMysql
    this.#places = order.map(([name, direction], i) => {
      const column = columns.get(name) as SortColumn
      const isInRow = fields?.includes(name) !== false && !INEXACT.includes(column.kind)
      return { ...column, name, direction, as: isInRow ? name : `cursor_${i}` }
    })
  }

  /** What has to be selected beside the row. */
  get further() {
    return this.#places.flatMap((place) =>
      place.as === place.name ? [] : [this.#exactly(place).as(place.as)],
    )
  }

  /** The rows behind a cursor. @throws {PlinthError} INVALID_REQUEST where it is none of this list, order and filters */
  after(cursor: string): Term {
    const values = this.#read(cursor)
    const isNull = values.map((value) => value === null)
    return {
      shape: `after ${isNull}`,
      values: values.flatMap((value, i) =>
        value === null ? [] : [toBind(this.#places[i], value)],
      ),
      write: (given) => {
        const rest = given.values()
        return this.#behind(isNull.map((none) => (none ? null : rest.next().value)))
      },
    }
  }

  /** The cursor of a row; `null` of none. */
  of(row: Row | undefined): string | null {
    if (!row) return null
    const values = this.#places.map(({ as }) => row[as])
    return this.#write(
      values.map((one) => (typeof one === 'bigint' ? String(one) : (one as Value))),
    )
  }

  /** Takes away what was selected for the cursor alone. */
  clear(rows: readonly Row[]): void {
    for (const { name, as } of this.#places) if (as !== name) for (const row of rows) delete row[as]
  }

  /** What the database compares by, where the row has it otherwise: without its microseconds, with further zeros. */
  #exactly({ kind, name }: Place): RawBuilder<unknown> {
    const ref = sql.ref(name)
    if (!INEXACT.includes(kind)) return sql`${ref}`
    if (!this.#isMysql) return sql`+${ref}`
    // A float says fewer digits of itself than it has.
    return kind === 'number' ? sql`${ref} + 0e0` : sql`cast(${ref} as char)`
  }

  /** Both databases have null before all values. */
  #behind(values: readonly unknown[], i = 0): RawBuilder<boolean> {
    const { name, kind, nullable, direction, rule } = this.#places[i] as Place
    const isLong = isLongDecimal(rule) && !this.#isMysql
    const ref = isLong ? asNumber(sql.ref(name)) : sql.ref(name)
    const rest = i + 1 < values.length ? this.#behind(values, i + 1) : sql<boolean>`1 = 0`
    if (values[i] === null)
      return direction === 'asc'
        ? sql<boolean>`(${ref} is not null or ${rest})`
        : sql<boolean>`(${ref} is null and ${rest})`
    const isDecimal = kind === 'decimal' && this.#isMysql
    const plain = isLong ? asNumber(values[i]) : sql`${values[i]}`
    const value = isDecimal ? sql`cast(${values[i]} as decimal(65,30))` : plain
    const beyond = sql.raw(direction === 'asc' ? '>' : '<')
    if (i + 1 === values.length && !nullable) return sql<boolean>`${ref} ${beyond} ${value}`
    // Said twice: `a > 1 or (a = 1 and b > 2)` alone is no range of an index to SQLite.
    const found = sql<boolean>`(${ref} ${beyond}= ${value} and (${ref} ${beyond} ${value} or ${rest}))`
    return nullable && direction === 'desc' ? sql<boolean>`(${ref} is null or ${found})` : found
  }

  #write(values: readonly Value[]): string {
    const digest = createHash('sha256')
      .update(`${this.#asked} ${JSON.stringify(values)}`)
      .digest()
    const whole = [digest.toString('base64url', 0, 6), ...values]
    return Buffer.from(JSON.stringify(whole)).toString('base64url')
  }

  #read(cursor: string): Value[] {
    const values = parse(cursor)
    const isWhole = values.length === this.#places.length
    const isOurs = isWhole && this.#places.every((place, i) => this.#fits(place, values[i]))
    if (isOurs && this.#write(values as Value[]) === cursor) return values as Value[]
    throw errors.INVALID_REQUEST.with({ errors: [FOREIGN] }, 'the list')
  }

  /** Whether the database can compare it with that column. */
  #fits({ kind, nullable, rule }: Place, value: unknown): boolean {
    if (value === null) return nullable
    const text = typeof value === 'string' ? value : undefined
    switch (kind) {
      case 'boolean':
        return typeof value === 'boolean'
      case 'number':
        return typeof value === 'number'
      case 'integer':
        return typeof value === 'number' || /^-?\d{1,19}$/.test(text ?? '')
      case 'decimal':
        if (typeof value === 'number') return !this.#isMysql
        return /^-?\d{1,65}(?:\.\d{1,30})?$/.test(text ?? '')
      case 'time':
        return text !== undefined && (!this.#isMysql || isTime(text))
      default:
        return typeof value !== 'object' && canHave(rule, value)
    }
  }
}

/** A column of an order. */
interface Place extends SortColumn {
  name: string
  direction: 'asc' | 'desc'
  /** What a row that was selected calls the value for its cursor. */
  as: string
}

/** The kinds of which a row may have less than the database. */
const INEXACT: readonly Kind[] = ['number', 'decimal', 'time']

// Integers that no number holds are texts in JSON.
const withoutLong = (_: string, value: unknown) =>
  typeof value === 'bigint' ? String(value) : value

function toBind(place: Place | undefined, value: Value): unknown {
  return place?.kind === 'integer' && typeof value === 'string' ? BigInt(value) : value
}

function parse(cursor: string): unknown[] {
  try {
    const whole: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    return Array.isArray(whole) ? whole.slice(1) : []
  } catch {
    return []
  }
}

/** Whether MySQL can compare it with a time: that it cannot is an error of the statement. */
function isTime(text: string): boolean {
  const whole = /^\d\d:/.test(text) ? `2000-01-01 ${text}` : text
  const [, date, time = '00:00:00'] = TIME.exec(whole) ?? []
  return date !== undefined && !Number.isNaN(Date.parse(`${date}T${time}Z`))
}

const TIME = /^(\d{4}-\d\d-\d\d)(?: (\d\d:\d\d:\d\d(?:\.\d{1,6})?))?$/

const FOREIGN = {
  path: '/cursor',
  message: 'belongs to no page of this order and these filters; begin again without it',
}
