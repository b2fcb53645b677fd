import { hash } from 'node:crypto'
import { type Insertable, type Kysely, sql } from 'kysely'
import { errors, type PlinthError } from '../../errors.ts'
import { quoteText, type Statement } from '../dialect/ddl.ts'
import { ownName } from '../own-tables.ts'
import { inTransaction } from '../transaction.ts'
import type { CompiledStep } from './operations/operation.ts'
import { appliedRows, type MigrationTables, recordTask } from './recorder.ts'
import { describeStep, type Task } from './task.ts'

const TABLE = 'plinth_migration'

/** Where a migration is that is under way, or that was when its process ended. */
export interface Entry {
  migration: string
  /** Of its file. */
  checksum: string
  direction: Task['direction']
  /** How many of its statements have happened for sure. */
  position: number
  /** `begun`: the one behind them has, too, perhaps. `idle`: it has not. `ahead`: any number of them, perhaps. */
  state: 'begun' | 'idle' | 'ahead'
  /** SHA-256 of the statements that have happened, perhaps. */
  prefix: string
}

/** The migration of which a part has happened, perhaps; `undefined`: there is none. */
export async function readJournal(db: Kysely<MigrationTables>): Promise<Entry | undefined> {
  const entry = await db
    .selectFrom(TABLE)
    .select(['name as migration', 'checksum', 'direction', 'position', 'state', 'prefix'])
    .where(({ eb, or }) => or([eb('state', 'in', ['begun', 'ahead']), eb('position', '>', 0)]))
    .executeTakeFirst()
  return entry as Entry | undefined
}

/** A task that is done. */
export interface Finished {
  task: Task
  /** Milliseconds. */
  duration: number
}

/**
 * Says that `position` statements of a task have happened, and the next is begun or not.
 *
 * @param finished a task to record together with that, in one statement as far as possible: it commits once
 */
export async function writeJournal(
  db: Kysely<MigrationTables>,
  task: Task,
  position: number,
  state: Entry['state'],
  finished?: Finished,
): Promise<void> {
  if (task.direction === 'up') return await upsert(db, finished, rowOf(task, position, state))
  // Until it is taken back, it is applied.
  await inTransaction(db, async (transaction) => {
    if (finished) await recordTask(transaction, finished.task, finished.duration)
    const place = placeOf(task, position, state)
    await transaction.updateTable(TABLE).set(place).where('name', '=', task.name).execute()
  })
}

/** Records a task that is done; nothing is under way then. */
export async function writeFinished(
  db: Kysely<MigrationTables>,
  finished: Finished,
): Promise<void> {
  const { task, duration } = finished
  if (task.direction === 'up') await upsert(db, finished)
  else await inTransaction(db, (transaction) => recordTask(transaction, task, duration))
}

/**
 * Says how far a task is that goes the other way now.
 *
 * @param position 0: all of it has happened, and nothing is undone; else the steps before it are behind us
 */
export async function writeTurn(
  db: Kysely<MigrationTables>,
  task: Task,
  position: number,
): Promise<void> {
  const applied_at = task.direction === 'up' ? null : new Date()
  const row = { ...rowOf(task, position, 'idle'), applied_at, duration_ms: applied_at && 0 }
  const { name, ...place } = row
  await db.updateTable(TABLE).set(place).where('name', '=', name).execute()
}

/** Forgets a migration, however far it is. */
export async function forgetMigration(db: Kysely<MigrationTables>, name: string): Promise<void> {
  await db.deleteFrom(TABLE).where('name', '=', name).execute()
}

/**
 * What is kept of the steps that have happened, perhaps, so that nobody goes on with others.
 *
 * @returns SHA-256 in hexadecimal
 */
export function hashOf(
  steps: readonly CompiledStep[],
  position: number,
  state: Entry['state'],
): string {
  const count = { idle: position, begun: position + 1, ahead: steps.length }[state]
  const texts = steps.slice(0, count).map((step) => `${describeStep(step)}\0`)
  return hash('sha256', texts.join(''))
}

type Row = Insertable<MigrationTables['plinth_migration']>

function rowOf(task: Task, position: number, state: Entry['state']): Row {
  const { name, checksum } = task
  return { name, checksum, applied_at: null, duration_ms: null, ...placeOf(task, position, state) }
}

function placeOf({ direction, steps }: Task, position: number, state: Entry['state']) {
  return { direction, position, state, prefix: hashOf(steps, position, state) }
}

async function upsert(
  db: Kysely<MigrationTables>,
  finished: Finished | undefined,
  under?: Row,
): Promise<void> {
  const done = finished ? appliedRows(finished.task, finished.duration) : []
  const rows = [...done, ...(under ? [under] : [])]
  if (!finished?.task.records) return await insertRows(db, rows)
  // What stands for others is not itself recorded when it is done.
  await inTransaction(db, async (transaction) => {
    await forgetMigration(transaction, finished.task.name)
    await insertRows(transaction, rows)
  })
}

async function insertRows(db: Kysely<MigrationTables>, rows: readonly Row[]): Promise<void> {
  const columns = Object.keys(rows[0] ?? {}) as (keyof Row)[]
  // With a thousand parameters the driver would be longer at it than the server.
  const values = rows.map((row) => `(${columns.map((name) => literal(row[name])).join(', ')})`)
  const given = columns.map((name) => `${name} = values(${name})`)
  const table = ownName(db, TABLE)
  const insert = `insert into ${table} (${columns.join(', ')}) values ${values.join(', ')}`
  await sql.raw(`${insert} on duplicate key update ${given.join(', ')}`).execute(db)
}

function literal(value: Row[keyof Row]): string {
  if (value instanceof Date) return quoteText(value.toISOString().slice(0, -1), 'mysql')
  return typeof value === 'string' ? quoteText(value, 'mysql') : String(value ?? null)
}

// ---- where to go on, and how to end it

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
