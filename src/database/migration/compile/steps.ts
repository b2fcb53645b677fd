import type { DataStep } from '../operations.ts'
import type { Fitted, Modified } from './kept.ts'
import type { Retyped } from './retype.ts'

/** One statement, which either happens or does not. */
export interface Statement {
  sql: string
  /**
   * A query whose first row's first column is 1 once the statement has happened, and 0 before. For MySQL, where
   * a crash may leave that open; missing where the statement is `repeatable` or nobody knows (hand-written SQL).
   */
  happened?: string
  /** The tables whose answers to such queries it changes; where there is such a query. */
  tables?: readonly string[]
  /** Columns of MySQL that are modified, and that may have what the migration does not know of. */
  modified?: Modified
  /** What of MySQL has to fit what is there already. */
  fitted?: Fitted
  /** It does no harm to run it twice: what it says is the same afterwards. */
  repeatable?: true
}

/** A step that changes rows. */
export interface DataTask {
  data: DataStep
}

/** What SQLite's `alter table` cannot do: the table is made anew and its rows are copied; for `runRebuild`. */
export interface Rebuild {
  /** The table's name. */
  rebuild: string
  /** All columns that it has to have before; another one would be lost. */
  columns: readonly string[]
  /** The primary key that it has before. */
  primaryKey: readonly string[]
  /** Columns whose values have to fit another type. */
  retyped: readonly Retyped[]
  /** The indexes among `statements`. What else is on the table, `runRebuild` finds and makes anew. */
  indexes: readonly string[]
  statements: readonly string[]
}

/** Stands for an operation without a way back, where it has not happened and only those before it are taken back. */
export interface NoWayBack {
  /** Its place in the migration, from 1. */
  noWayBack: number
}

/** What an operation is to a database. */
export type CompiledStep = Statement | DataTask | Rebuild | NoWayBack
