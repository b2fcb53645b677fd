import type { ColumnType, Kysely } from 'kysely'
import { errors, PlinthError } from '../../errors.ts'
import { existingTables } from '../own-tables.ts'
import { portable, supportsTransactionalDdl } from '../portable.ts'
import { forgetSeeds, type SeedTables } from '../seed/seed.ts'
import { inTransaction } from '../transaction.ts'
import type { Timestamp } from '../types.ts'
import { followNames, type Joined, type MigrationFile, type MigrationRecord } from './files.ts'
import type { Task } from './task.ts'

/** A migration that is applied, or under way. */
export interface MigrationRow {
  name: string
  /** Of its file, when it was applied or begun. */
  checksum: string
  /** `null` where it is being applied. */
  applied_at: ColumnType<string | null, Date | null, Date | null>
  duration_ms: number | null
  /** Which way it is under way; `null`: it is not. */
  direction: 'up' | 'down' | null
  /** How many of its statements have happened for sure. */
  position: number | null
  /** `begun`: the statement behind them, too, perhaps. `idle`: it did not. `ahead`: any number of them, perhaps. */
  state: 'begun' | 'idle' | 'ahead' | null
  /** SHA-256 of the statements that have happened, perhaps. */
  prefix: string | null
}

/** Who migrates, as far as it has said so. */
export interface LockRow {
  id: 1
  holder: string | null
  since: Timestamp | null
  /** Where the lock is a lease: until when. */
  expires_at: Timestamp | null
}

export interface MigrationTables {
  plinth_migration: MigrationRow
  plinth_migration_lock: LockRow
}

const TABLE = 'plinth_migration'
const LOCK = 'plinth_migration_lock'

/**
 * Creates the tables that are missing, also that of the lock where the database needs one.
 *
 * @throws {PlinthError} MIGRATION_RECORDS where that is not allowed
 */
export async function prepareRecords(db: Kysely<MigrationTables>): Promise<void> {
  const existing = await recordTables(db)
  try {
    if (!existing.has(TABLE)) await createRecords(db)
    if (!supportsTransactionalDdl(db) && !existing.has(LOCK)) await createLock(db)
  } catch (cause) {
    if (PlinthError.is(cause)) throw cause
    throw errors.MIGRATION_RECORDS.with({ cause }, (cause as Error).message)
  }
}

async function createRecords(db: Kysely<MigrationTables>): Promise<void> {
  const { createTable, types } = portable(db)
  await createTable(TABLE)
    .ifNotExists()
    .addColumn('name', 'varchar(255)', (name) => name.primaryKey())
    .addColumn('checksum', 'char(64)', (checksum) => checksum.notNull())
    .addColumn('applied_at', types.timestamp)
    .addColumn('duration_ms', 'integer')
    .addColumn('direction', 'varchar(4)')
    .addColumn('position', 'integer')
    .addColumn('state', 'varchar(5)')
    .addColumn('prefix', 'char(64)')
    .execute()
}

async function createLock(db: Kysely<MigrationTables>): Promise<void> {
  const { createTable, types } = portable(db)
  await createTable(LOCK)
    .ifNotExists()
    .addColumn('id', 'integer', (id) => id.primaryKey())
    .addColumn('holder', 'varchar(300)')
    .addColumn('since', types.timestamp)
    .addColumn('expires_at', types.timestamp)
    .execute()
}

/** Which of the kit's tables there are, whatever they are called for this service; changes nothing. */
export async function recordTables(
  db: Kysely<MigrationTables>,
): Promise<ReadonlySet<keyof MigrationTables>> {
  return await existingTables(db, [TABLE, LOCK])
}

/** What is applied, by name, where it may be that nothing ever was; changes nothing. */
export async function recorded(db: Kysely<MigrationTables>): Promise<MigrationRecord[]> {
  return (await recordTables(db)).has(TABLE) ? await readRecords(db) : []
}

