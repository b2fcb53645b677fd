import {
  type ColumnState,
  type ForeignKeyState,
  type IndexState,
  mapValues,
  normalTable,
  type SchemaState,
  type TableState,
} from '../schema/state.ts'

/** What a database has. */
export interface ReadSchema {
  schema: SchemaState
  /** What of it a schema cannot say, a sentence each: views, triggers, indexes on a part of a column. */
  notes: string[]
  /** What of it no migration can make or change, and what it is: `view`, `trigger of city`, `partitions`. */
  unmanaged: Record<string, string>
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

/** The table in its normal form, with keys that are never null. */
export function finished({ columns, ...keys }: Draft): TableState {
  const own = mapValues(columns, ({ nullable, ...column }, name) =>
    nullable && !keys.primaryKey.includes(name) ? { ...column, nullable } : column,
  )
  return normalTable({ columns: own, ...keys })
}

/** Notes what no schema of ours can say, and no migration manages. */
export function leaveOut(
  { notes, unmanaged }: Pick<ReadSchema, 'notes' | 'unmanaged'>,
  kind: string,
  name: string,
  table?: string,
): void {
  const of = table === undefined ? '' : ` of ${table}`
  notes.push(`the ${kind} ${name}${of} is left out`)
  unmanaged[name] ??= kind + of
}
