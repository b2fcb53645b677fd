import type {
  DeleteQueryBuilder,
  DeleteResult,
  Kysely,
  Transaction,
  UpdateQueryBuilder,
  UpdateResult,
} from 'kysely'
import { type Mode, ModePlugin } from './mode.ts'

// Both are named: TypeScript cannot tell the tables of a transaction by its base class.
type Connection<DB> = Kysely<DB> | Transaction<DB>

/** The same database, or transaction, that shows flagged rows; updates change them, too. A delete flags rows as ever. */
export function withDeleted<DB>(db: Connection<DB>): Kysely<DB> {
  return inMode(db, 'show')
}

/**
 * The same database, or transaction, that runs statements as they are written: nothing is filled in, hidden or flagged.
 * For migrations, and for moving data.
 */
export function withoutModels<DB>(db: Connection<DB>): Kysely<DB> {
  return inMode(db, 'plain')
}

/** Restores flagged rows: `await restore(db, 'city').where('id', '=', 1).execute()` */
export function restore<DB, T extends keyof DB & string>(
  db: Connection<DB>,
  table: T,
): UpdateQueryBuilder<DB, T, T, UpdateResult> {
  return (withDeleted(db) as unknown as Flagged)
    .updateTable(table as 'table')
    .set({ deleted_at: null })
    .where('deleted_at', 'is not', null) as never
}

/** Deletes flagged rows for good: `await purge(db, 'city').where('deleted_at', '<', instant(date)).execute()` */
export function purge<DB, T extends keyof DB & string>(
  db: Connection<DB>,
  table: T,
): DeleteQueryBuilder<DB, T, DeleteResult> {
  return (withoutModels(db) as unknown as Flagged)
    .deleteFrom(table as 'table')
    .where('deleted_at', 'is not', null) as never
}

/** Of a table that flags its rows only this column is known here. */
type Flagged = Kysely<{ table: { deleted_at: Date | null } }>

function inMode<DB>(db: Connection<DB>, mode: Mode): Kysely<DB> {
  return db.withPlugin(new ModePlugin(mode))
}
