import type { Kysely } from 'kysely'
import type { DatabaseTables } from '../types.ts'

/** What a seed works with. */
export interface SeedContext {
  /** The transaction of the seed; the database itself where the seed is `resumable`. */
  db: Kysely<DatabaseTables>
  /**
   * Cuts all rows of the seed into batches, without those that an earlier run of a resumable seed had reported.
   *
   * @param rows in the same order each time
   * @param size default 10,000
   */
  batches<T>(rows: Iterable<T>, size?: number): Iterable<T[]>
  /** How many rows an earlier run of a resumable seed had reported: for one that does without `batches`. */
  done: number
  /**
   * Reports rows that are written. Where the seed is resumable they have to be committed: the next run goes on behind
   * them. When the run is to stop this throws.
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
   * For more rows than one transaction should have: what `run` writes is committed as it does so, and a run that was
   * cut short goes on where it was. Default: all of it is one transaction, of which a failure leaves nothing.
   */
  resumable?: boolean
  /**
   * Writes the rows and reports them. It may be run again at any time, so rows that are there already have to be
   * left alone: see `insertMissing`.
   */
  run(context: SeedContext): Promise<void>
}

/** Declares the data of one file in `seeds/`: its default export. */
export function defineSeed(seed: Seed): Seed {
  return seed
}
