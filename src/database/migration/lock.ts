import { type Kysely, sql } from 'kysely'
import { errors } from '../../errors.ts'
import { mysqlCode } from '../violations.ts'
import { HOLDER, readHolder } from './holder.ts'
import { underLease } from './lease.ts'
import type { Locked, LockOptions } from './lock-options.ts'
import type { MigrationTables } from './record.ts'

/**
 * Calls `work` while no other process migrates this database of MySQL.
 *
 * @throws {PlinthError} MIGRATION_LOCKED
 */
export async function underLock<T>(
  db: Kysely<MigrationTables>,
  { kind, ...options }: LockOptions,
  work: Locked<T>,
): Promise<T> {
  return await db.connection().execute(async (connection) => {
    if (kind === 'lease') return await underLease(db, connection, options, work)
    try {
      await takeNamedLock(connection, options)
    } catch (error) {
      if (kind || !NO_NAMED_LOCKS.has(mysqlCode(error))) throw error
      return await underLease(db, connection, options, work)
    }
    return await underNamedLock(connection, work)
  })
}

// ER_NOT_SUPPORTED_YET (Galera), ER_SP_DOES_NOT_EXIST and ER_UNKNOWN_ERROR (servers that only speak MySQL's protocol)
const NO_NAMED_LOCKS = new Set<unknown>([1235, 1305, 1105])

// The name has the database's in it, because such a lock is the whole server's; hashed, because a name
// may have 64 characters.
const LOCK = sql`concat('plinth_migration_', md5(database()))`

async function underNamedLock<T>(connection: Kysely<MigrationTables>, work: Locked<T>): Promise<T> {
  const row = { holder: HOLDER, since: new Date(), expires_at: null }
  try {
    await connection
      .insertInto('plinth_migration_lock')
      .values({ id: 1, ...row })
      .onDuplicateKeyUpdate(row)
      .execute()
    // A connection that is lost has lost the lock with it, and can do no more harm.
    return await work(connection, () => {})
  } finally {
    await sql`do release_lock(${LOCK})`.execute(connection).catch(() => undefined)
  }
}

/** Waits a second at a time, so that no limit on the time of one query ends the wait. */
async function takeNamedLock(
  connection: Kysely<MigrationTables>,
  { timeout, on }: Omit<LockOptions, 'kind'>,
): Promise<void> {
  const deadline = performance.now() + timeout * 1000
  if (await tryNamedLock(connection, 0)) return
  const holder = await readHolder(connection)
  on({ type: 'wait', ...holder })
  for (;;) {
    const left = Math.max(0, (deadline - performance.now()) / 1000)
    if (left === 0) throw errors.MIGRATION_LOCKED(timeout, holder.holder ?? 'unknown')
    if (await tryNamedLock(connection, Math.min(left, 1))) return
  }
}

async function tryNamedLock(connection: Kysely<MigrationTables>, wait: number): Promise<boolean> {
  const { rows } = await sql<{
    got: number | null
  }>`select get_lock(${LOCK}, ${sql.lit(wait)}) as got`.execute(connection)
  return rows[0]?.got === 1
}
