import { type Kysely, sql } from 'kysely'
import { errors, PlinthError } from '../../errors.ts'
import { supportsTransactionalDdl } from '../portable.ts'

/** Runs one piece of work while no other process migrates this database. */
export type Step<DB> = <T>(work: (db: Kysely<DB>) => Promise<T>) => Promise<T>

/**
 * Calls `work` with the lock on migrations. On SQLite each step is a transaction, which locks the file from
 * its beginning; on MySQL one pinned connection holds a named lock around all steps.
 *
 * @param timeout how long to wait for another process, in seconds; on SQLite at least the database's
 *   `acquireTimeout`
 * @throws {PlinthError} MIGRATION_LOCKED
 */
export function exclusively<DB, T>(
  db: Kysely<DB>,
  timeout: number,
  work: (step: Step<DB>) => Promise<T>,
): Promise<T> {
  if (supportsTransactionalDdl(db)) return work((step) => inTransaction(db, timeout, step))
  return db
    .connection()
    .execute((connection) =>
      withNamedLock(connection, timeout, () => work((step) => step(connection))),
    )
}

/** SQLite's driver waits by itself and then gives up, which may be earlier than we do. */
async function inTransaction<DB, T>(
  db: Kysely<DB>,
  timeout: number,
  work: (db: Kysely<DB>) => Promise<T>,
): Promise<T> {
  const deadline = performance.now() + timeout * 1000
  for (;;) {
    try {
      return await db.transaction().execute(work)
    } catch (cause) {
      if (!PlinthError.is(cause) || cause.code !== errors.DATABASE_BUSY.code) throw cause
      if (performance.now() >= deadline) throw errors.MIGRATION_LOCKED.with({ cause }, timeout)
    }
  }
}

// The name has the database's in it, because such a lock is the whole server's; hashed, because a name
// may have 64 characters. Galera refuses named locks with an error of its own, which goes to the caller.
const LOCK = sql`concat('plinth_migration_', md5(database()))`

async function withNamedLock<DB, T>(
  connection: Kysely<DB>,
  timeout: number,
  work: () => Promise<T>,
): Promise<T> {
  await takeNamedLock(connection, timeout)
  try {
    return await work()
  } finally {
    // A connection that is lost has lost the lock with it.
    await sql`do release_lock(${LOCK})`.execute(connection).catch(() => undefined)
  }
}

/** Waits a second at a time, so that no limit on the time of one query ends the wait. */
async function takeNamedLock<DB>(connection: Kysely<DB>, timeout: number): Promise<void> {
  const deadline = performance.now() + timeout * 1000
  for (;;) {
    const left = Math.max(0, (deadline - performance.now()) / 1000)
    const wait = sql.lit(Math.min(left, 1))
    const { rows } = await sql<{
      got: number | null
    }>`select get_lock(${LOCK}, ${wait}) as got`.execute(connection)
    if (rows[0]?.got === 1) return
    if (left === 0) throw errors.MIGRATION_LOCKED(timeout)
  }
}
