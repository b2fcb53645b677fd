import type { Kysely } from 'kysely'
import { supportsTransactionalDdl } from '../portable.ts'
import type { Chosen } from './choose.ts'
import type { MigrationResult, OnMigration } from './events.ts'
import type { Settlement } from './in-doubt.ts'
import { readJournal } from './journal.ts'
import type { MigrationFile } from './load.ts'
import { underLock } from './lock.ts'
import type { LockKind } from './lock-options.ts'
import {
  type MigrationRecord,
  type MigrationTables,
  prepareRecords,
  readRecords,
} from './record.ts'
import { recover } from './recover.ts'
import { runJournaled } from './run-journaled.ts'
import { runTransactional } from './run-transactional.ts'
import type { Task } from './task.ts'

export interface RunOptions {
  /** How long to wait for another process that migrates the same database, in seconds; default 60. */
  lockTimeout?: number
  /** MySQL: default a named lock of the server, a lease where it has none. All processes have to use the same. */
  lock?: LockKind | undefined
  /** What to do with a statement of which nobody knows whether it happened: run it again, or count it as done. */
  settlement?: Settlement | undefined
  on?: OnMigration
}

interface Work extends RunOptions {
  /** What is to be done, by what is recorded and how many tasks this run has done. */
  choose: (records: readonly MigrationRecord[], done: number) => Chosen
  compile: (chosen: Chosen) => Promise<Task[]>
  fake?: boolean
}

/** Runs the tasks that are chosen, while no other process migrates the database. */
export function runTasks(db: Kysely<MigrationTables>, work: Work): Promise<MigrationResult[]> {
  return supportsTransactionalDdl(db) ? inTransactions(db, work) : withJournal(db, work)
}

function inTransactions(
  db: Kysely<MigrationTables>,
  { choose, compile, lockTimeout = 60, on = ignore }: Work,
): Promise<MigrationResult[]> {
  const known = new Map<string, Task>()
  async function next(reader: Kysely<MigrationTables>, done: number): Promise<Task | undefined> {
    const chosen = choose(await readRecords(reader), done)
    const [first] = chosen.todo
    if (!first) return undefined
    // All at once: what is wrong with a later one is told before the first is run.
    if (!known.has(first.name)) for (const task of await compile(chosen)) known.set(task.name, task)
    return known.get(first.name)
  }
  return runTransactional(db, { next, timeout: lockTimeout, on })
}

async function withJournal(
  db: Kysely<MigrationTables>,
  { choose, compile, lockTimeout = 60, lock, settlement, fake = false, on = ignore }: Work,
): Promise<MigrationResult[]> {
  await prepareRecords(db)
  return await underLock(db, { timeout: lockTimeout, kind: lock, on }, async (pinned, guard) => {
    const results: MigrationResult[] = []
    const next = async () => choose(await readRecords(pinned), results.length)
    const run = async (chosen: Chosen) => {
      const options = { guard, settlement, fake, on }
      results.push(...(await runJournaled(pinned, await compile(chosen), options)))
    }
    let chosen = await next()
    if (!fake) {
      results.push(...(await recover(pinned, chosen, { compile, guard, on })))
      if (results.length > 0) chosen = await next()
      // What was interrupted comes before a file with a lower number that has been added since.
      const interrupted = await interruptedOf(pinned, chosen)
      if (interrupted) {
        await run({ ...chosen, todo: [interrupted] })
        chosen = await next()
      }
    }
    await run(chosen)
    return results
  })
}

async function interruptedOf(
  db: Kysely<MigrationTables>,
  { todo }: Chosen,
): Promise<MigrationFile | undefined> {
  const [entry] = await readJournal(db)
  return todo.find(({ name }, i) => i > 0 && name === entry?.migration)
}

const ignore: OnMigration = () => {}
