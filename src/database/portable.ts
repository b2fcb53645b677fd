import { type CreateTableBuilder, type Kysely, type RawBuilder, sql } from 'kysely'
import { type DialectName, sqliteDecimal } from './schema/types.ts'

/** How to say in a migration what SQLite and MySQL say differently, so that one file runs on both. */
export interface Portable {
  /** Kysely's `db.schema.createTable`; on MySQL the table is utf8mb4 whatever the server's default is. */
  createTable(name: string): CreateTableBuilder<string, never>
  types: PortableTypes
}

/** What Kysely's `addColumn` takes as a type. */
export type ColumnType = Parameters<CreateTableBuilder<string>['addColumn']>[1]

/** Column types, for `addColumn(name, type)`. */
export interface PortableTypes {
  /** 64 bits: `addColumn('id', types.id, (id) => id.primaryKey().autoIncrement())`, and what refers to it. */
  id: ColumnType
  /** UTC with milliseconds: write a `Date`, read an ISO 8601 string. */
  timestamp: ColumnType
  /** Floating point of 64 bits. */
  double: ColumnType
  boolean: ColumnType
  /** Arrays and plain objects. */
  json: ColumnType
  /** Exact; read and written as a string. On SQLite one of more than 15 digits is compared as text. */
  decimal(precision: number, scale: number): ColumnType
}

/** Which database is behind `db`. */
export function dialectOf<DB>(db: Kysely<DB>): DialectName {
  return supportsTransactionalDdl(db) ? 'sqlite' : 'mysql'
}

/**
 * Whether a migration can be one transaction; if not, each of its statements commits at once. Kysely's adapter tells what a database
 * can do, not which it is: the one that can is SQLite.
 */
export function supportsTransactionalDdl<DB>(db: Kysely<DB>): boolean {
  return db.getExecutor().adapter.supportsTransactionalDdl ?? false
}

/** The words of a migration for the database behind `db`. */
export function portable<DB>(db: Kysely<DB>): Portable {
  const isMysql = dialectOf(db) === 'mysql'
  return {
    createTable(name) {
      const table = db.schema.createTable(name)
      return isMysql ? table.modifyEnd(sql`default character set utf8mb4`) : table
    },
    types: {
      // Of SQLite only a column of exactly the type INTEGER numbers itself.
      id: isMysql ? 'bigint' : 'integer',
      timestamp: 'datetime(3)',
      double: 'double precision',
      boolean: 'boolean',
      json: 'json',
      decimal(precision, scale) {
        const type = `decimal(${precision},${scale})`
        return sql.raw(isMysql ? type : sqliteDecimal(type))
      },
    },
  }
}

/**
 * A point in time to compare a `Timestamp` column with: `where('created_at', '>', instant(cursor))`.
 *
 * @param time a `Date`, or the ISO 8601 string that such a column is read as
 */
export function instant(time: Date | string): RawBuilder<string> {
  return sql<string>`${new Date(time)}`
}
