import { setImmediate } from 'node:timers/promises'
import type { Kysely } from 'kysely'
import { errors } from '../../errors.ts'
import { inBatches } from '../insert.ts'
import { emptyTables } from '../maintenance.ts'
import type { Migrator } from '../migration/migrator.ts'
import {
  importNumbered,
  listWithPlugins,
  type NumberedFile,
  type PluginFolder,
} from '../numbered.ts'
import type { DatabaseTables } from '../types.ts'
import {
  beginRecord,
  createRecords,
  readRecord,
  type Seed,
  type SeedContext,
  type SeedTables,
  updateRecord,
} from './seed.ts'

export interface SeederOptions<DB> {
  db: Kysely<DB>
  /** The folder of `01_name.ts` files; one that does not exist holds no seeds. */
  directory: string
  /** Those of plugins, which come first, in this order. */
  plugins?: readonly PluginFolder[]
  /** Tells whether the tables are there. */
  migrator: Pick<Migrator, 'pending'>
}

export interface SeedOptions {
  /** Only these, by file name with or without its number; default: all. */
  names?: readonly string[]
  /** Also run the ones that are finished, from their start; default `false`. */
  again?: boolean
  /** Empty all tables first, but those that record migrations; default `false`. */
  fresh?: boolean
  /** Tables that `fresh` leaves alone. */
  unmanaged?: readonly string[]
  /** Stops the run behind the batch it is at. */
  signal?: AbortSignal
  on?: (event: SeedEvent) => void
}

export interface Seeder {
  /**
   * Runs the seeds in order of name, each in one transaction unless it is resumable. Those that are finished are
   * passed over; one that was cut short starts anew, or goes on where it was if it is resumable.
   *
   * @throws {PlinthError} MIGRATION_PENDING, SEED_UNKNOWN, SEED_INVALID before anything is written; SEED_FAILED
   * @throws the reason of `signal` when it aborts
   */
  seed(options?: SeedOptions): Promise<SeedResult[]>
}

/** Makes the seeder of one database and one folder. It holds nothing open. */
export function createSeeder<DB>({
  directory,
  plugins = [],
  migrator,
  ...options
}: SeederOptions<DB>): Seeder {
  const db = options.db as unknown as Kysely<SeedTables>
  return {
    async seed(options = {}) {
      const { names = [], again = false, fresh = false, unmanaged = [], on = () => {} } = options
      const { signal = new AbortController().signal } = options
      const pending = await migrator.pending()
      if (pending.length > 0) throw errors.MIGRATION_PENDING(pending.join(', '))
      const listed = await listWithPlugins(plugins, directory, 2, errors.SEED_INVALID)
      const files = selectFiles(listed, names)
      const seeds = await Promise.all(files.map(loadSeed))
      await createRecords(db)
      if (fresh) on({ type: 'fresh', tables: await emptyTables(db, unmanaged) })
      const results: SeedResult[] = []
      for (const seed of seeds) {
        signal.throwIfAborted()
        results.push(await runSeed(seed, { db, again, signal, on }))
      }
      return results
    },
  }
}

function selectFiles(files: NumberedFile[], names: readonly string[]): NumberedFile[] {
  if (names.length === 0) return files
  const matches = (name: string, file: NumberedFile) =>
    [file.name, file.name.replace(/\d\d_/, '')].includes(name)
  const unknown = names.find((name) => !files.some((file) => matches(name, file)))
  if (unknown)
    throw errors.SEED_UNKNOWN(unknown, files.map(({ name }) => name).join(', ') || 'none')
  return files.filter((file) => names.some((name) => matches(name, file)))
}

async function loadSeed(file: NumberedFile): Promise<LoadedSeed> {
  const { default: seed } = await importNumbered(file, errors.SEED_INVALID)
  if (typeof (seed as Partial<Seed> | undefined)?.run !== 'function') {
    throw errors.SEED_INVALID(
      file.path,
      'it has no default export made by defineSeed({ summary, run })',
    )
  }
  return { name: file.name, seed: seed as Seed }
}

/** A seed that is finished. */
export interface SeedResult {
  name: string
  /** It was finished before: nothing was done. */
  skipped: boolean
  /** How many rows the seed has. */
  rows: number
  /** How many of them this run wrote; the others were there. */
  added: number
  duration_ms: number
}

export type SeedEvent =
  /** How many tables are empty now. */
  | { type: 'fresh'; tables: number }
  /** `done`: how many rows an earlier run had got to. */
  | { type: 'start'; name: string; summary: string; total: number | undefined; done: number }
  | { type: 'progress'; name: string; rows: number }
  | ({ type: 'done' } & SeedResult)

// Rows in a transaction: the indexes are written once in each, so that smaller ones take longer.
const BATCH = 10_000

interface LoadedSeed {
  name: string
  seed: Seed
}

interface RunOptions {
  db: Kysely<SeedTables>
  again: boolean
  signal: AbortSignal
  on: (event: SeedEvent) => void
}

/**
 * Runs one seed unless it is finished: in one transaction, or from where it was cut short.
 *
 * @throws {PlinthError} SEED_FAILED
 * @throws the reason of `signal` when it aborts
 */
async function runSeed(loaded: LoadedSeed, options: RunOptions): Promise<SeedResult> {
  const { db, on } = options
  const { name, seed } = loaded
  const began = performance.now()
  await beginRecord(db, name)
  const counts = seed.resumable
    ? await runUnfinished(loaded, options)
    : await db.transaction().execute((db) => runUnfinished(loaded, { ...options, db }))
  const result = { name, ...counts, duration_ms: Math.round(performance.now() - began) }
  on({ type: 'done', ...result })
  return result
}

async function runUnfinished(loaded: LoadedSeed, options: RunOptions) {
  const { db, again } = options
  const { finished_at, rows } = await readRecord(db, loaded.name)
  if (finished_at !== null && !again) return { skipped: true, rows, added: 0 }
  const done = loaded.seed.resumable && !again ? rows : 0
  return { skipped: false, ...(await write(loaded, options, done)) }
}

async function write({ name, seed }: LoadedSeed, options: RunOptions, done: number) {
  const { db, signal, on } = options
  const counts = { rows: done, added: 0 }
  const progress: SeedContext['progress'] = async (rows, added = rows) => {
    counts.rows += rows
    counts.added += added
    await updateRecord(db, name, { rows: counts.rows })
    on({ type: 'progress', name, rows: counts.rows })
    // SQLite never leaves this turn of the event loop, but signals come in between two of them.
    await setImmediate()
    signal.throwIfAborted()
  }
  await updateRecord(db, name, { rows: done, finished_at: null })
  on({ type: 'start', name, summary: seed.summary, total: seed.total, done })
  try {
    await seed.run({ ...contextOf(options, done), progress })
  } catch (cause) {
    signal.throwIfAborted()
    const problem = cause instanceof Error ? cause.message : String(cause)
    throw errors.SEED_FAILED.with({ cause }, name, problem, seed.resumable ? KEPT : UNDONE)
  }
  await updateRecord(db, name, { finished_at: new Date() })
  return counts
}

const KEPT = 'What it had committed is kept; mend it and run manage seed again to go on there'
const UNDONE = 'Nothing of it is kept; mend it and run manage seed again'

function contextOf({ db, signal }: RunOptions, done: number): Omit<SeedContext, 'progress'> {
  return {
    db: db as unknown as Kysely<DatabaseTables>,
    batches: (rows, size = BATCH) => inBatches(rows, size, done),
    done,
    signal,
  }
}
