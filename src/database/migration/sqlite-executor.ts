import { type Kysely, sql } from 'kysely'
import { errors, PlinthError } from '../../errors.ts'
import { runRebuild } from '../dialect/sqlite/ddl.ts'
import { failureOf, type Work } from './executor.ts'
import type { CompiledStep } from './operations/operation.ts'
import { runDataStep } from './operations/step.ts'
import { type MigrationTables, prepareRecords, readRecords, recordTask } from './recorder.ts'
import type { MigrationResult, OnMigration, Task } from './task.ts'

/**
 * Runs tasks in one transaction each, which locks the whole database. What is next is asked anew each time: another process may have done it
 * meanwhile.
 *
 * @throws {PlinthError} MIGRATION_FAILED (nothing of that task stays), MIGRATION_LOCKED
 */
export async function runOnSqlite(
  db: Kysely<MigrationTables>,
  work: Work,
): Promise<MigrationResult[]> {
  const { direction, choose, compile, on } = work
  const known = new Map<string, Task>()
  const results: MigrationResult[] = []
  await patiently(work, () => prepareRecords(db))
  for (;;) {
    const task = await next(db)
    if (!task) return results
    const duration_ms = await patiently(work, () => tryTask(db, task, next, on))
    if (duration_ms === undefined) continue
    const result = { name: task.name, direction, duration_ms }
    on({ type: 'done', ...result })
    results.push(result)
  }

  /** By what is recorded; `undefined` where everything is done. */
  async function next(reader: Kysely<MigrationTables>): Promise<Task | undefined> {
    const chosen = choose(await readRecords(reader), results.length)
    const [first] = chosen.todo
    if (!first) return undefined
    // All at once: what is wrong with a later one is told before the first is run.
    if (!known.has(first.name))
      for (const task of await compile[direction](chosen)) known.set(task.name, task)
    return known.get(first.name)
  }
}

/** @returns milliseconds, or `undefined` where another process was faster */
function tryTask(
  db: Kysely<MigrationTables>,
  task: Task,
  next: (db: Kysely<MigrationTables>) => Promise<Task | undefined>,
  on: OnMigration,
): Promise<number | undefined> {
  return db.connection().execute((connection) =>
    withForeignKeys(connection, !rebuilds(task), () =>
      connection.transaction().execute(async (transaction) => {
        const { name, direction } = task
        if ((await next(transaction))?.name !== name) return undefined
        on({ type: 'start', name, direction })
        return await runTask(transaction, task)
      }),
    ),
  )
}

async function runTask(transaction: Kysely<MigrationTables>, task: Task): Promise<number> {
  const began = performance.now()
  let position = 0
  const violations = rebuilds(task) ? await countViolations(transaction) : 0
  try {
    for (; position < task.steps.length; position++) {
      await runStep(transaction, task.steps[position] as CompiledStep)
    }
    if (rebuilds(task)) await refuseMore(transaction, violations)
  } catch (cause) {
    throw failureOf(task, position, false, cause)
  }
  const duration = Math.round(performance.now() - began)
  await recordTask(transaction, task, duration)
  return duration
}

async function runStep(db: Kysely<MigrationTables>, step: CompiledStep): Promise<void> {
  if ('rebuild' in step) return await runRebuild(db, step)
  if ('data' in step) return await runDataStep(step.data, db, 'sqlite')
  // Nothing is ever taken back in part here.
  if ('sql' in step) await sql.raw(step.sql).execute(db)
}

function rebuilds({ steps }: Task): boolean {
  return steps.some((step) => 'rebuild' in step)
}

/** They cannot be switched within a transaction, and while a table is rebuilt they would delete what refers to it. */
async function withForeignKeys<T>(
  connection: Kysely<MigrationTables>,
  on: boolean,
  work: () => Promise<T>,
): Promise<T> {
  if (on) return await work()
  await sql`pragma foreign_keys = off`.execute(connection)
  try {
    return await work()
  } finally {
    await sql`pragma foreign_keys = on`.execute(connection)
  }
}

async function countViolations(db: Kysely<MigrationTables>): Promise<number> {
  const { rows } = await sql`pragma foreign_key_check`.execute(db)
  return rows.length
}

/** Those that were there before are no fault of the migration. */
async function refuseMore(db: Kysely<MigrationTables>, before: number): Promise<void> {
  const more = (await countViolations(db)) - before
  if (more <= 0) return
  throw new Error(
    `${more === 1 ? '1 row' : `${more} rows`} would refer to nothing; see pragma foreign_key_check`,
  )
}

/** SQLite's driver waits by itself and then gives up, which may be earlier than we do. */
async function patiently<T>(
  { lockTimeout: timeout, on }: Work,
  work: () => Promise<T>,
): Promise<T> {
  const deadline = performance.now() + timeout * 1000
  for (let turn = 0; ; turn++) {
    try {
      return await work()
    } catch (cause) {
      if (!PlinthError.is(cause) || cause.code !== errors.DATABASE_BUSY.code) throw cause
      if (turn === 0) on({ type: 'wait', holder: null, since: null })
      if (performance.now() < deadline) continue
      throw errors.MIGRATION_LOCKED.with({ cause }, timeout, 'another process writes to the file')
    }
  }
}
