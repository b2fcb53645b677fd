import { sql } from 'kysely'
import { isComputed } from '../src/database/dialect/ddl.ts'
import { isComputedFrom } from '../src/database/dialect/sql-text.ts'
import { dialectOf } from '../src/database/portable.ts'
import type { ColumnState, SchemaState, TableState } from '../src/database/schema/state.ts'
import type { AnyDatabase } from './migrations.ts'

// Rows for tables that nobody has thought of, the same on every database.

/** A value for a row, from 1: what refers to another has the value of the other's row of this number. */
function rowValue(
  { type, values, nullable }: ColumnState,
  row: number,
  mayBeNull: boolean,
): unknown {
  if (nullable && mayBeNull && row === 2) return null
  if (values) return values[0]
  if (typeof type === 'object') return row
  const [, size] = /^(?:var)?char\((\d+)\)/.exec(type) ?? []
  if (size !== undefined) return `${row}'é`.slice(0, Number(size))
  if (type.startsWith('decimal')) return `${row}.25`
  switch (type) {
    case 'boolean':
      return row % 2
    case 'double':
      return row + 0.5
    case 'text':
      return `text ${row} \\ "`
    case 'date':
      return `2026-11-0${row}`
    case 'time':
      return `10:20:0${row}`
    case 'datetime':
      return new Date(`2026-11-0${row}T10:20:30.123Z`)
    case 'uuid':
      return `01936f3e-0000-7000-8000-00000000000${row}`
    case 'json':
      return JSON.stringify({ row })
    case 'blob':
      return Buffer.from([row, 0, 255])
    default:
      return row
  }
}

/** What somebody would fill in for rows that are there; nothing where no plain value says it. */
export function fillValue(column: ColumnState): string | number | boolean | undefined {
  const value = rowValue(column, 1, false)
  if (column.type === 'datetime') return '2026-11-01 10:20:30.123'
  if (column.type === 'boolean') return true
  return typeof value === 'string' || typeof value === 'number' ? value : undefined
}

function rowsOf({ columns, primaryKey }: TableState, count: number) {
  const given = Object.entries(columns).filter(([, column]) => !isComputed(column))
  return Array.from({ length: count }, (_, i) =>
    Object.fromEntries(
      given.map(([name, column]) => [name, rowValue(column, i + 1, !primaryKey.includes(name))]),
    ),
  )
}

/** The columns of which the values of one are made: itself, and what it is computed from. */
export function sourcesOf({ columns }: TableState, column: string): string[] {
  const others = Object.keys(columns).filter((other) =>
    isComputedFrom(columns[column] as ColumnState, other),
  )
  return [column, ...others]
}

/**
 * Fills every table: with three rows, or with one where three of them would not be unique.
 *
 * @returns how many rows each table has
 */
export async function fillTables(db: AnyDatabase, schema: SchemaState): Promise<number> {
  return await db.connection().execute(async (connection) => {
    const isSqlite = dialectOf(db) === 'sqlite'
    const check = (on: 0 | 1) =>
      sql.raw(isSqlite ? `pragma foreign_keys = ${on}` : `set foreign_key_checks = ${on}`)
    await check(0).execute(connection)
    try {
      const counts = Object.values(schema).map((table) => (isUniqueIn(table) ? 3 : 1))
      const count = Math.min(...counts)
      for (const [name, table] of Object.entries(schema))
        await connection.insertInto(name).values(rowsOf(table, count)).execute()
      return count
    } finally {
      await check(1).execute(connection)
    }
  })
}

function isUniqueIn(table: TableState): boolean {
  const rows = rowsOf(table, 3)
  const keys = [{ columns: table.primaryKey }, ...(table.unique ?? [])]
  return keys.every(
    ({ columns }) =>
      new Set(
        rows.map((row) =>
          JSON.stringify(columns.flatMap((one) => sourcesOf(table, one)).map((one) => row[one])),
        ),
      ).size === 3,
  )
}

/** What tables and columns are called later. */
export interface Names {
  readonly tables?: Readonly<Record<string, string>>
  /** By `table.column`. */
  readonly columns?: Readonly<Record<string, string>>
}

/**
 * What some columns of tables hold, in one form for every database, in an order of its own.
 *
 * @param names under which they are told, and asked for by `isWanted`
 */
export async function valuesIn(
  db: AnyDatabase,
  schema: SchemaState,
  isWanted: (table: string, column: string) => boolean = () => true,
  names: Names = {},
): Promise<Record<string, string[]>> {
  const found: [string, string[]][] = []
  for (const [name, { columns }] of Object.entries(schema)) {
    const table = names.tables?.[name] ?? name
    const rows = await db.selectFrom(name).selectAll().execute()
    const wanted = Object.entries(columns)
      .map(([column, of]) => [names.columns?.[`${name}.${column}`] ?? column, column, of] as const)
      .filter(([column]) => isWanted(table, column))
      .sort(([a], [b]) => (a < b ? -1 : 1))
    const told = rows.map((row) =>
      JSON.stringify(wanted.map(([column, own, of]) => [column, plain(row[own], of)])),
    )
    found.push([table, told.sort()])
  }
  return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)))
}

function plain(value: unknown, { type, default: said }: ColumnState): unknown {
  if (value === null || value === undefined) return null
  // The time at which it was migrated.
  if (type === 'datetime' && typeof said === 'object') return 'now'
  if (Buffer.isBuffer(value) || value instanceof Uint8Array)
    return Buffer.from(value).toString('hex')
  if (type === 'json') return typeof value === 'string' ? JSON.parse(value) : value
  if (value instanceof Date) return value.toISOString()
  if (typeof value === 'boolean') return Number(value)
  const isNumber =
    (typeof type === 'object' && !/char/.test(type.mysql)) ||
    /^(decimal|double|boolean|(tiny|small|big)?int)/.test(String(type))
  return isNumber ? Number(value) : value
}
