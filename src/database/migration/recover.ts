import type { Kysely } from 'kysely'
import { errors, type PlinthError } from '../../errors.ts'
import type { Chosen } from './choose.ts'
import type { MigrationResult, OnMigration } from './events.ts'
import { hasHappened, refuseOtherSteps, unfinished } from './in-doubt.ts'
import { type Entry, type Finished, readJournal, settleAhead } from './journal.ts'
import type { MigrationTables } from './record.ts'
import type { Task } from './task.ts'

export interface RecoverOptions {
  compile: (chosen: Chosen) => Promise<Task[]>
  /** Throws where this process has lost the right to go on. */
  guard: () => void
  on: OnMigration
}

/**
 * Finds out how far the migrations are that were ahead when a process ended, and says so in the journal: one of them
 * is under way then, or none.
 *
 * @returns those that have happened
 * @throws {PlinthError} MIGRATION_INTERRUPTED where the file of one that has happened, perhaps, is gone or another now
 */
export async function recover(
  db: Kysely<MigrationTables>,
  chosen: Chosen,
  { compile, guard, on }: RecoverOptions,
): Promise<MigrationResult[]> {
  const entries = (await readJournal(db)).filter(({ state }) => state === 'ahead')
  if (entries.length === 0) return []
  const tasks = await compile({ ...chosen, todo: filesOf(entries, chosen) })
  const { finished, at } = await lookFor(db, entries, tasks, chosen)
  guard()
  await settleAhead(db, finished, at && { ...at, state: 'begun' })
  return finished.map(({ task: { name, direction, steps }, duration }) => {
    const result = { name, direction, duration_ms: duration }
    on({ type: 'resume', name, direction, position: steps.length })
    on({ type: 'done', ...result })
    return result
  })
}

/** The files as they were, up to the first that is not: those behind it may need what it was. */
function filesOf(entries: readonly Entry[], { todo }: Chosen): Chosen['todo'] {
  const named = new Map(todo.map((file) => [file.name, file]))
  const files = entries.map(({ migration, checksum }) => {
    const file = named.get(migration)
    return file?.checksum === checksum ? file : undefined
  })
  const end = files.indexOf(undefined)
  return files.slice(0, end < 0 ? files.length : end).filter((file) => file !== undefined)
}

/** They happen in order: of those behind the first statement that has not happened, nothing has. */
async function lookFor(
  db: Kysely<MigrationTables>,
  entries: readonly Entry[],
  tasks: readonly Task[],
  chosen: Chosen,
): Promise<{ finished: Finished[]; at?: { task: Task; position: number } }> {
  const finished: Finished[] = []
  for (const [i, entry] of entries.entries()) {
    const began = performance.now()
    const task = tasks[i]
    if (!task) throw withoutFile(entry, chosen)
    refuseOtherSteps(task, entry)
    const position = await countHappened(db, task)
    if (position < task.steps.length) return { finished, at: { task, position } }
    finished.push({ task, duration: Math.round(performance.now() - began) })
  }
  return { finished }
}

async function countHappened(db: Kysely<MigrationTables>, { steps }: Task): Promise<number> {
  for (const [position, step] of steps.entries()) {
    if (!('sql' in step && (await hasHappened(db, step)))) return position
  }
  return steps.length
}

function withoutFile(entry: Entry, { todo }: Chosen): PlinthError {
  const { migration } = entry
  if (!todo.some(({ name }) => name === migration)) return unfinished(entry)
  return errors.MIGRATION_INTERRUPTED(
    migration,
    `It has happened, perhaps, and its file is another now; restore it, or, where only its form is another, run manage migrate --accept-changed ${migration}`,
  )
}
