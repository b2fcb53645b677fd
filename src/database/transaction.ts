import type { Kysely } from 'kysely'

/** Runs `work` in the transaction that `db` is, else in one of its own. */
export function inTransaction<DB, T>(
  db: Kysely<DB>,
  work: (db: Kysely<DB>) => Promise<T>,
): Promise<T> {
  return db.isTransaction ? work(db) : db.transaction().execute(work)
}
