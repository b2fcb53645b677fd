import { hash } from 'node:crypto'
import { type Insertable, type Kysely, sql } from 'kysely'
import { quoteText } from '../dialect/ddl.ts'
import { ownName } from '../own-tables.ts'
import { inTransaction } from '../transaction.ts'
import type { CompiledStep } from './operations/index.ts'
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
