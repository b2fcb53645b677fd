import type { Kysely } from 'kysely'
import type { SchemaState } from '../state.ts'
import { byTable, finished, type ReadSchema } from './assemble.ts'
import { parseCreateTable } from './create-table.ts'
import { COLUMNS, ENTRIES, FOREIGN_KEYS, INDEXES } from './sqlite-catalogue.ts'
import { SqliteTable } from './sqlite-table.ts'

/** Reads a schema of SQLite: from its pragmas, and from the text of its tables what those do not tell. */
export async function readSqlite(
  db: Kysely<unknown>,
  isWanted: (table: string) => boolean,
): Promise<ReadSchema> {
  const { rows: entries } = await ENTRIES.execute(db)
  const columns = byTable((await COLUMNS.execute(db)).rows)
  const indexes = byTable((await INDEXES.execute(db)).rows)
  const keys = byTable((await FOREIGN_KEYS.execute(db)).rows)
  const notes: string[] = []
  const schema: Record<string, SchemaState[string]> = {}
  for (const { type, kind, name, table, sql } of entries.filter((entry) => isWanted(entry.table))) {
    if (type === 'view') notes.push(`the view ${name} is left out`)
    if (type === 'trigger') notes.push(`the trigger ${name} of ${table} is left out`)
    if (kind === 'virtual') notes.push(`the virtual table ${name} is left out`)
    if (type !== 'table' || kind !== 'table') continue
    const reader = new SqliteTable(name, parseCreateTable(sql ?? ''), notes)
    reader.readColumns(columns.get(name) ?? [])
    reader.readIndexes(indexes.get(name) ?? [])
    reader.readForeignKeys(keys.get(name) ?? [], columns)
    reader.readChecks()
    schema[name] = finished(reader.draft)
  }
  return { schema, notes }
}
