import type { Kysely } from 'kysely'
import type { DatabaseTables } from '../types.ts'

/** What a seed works with. */
export interface SeedContext {
  db: Kysely<DatabaseTables>
  /**
   * Cuts all rows of the seed into batches, without those that an earlier run, cut short, had reported.
   *
   * @param rows in the same order each time
   * @param size default 10,000
   */
  batches<T>(rows: Iterable<T>, size?: number): Iterable<T[]>
  /** How many rows an earlier run had reported: for a seed that does without `batches`. */
  done: number
  /**
   * Reports a batch that is committed. When the run is to stop this throws, so that the next goes on there.
   *
   * @param rows how many rows further the seed is
   * @param added how many of them are new; default: all
   */
  progress(rows: number, added?: number): Promise<void>
  /** Aborts when the run is to stop; `progress` looks at it. */
  signal: AbortSignal
}

/** The data of one file in `seeds/`. */
export interface Seed {
  /** What the data is, in a few words. */
  summary: string
  /** How many rows there are, where it is known: for the progress bar. */
  total?: number
  /**
   * Writes the rows, in batches that are each committed and reported. It may be run again at any time, so
   * rows that are there already have to be left alone: see `insertMissing`.
   */
  run(context: SeedContext): Promise<void>
}

/** Declares the data of one file in `seeds/`: its default export. */
export function defineSeed(seed: Seed): Seed {
  return seed
}
