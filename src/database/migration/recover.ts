import type { Kysely } from 'kysely'
import { errors, type PlinthError } from '../../errors.ts'
import type { Chosen } from './choose.ts'
import { doubtful, hasHappened, refuseOtherSteps, resumeAt, unfinished } from './interrupted.ts'
import { type Entry, type Finished, readJournal, settleAhead, writeTurn } from './journal.ts'
import type { CompiledStep } from './operations/index.ts'
import type { MigrationTables } from './recorder.ts'
import { JournaledRun, type JournaledRunOptions } from './run-with-journal.ts'
import type { MigrationResult, OnMigration, Task } from './task.ts'

interface RecoverOptions {
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

/** The tasks of a migration, both ways. */
export type BothWays = Readonly<Record<Task['direction'], Task>>

/**
 * Turns a migration round that was interrupted: of one that was being applied, what has happened is to be undone; of
 * one that was being taken back, what was undone is to be done again. An operation of which a part has happened is
 * finished before that. Nothing else of it is run here: the journal says then where the other way begins.
 *
 * @throws {PlinthError} MIGRATION_INTERRUPTED where it cannot be known what has happened; MIGRATION_INVALID where that has no
 *   way back; MIGRATION_FAILED
 */
export async function turn(
  db: Kysely<MigrationTables>,
  entry: Entry,
  tasks: BothWays,
  options: JournaledRunOptions,
): Promise<void> {
  const from = tasks[entry.direction]
  const to = tasks[entry.direction === 'up' ? 'down' : 'up']
  refuseOtherSteps(from, entry)
  const happened = await countOperations(db, from, entry, options)
  // The operations that have not happened the one way are those that have the other way.
  const position = to.ends[to.ends.length - happened - 1] ?? 0
  refuseNoWay(to, position)
  options.guard()
  await writeTurn(db, to, position)
}

async function countOperations(
  db: Kysely<MigrationTables>,
  task: Task,
  entry: Entry,
  options: JournaledRunOptions,
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
  // The other way it may be run twice as well.
  if (isRepeatable(step) && isInDoubt) return more
  if (isByHand(task.steps[position])) {
    if (!options.settlement) throw doubtful(task, { ...entry, position })
    return options.settlement === 'again' ? more : whole
  }
  await new JournaledRun(db, options).runSteps(task, position, task.ends[whole] as number)
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
