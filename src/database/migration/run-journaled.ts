import type { Kysely } from 'kysely'
import type { MigrationResult } from './events.ts'
import { refuseOther } from './in-doubt.ts'
import { readJournal } from './journal.ts'
import { JournaledRun, type JournaledRunOptions } from './journaled-run.ts'
import type { MigrationTables } from './record.ts'
import type { Task } from './task.ts'

/**
 * Runs tasks on a pinned connection to a database that commits each statement of DDL at once (MySQL). What was ahead
 * when a process ended has to be settled before (`recover`).
 *
 * @throws {PlinthError} MIGRATION_FAILED, MIGRATION_INTERRUPTED
 */
export async function runJournaled(
  db: Kysely<MigrationTables>,
  tasks: readonly Task[],
  options: JournaledRunOptions,
): Promise<MigrationResult[]> {
  const [entry] = await readJournal(db)
  if (entry) refuseOther(entry, tasks[0])
  const run = new JournaledRun(db, options, entry)
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
