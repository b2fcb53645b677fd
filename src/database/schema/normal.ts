import type { ColumnState, ForeignKeyState, IndexState, SchemaState, TableState } from './state.ts'
import type { PerDialect } from './types.ts'

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
  const normal = Object.entries(columns).map(([name, column]) => [name, normalColumn(column)])
  return {
    columns: Object.fromEntries(normal),
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
