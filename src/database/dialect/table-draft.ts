import type {
  ColumnState,
  ForeignKeyState,
  IndexState,
  SchemaState,
  TableState,
} from '../schema/state.ts'

/** What a database has. */
export interface ReadSchema {
  schema: SchemaState
  /** What of it a schema cannot say, a sentence each: views, triggers, indexes on a part of a column. */
  notes: string[]
}

/** A table while it is being read. */
export interface Draft {
  columns: Record<string, ColumnState>
  primaryKey: string[]
  indexes: IndexState[]
  unique: IndexState[]
  foreignKeys: ForeignKeyState[]
}

export function emptyDraft(): Draft {
  return { columns: {}, primaryKey: [], indexes: [], unique: [], foreignKeys: [] }
}

/** The table as a schema has it: lists by name, none that are empty, keys that are never null. */
export function finished({ columns, primaryKey, ...lists }: Draft): TableState {
  const table: Record<string, unknown> = { columns: { ...columns }, primaryKey }
  for (const name of primaryKey) {
    const { nullable, ...column } = columns[name] as ColumnState
    ;(table.columns as Record<string, ColumnState>)[name] = column
  }
  for (const [key, list] of Object.entries(lists)) {
    if (list.length > 0) table[key] = list.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }
  return table as unknown as TableState
}

/** Rows by the table that they belong to. */
export function byTable<T extends { table: string }>(rows: readonly T[]): Map<string, T[]> {
  return Map.groupBy(rows, ({ table }) => table)
}
