import { createHash } from 'node:crypto'
import { type Insertable, type Kysely, sql } from 'kysely'
import { errors } from '../../errors.ts'
import { inTransaction } from '../transaction.ts'
import type { CompiledStep, Statement } from './compile.ts'
import { appliedRow, type MigrationTables, recordTask } from './record.ts'
import { describeStep, type Task } from './task.ts'

const TABLE = 'plinth_migration'

/** Where a migration is that was interrupted. */
export interface Entry {
  migration: string
  direction: Task['direction']
  position: number
  state: 'begun' | 'idle'
  prefix: string
}

/** Where an interrupted migration is; `undefined` where none was, or nothing of it has happened. */
export async function readJournal(db: Kysely<MigrationTables>): Promise<Entry | undefined> {
  const entry = await db
    .selectFrom(TABLE)
    .select(['name as migration', 'direction', 'position', 'state', 'prefix'])
    .where(({ eb, or }) => or([eb('state', '=', 'begun'), eb('position', '>', 0)]))
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
  const { name, checksum, direction, steps } = task
  const place = { direction, position, state, prefix: hashOf(steps, position, state) }
  if (direction === 'up') {
    const row = { name, checksum, applied_at: null, duration_ms: null, ...place }
    return await upsert(db, finished ? [appliedRow(finished.task, finished.duration), row] : [row])
  }
  // Until it is taken back, it is applied.
  await inTransaction(db, async (transaction) => {
    if (finished) await recordTask(transaction, finished.task, finished.duration)
    await transaction.updateTable(TABLE).set(place).where('name', '=', name).execute()
  })
}

/** Records a task that is done; nothing is under way then. */
export async function writeFinished(
  db: Kysely<MigrationTables>,
  finished: Finished,
): Promise<void> {
  if (finished.task.direction === 'up')
    return await upsert(db, [appliedRow(finished.task, finished.duration)])
  await inTransaction(db, (transaction) =>
    recordTask(transaction, finished.task, finished.duration),
  )
}

/** Forgets how far a migration is that was being applied. */
export async function clearJournal(db: Kysely<MigrationTables>): Promise<void> {
  await db.deleteFrom(TABLE).where('applied_at', 'is', null).execute()
}

type Row = Insertable<MigrationTables['plinth_migration']>

async function upsert(db: Kysely<MigrationTables>, rows: Row[]): Promise<void> {
  const columns = Object.keys(rows[0] ?? {}).filter((name) => name !== 'name')
  const given = columns.map((name) => [name, sql`values(${sql.ref(name)})`])
  await db.insertInto(TABLE).values(rows).onDuplicateKeyUpdate(Object.fromEntries(given)).execute()
}

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
  const { position, state, prefix } = entry
  if (hashOf(task.steps, position, state) !== prefix)
    throw interrupted(task, entry, 'Its file has other statements in their place now; restore it')
  const step = task.steps[position]
  if (state === 'idle' || !step || !('sql' in step) || step.repeatable) return position
  if (step.happened) return position + ((await hasHappened(db, step)) ? 1 : 0)
  if (settlement) return position + (settlement === 'done' ? 1 : 0)
  throw interrupted(task, entry, UNKNOWN[task.direction])
}

/**
 * Lets an interrupted migration be finished before anything else is done.
 *
 * @throws {PlinthError} MIGRATION_INTERRUPTED
 */
export function refuseOther(entry: Entry, next: Task | undefined): void {
  if (next && next.name === entry.migration && next.direction === entry.direction) return
  const { migration, direction } = entry
  const what = direction === 'up' ? migration : `${migration} (down)`
  throw errors.MIGRATION_INTERRUPTED(what, FINISH[direction])
}

const FINISH = {
  up: 'It has to be finished before anything else; run manage migrate, with its file in migrations/',
  down: 'It has to be taken back completely before anything else; run manage migrate rollback, with its file in migrations/',
} as const
const LOOK = 'Look whether the one marked ? has happened, then run manage migrate'
const SETTLE = '--resume (it has not: run it) or --mark-applied (it has: go on behind it)'
const UNKNOWN = { up: `${LOOK} ${SETTLE}`, down: `${LOOK} rollback ${SETTLE}` } as const

function interrupted({ name, steps }: Task, { direction, position, state }: Entry, remedy: string) {
  const marks = steps.map((step, i) => {
    const mark = i < position ? 'x' : i === position && state === 'begun' ? '?' : ' '
    return `  [${mark}] ${describeStep(step)}`
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

/** A statement that is begun counts: it has happened, perhaps. */
function hashOf(steps: readonly CompiledStep[], position: number, state: Entry['state']): string {
  const hash = createHash('sha256')
  for (const step of steps.slice(0, state === 'begun' ? position + 1 : position))
    hash.update(`${describeStep(step)}\0`)
  return hash.digest('hex')
}
