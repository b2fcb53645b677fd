import { setTimeout as sleep } from 'node:timers/promises'
import type { Kysely } from 'kysely'
import { inTransaction } from './transaction.ts'
import { isTransactionConflict } from './violations.ts'

export interface RetryTransactionOptions {
  /** How often it is tried at most; default 5. */
  attempts?: number
  /**
   * Milliseconds that are waited at most before the second try, and twice as many before each further one; how many, chance says, so that
   * those who were in each other's way are not again. Default 50.
   */
  delay?: number
  /** Ends the waiting: `context.signal` of a resource. */
  signal?: AbortSignal | undefined
}

/**
 * Runs `work` in a transaction, and again where that has failed because of what others do at the same time (`isTransactionConflict`):
 * a deadlock is no mistake of anybody, and the database expects that it is tried again. What `work` does beside the database it may do
 * several times. Where `db` is a transaction already, `work` is a part of it and is run once: the database has taken back all of that
 * one, which only its beginning can run again.
 *
 * @throws the last error, where each try fails; any other error at once
 */
export async function retryTransaction<DB, T>(
  db: Kysely<DB>,
  work: (db: Kysely<DB>) => Promise<T>,
  { attempts = 5, delay = 50, signal }: RetryTransactionOptions = {},
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await inTransaction(db, work)
    } catch (error) {
      const isLast = db.isTransaction || attempt >= attempts
      if (isLast || !isTransactionConflict(error)) throw error
    }
    await sleep(Math.random() * delay * 2 ** (attempt - 1), undefined, {
      ...(signal && { signal }),
    })
  }
}
