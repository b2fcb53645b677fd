import type { Kysely } from 'kysely'
import type { OnMigration } from './events.ts'
import type { MigrationTables } from './record.ts'

/** How processes keep from migrating one database at once: a named lock of the server, or a row with a date. */
export type LockKind = 'named' | 'lease'

export interface LockOptions {
  /** How long to wait for another process, in seconds. */
  timeout: number
  /** Default: a named lock, or a lease where the server has none (Galera, some proxies). */
  kind?: LockKind | undefined
  on: OnMigration
}

/** Work for one pinned connection. `guard` throws where the lock has been lost meanwhile. */
export type Locked<T> = (connection: Kysely<MigrationTables>, guard: () => void) => Promise<T>
