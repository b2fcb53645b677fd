import { type Kysely, sql } from 'kysely'
import { errors, type PlinthError } from '../../errors.ts'
import type { Statement } from '../dialect/ddl.ts'
import { type Entry, hashOf } from './journal.ts'
import type { MigrationTables } from './recorder.ts'
import { describeStep, type Task } from './task.ts'

/** How the operator settles what nobody else can know: the statement is run again, or counts as done. */
export type Settlement = 'again' | 'done'

/**
 * Where to go on with an interrupted task: how many of its steps have happened.
 *
 * @throws {PlinthError} MIGRATION_INTERRUPTED where that cannot be known, or the file says something else by now
 */
export async function resumeAt(
  db: Kysely<MigrationTables>,
  task: Task,
  entry: Entry,
  settlement?: Settlement,
): Promise<number> {
  const { position, state } = entry
  refuseOtherSteps(task, entry)
  const step = task.steps[position]
  if (state === 'idle' || !step || !('sql' in step) || step.repeatable) return position
  if (step.happened) return position + ((await hasHappened(db, step)) ? 1 : 0)
  if (settlement) return position + (settlement === 'done' ? 1 : 0)
  throw interrupted(task, entry, unknown(task.direction))
}

/**
 * Goes on only with the steps that were begun.
 *
 * @throws {PlinthError} MIGRATION_INTERRUPTED
 */
export function refuseOtherSteps(task: Task, entry: Entry): void {
  if (hashOf(task.steps, entry.position, entry.state) === entry.prefix) return
  throw interrupted(task, entry, 'Its file has other statements in their place now; restore it')
}

/**
 * Lets an interrupted migration be finished before anything else is done.
 *
 * @throws {PlinthError} MIGRATION_INTERRUPTED
 */
export function refuseOther(entry: Entry, next: Task | undefined): void {
  if (next && next.name === entry.migration && next.direction === entry.direction) return
  throw unfinished(entry)
}

/** The error where an interrupted migration would have to be finished first. */
export function unfinished({ migration, direction }: Entry) {
  const what = direction === 'up' ? migration : `${migration} (down)`
  return errors.MIGRATION_INTERRUPTED(what, finish(direction))
}

const COMMANDS = { up: 'manage migrate', down: 'manage migrate rollback' } as const
const OTHER = { up: 'down', down: 'up' } as const
const VERBS = {
  up: ['finish it', 'take it back'],
  down: ['take back the rest of it', 'apply it again'],
} as const

/** How a migration that was interrupted is ended, either way. */
export function waysOut(direction: Task['direction']): string {
  const [on, back] = VERBS[direction]
  return `run ${COMMANDS[direction]} to ${on}, or ${COMMANDS[OTHER[direction]]} to ${back}`
}

function finish(direction: Task['direction']): string {
  return `It has to be ended before anything else, with its file in migrations/: ${waysOut(direction)}. Where neither is possible, end it by hand and say so: manage migrate --fake (all of it has happened), or manage migrate rollback --fake (nothing of it has)`
}

function unknown(direction: Task['direction']): string {
  return `Look whether the one marked ? has happened, then run ${COMMANDS[direction]} --resume (it has not: run it) or --mark-applied (it has: go on behind it)`
}

/** The error of a task that is to be turned round within SQL that was written by hand. */
export function doubtful(task: Task, entry: Entry): PlinthError {
  const [again, done] =
    entry.direction === 'up'
      ? ['its down is run', 'nothing of it is left']
      : ['all of it is run again', 'all of it is applied']
  return interrupted(
    task,
    entry,
    `Nobody knows what has happened of that step in SQL. Look, then run ${COMMANDS[OTHER[entry.direction]]} --resume (${again}) or --mark-applied (${done})`,
  )
}

function interrupted({ name, steps }: Task, { direction, position, state }: Entry, remedy: string) {
  const marks = steps.map((step, i) => {
    const doubtful = state === 'ahead' || (state === 'begun' && i === position)
    return `  [${i < position ? 'x' : doubtful ? '?' : ' '}] ${describeStep(step)}`
  })
  const what = direction === 'up' ? name : `${name} (down)`
  return errors.MIGRATION_INTERRUPTED(what, `\n${marks.join('\n')}\n${remedy}`)
}

/** Whether a statement has happened, as far as the database can tell. */
export async function hasHappened(
  db: Kysely<MigrationTables>,
  { happened }: Statement,
): Promise<boolean> {
  if (!happened) return false
  const { rows } = await sql.raw<Record<string, unknown>>(happened).execute(db)
  return Number(Object.values(rows[0] ?? {})[0]) === 1
}

/**
 * The error of a migration that failed in its step `position` (from 0).
 *
 * @param stays whether the steps before it stay
 */
export function failureOf(
  { name, direction, steps }: Task,
  position: number,
  stays: boolean,
  cause: unknown,
): PlinthError {
  const problem = cause instanceof Error ? cause.message : String(cause)
  const step = steps[position]
  const place = step ? `in step ${position + 1} of ${steps.length}` : 'at its end'
  return errors.MIGRATION_FAILED.with(
    { cause },
    direction === 'up' ? name : `${name} (down)`,
    `${place}, ${problem}${step ? ` (${shorten(describeStep(step))})` : ''}`,
    stays && position > 0
      ? `What came before that stays, because this database commits each statement at once; mend the rest of the migration and run this again: it goes on where it stopped. Or ${BACK[direction]}`
      : 'Nothing of it stays; mend it and run this again',
  )
}

const BACK = {
  up: 'run manage migrate rollback, which takes it back',
  down: 'run manage migrate, which applies it again',
} as const

function shorten(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ')
  return line.length > 200 ? `${line.slice(0, 200)}…` : line
}
