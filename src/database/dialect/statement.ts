import type { Kysely } from 'kysely'

/** One statement, which either happens or does not: all that the operations of migrations, and both dialects, have to do with it. */
export interface Statement {
  sql: string
  /**
   * A query whose first row's first column is 1 once the statement has happened, and 0 before. For MySQL, where
   * a crash may leave that open; missing where the statement is `repeatable` or nobody knows (hand-written SQL).
   */
  happened?: string
  /** The statement with what only the database knows; default: as it is. */
  complete?: <DB>(db: Kysely<DB>) => Promise<string>
  /** `complete` looks at tables that statements before it may make. */
  looks?: true
  /** It does no harm to run it twice: what it says is the same afterwards. */
  repeatable?: true
  /** It gives rows a value that have none: whoever does not go on leaves them so. */
  fills?: true
}
