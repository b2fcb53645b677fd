import type { DatabaseSync } from 'node:sqlite'
import { Statement } from './statement.ts'

// Everything else may change the tables, and rolling back may undo that.
const KEEPS_TABLES =
  /^\s*(?:select|values|with|insert|replace|update|delete|begin|commit|savepoint|release)\b/i

/** The prepared statements of a connection: as many as `limit`, those used last. */
export class Statements {
  readonly #database: DatabaseSync
  readonly #limit: number
  readonly #prepared = new Map<string, Statement>()
  #schema: unknown
  #nextLook = 0

  constructor(database: DatabaseSync, limit: number) {
    this.#database = database
    this.#limit = limit
  }

  get(sql: string): Statement {
    this.#forgetIfTablesChanged()
    const known = this.#prepared.get(sql)
    if (known) {
      this.#prepared.delete(sql)
      this.#prepared.set(sql, known)
      return known
    }
    const statement = new Statement(this.#database, sql)
    if (KEEPS_TABLES.test(sql)) this.#keep(sql, statement)
    else this.#prepared.clear()
    return statement
  }

  #keep(sql: string, statement: Statement): void {
    this.#prepared.set(sql, statement)
    if (this.#prepared.size <= this.#limit) return
    const [oldest] = this.#prepared.keys()
    if (oldest !== undefined) this.#prepared.delete(oldest)
  }

  // `select *` would go on with the old columns' names and types after another process has migrated. To look
  // before each query would cost a third of it, so it is done once a second.
  #forgetIfTablesChanged(): void {
    const now = Date.now()
    if (now < this.#nextLook) return
    this.#nextLook = now + 1000
    const { schema_version } = this.#database.prepare('pragma schema_version').get() ?? {}
    if (schema_version === this.#schema) return
    this.#schema = schema_version
    this.#prepared.clear()
    // Preparing goes by the tables as they were read last; running something that needs them reads them anew.
    this.#database.exec('select 1 from sqlite_schema limit 1')
  }
}
