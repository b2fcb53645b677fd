import { type Kysely, sql } from 'kysely'
import { errors } from '../../errors.ts'
import type { Statement } from '../dialect/ddl.ts'
import { mysqlCode } from '../dialect/mysql/errors.ts'
import { failureOf, type Work } from './executor.ts'
import type { Chosen } from './files.ts'
import {
  doubtful,
  type Entry,
  type Finished,
  forgetMigration,
  hasHappened,
  readJournal,
  refuseOther,
  refuseOtherSteps,
  resumeAt,
  unfinished,
  writeFinished,
  writeJournal,
  writeTurn,
} from './journal.ts'
import { underLock } from './lock.ts'
import type { CompiledStep, DataStep } from './operations/operation.ts'
import { runDataStep } from './operations/step.ts'
import { tryRows } from './preflight.ts'
import { type MigrationTables, prepareRecords, readRecords } from './recorder.ts'
import { type MigrationResult, type Task, unseen } from './task.ts'

/** What is to be done on a pinned connection. `guard` throws where this process has lost the right to go on. */
type GuardedWork = Work & { readonly guard: () => void }

/**
 * Runs tasks statement by statement, because the server commits each of DDL at once; the journal says how far they are. No other process
 * migrates the database meanwhile.
 *
 * @throws {PlinthError} MIGRATION_FAILED, MIGRATION_INTERRUPTED, MIGRATION_LOCKED, MIGRATION_LEASE_LOST
 */
export async function runOnMysql(
  db: Kysely<MigrationTables>,
  work: Work,
): Promise<MigrationResult[]> {
  const { lockTimeout, lock, on } = work
  await prepareRecords(db)
  return await underLock(db, { timeout: lockTimeout, kind: lock, on }, (pinned, guard) =>
    (work.fake ? recordAll : runAll)(pinned, { ...work, guard }),
  )
}

/** What was interrupted first, then all that is chosen. */
async function runAll(db: Kysely<MigrationTables>, work: GuardedWork): Promise<MigrationResult[]> {
  const { direction, choose, compile } = work
  const recovered = await recover(db, choose(await readRecords(db), 0), work)
  // It comes before a file with a lower number that has been added since.
  const first = await findInterrupted(db, work)
  const ended = first ? await run(first, first.todo[0]?.name) : []
  const rest = await run(choose(await readRecords(db), ended.length))
  return [...recovered, ...ended, ...rest]

  async function run(chosen: Chosen, interrupted?: string): Promise<MigrationResult[]> {
    return await runTasks(db, await compile[direction](chosen, interrupted), work)
  }
}

/** Records what is chosen, whatever has happened of it; what was interrupted has to be among it. */
async function recordAll(
  db: Kysely<MigrationTables>,
  work: GuardedWork,
): Promise<MigrationResult[]> {
  const { direction, choose, compile, guard } = work
  const entry = await readJournal(db)
  const records = (await readRecords(db)).filter(({ name }) => name !== entry?.migration)
  const isDown = direction === 'down'
  const tasks = await compile[direction](choose(records, isDown && entry ? 1 : 0))
  if (entry && !isDown && !tasks.some((task) => isOf(task, entry))) throw unfinished(entry)
  guard()
  if (entry) await forgetMigration(db, entry.migration)
  const forgotten =
    isDown && entry ? [unseen({ name: entry.migration, checksum: entry.checksum }, 'down')] : []
  return await runTasks(db, [...forgotten, ...tasks], work)
}

/** Whether a task is the one that was interrupted; where that is a start, the last of what it stands for. */
function isOf({ name }: Task, { migration }: Entry): boolean {
  return migration === name || migration === `start:${name}`
}

// ---- after an interruption

/**
 * The migration that was interrupted, if there is one, turned round where it was under way the other way.
 *
 * @throws {PlinthError} MIGRATION_INTERRUPTED where its file is gone, or it is not wanted
 */
async function findInterrupted(
  db: Kysely<MigrationTables>,
  work: GuardedWork,
): Promise<Chosen | undefined> {
  const { direction, choose, compile } = work
  const entry = await readJournal(db)
  if (!entry) return undefined
  const records = (await readRecords(db)).filter(({ name }) => name !== entry.migration)
  const { files, todo } = choose(records, 0)
  const file = files.find(({ name }) => name === entry.migration)
  if (!file || (direction === 'up' && !todo.includes(file))) throw unfinished(entry)
  const others = files.filter(({ name }) => records.some((record) => record.name === name))
  const ways = {
    up: { files, applied: others, todo: [file] },
    down: { files, applied: [...others, file], todo: [file] },
  }
  if (entry.direction !== direction) {
    const [up] = await compile.up(ways.up)
    const [down] = await compile.down(ways.down, file.name)
    await turn(db, entry, { up, down } as BothWays, work)
  }
  return ways[direction]
}

