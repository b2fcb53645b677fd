import { type Kysely, sql } from 'kysely'
import type { Statement } from '../dialect/ddl.ts'
import { mysqlCode } from '../dialect/mysql/errors.ts'
import { failureOf, hasHappened, refuseOther, resumeAt, type Settlement } from './interrupted.ts'
import { type Entry, type Finished, readJournal, writeFinished, writeJournal } from './journal.ts'
import type { DataStep } from './operations/index.ts'
import { runDataStep } from './operations/step.ts'
import { tryRows } from './preflight.ts'
import type { MigrationTables } from './recorder.ts'
import type { MigrationResult, OnMigration, Task } from './task.ts'

export interface JournaledRunOptions {
  /** Throws where this process has lost the right to go on. */
  guard: () => void
  settlement?: Settlement | undefined
  on: OnMigration
}

/**
 * Runs tasks on a database that commits each statement of DDL at once. Before a statement the journal says that it is
 * begun, and so that those before it have happened; of a start it says so once. What is done is recorded together with the
 * next entry: one commit for each is all that the journal costs.
 */
export class JournaledRun {
  readonly #db: Kysely<MigrationTables>
  readonly #options: JournaledRunOptions
  /** Where the first task is that was interrupted. */
  #entry: Entry | undefined
  /** What has not been recorded yet. */
  #finished: Finished | undefined
  /** The statement of the task at hand that an earlier process had begun, perhaps. */
  #inDoubt: number | undefined

  /** @param db one pinned connection */
  constructor(db: Kysely<MigrationTables>, options: JournaledRunOptions, entry?: Entry) {
    this.#db = db
    this.#options = options
    this.#entry = entry
  }

