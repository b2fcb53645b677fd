import type { Kysely } from 'kysely'
import type { SchemaState } from '../state.ts'
import { finished, type ReadSchema } from './assemble.ts'
import { fetchCatalogue } from './mysql-catalogue.ts'
import { MysqlTable } from './mysql-table.ts'

/** Reads a schema of MySQL or MariaDB, from its information_schema. */
export async function readMysql(
  db: Kysely<unknown>,
  isWanted: (table: string) => boolean,
): Promise<ReadSchema> {
  const found = await fetchCatalogue(db)
  const notes: string[] = []
  const schema: Record<string, SchemaState[string]> = {}
  for (const table of found.tables.filter(({ name }) => isWanted(name))) {
    if (table.kind !== 'BASE TABLE') {
      notes.push(`the ${table.kind.toLowerCase()} ${table.name} is left out`)
      continue
    }
    const reader = new MysqlTable(table, found, notes)
    reader.readColumns()
    reader.readIndexes()
    reader.readForeignKeys()
    reader.readChecks()
    schema[table.name] = finished(reader.draft)
  }
  for (const { table, name } of found.triggers.filter(({ table }) => isWanted(table))) {
    notes.push(`the trigger ${name} of ${table} is left out`)
  }
  for (const { kind, name } of found.routines) {
    notes.push(`the ${kind.toLowerCase()} ${name} is left out`)
  }
  return { schema, notes }
}