/** What is applied, by name. */
export async function readRecords(db: Kysely<MigrationTables>): Promise<MigrationRecord[]> {
  const rows = await db
    .selectFrom(TABLE)
    .select(['name', 'checksum', 'applied_at', 'duration_ms', 'position', 'state'])
    .where('applied_at', 'is not', null)
    .orderBy('name')
    .execute()
  return rows.map(({ position, state, ...row }) => {
    return { ...(row as MigrationRecord), underWay: state === 'begun' || Number(position) > 0 }
  })
}

// Of a row, where its migration is not under way.
const NOT_UNDER_WAY = { direction: null, position: null, state: null, prefix: null }

/** The rows of what was applied now. */
export function appliedRows(
  { name, checksum, records }: Pick<Task, 'name' | 'checksum' | 'records'>,
  duration: number,
) {
  const all = records ?? [{ name, checksum }]
  const duration_ms = Math.round(duration / all.length)
  const applied_at = new Date()
  return all.map((one) => {
    return { name: one.name, checksum: one.checksum, applied_at, duration_ms, ...NOT_UNDER_WAY }
  })
}

/** Keeps record of a task that is done, and that no journal knows of or that is taken back. */
export async function recordTask(
  db: Kysely<MigrationTables>,
  task: Task,
  duration: number,
): Promise<void> {
  if (task.direction === 'up') {
    await db.insertInto(TABLE).values(appliedRows(task, duration)).execute()
    return
  }
  // The tables whose rows they have written may be gone.
  await forgetSeeds(db as unknown as Kysely<SeedTables>)
  await db.deleteFrom(TABLE).where('name', '=', task.name).execute()
}

/**
 * Takes the files of applied migrations for what was applied, whatever has been changed in them.
 *
 * @throws {PlinthError} MIGRATION_UNKNOWN
 */
export async function acceptFiles(
  db: Kysely<MigrationTables>,
  files: readonly MigrationFile[],
  names: readonly string[],
): Promise<void> {
  for (const name of names) {
    const file = files.find((one) => one.name === name)
    if (!file) throw errors.MIGRATION_UNKNOWN(name, files.map((one) => one.name).join(', '))
    if (!(await recordTables(db)).has(TABLE)) continue
    const { checksum } = file
    await db.updateTable(TABLE).set({ checksum }).where('name', '=', name).execute()
  }
}

/** Records the new names. @returns the old names by the new ones, and how much is applied */
export async function recordNames(
  db: Kysely<MigrationTables>,
  files: readonly MigrationFile[],
): Promise<{ names: ReadonlyMap<string, string>; count: number }> {
  const { records, joined, renamed } = followNames(files, await recorded(db))
  for (const one of joined) await recordJoined(db, one)
  // Two processes may do so at once: the second finds no such row.
  for (const [{ name, checksum }, to] of renamed)
    await db
      .updateTable('plinth_migration')
      .set({ name: to })
      .where('name', '=', name)
      .where('checksum', '=', checksum)
      .execute()
  const names = new Map(Array.from(renamed, ([{ name }, to]) => [to, name]))
  for (const one of joined)
    names.set(one.squash.name, one.records.map(({ name }) => name).join(', '))
  return { names, count: records.length }
}

async function recordJoined(
  db: Kysely<MigrationTables>,
  { squash, records }: Joined,
): Promise<void> {
  const names = records.map(({ name }) => name)
  const duration = records.reduce((sum, one) => sum + one.duration_ms, 0)
  const last = new Date(records.at(-1)?.applied_at ?? 0)
  const [row] = appliedRows({ name: squash.name, checksum: squash.checksum }, duration)
  await inTransaction(db, async (transaction) => {
    const gone = await transaction
      .deleteFrom('plinth_migration')
      .where('name', 'in', names)
      .executeTakeFirst()
    // Another process may have done so meanwhile.
    if (Number(gone.numDeletedRows) < names.length || !row) return
    await transaction
      .insertInto('plinth_migration')
      .values({ ...row, applied_at: last })
      .execute()
  })
}
