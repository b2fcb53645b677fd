import { setTimeout as sleep } from 'node:timers/promises'
import { type Kysely, sql } from 'kysely'
import { errors } from '../../errors.ts'
import { HOLDER, readHolder } from './holder.ts'
import type { Locked, LockOptions } from './lock-options.ts'
import type { MigrationTables } from './record.ts'

/** Seconds that a lease is worth without a sign of life. */
const TERM = 15
const POLL = 250

/**
 * Calls `work` while this process holds the lease: a row that says until when, renewed all the time. For servers
 * without named locks. It needs a second connection of the pool; a process that dies holds up the others for 15 s.
 *
 * @throws {PlinthError} MIGRATION_LOCKED, MIGRATION_LEASE_LOST
 */
export async function underLease<T>(
  db: Kysely<MigrationTables>,
  connection: Kysely<MigrationTables>,
  { timeout, on }: Omit<LockOptions, 'kind'>,
  work: Locked<T>,
): Promise<T> {
  // Processes may share a host and, in containers, a process id.
  const holder = `${HOLDER}, ${crypto.randomUUID()}`
  // Each time as it was before the server was asked, so that we never think the lease longer than it is.
  let renewed = await waitForLease(connection, holder, timeout, on)
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

/** @returns when it was asked for, in milliseconds */
async function waitForLease(
  db: Kysely<MigrationTables>,
  holder: string,
  timeout: number,
  on: LockOptions['on'],
): Promise<number> {
  const deadline = performance.now() + timeout * 1000
  for (let turn = 0; ; turn++) {
    const asked = performance.now()
    if (await take(db, holder)) return asked
    const other = await readHolder(db)
    if (turn === 0) on({ type: 'wait', ...other })
    if (performance.now() >= deadline)
      throw errors.MIGRATION_LOCKED(timeout, other.holder ?? 'unknown')
    await sleep(POLL)
  }
}

// The server's clock alone decides: those of the processes may differ.
const NOW = sql<Date>`utc_timestamp(3)`
const UNTIL = sql<Date>`utc_timestamp(3) + interval ${sql.lit(TERM)} second`

async function take(db: Kysely<MigrationTables>, holder: string): Promise<boolean> {
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
