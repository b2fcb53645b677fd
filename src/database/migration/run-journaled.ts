import type { Kysely } from 'kysely'
import type { MigrationResult } from './events.ts'
import { refuseOther, unfinished } from './in-doubt.ts'
import { clearJournal, type Entry, readJournal } from './journal.ts'
import { JournaledRun, type JournaledRunOptions } from './journaled-run.ts'
import type { MigrationTables } from './record.ts'
import type { Task } from './task.ts'

export interface JournaledOptions extends JournaledRunOptions {
  /** The tasks have no steps: they are recorded only. */
  fake: boolean
}

/**
 * Runs tasks on a pinned connection to a database that commits each statement of DDL at once (MySQL). What was ahead
 * when a process ended has to be settled before (`recover`).
 *
 * @throws {PlinthError} MIGRATION_FAILED, MIGRATION_INTERRUPTED
 */
export async function runJournaled(
  db: Kysely<MigrationTables>,
  tasks: readonly Task[],
  options: JournaledOptions,
): Promise<MigrationResult[]> {
  const entries = await readJournal(db)
  if (options.fake) await forget(db, tasks, entries)
  else if (entries[0]) refuseOther(entries[0], tasks[0])
  const run = new JournaledRun(db, options, options.fake ? undefined : entries[0])
  const results: MigrationResult[] = []
  try {
    while (results.length < tasks.length)
      results.push(...(await run.next(tasks.slice(results.length))))
  } catch (error) {
    // Where this fails, too, the journal still knows; what failed first is what has to be told.
    await run.end().catch(() => {})
    throw error
  }
  await run.end()
  return results
}

/** Forgets how far migrations are that are recorded now, whatever has happened of them. */
async function forget(
  db: Kysely<MigrationTables>,
  tasks: readonly Task[],
  entries: readonly Entry[],
): Promise<void> {
  const other = entries.find(({ migration }) => !tasks.some(({ name }) => name === migration))
  if (other) throw unfinished(other)
  await clearJournal(db)
}
