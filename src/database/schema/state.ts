import type { ColumnType, PerDialect } from './types.ts'

/** A column. What is not said is false. */
export interface ColumnState {
  readonly type: ColumnType
  /** Whether it may be null. */
  readonly nullable?: true
  /** What rows get that do not say it: a value, or an expression in SQL. */
  readonly default?: string | number | boolean | PerDialect
  /** The only values that it may have, kept by a check. */
  readonly values?: readonly string[]
  /** Whether texts that differ in case alone are the same to it; default: texts are the same where all of their characters are. */
  readonly comparison?: 'ignoreCase'
  /** Whether the database numbers it: an integer that is the primary key. */
  readonly generated?: true
}

export interface IndexState {
  readonly name: string
  readonly columns: readonly string[]
  /** Its name in SQLite, where another table's index had that name when it was made: there all names are in one list. */
  readonly sqlite?: string
}

export type ReferenceAction = 'cascade' | 'restrict' | 'set null' | 'no action'

export interface ForeignKeyState {
  readonly name: string
  readonly columns: readonly string[]
  /** The table that is referred to. */
  readonly table: string
  /** Its columns, the primary key or unique ones. */
  readonly references: readonly string[]
  /** Default: `restrict`. */
  readonly onDelete?: ReferenceAction
  /** Default: `restrict`. */
  readonly onUpdate?: ReferenceAction
}

export interface TableState {
  /** By name, in the order of the table. */
  readonly columns: Readonly<Record<string, ColumnState>>
  readonly primaryKey: readonly string[]
  readonly indexes?: readonly IndexState[]
  readonly unique?: readonly IndexState[]
  readonly foreignKeys?: readonly ForeignKeyState[]
}

/** Tables by name: what the models ask for, what the migrations make, or what a database has. */
export type SchemaState = Readonly<Record<string, TableState>>

/** The same names with other values. */
export function mapValues<T, U>(
  record: Readonly<Record<string, T>>,
  fn: (value: T, name: string) => U,
): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([name, one]) => [name, fn(one, name)]))
}

/** Those of the names that are wanted. */
export function only<T>(
  record: Readonly<Record<string, T>>,
  isWanted: (name: string) => boolean,
): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([name]) => isWanted(name)))
}

/** All indexes of a table, those that are unique, too. */
export function indexesOf(table: TableState | undefined): IndexState[] {
  return [...(table?.indexes ?? []), ...(table?.unique ?? [])]
}

/** A schema in one form: tables, indexes and foreign keys by name, nothing said that is the default. */
export function normalSchema(schema: SchemaState): SchemaState {
  const tables = Object.entries(schema).sort(([a], [b]) => compare(a, b))
  return Object.fromEntries(tables.map(([name, table]) => [name, normalTable(table)]))
}

export function normalTable({
  columns,
  primaryKey,
  indexes = [],
  unique = [],
  foreignKeys = [],
}: TableState): TableState {
  return {
    columns: mapValues(columns, normalColumn),
    primaryKey: [...primaryKey],
    ...(indexes.length > 0 && { indexes: byName(indexes).map(normalIndex) }),
    ...(unique.length > 0 && { unique: byName(unique).map(normalIndex) }),
    ...(foreignKeys.length > 0 && { foreignKeys: byName(foreignKeys).map(normalForeignKey) }),
  }
}

export function normalColumn(column: ColumnState): ColumnState {
  const { type, values, nullable, default: value, comparison, generated } = column
  return {
    type: typeof type === 'string' ? type : normalSql(type),
    ...(values && { values: [...values] }),
    ...(nullable && { nullable }),
    ...(value !== undefined && { default: typeof value === 'object' ? normalSql(value) : value }),
    ...(comparison && { comparison }),
    ...(generated && { generated }),
  }
}

function normalSql({ mysql, sqlite }: PerDialect): PerDialect {
  return { mysql, sqlite }
}

export function normalIndex({ name, columns }: IndexState): IndexState {
  return { name, columns: [...columns] }
}

export function normalForeignKey(key: ForeignKeyState): ForeignKeyState {
  const { name, columns, table, references, onDelete, onUpdate } = key
  return {
    name,
    columns: [...columns],
    table,
    references: [...references],
    ...(onDelete && onDelete !== 'restrict' && { onDelete }),
    ...(onUpdate && onUpdate !== 'restrict' && { onUpdate }),
  }
}

function byName<T extends { readonly name: string }>(all: readonly T[]): T[] {
  return all.toSorted((a, b) => compare(a.name, b.name))
}

/** The same order on every machine, whatever its language. */
export function compare(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}
