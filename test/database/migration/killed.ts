import { type Kysely, sql } from 'kysely'
import { writeAhead } from '../../../src/database/migration/journal.ts'
import { listMigrations } from '../../../src/database/migration/loader.ts'
import { type MigrationTables, prepareRecords } from '../../../src/database/migration/recorder.ts'
import { tasksUp } from '../../../src/database/migration/task.ts'
import type { AnyDatabase } from '../fixture.ts'

/**
 * Leaves what a process leaves that is killed in a window when so many of its statements have happened.
 *
 * @param applied how many migrations had been applied before
 */
export async function killed(
  db: AnyDatabase,
  directory: string,
  statements: number,
  applied = 0,
): Promise<void> {
  const records = db as unknown as Kysely<MigrationTables>
  await prepareRecords(records)
  const todo = await listMigrations(directory)
  const tasks = (await tasksUp({ applied: [], todo }, 'mysql')).slice(applied)
  await writeAhead(records, tasks, [])
  const all = tasks.flatMap(({ steps }) => steps).slice(0, statements)
  for (const step of all) if ('sql' in step) await sql.raw(step.sql).execute(db)
}
