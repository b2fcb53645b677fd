import type { Kysely, Selectable } from 'kysely'
import { portable } from '../portable.ts'
import type { Timestamp } from '../types.ts'

/** One row of `plinth_migration`: a migration that is applied. */
export interface MigrationRow {
  name: string
  applied_at: Timestamp
  duration_ms: number
}

export interface MigrationTables {
  plinth_migration: MigrationRow
}

const TABLE = 'plinth_migration'

/** Creates the table of records where it is missing. */
export async function createRecords(db: Kysely<MigrationTables>): Promise<void> {
  const { createTable, types } = portable(db)
  await createTable(TABLE)
    .ifNotExists()
    .addColumn('name', 'varchar(255)', (name) => name.primaryKey())
    .addColumn('applied_at', types.timestamp, (appliedAt) => appliedAt.notNull())
    .addColumn('duration_ms', 'integer', (duration) => duration.notNull())
    .execute()
}

/** Whether anything was ever recorded here; changes nothing. */
export async function hasRecords(db: Kysely<MigrationTables>): Promise<boolean> {
  const tables = await db.introspection.getTables()
  return tables.some(({ name }) => name === TABLE)
}

/** What is applied, by name. */
export function readRecords(db: Kysely<MigrationTables>): Promise<Selectable<MigrationRow>[]> {
  return db.selectFrom(TABLE).selectAll().orderBy('name').execute()
}

/** Keeps record of a migration that was applied now. */
export async function addRecord(
  db: Kysely<MigrationTables>,
  name: string,
  duration: number,
): Promise<void> {
  const row = { name, applied_at: new Date(), duration_ms: duration }
  await db.insertInto(TABLE).values(row).execute()
}

/** Forgets a migration that was taken back. */
export async function removeRecord(db: Kysely<MigrationTables>, name: string): Promise<void> {
  await db.deleteFrom(TABLE).where('name', '=', name).execute()
}
