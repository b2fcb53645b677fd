import { isDeepStrictEqual } from 'node:util'
import { indexNameIn, isComputed, quoteText } from '../../dialect/ddl.ts'
import {
  type ColumnState,
  type ForeignKeyState,
  type IndexState,
  indexesOf,
  normalColumn,
  only,
  type SchemaState,
  type TableState,
} from '../../schema/state.ts'
import type { PerDialect } from '../../schema/types.ts'

/** @throws {Error} where it is not there */
export function tableOf(schema: SchemaState, name: string): TableState {
  const table = schema[name]
  if (!table) throw new Error(`there is no table ${name}`)
  return table
}

/** @throws {Error} where it is not there */
export function columnOf({ columns }: TableState, table: string, column: string): ColumnState {
  const found = columns[column]
  if (!found) throw new Error(`there is no column ${table}.${column}`)
  return found
}

/** @throws {Error} where there is another one */
export function assertColumn(
  table: TableState,
  of: { readonly table: string; readonly column: string },
  expected: ColumnState,
): void {
  const found = normalColumn(columnOf(table, of.table, of.column))
  assertSame(`${of.table}.${of.column}`, found, normalColumn(expected))
}

/** @throws {Error} where one is not there */
export function assertColumns(table: TableState, name: string, columns: readonly string[]): void {
  for (const column of columns) columnOf(table, name, column)
}

/** @throws {Error} where it is there */
export function assertNoColumn({ columns }: TableState, table: string, column: string): void {
  if (columns[column]) throw new Error(`there is a column ${table}.${column} already`)
}

/**
 * Taken back, an operation would make what it was written for.
 *
 * @throws {Error} where that is not what there is
 */
export function assertSame(what: string, found: object, expected: object): void {
  if (isDeepStrictEqual(found, expected)) return
  const [is, was] = [found, expected].map((one) => JSON.stringify(one))
  throw new Error(
    `${what} is ${is}, and the operation was written for ${was}: another migration has changed it; say what it is`,
  )
}

/** The schema with another table of that name. @throws {Error} where there is none before */
export function changeTable(
  schema: SchemaState,
  name: string,
  change: (table: TableState) => TableState,
): SchemaState {
  return { ...schema, [name]: distinct(schema, name, change(tableOf(schema, name))) }
}

/** Gives an index that is new a name of its own in SQLite, where an index of another table has its name. */
export function distinct(schema: SchemaState, name: string, table: TableState): TableState {
  const known = new Set(indexesOf(schema[name]))
  if (indexesOf(table).every((index) => known.has(index))) return table
  const others = without(schema, name)
  const taken = new Set(
    Object.values(others)
      .flatMap(indexesOf)
      .map((index) => indexNameIn(index, 'sqlite').toLowerCase()),
  )
  const own = (index: IndexState): IndexState =>
    known.has(index) || !taken.has(index.name.toLowerCase())
      ? index
      : { ...index, sqlite: `${name}_${index.name}` }
  return {
    ...table,
    ...(table.indexes && { indexes: table.indexes.map(own) }),
    ...(table.unique && { unique: table.unique.map(own) }),
  }
}

/** The schema with its tables, and what their foreign keys refer to, under other names. */
export function mapTables(
  schema: SchemaState,
  named: (table: string) => string,
  referring: (key: ForeignKeyState) => ForeignKeyState,
): SchemaState {
  const tables = Object.entries(schema).map(([name, { foreignKeys, ...table }]) => [
    named(name),
    { ...table, ...(foreignKeys && { foreignKeys: foreignKeys.map(referring) }) },
  ])
  return Object.fromEntries(tables)
}

interface Named {
  readonly name: string
}

/** @throws {Error} where there is one of its name */
export function added<T extends Named>(all: readonly T[], one: T, table: string): T[] {
  if (all.some(({ name }) => name === one.name))
    throw new Error(`there is ${one.name} on ${table} already`)
  return [...all, one]
}

/** @throws {Error} where it is not there, or another one */
export function dropped<T extends Named>(
  all: readonly T[],
  one: T,
  table: string,
  normal: (one: T) => T,
): T[] {
  const found = all.find(({ name }) => name === one.name)
  if (!found) throw new Error(`there is no ${one.name} on ${table}`)
  assertSame(`${one.name} on ${table}`, normal(found), normal(one))
  return all.filter((other) => other !== found)
}

export function without<T>(record: Readonly<Record<string, T>>, key: string): Record<string, T> {
  return only(record, (name) => name !== key)
}

/** @throws {Error} where a foreign key refers to a table, or to a column of it */
export function refuseReferences(table: string, schema: SchemaState, column?: string): void {
  for (const [other, { foreignKeys = [] }] of Object.entries(schema)) {
    // A table's own foreign keys go with it, but not with a column.
    if (other === table && column === undefined) continue
    const key = foreignKeys.find(
      (key) => key.table === table && (column === undefined || key.references.includes(column)),
    )
    if (key) throw new Error(`${key.name} of ${other} refers to it: drop that foreign key first`)
  }
}

// ---- what is said of a column

/** Whether a row has to say it, at least on one of the databases. */
export function needsValue(column: ColumnState): boolean {
  const { nullable, default: value, generated } = column
  const computed = isComputed(column, 'mysql') && isComputed(column, 'sqlite')
  return !nullable && value === undefined && !generated && !computed
}

/** Whether a key or an index has it. */
export function isIndexed(column: string, table: TableState | undefined): boolean {
  return [{ columns: table?.primaryKey ?? [] }, ...indexesOf(table)].some(({ columns }) =>
    columns.includes(column),
  )
}

/** In a line: `varchar(8) null default 'town'`. */
export function describeColumn(column: ColumnState): string {
  const { type, nullable, default: value, values, comparison, generated } = column
  const words = [
    sqlOf(type),
    nullable && 'null',
    values && `in (${values.map(quoted).join(', ')})`,
    value !== undefined && `default ${typeof value === 'string' ? quoted(value) : sqlOf(value)}`,
    comparison === 'ignoreCase' && 'ignoring case',
    generated && 'generated',
  ]
  return words.filter(Boolean).join(' ')
}

/** What is SQL differs from database to database: MySQL's stands for all. */
function sqlOf(value: PerDialect | string | number | boolean): string {
  return typeof value === 'object' ? value.mysql : String(value)
}

const quoted = (text: string) => quoteText(text, 'sqlite')