/**
 * Finds out how far a start is that was ahead when a process ended, and says so in the journal.
 *
 * @returns its result, where all of it has happened
 * @throws {PlinthError} MIGRATION_INTERRUPTED where it has other statements now, or is none any more
 */
async function recover(
  db: Kysely<MigrationTables>,
  chosen: Chosen,
  { compile, guard, on }: GuardedWork,
): Promise<MigrationResult[]> {
  const entry = await readJournal(db)
  if (entry?.state !== 'ahead') return []
  const file = chosen.files.find(({ name }) => name === entry.migration)
  const [task] = file ? await compile.up({ ...chosen, todo: [file] }) : []
  if (!task) throw unfinished(entry)
  const { name, direction, steps } = task
  const began = performance.now()
  refuseOtherSteps(task, entry)
  const position = await countHappened(db, task)
  guard()
  if (position < steps.length) {
    await writeJournal(db, task, position, 'begun')
    return []
  }
  const result = { name, direction, duration_ms: Math.round(performance.now() - began) }
  await writeFinished(db, { task, duration: result.duration_ms })
  on({ type: 'resume', name, direction, position })
  on({ type: 'done', ...result })
  return [result]
}

/** They happen in order: of those behind the first that has not happened, nothing has. */
async function countHappened(db: Kysely<MigrationTables>, { steps }: Task): Promise<number> {
  for (const [position, step] of steps.entries()) {
    if (!('sql' in step && (await hasHappened(db, step)))) return position
  }
  return steps.length
}

/** The tasks of a migration, both ways. */
type BothWays = Readonly<Record<Task['direction'], Task>>

/**
 * Turns a migration round that was interrupted: of one that was being applied, what has happened is to be undone; of
 * one that was being taken back, what was undone is to be done again. An operation of which a part has happened is
 * finished before that. Nothing else of it is run here: the journal says then where the other way begins.
 *
 * @throws {PlinthError} MIGRATION_INTERRUPTED where it cannot be known what has happened; MIGRATION_INVALID where that has no
 *   way back; MIGRATION_FAILED
 */
async function turn(
  db: Kysely<MigrationTables>,
  entry: Entry,
  tasks: BothWays,
  work: GuardedWork,
): Promise<void> {
  const from = tasks[entry.direction]
  const to = tasks[entry.direction === 'up' ? 'down' : 'up']
  refuseOtherSteps(from, entry)
  const happened = await countOperations(db, from, entry, work)
  // The operations that have not happened the one way are those that have the other way.
  const position = to.ends[to.ends.length - happened - 1] ?? 0
  refuseNoWay(to, position)
  work.guard()
  await writeTurn(db, to, position)
}

async function countOperations(
  db: Kysely<MigrationTables>,
  task: Task,
  entry: Entry,
  work: GuardedWork,
): Promise<number> {
  const step = task.steps[entry.position]
  const isInDoubt = entry.state === 'begun' && (isByHand(step) || isRepeatable(step))
  const position = isInDoubt ? entry.position : await resumeAt(db, task, entry)
  const countTo = (step: number) => task.ends.filter((end) => end <= step).length
  const whole = countTo(position)
  const begun = task.ends[whole - 1] ?? 0
  // Several may have one step together.
  const more = countTo(task.ends[whole] ?? position)
  if (position === begun && !isInDoubt) return whole
  // The rest of it may be what failed, and has not to be finished for the values that it has filled in.
  const done = task.steps.slice(begun, isInDoubt ? position + 1 : position)
  if (done.every((one) => 'sql' in one && one.fills)) return whole
  // The other way it may be run twice as well.
  if (isRepeatable(step) && isInDoubt) return more
  if (isByHand(task.steps[position])) {
    if (!work.settlement) throw doubtful(task, { ...entry, position })
    return work.settlement === 'again' ? more : whole
  }
  await new JournaledRun(db, work).runSteps(task, position, task.ends[whole] as number)
  return more
}

