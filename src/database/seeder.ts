import type { Kysely } from 'kysely'
import { errors } from '../errors.ts'
import type { Migrator } from './migrator.ts'
import {
  importNumbered,
  listWithPlugins,
  type NumberedFile,
  type PluginFolder,
} from './numbered.ts'
import { emptyTables } from './seed/empty.ts'
import { createRecords, type SeedTables } from './seed/record.ts'
import { type LoadedSeed, runSeed, type SeedEvent, type SeedResult } from './seed/run.ts'
import type { Seed } from './seed/seed.ts'

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
      const { names = [], again = false, fresh = false, on = () => {} } = options
      const { signal = new AbortController().signal } = options
      const pending = await migrator.pending()
      if (pending.length > 0) throw errors.MIGRATION_PENDING(pending.join(', '))
      const listed = await listWithPlugins(plugins, directory, 2, errors.SEED_INVALID)
      const files = selectFiles(listed, names)
      const seeds = await Promise.all(files.map(loadSeed))
      await createRecords(db)
      if (fresh) on({ type: 'fresh', tables: await emptyTables(db) })
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
