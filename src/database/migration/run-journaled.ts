import { type Kysely, sql } from 'kysely'
import type { Statement } from './compile.ts'
import { runDataStep } from './data-step.ts'
import type { MigrationResult, OnMigration } from './events.ts'
import { failureOf } from './failure.ts'
import {
  clearJournal,
  type Entry,
  type Finished,
  hasHappened,
  readJournal,
  refuseOther,
  resumeAt,
  type Settlement,
  writeFinished,
  writeJournal,
} from './journal.ts'
import type { DataStep } from './operations.ts'
import type { MigrationTables } from './record.ts'
import type { Task } from './task.ts'

export interface JournaledOptions {
  /** Throws where this process has lost the right to go on. */
  guard: () => void
  settlement?: Settlement | undefined
  /** The tasks have no steps: they are recorded only. */
  fake: boolean
  on: OnMigration
}

/**
 * Runs tasks on a pinned connection to a database that commits each statement of DDL at once (MySQL).
 *
 * @throws {PlinthError} MIGRATION_FAILED, MIGRATION_INTERRUPTED
 */
export async function runJournaled(
  db: Kysely<MigrationTables>,
  tasks: readonly Task[],
  options: JournaledOptions,
): Promise<MigrationResult[]> {
  const entry = await readJournal(db)
  if (entry) refuseOther(entry, tasks[0])
  if (options.fake) await clearJournal(db)
  const run = new JournaledRun(db, options, options.fake ? undefined : entry)
  const results: MigrationResult[] = []
  try {
    for (const task of tasks) results.push(await run.run(task))
  } catch (error) {
    // Where this fails, too, the journal still knows; what failed first is what has to be told.
    await run.end().catch(() => {})
    throw error
  }
  await run.end()
  return results
}

/**
 * Runs tasks on a database that commits each statement of DDL at once. Before each statement the journal says that
 * it is begun, and so that those before it have happened. A task's record is written together with the next task's
 * first entry: one commit for each statement is all that the journal costs.
 */
class JournaledRun {
  readonly #db: Kysely<MigrationTables>
  readonly #options: JournaledOptions
  /** Where the first task is that was interrupted. */
  #entry: Entry | undefined
  #finished: Finished | undefined
  /** The statement of the task at hand that an earlier process had begun, perhaps. */
  #inDoubt: number | undefined

  /** @param db one pinned connection */
  constructor(db: Kysely<MigrationTables>, options: JournaledOptions, entry: Entry | undefined) {
    this.#db = db
    this.#options = options
    this.#entry = entry
  }

  /**
   * Runs a task from where it was interrupted, else from its beginning.
   *
   * @throws {PlinthError} MIGRATION_FAILED, MIGRATION_INTERRUPTED
   */
  async run(task: Task): Promise<MigrationResult> {
    const { on, guard } = this.#options
    const began = performance.now()
    const first = await this.#firstPosition(task)
    const { name, direction } = task
    on(
      first > 0
        ? { type: 'resume', name, direction, position: first }
        : { type: 'start', name, direction },
    )
    for (let position = first; position < task.steps.length; position++) {
      guard()
      await this.#runStep(task, position)
    }
    const duration = Math.round(performance.now() - began)
    await this.#settle()
    this.#finished = { task, duration }
    return { name, direction, duration_ms: duration }
  }

  /** Records the last task; to be called behind all of them. */
  async end(): Promise<void> {
    await this.#settle()
  }

  async #firstPosition(task: Task): Promise<number> {
    const entry = this.#entry
    this.#entry = undefined
    this.#inDoubt = undefined
    if (!entry) return 0
    const position = await resumeAt(this.#db, task, entry, this.#options.settlement)
    if (entry.state === 'begun') this.#inDoubt = position
    return position
  }

  async #runStep(task: Task, position: number): Promise<void> {
    const step = task.steps[position]
    if (!step || 'rebuild' in step)
      throw new Error('A rebuild needs a database with DDL in transactions')
    try {
      if ('data' in step) await this.#runData(task, position, step.data)
      else await this.#runStatement(task, position, step)
    } catch (cause) {
      throw failureOf(task, position, true, cause)
    }
  }

  async #runStatement(task: Task, position: number, statement: Statement): Promise<void> {
    await this.#enter(task, position, 'begun')
    try {
      await sql.raw(statement.sql).execute(this.#db)
    } catch (error) {
      // Under a lease the server may still have been at it for a process that was killed.
      if (position === this.#inDoubt && (await hasHappened(this.#db, statement))) return
      // The server says that it did not happen. Where the connection is lost, nobody says so, and this fails, too.
      await writeJournal(this.#db, task, position, 'idle').catch(() => {})
      throw error
    }
  }

  /** Rows and journal in one transaction: it happens once. */
  async #runData(task: Task, position: number, step: DataStep): Promise<void> {
    // What is before it has happened for sure, however long this takes and however it ends.
    await this.#enter(task, position, 'idle')
    await this.#db.transaction().execute(async (transaction) => {
      await runDataStep(step, transaction, 'mysql')
      await writeJournal(transaction, task, position + 1, 'idle')
    })
  }

  async #enter(task: Task, position: number, state: Entry['state']): Promise<void> {
    const finished = this.#finished
    await writeJournal(this.#db, task, position, state, finished)
    if (finished) this.#tell(finished)
  }

  async #settle(): Promise<void> {
    const finished = this.#finished
    if (!finished) return
    this.#options.guard()
    await writeFinished(this.#db, finished)
    this.#tell(finished)
  }

  #tell({ task: { name, direction }, duration }: Finished): void {
    this.#finished = undefined
    this.#options.on({ type: 'done', name, direction, duration_ms: duration })
  }
}
