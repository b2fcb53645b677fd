import type { Kysely } from 'kysely'
import { dialectOf } from '../portable.ts'
import { readMysql } from './read/mysql.ts'
import { readSqlite } from './read/sqlite.ts'
import type { SchemaState } from './state.ts'

/** What a database has. */
export interface ReadSchema {
  schema: SchemaState
  /** What of it a schema cannot say, a sentence each: views, triggers, indexes on a part of a column. */
  notes: string[]
}

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
