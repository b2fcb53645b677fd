import { hostname } from 'node:os'
import type { Kysely } from 'kysely'
import type { MigrationTables } from './record.ts'

/** Who we are to those who wait for the lock. */
export const HOLDER = `${hostname()}, process ${process.pid}`

/** Who holds the lock, or held it last, as it has written itself. */
export async function readHolder(db: Kysely<MigrationTables>) {
  const row = await db
    .selectFrom('plinth_migration_lock')
    .select(['holder', 'since'])
    .executeTakeFirst()
  return row ?? { holder: null, since: null }
}
