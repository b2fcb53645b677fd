import type { Kysely } from 'kysely'
import { errors } from '../../errors.ts'
import { importNumbered, type NumberedFile } from '../numbered.ts'
import { type Portable, portable, supportsTransactionalDdl } from '../portable.ts'
import { removeRecords, type SeedTables } from '../seed/record.ts'
import { addRecord, type MigrationTables, removeRecord } from './record.ts'
import { StatementCounter } from './statements.ts'

/** What a migration may do: change the schema, and read and write tables whose columns it alone knows. */
export type MigrationDatabase = Kysely<Record<string, Record<string, unknown>>>

/** A migration's `up`, or `down`, which takes `up` back. */
export type Migration = (db: MigrationDatabase, portable: Portable) => Promise<void>

export type Direction = 'up' | 'down'

/** A migration's file and the function of it that is to run. */
export interface Task {
  name: string
  direction: Direction
  run: Migration
}

/**
 * Loads a migration.
 *
 * @throws {PlinthError} MIGRATION_INVALID where the file cannot be loaded or does not export `direction`
 */
export async function loadMigration(file: NumberedFile, direction: Direction): Promise<Task> {
  const module = await importNumbered(file, errors.MIGRATION_INVALID)
  if (typeof module.up !== 'function') {
    throw errors.MIGRATION_INVALID(file.path, 'it exports no function up(db)')
  }
  const run = module[direction]
  if (typeof run !== 'function') {
    throw errors.MIGRATION_INVALID(
      file.path,
      'it exports no function down(db), so it cannot be taken back',
    )
  }
  return { name: file.name, direction, run: run as Migration }
}

/**
 * Runs a migration on a pinned connection and records it.
 *
 * @returns milliseconds
 * @throws {PlinthError} MIGRATION_FAILED, which says what stays of it
 */
export async function applyMigration(db: Kysely<MigrationTables>, task: Task): Promise<number> {
  const counter = new StatementCounter()
  const counted = db.withPlugin(counter)
  const began = performance.now()
  try {
    await task.run(counted as unknown as MigrationDatabase, portable(counted))
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause)
    const stays = supportsTransactionalDdl(db) ? 0 : counter.done
    throw errors.MIGRATION_FAILED.with(
      { cause },
      describe(task),
      `${counter.place}: ${problem}`,
      state(stays),
    )
  }
  const duration = Math.round(performance.now() - began)
  await record(db, task, duration)
  return duration
}

async function record(db: Kysely<MigrationTables>, { name, direction }: Task, duration: number) {
  if (direction === 'up') return await addRecord(db, name, duration)
  // The tables whose rows they have written may be gone.
  await removeRecords(db as unknown as Kysely<SeedTables>)
  await removeRecord(db, name)
}

function describe({ name, direction }: Task): string {
  return direction === 'up' ? name : `${name} (down)`
}

function state(stays: number): string {
  if (stays === 0) return 'Nothing of it stays; mend it and run this again'
  const which = stays === 1 ? 'Its first statement stays' : `Its first ${stays} statements stay`
  return `${which}, because this database commits each at once: take back what they did by hand, mend the migration and run this again`
}
