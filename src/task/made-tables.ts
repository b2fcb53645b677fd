import type { Kysely } from 'kysely'
import { afterCommit, currentTransaction } from '../database/current-transaction.ts'
import { existingTables } from '../database/existing-tables.ts'
import { dialectOf } from '../database/portable.ts'
import type { ErrorFactory } from '../errors.ts'

export interface TablesToMake<DB> {
  names: readonly (keyof DB & string)[]
  /** Makes those that are missing, and nothing of those that are there. */
  make: (db: Kysely<DB>) => Promise<void>
  /** What is thrown where that is not allowed. */
  missing: ErrorFactory<[problem: string]>
}

/** Tables of the kit itself, for which a service has no migrations: they are made when they are used first. */
export class MadeTables<DB> {
  readonly #db: Kysely<DB>
  readonly #tables: TablesToMake<DB>
  #areThere = false

  constructor(db: Kysely<DB>, tables: TablesToMake<DB>) {
    this.#db = db
    this.#tables = tables
  }

  /** Whether they are known to be there. */
  get areThere(): boolean {
    return this.#areThere
  }

  /**
   * Makes what is missing; many processes may do so at once. On SQLite within the transaction at hand, as there is one
   * connection, and DDL is taken back with it; on MySQL, where DDL would commit that transaction, on another connection.
   *
   * @throws {PlinthError} `missing`
   */
  async prepare(): Promise<void> {
    if (this.#areThere) return
    const within = dialectOf(this.#db) === 'sqlite' ? currentTransaction(this.#db) : undefined
    const db: Kysely<DB> = within ?? this.#db
    const { names, make, missing } = this.#tables
    if ((await existingTables(db, names)).size < names.length) {
      try {
        await make(db)
      } catch (cause) {
        throw missing.with({ cause }, (cause as Error).message)
      }
    }
    const committed = () => {
      this.#areThere = true
    }
    if (within) afterCommit(this.#db, committed, () => {})
    else committed()
  }
}
