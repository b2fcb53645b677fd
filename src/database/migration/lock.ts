import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Kysely, sql } from 'kysely'
import { errors } from '../../errors.ts'
import { mysqlCode } from '../dialect/mysql/errors.ts'
import type { MigrationTables } from './recorder.ts'
import type { OnMigration } from './task.ts'

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
      await waitFor(connection, options, (wait) => takeNamedLock(connection, wait))
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

/** @param wait seconds */
async function takeNamedLock(connection: Kysely<MigrationTables>, wait: number): Promise<boolean> {
  const { rows } = await sql<{
    got: number | null
  }>`select get_lock(${LOCK}, ${sql.lit(wait)}) as got`.execute(connection)
  return rows[0]?.got === 1
}

/** Seconds that a lease is worth without a sign of life. */
const TERM = 15
const POLL = 250

/**
 * Calls `work` while this process holds the lease: a row that says until when, renewed all the time. For servers
 * without named locks. It needs a second connection of the pool; a process that dies holds up the others for 15 s.
 *
 * @throws {PlinthError} MIGRATION_LOCKED, MIGRATION_LEASE_LOST
 */
async function underLease<T>(
  db: Kysely<MigrationTables>,
  connection: Kysely<MigrationTables>,
  options: Waiting,
  work: Locked<T>,
): Promise<T> {
  // Processes may share a host and, in containers, a process id.
  const holder = `${HOLDER}, ${crypto.randomUUID()}`
  // Each time as it was before the server was asked, so that we never think the lease longer than it is.
  let renewed = 0
  await waitFor(connection, options, async (wait) => {
    if (wait > 0) await sleep(POLL)
    renewed = performance.now()
    return await takeLease(connection, holder)
  })
  const renew = async () => {
    const asked = performance.now()
    if (await extend(db, holder)) renewed = asked
  }
  const timer = setInterval(() => renew().catch(() => {}), (TERM * 1000) / 5)
  const guard = () => {
    if (performance.now() - renewed > TERM * 900) throw errors.MIGRATION_LEASE_LOST()
  }
  try {
    return await work(connection, guard)
  } finally {
    clearInterval(timer)
    await release(connection, holder).catch(() => {})
  }
}

// The server's clock alone decides: those of the processes may differ.
const NOW = sql<Date>`utc_timestamp(3)`
const UNTIL = sql<Date>`utc_timestamp(3) + interval ${sql.lit(TERM)} second`

async function takeLease(db: Kysely<MigrationTables>, holder: string): Promise<boolean> {
  await sql`insert ignore into plinth_migration_lock (id) values (1)`.execute(db)
  const { numUpdatedRows } = await db
    .updateTable('plinth_migration_lock')
    .set({ holder, since: NOW, expires_at: UNTIL })
    .where('id', '=', 1)
    .where(sql<boolean>`(expires_at is null or expires_at < ${NOW})`)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

async function extend(db: Kysely<MigrationTables>, holder: string): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('plinth_migration_lock')
    .set({ expires_at: UNTIL })
    .where('holder', '=', holder)
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

async function release(db: Kysely<MigrationTables>, holder: string): Promise<void> {
  await db
    .updateTable('plinth_migration_lock')
    .set({ expires_at: null })
    .where('holder', '=', holder)
    .execute()
}

/**
 * Tells who has the lock, where another has it, and tries again until that has let go.
 *
 * @param take tries to take it, and waits for so many seconds at most: so no limit on the time of one query ends the wait
 * @throws {PlinthError} MIGRATION_LOCKED
 */
async function waitFor(
  db: Kysely<MigrationTables>,
  { timeout, on }: Waiting,
  take: (wait: number) => Promise<boolean>,
): Promise<void> {
  const deadline = performance.now() + timeout * 1000
  if (await take(0)) return
  on({ type: 'wait', ...(await readHolder(db)) })
  for (;;) {
    const left = (deadline - performance.now()) / 1000
    if (left <= 0)
      throw errors.MIGRATION_LOCKED(timeout, (await readHolder(db)).holder ?? 'unknown')
    if (await take(Math.min(left, 1))) return
  }
}

/** Who we are to those who wait for the lock. */
const HOLDER = `${hostname()}, process ${process.pid}`

/** Who holds the lock, or held it last, as it has written itself. */
async function readHolder(db: Kysely<MigrationTables>) {
  const row = await db
    .selectFrom('plinth_migration_lock')
    .select(['holder', 'since'])
    .executeTakeFirst()
  return row ?? { holder: null, since: null }
}

/** How processes keep from migrating one database at once: a named lock of the server, or a row with a date. */
export type LockKind = 'named' | 'lease'

interface Waiting {
  /** How long to wait for another process, in seconds. */
  timeout: number
  on: OnMigration
}

interface LockOptions extends Waiting {
  /** Default: a named lock, or a lease where the server has none (Galera, some proxies). */
  kind?: LockKind | undefined
}

/** Work for one pinned connection. `guard` throws where the lock has been lost meanwhile. */
type Locked<T> = (connection: Kysely<MigrationTables>, guard: () => void) => Promise<T>