  /**
   * Runs a task, from where it was interrupted.
   *
   * @throws {PlinthError} MIGRATION_FAILED, MIGRATION_INTERRUPTED
   */
  async next(task: Task): Promise<MigrationResult> {
    // All that a start does is to make what was not there: the database can tell how much of it there is, whenever that is asked.
    const isAhead = !this.#entry && task.isStart === true && task.direction === 'up'
    const first = await this.#firstPosition(task)
    if (isAhead) await this.#enter(task, 0, 'ahead')
    const finished = await this.#run(task, first, () =>
      isAhead ? this.#runAhead(task) : this.runSteps(task, first, task.steps.length),
    )
    await this.end()
    this.#finished = finished
    return resultOf(finished)
  }

  /** Records what is done; to be called behind all tasks. */
  async end(): Promise<void> {
    if (!this.#finished) return
    this.#options.guard()
    await writeFinished(this.#db, this.#finished)
    this.#tell()
  }

  /**
   * Runs some steps of a task for themselves; the journal tells how far it is.
   *
   * @throws {PlinthError} MIGRATION_FAILED
   */
  async runSteps(task: Task, first: number, end: number): Promise<void> {
    for (let position = first; position < end; position++) {
      this.#options.guard()
      await this.#runStep(task, position)
    }
  }

  async #run(task: Task, first: number, runSteps: () => Promise<void>): Promise<Finished> {
    const began = performance.now()
    const { name, direction } = task
    this.#options.on(
      first > 0
        ? { type: 'resume', name, direction, position: first }
        : { type: 'start', name, direction },
    )
    if (first === 0) await this.#try(task)
    await runSteps()
    return { task, duration: Math.round(performance.now() - began) }
  }

  /** What would fail behind something that has happened fails before it. */
  async #try(task: Task): Promise<void> {
    const found = await tryRows(this.#db, task.trials ?? [])
    if (!found) return
    const position = task.ends[found.operation - 1] ?? 0
    throw failureOf(task, position, false, new Error(`${found.count} ${found.problem}`))
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
    if ('noWayBack' in step) throw new Error('An operation without a way back is never reached')
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
      await sql.raw(await textOf(this.#db, statement)).execute(this.#db)
    } catch (error) {
      // Under a lease the server may still have been at it for a process that was killed.
      if (position === this.#inDoubt && (await hasHappened(this.#db, statement))) return
      await this.#afterFailure(() => writeJournal(this.#db, task, position, 'idle'))
      throw error
    }
  }

  /** Many statements at once: to wait for the answer to each takes as long as to create a table. */
  async #runAhead(task: Task): Promise<void> {
    for (let position = 0; position < task.steps.length; ) {
      this.#options.guard()
      const block = await blockOf(this.#db, task, position)
      try {
        await runBlock(this.#db, block)
      } catch (cause) {
        const done = position + (await doneOf(this.#db))
        await this.#afterFailure(() => writeJournal(this.#db, task, done, 'idle'))
        throw failureOf(task, done, true, cause)
      }
      position += block.length
    }
  }

  /** The server says that it did not happen. Where the connection is lost, nobody says so, and this fails, too. */
  async #afterFailure(write: () => Promise<void>): Promise<void> {
    try {
      this.#options.guard()
      await write()
    } catch {
      // The error of the statement is what has to be told.
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
    await writeJournal(this.#db, task, position, state, this.#finished)
    this.#tell()
  }

  #tell(): void {
    const finished = this.#finished
    this.#finished = undefined
    if (finished) this.#options.on({ type: 'done', ...resultOf(finished) })
  }
}

/** With what only the database knows. */
async function textOf(
  db: Kysely<MigrationTables>,
  { sql: text, complete }: Statement,
): Promise<string> {
  return complete ? await complete(db) : text
}

const BLOCK = 100

/** Statements that need not wait for one another. */
async function blockOf(
  db: Kysely<MigrationTables>,
  { steps }: Task,
  first: number,
): Promise<string[]> {
  const texts: string[] = []
  for (const step of steps.slice(first, first + BLOCK)) {
    if (!('sql' in step)) throw new Error('A start makes tables, and does nothing else')
    if (step.looks && texts.length > 0) break
    texts.push(await textOf(db, step))
  }
  return texts
}

// How many of them have happened the session knows, also where one fails.
const count = (done: number) => `set @plinth_done = ${done}`
const ER_PARSE_ERROR = 1064

/** In one statement, as MariaDB takes it; MySQL takes them one by one. */
async function runBlock(db: Kysely<MigrationTables>, texts: readonly string[]): Promise<void> {
  const run = (text: string) => sql.raw(text).execute(db)
  const counted = texts.map((text, i) => `${text};\n${count(i + 1)};\n`)
  await run(count(0))
  try {
    await run(`begin not atomic\n${counted.join('')}end`)
  } catch (error) {
    if (mysqlCode(error) !== ER_PARSE_ERROR || (await doneOf(db)) > 0) throw error
    for (const [i, text] of texts.entries()) {
      await run(text)
      await run(count(i + 1))
    }
  }
}

/** How many of a block have happened. Where the connection is lost, nobody says so: the journal has all of them ahead. */
async function doneOf(db: Kysely<MigrationTables>): Promise<number> {
  try {
    const { rows } = await sql<{ done: number }>`select @plinth_done as done`.execute(db)
    return Number(rows[0]?.done ?? 0)
  } catch {
    return 0
  }
}

function resultOf({ task: { name, direction }, duration }: Finished): MigrationResult {
  return { name, direction, duration_ms: duration }
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
  options: JournaledRunOptions,
): Promise<MigrationResult[]> {
  const entry = await readJournal(db)
  if (entry) refuseOther(entry, tasks[0])
  const run = new JournaledRun(db, options, entry)
  const results: MigrationResult[] = []
  try {
    for (const task of tasks) results.push(await run.next(task))
  } catch (error) {
    // Where this fails, too, the journal still knows; what failed first is what has to be told.
    await run.end().catch(() => {})
    throw error
  }
  await run.end()
  return results
}
