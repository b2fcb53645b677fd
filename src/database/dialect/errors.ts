// Short, and by itself: the `errors.ts` of each database is made of it.

/** Why a database did not take what a statement said. */
export interface Violation {
  /**
   * `unique`: such a key is there already. `missing`: it refers to a row that is not there. `referred`: another row refers
   * to it. `value`: a value that its column does not take.
   */
  kind: 'unique' | 'missing' | 'referred' | 'value'
  /** What is wrong with a value, to stand behind its name. */
  problem?: string
  /** The column, where the database names it. */
  column?: string
  /** Which of the statement's rows, from 1, where the database says so. */
  row?: number
}

/** Violations by the number that a database gives an error. */
export type Violations = ReadonlyMap<unknown, Pick<Violation, 'kind' | 'problem'>>

/** What is wrong with a value, in the same words on every database. */
export const TAKES_NOT = 'is no value that the column takes'
export const TOO_LONG = 'is too long for the column'