/** Of what the kit does not know: several statements of it may have happened, or one, perhaps. */
function isByHand(step: CompiledStep | undefined): boolean {
  return step !== undefined && 'sql' in step && !step.happened && !step.repeatable
}

function isRepeatable(step: CompiledStep | undefined): boolean {
  return step !== undefined && 'sql' in step && step.repeatable === true
}

function refuseNoWay({ name, steps }: Task, position: number): void {
  const step = steps.slice(position).find((one) => 'noWayBack' in one)
  if (!step || !('noWayBack' in step)) return
  throw errors.MIGRATION_INVALID(
    name,
    `its operation ${step.noWayBack} has happened and has no way back (down): finish it with manage migrate, or undo it by hand and forget it with manage migrate rollback --fake`,
  )
}

// ---- statement by statement

/** Runs tasks one after the other. What was ahead when a process ended has to be settled before (`recover`). */
async function runTasks(
  db: Kysely<MigrationTables>,
  tasks: readonly Task[],
  work: GuardedWork,
): Promise<MigrationResult[]> {
  const entry = await readJournal(db)
  if (entry) refuseOther(entry, tasks[0])
  const run = new JournaledRun(db, work, entry)
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

/**
 * Runs tasks. Before a statement the journal says that it is begun, and so that those before it have happened; of a start it says so once.
 * What is done is recorded together with the next entry: one commit for each is all that the journal costs.
 */
class JournaledRun {
  readonly #db: Kysely<MigrationTables>
  readonly #work: GuardedWork
  /** Where the first task is that was interrupted. */
  #entry: Entry | undefined
  /** What has not been recorded yet. */
  #finished: Finished | undefined
  /** The statement of the task at hand that an earlier process had begun, perhaps. */
  #inDoubt: number | undefined

  /** @param db one pinned connection */
  constructor(db: Kysely<MigrationTables>, work: GuardedWork, entry?: Entry) {
    this.#db = db
    this.#work = work
    this.#entry = entry
  }

  /**
   * Runs a task, from where it was interrupted.
   *
   * @throws {PlinthError} MIGRATION_FAILED, MIGRATION_INTERRUPTED
   */
  async next(task: Task): Promise<MigrationResult> {
    const { name, direction, steps } = task
    const entry = this.#entry
    this.#entry = undefined
    const first = entry ? await resumeAt(this.#db, task, entry, this.#work.settlement) : 0
    this.#inDoubt = entry?.state === 'begun' ? first : undefined
    // All that a start does is to make what was not there: the database can tell how much of it there is, whenever that is asked.
    const isAhead = !entry && task.isStart === true && direction === 'up'
    if (isAhead) await this.#enter(task, 0, 'ahead')
    const began = performance.now()
    const what =
      first > 0 ? ({ type: 'resume', position: first } as const) : { type: 'start' as const }
    this.#work.on({ ...what, name, direction })
    if (first === 0) await this.#try(task)
    if (isAhead) await this.#runAhead(task)
    else await this.runSteps(task, first, steps.length)
    const finished = { task, duration: Math.round(performance.now() - began) }
    await this.end()
    this.#finished = finished
    return resultOf(finished)
  }

  /** Records what is done; to be called behind all tasks. */
  async end(): Promise<void> {
    if (!this.#finished) return
    this.#work.guard()
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
      this.#work.guard()
      await this.#runStep(task, position)
    }
  }

  /** What would fail behind something that has happened fails before it. */
  async #try(task: Task): Promise<void> {
    const found = await tryRows(this.#db, task.trials ?? [])
    if (!found) return
    const position = task.ends[found.operation - 1] ?? 0
    throw failureOf(task, position, false, new Error(`${found.count} ${found.problem}`))
  }

  async #runStep(task: Task, position: number): Promise<void> {
    const step = task.steps[position]
    try {
      if (step && 'data' in step) await this.#runData(task, position, step.data)
      else if (step && 'sql' in step) await this.#runStatement(task, position, step)
      else throw new Error('Only statements and code are run one by one')
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
      this.#work.guard()
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
      this.#work.guard()
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
    if (finished) this.#work.on({ type: 'done', ...resultOf(finished) })
  }
}

/** With what only the database knows. */
async function textOf(db: Kysely<MigrationTables>, statement: Statement): Promise<string> {
  return await (statement.complete?.(db) ?? statement.sql)
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
