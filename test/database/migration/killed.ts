import type { Kysely } from 'kysely'
import { writeJournal } from '../../../src/database/migration/journal.ts'
import { listMigrations } from '../../../src/database/migration/loader.ts'
import { type MigrationTables, prepareRecords } from '../../../src/database/migration/recorder.ts'
import { tasksUp } from '../../../src/database/migration/task.ts'
import type { AnyDatabase } from '../fixture.ts'

/** Leaves what a process leaves that is killed in the first statement of a migration. */
export async function killed(db: AnyDatabase, directory: string, name: string): Promise<void> {
  const records = db as unknown as Kysely<MigrationTables>
  await prepareRecords(records)
  const todo = await listMigrations(directory)
  const task = (await tasksUp({ applied: [], todo }, 'mysql')).find((one) => one.name === name)
  if (!task) throw new Error(`there is no ${name}`)
  await writeJournal(records, task, 0, 'begun')
}
