import type { Kysely, Selectable } from 'kysely'
import { insertMissing } from '../insert.ts'
import { existingTables } from '../own-tables.ts'
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

/** Forgets all seeds: they begin anew, and leave alone what is there. No DDL: MySQL would end a transaction. */
export async function forgetSeeds(db: Kysely<SeedTables>): Promise<void> {
  if ((await existingTables(db, [TABLE])).has(TABLE)) await db.deleteFrom(TABLE).execute()
}

/** Records a seed as begun, where it was not. */
export async function beginRecord(db: Kysely<SeedTables>, name: string): Promise<void> {
  await insertMissing(db, TABLE, [{ name, rows: 0, finished_at: null }], 'name')
}

/** How far a seed is that was begun. Within a transaction, other processes that ask wait for its end. */
export async function readRecord(
  db: Kysely<SeedTables>,
  name: string,
): Promise<Selectable<SeedRow>> {
  // Takes the row's lock as `for update` does, which SQLite does not have.
  await db
    .updateTable(TABLE)
    .set(({ ref }) => ({ rows: ref('rows') }))
    .where('name', '=', name)
    .execute()
  return await db.selectFrom(TABLE).selectAll().where('name', '=', name).executeTakeFirstOrThrow()
}

export async function updateRecord(
  db: Kysely<SeedTables>,
  name: string,
  row: { rows?: number; finished_at?: Date | null },
): Promise<void> {
  await db.updateTable(TABLE).set(row).where('name', '=', name).execute()
}
