import type { Kysely, Selectable } from 'kysely'
import { insertMissing } from '../insert.ts'
import { existingTables } from '../own-tables.ts'
import { portable } from '../portable.ts'
import type { DatabaseTables, Timestamp } from '../types.ts'

// ---- what a file in `seeds/` says

/** What a seed works with. */
export interface SeedContext {
  /** The transaction of the seed; the database itself where the seed is `resumable`. */
  db: Kysely<DatabaseTables>
  /**
   * Cuts all rows of the seed into batches, without those that an earlier run of a resumable seed had reported.
   *
   * @param rows in the same order each time
   * @param size default 10,000
   */
  batches<T>(rows: Iterable<T>, size?: number): Iterable<T[]>
  /** How many rows an earlier run of a resumable seed had reported: for one that does without `batches`. */
  done: number
  /**
   * Reports rows that are written. Where the seed is resumable they have to be committed: the next run goes on behind
   * them. When the run is to stop this throws.
   *
   * @param rows how many rows further the seed is
   * @param added how many of them are new; default: all
   */
  progress(rows: number, added?: number): Promise<void>
  /** Aborts when the run is to stop; `progress` looks at it. */
  signal: AbortSignal
}

/** The data of one file in `seeds/`. */
export interface Seed {
  /** What the data is, in a few words. */
  summary: string
  /** How many rows there are, where it is known: for the progress bar. */
  total?: number
  /**
   * For more rows than one transaction should have: what `run` writes is committed as it does so, and a run that was
   * cut short goes on where it was. Default: all of it is one transaction, of which a failure leaves nothing.
   */
  resumable?: boolean
  /**
   * Writes the rows and reports them. It may be run again at any time, so rows that are there already have to be
   * left alone: see `insertMissing`.
   */
  run(context: SeedContext): Promise<void>
}

/** Declares the data of one file in `seeds/`: its default export. */
export function defineSeed(seed: Seed): Seed {
  return seed
}

// ---- what is recorded of it

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
