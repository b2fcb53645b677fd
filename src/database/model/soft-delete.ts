import type {
  DeleteQueryBuilder,
  DeleteResult,
  Kysely,
  KyselyPlugin,
  OperationNode,
  Transaction,
  UpdateQueryBuilder,
  UpdateResult,
} from 'kysely'

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

/** Whether flagged rows are hidden or shown; `plain`: the statement runs as it was written. */
export type Mode = 'hide' | 'show' | 'plain'

const MODE = Symbol('plinth.mode')

/** Marks the statements of a Kysely instance. */
class ModePlugin implements KyselyPlugin {
  readonly #mode: Mode

  constructor(mode: Mode) {
    this.#mode = mode
  }

  transformQuery({ node }: Parameters<KyselyPlugin['transformQuery']>[0]) {
    return { ...node, [MODE]: this.#mode }
  }

  async transformResult({ result }: Parameters<KyselyPlugin['transformResult']>[0]) {
    return result
  }
}

/** The mode that a statement was marked with. */
export function modeOf(node: OperationNode): Mode | undefined {
  return (node as { [MODE]?: Mode })[MODE]
}
