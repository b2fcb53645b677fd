import type { Kysely } from 'kysely'
import { readMysql } from '../dialect/mysql/introspect.ts'
import { readSqlite } from '../dialect/sqlite/introspect.ts'
import type { ReadSchema } from '../dialect/table-draft.ts'
import { dialectOf } from '../portable.ts'

export interface ReadOptions {
  /** Only these tables; default: all. */
  tables?: readonly string[] | undefined
}

/**
 * Reads the schema of a database, without the tables of the kit itself (`plinth_…`). Of a schema that the
 * kit's migrations have made it gives what `canonical` makes of it, and no notes.
 */
export async function readSchema<DB>(
  db: Kysely<DB>,
  { tables }: ReadOptions = {},
): Promise<ReadSchema> {
  const read = dialectOf(db) === 'sqlite' ? readSqlite : readMysql
  const isWanted = (table: string) =>
    !/^(plinth|sqlite)_/i.test(table) && (!tables || tables.includes(table))
  return await read(db as Kysely<unknown>, isWanted)
}
