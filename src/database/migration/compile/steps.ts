import type { Fitted, Modified } from '../../dialect/mysql/alter.ts'
import type { Rebuild } from '../../dialect/sqlite/alter.ts'
import type { DataStep } from '../operations.ts'

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

/** Stands for an operation without a way back, where it has not happened and only those before it are taken back. */
export interface NoWayBack {
  /** Its place in the migration, from 1. */
  noWayBack: number
}

/** What an operation is to a database. */
export type CompiledStep = Statement | DataTask | Rebuild | NoWayBack
