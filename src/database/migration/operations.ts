import type { Kysely } from 'kysely'
import type {
  ColumnState,
  DialectName,
  ForeignKeyState,
  IndexState,
  TableState,
} from '../schema/state.ts'

/** What a migration's own code may do: read and write tables whose columns it alone knows. */
export type MigrationDatabase = Kysely<Record<string, Record<string, unknown>>>

/** Reads and writes rows; on every database in one transaction, so the schema is not its business. */
export type DataStep = (db: MigrationDatabase, dialect: DialectName) => Promise<unknown>

/** One change of a migration. Each says enough to be taken back. */
export type Operation =
  | { readonly type: 'createTable'; readonly table: string; readonly definition: TableState }
  | { readonly type: 'dropTable'; readonly table: string; readonly definition: TableState }
  | { readonly type: 'renameTable'; readonly from: string; readonly to: string }
  | ColumnOperation<'addColumn'>
  | ColumnOperation<'dropColumn'>
  | (Change<'alterColumn'> & {
      readonly column: string
      readonly from: ColumnState
      readonly to: ColumnState
      /** What rows get that have no value, where it may not be null any more. */
      readonly fill?: Fill
    })
  | (Change<'renameColumn'> & { readonly from: string; readonly to: string })
  | (Change<'addIndex'> & { readonly index: IndexState })
  | (Change<'dropIndex'> & { readonly index: IndexState })
  | (Change<'addUnique'> & { readonly index: IndexState })
  | (Change<'dropUnique'> & { readonly index: IndexState })
  | (Change<'addForeignKey'> & { readonly foreignKey: ForeignKeyState })
  | (Change<'dropForeignKey'> & { readonly foreignKey: ForeignKeyState })
  | RunSql
  | RunData

interface Change<Type extends string> {
  readonly type: Type
  readonly table: string
}

interface ColumnOperation<Type extends string> extends Change<Type> {
  readonly column: string
  readonly definition: ColumnState
  /** What the rows get that are there; of one that is dropped, on the way back. */
  readonly fill?: Fill
}

/** A value, or an expression in the SQL of each database. */
export type Fill = NonNullable<ColumnState['default']>

interface Filling {
  readonly fill?: Fill | undefined
}

const filling = ({ fill }: Filling = {}) => (fill === undefined ? {} : { fill })

/** Statements that are the same everywhere, or those of each database. */
export type SqlStatements =
  | string
  | readonly string[]
  | Readonly<Record<DialectName, readonly string[]>>

interface RunSql {
  readonly type: 'runSql'
  readonly up: SqlStatements
  /** Where it is missing, the migration cannot be taken back. */
  readonly down?: SqlStatements
  /** What they do to tables and columns that the models know, in operations that are not run. */
  readonly state?: readonly Operation[]
}

interface RunData {
  readonly type: 'runData'
  readonly up: DataStep
  /** Where it is missing, the migration cannot be taken back. */
  readonly down?: DataStep
}

/** Creates a table with its columns, keys and indexes; taken back it is dropped, with its rows. */
export const createTable = (table: string, definition: TableState): Operation => ({
  type: 'createTable',
  table,
  definition,
})

/** @param definition what it was, for the way back */
export const dropTable = (table: string, definition: TableState): Operation => ({
  type: 'dropTable',
  table,
  definition,
})

/** Renames a table; its rows, indexes and keys stay. */
export const renameTable = (from: string, to: string): Operation => ({
  type: 'renameTable',
  from,
  to,
})

/** @param options `fill`: what the rows get that are there; default: its default */
export const addColumn = (
  table: string,
  column: string,
  definition: ColumnState,
  options?: Filling,
): Operation => ({ type: 'addColumn', table, column, definition, ...filling(options) })

/**
 * @param definition what it was, for the way back
 * @param options `fill`: what rows get on the way back; default: its default
 */
export const dropColumn = (
  table: string,
  column: string,
  definition: ColumnState,
  options?: Filling,
): Operation => ({ type: 'dropColumn', table, column, definition, ...filling(options) })

/** @param change `fill`: what rows get that are null, where it may not be null any more; default: its default */
export const alterColumn = (
  table: string,
  column: string,
  { from, to, ...options }: { from: ColumnState; to: ColumnState } & Filling,
): Operation => ({ type: 'alterColumn', table, column, from, to, ...filling(options) })

/** Renames a column; its values stay. */
export const renameColumn = (table: string, from: string, to: string): Operation => ({
  type: 'renameColumn',
  table,
  from,
  to,
})

/** Adds an index, which lets rows be equal; {@link addUnique} does not. */
export const addIndex = (table: string, index: IndexState): Operation => ({
  type: 'addIndex',
  table,
  index,
})

/** @param index what it was, for the way back */
export const dropIndex = (table: string, index: IndexState): Operation => ({
  type: 'dropIndex',
  table,
  index,
})

/** Adds a unique index; rows that are equal in its columns stop the migration. */
export const addUnique = (table: string, index: IndexState): Operation => ({
  type: 'addUnique',
  table,
  index,
})

/** @param index what it was, for the way back */
export const dropUnique = (table: string, index: IndexState): Operation => ({
  type: 'dropUnique',
  table,
  index,
})

/** Adds a foreign key, with what becomes of rows when the one that they refer to changes or goes. */
export const addForeignKey = (table: string, foreignKey: ForeignKeyState): Operation => ({
  type: 'addForeignKey',
  table,
  foreignKey,
})

/** @param foreignKey what it was, for the way back */
export const dropForeignKey = (table: string, foreignKey: ForeignKeyState): Operation => ({
  type: 'dropForeignKey',
  table,
  foreignKey,
})

/** A step in SQL, for what no other operation says. Each statement is journaled by itself. */
export const runSql = (step: Omit<RunSql, 'type'>): Operation => ({ type: 'runSql', ...step })

/** A step that changes rows, with Kysely. */
export const runData = (step: Omit<RunData, 'type'>): Operation => ({ type: 'runData', ...step })

/** A migration: the default export of a file of `migrations/`. */
export interface Migration {
  readonly operations: readonly Operation[]
  /** The findings of the lint that have been looked at and accepted. */
  readonly accept: readonly string[]
}

/**
 * Defines a migration.
 *
 * @param options `accept`: codes of the lint whose findings here are known to do no harm
 */
export function defineMigration(
  operations: readonly Operation[],
  { accept = [] }: { accept?: readonly string[] } = {},
): Migration {
  return { operations, accept }
}
