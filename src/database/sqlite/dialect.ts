import { type Dialect, type Kysely, SqliteIntrospector, SqliteQueryCompiler } from 'kysely'
import type { SqliteDriver } from './driver.ts'

/** Kysely's dialect of SQLite over `node:sqlite`. */
export function sqliteDialect(driver: SqliteDriver): Dialect {
  return {
    createDriver: () => driver,
    createQueryCompiler: () => new SqliteQueryCompiler(),
    createAdapter: () => driver.adapter,
    createIntrospector: (db: Kysely<unknown>) => new SqliteIntrospector(db),
  }
}
