import type { Kysely, Selectable } from 'kysely'
import { insertMissing } from '../insert.ts'
import { portable } from '../portable.ts'
import type { Timestamp } from '../types.ts'

/** One row of `plinth_seed`: a seed that was begun. */
export interface SeedRow {
  name: string
  /** How many rows it has reported. */
  rows: number
  /** `null`: it was cut short, or is still running. */
  finished_at: Timestamp | null
}

export interface SeedTables {
  plinth_seed: SeedRow
}

const TABLE = 'plinth_seed'

/** Creates the table of records where it is missing. */
export async function createRecords(db: Kysely<SeedTables>): Promise<void> {
  const { createTable, types } = portable(db)
  await createTable(TABLE)
    .ifNotExists()
    .addColumn('name', 'varchar(255)', (name) => name.primaryKey())
    .addColumn('rows', 'integer', (rows) => rows.notNull())
    .addColumn('finished_at', types.timestamp)
    .execute()
}

/** Forgets all seeds: they begin anew, and leave alone what is there. */
export async function removeRecords(db: Kysely<SeedTables>): Promise<void> {
  await createRecords(db)
  await db.deleteFrom(TABLE).execute()
}

/** How far a seed is. One that was not begun is recorded as begun. */
export async function beginRecord(
  db: Kysely<SeedTables>,
  name: string,
): Promise<Selectable<SeedRow>> {
  await insertMissing(db, TABLE, [{ name, rows: 0, finished_at: null }], 'name')
  return await db.selectFrom(TABLE).selectAll().where('name', '=', name).executeTakeFirstOrThrow()
}

export async function updateRecord(
  db: Kysely<SeedTables>,
  name: string,
  row: { rows?: number; finished_at?: Date | null },
): Promise<void> {
  await db.updateTable(TABLE).set(row).where('name', '=', name).execute()
}
