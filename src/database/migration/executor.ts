import type { Kysely } from 'kysely'
import { supportsTransactionalDdl } from '../portable.ts'
import type { Chosen } from './choose.ts'
import type { MigrationRecord } from './file.ts'
import { type Settlement, unfinished } from './interrupted.ts'
import { type Entry, forgetMigration, readJournal } from './journal.ts'
import { type LockKind, underLock } from './lock.ts'
import { type MigrationTables, prepareRecords, readRecords } from './recorder.ts'
import { type BothWays, recover, turn } from './recover.ts'
import { runTransactional } from './run-in-transactions.ts'
import { type JournaledRunOptions, runJournaled } from './run-with-journal.ts'
import { type MigrationResult, type OnMigration, type Task, unseen } from './task.ts'

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
  direction: Task['direction']
  /** What is to be done, by what is recorded and how many tasks of it this run has done. */
  choose: (records: readonly MigrationRecord[], done: number) => Chosen
  compile: Compile
  /** Record what is to be done, and run nothing. */
  fake?: boolean
}

/** Makes tasks of what is chosen. */
export type Compile = Record<
  Task['direction'],
  (chosen: Chosen, interrupted?: string) => Promise<Task[]>
>

/** Runs the tasks that are chosen, while no other process migrates the database. */
export function runTasks(db: Kysely<MigrationTables>, work: Work): Promise<MigrationResult[]> {
  return supportsTransactionalDdl(db) ? inTransactions(db, work) : withJournal(db, work)
}

function inTransactions(db: Kysely<MigrationTables>, work: Work): Promise<MigrationResult[]> {
  const { direction, choose, compile, lockTimeout = 60, on = ignore } = work
  const known = new Map<string, Task>()
  async function next(reader: Kysely<MigrationTables>, done: number): Promise<Task | undefined> {
    const chosen = choose(await readRecords(reader), done)
    const [first] = chosen.todo
    if (!first) return undefined
    // All at once: what is wrong with a later one is told before the first is run.
    if (!known.has(first.name))
      for (const task of await compile[direction](chosen)) known.set(task.name, task)
    return known.get(first.name)
  }
  return runTransactional(db, { next, timeout: lockTimeout, on })
}

async function withJournal(db: Kysely<MigrationTables>, work: Work): Promise<MigrationResult[]> {
  const { lockTimeout = 60, lock, on = ignore } = work
  await prepareRecords(db)
  return await underLock(db, { timeout: lockTimeout, kind: lock, on }, (pinned, guard) => {
    const run = new Journaled(pinned, { ...work, guard, on })
    return work.fake ? run.record() : run.all()
  })
}

/** One run on a pinned connection to a database that commits each statement of DDL at once. */
class Journaled {
  readonly #db: Kysely<MigrationTables>
  readonly #work: Work & JournaledRunOptions

  constructor(db: Kysely<MigrationTables>, work: Work & JournaledRunOptions) {
    this.#db = db
    this.#work = work
  }

  /** What was interrupted first, then all that is chosen. */
  async all(): Promise<MigrationResult[]> {
    const { choose, compile, guard, on } = this.#work
    const chosen = choose(await readRecords(this.#db), 0)
    const recovered = await recover(this.#db, chosen, { compile: compile.up, guard, on })
    // It comes before a file with a lower number that has been added since.
    const first = await this.#interrupted()
    const ended = first ? await this.#run(first, first.todo[0]?.name) : []
    const rest = await this.#run(choose(await readRecords(this.#db), ended.length))
    return [...recovered, ...ended, ...rest]
  }

  /** Records what is chosen, whatever has happened of it; what was interrupted has to be among it. */
  async record(): Promise<MigrationResult[]> {
    const { direction, choose, compile, guard } = this.#work
    const entry = await readJournal(this.#db)
    const records = (await readRecords(this.#db)).filter(({ name }) => name !== entry?.migration)
    const isDown = direction === 'down'
    const tasks = await compile[direction](choose(records, isDown && entry ? 1 : 0))
    if (entry && !isDown && !tasks.some((task) => isOf(task, entry))) throw unfinished(entry)
    guard()
    if (entry) await forgetMigration(this.#db, entry.migration)
    const forgotten =
      isDown && entry ? [unseen({ name: entry.migration, checksum: entry.checksum }, 'down')] : []
    return await runJournaled(this.#db, [...forgotten, ...tasks], this.#work)
  }

  /**
   * The migration that was interrupted, if there is one, turned round where it was under way the other way.
   *
   * @throws {PlinthError} MIGRATION_INTERRUPTED where its file is gone, or it is not wanted
   */
  async #interrupted(): Promise<Chosen | undefined> {
    const { direction, choose, compile } = this.#work
    const entry = await readJournal(this.#db)
    if (!entry) return undefined
    const records = (await readRecords(this.#db)).filter(({ name }) => name !== entry.migration)
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
      await turn(this.#db, entry, { up, down } as BothWays, this.#work)
    }
    return ways[direction]
  }

  async #run(chosen: Chosen, interrupted?: string): Promise<MigrationResult[]> {
    const { direction, compile } = this.#work
    const tasks = await compile[direction](chosen, interrupted)
    return await runJournaled(this.#db, tasks, this.#work)
  }
}

/** Whether a task is the one that was interrupted; where that is a start, the last of what it stands for. */
function isOf({ name }: Task, { migration }: Entry): boolean {
  return migration === name || migration === `start:${name}`
}

const ignore: OnMigration = () => {}
