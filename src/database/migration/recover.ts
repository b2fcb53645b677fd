import type { Kysely } from 'kysely'
import { errors } from '../../errors.ts'
import type { Chosen } from './choose.ts'
import { doubtful, hasHappened, refuseOtherSteps, resumeAt, unfinished } from './interrupted.ts'
import { type Entry, readJournal, writeFinished, writeJournal, writeTurn } from './journal.ts'
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
 * Finds out how far a start is that was ahead when a process ended, and says so in the journal.
 *
 * @returns its result, where all of it has happened
 * @throws {PlinthError} MIGRATION_INTERRUPTED where it has other statements now, or is none any more
 */
export async function recover(
  db: Kysely<MigrationTables>,
  chosen: Chosen,
  { compile, guard, on }: RecoverOptions,
): Promise<MigrationResult[]> {
  const entry = await readJournal(db)
  if (entry?.state !== 'ahead') return []
  const file = chosen.files.find(({ name }) => name === entry.migration)
  const [task] = file ? await compile({ ...chosen, todo: [file] }) : []
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
  // The rest of it may be what failed, and has not to be finished for the values that it has filled in.
  const done = task.steps.slice(begun, isInDoubt ? position + 1 : position)
  if (done.every((one) => 'sql' in one && one.fills)) return whole
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
