import type { Kysely } from 'kysely'
import type { Statement } from '../../dialect/ddl.ts'
import type { Rebuild } from '../../dialect/sqlite/ddl.ts'
import type {
  ColumnState,
  ForeignKeyState,
  IndexState,
  SchemaState,
  TableState,
} from '../../schema/state.ts'
import type { DialectName } from '../../schema/types.ts'

/** What a migration's own code may do: read and write tables whose columns it alone knows. */
export type MigrationDatabase = Kysely<Record<string, Record<string, unknown>>>

/** Reads and writes rows; on every database in one transaction, so the schema is not its business. */
export type DataStep = (db: MigrationDatabase, dialect: DialectName) => Promise<unknown>

/** One change of a migration. Each says enough to be taken back. */
export type Operation =
  | { readonly type: 'createTable'; readonly table: string; readonly definition: TableState }
  | { readonly type: 'dropTable'; readonly table: string; readonly definition: TableState }
  | { readonly type: 'renameTable'; readonly from: string; readonly to: string }
  | DefinedColumn<'addColumn'>
  | DefinedColumn<'dropColumn'>
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

interface DefinedColumn<Type extends string> extends Change<Type> {
  readonly column: string
  readonly definition: ColumnState
  /** What the rows get that are there; of one that is dropped, on the way back. */
  readonly fill?: Fill
}

/** A value, or an expression in the SQL of each database. */
export type Fill = NonNullable<ColumnState['default']>

/** Statements that are the same everywhere, or those of each database. */
export type SqlStatements =
  | string
  | readonly string[]
  | Readonly<Record<DialectName, readonly string[]>>

export interface RunSql {
  readonly type: 'runSql'
  readonly up: SqlStatements
  /** Where it is missing, the migration cannot be taken back. */
  readonly down?: SqlStatements
  /** What they do to tables and columns that the models know, in operations that are not run. */
  readonly state?: readonly Operation[]
}

export interface RunData {
  readonly type: 'runData'
  readonly up: DataStep
  /** Where it is missing, the migration cannot be taken back. */
  readonly down?: DataStep
}

/** The operation of that type. */
export type Of<Type extends Operation['type']> = Extract<Operation, { type: Type }>

/** What makemigrations writes: everything but steps by hand. */
export type SchemaOperation = Exclude<Operation, RunSql | RunData>

/**
 * How a server does a statement. `INSTANT`: only what it knows of the table changes. `INPLACE`: the table is read or written anew while
 * others read and write it. `COPY`: it is written anew, and nobody can write to it meanwhile.
 */
export type Algorithm = 'INSTANT' | 'INPLACE' | 'COPY'

export interface Algorithms {
  /** Of MySQL 8.0.29 or later, as its manual says ("Online DDL Operations"). */
  readonly mysql: Algorithm
  /** Of MariaDB 10.11, as measured. */
  readonly mariadb: Algorithm
}

export const INSTANT: Algorithms = { mysql: 'INSTANT', mariadb: 'INSTANT' }
export const INPLACE: Algorithms = { mysql: 'INPLACE', mariadb: 'INPLACE' }
export const COPY: Algorithms = { mysql: 'COPY', mariadb: 'COPY' }

/** What the lint finds; `rules` of `lint.ts` say why it does harm. */
export type Code =
  | 'drop-table'
  | 'drop-column'
  | 'rename-table'
  | 'rename-column'
  | 'not-null-without-default'
  | 'narrow-type'
  | 'change-type'
  | 'add-check'
  | 'add-unique'
  | 'add-index'
  | 'add-foreign-key'
  | 'raw-sql'
  | 'irreversible'

/** What the rows that are there would make fail. */
export interface Trial {
  /** Counts the rows that stand in the way. */
  readonly query: string
  /** `of city have no name` */
  readonly problem: string
  /** The tables and columns that have to be as they were before the migration. */
  readonly about: readonly (readonly [table: string, columns: readonly string[]])[]
}

/** What the kit does with an operation, all of it: one that is new is defined so. */
export interface Definition<Own extends Operation> {
  /** The table that it is done to, and what that is called then; of a step by hand neither. */
  readonly tables: (operation: Own) => { readonly before?: string; readonly after?: string }
  /**
   * What becomes of a schema.
   *
   * @param replayAll does the same for operations that are a part of it
   * @throws {Error} where it does not fit: it names what is not there, is there already, or is not what it was written for
   */
  readonly replay: (
    schema: SchemaState,
    operation: Own,
    replayAll: (operations: readonly Operation[], before: SchemaState) => SchemaState,
  ) => SchemaState
  /**
   * What takes it back; `undefined` where nothing does.
   *
   * @param reverseAll the same for operations that are a part of it
   */
  readonly reverse: (
    operation: Own,
    reverseAll: (operations: readonly Operation[]) => Operation[] | undefined,
  ) => Operation | undefined
  /** In one line: `+ column city.kind varchar(8)`. */
  readonly describe: (operation: Own) => string
  /**
   * Its arguments as a migration's file says them; missing where it cannot be written.
   *
   * @param call the same for operations that are a part of it
   */
  readonly render?: (operation: Own, call: (operation: Operation) => unknown) => unknown[]
  /** What a migration is called that does this alone: `add_city_kind`. */
  readonly fileName?: (operation: Own) => string
  /** The column whose rows need a value that nobody has said, where there may be some. */
  readonly unfilled?: (operation: Own) => { column: string; definition: ColumnState } | undefined
  /** What harm it does while the release before still runs, where that uses the table. */
  readonly lint: (operation: Own) => readonly Code[]
  /**
   * How MySQL and MariaDB do it; of several statements the most expensive counts. `undefined` of a step by hand.
   *
   * @param table that it is done to, before it
   */
  readonly algorithms: (operation: Own, table: TableState | undefined) => Algorithms | undefined
  /** What the rows of MySQL may make fail of it. */
  readonly trial?: (operation: Own) => Trial | undefined
  /** What the lint calls the place of that; `undefined` of a step, which has none but its own. */
  readonly place: (operation: Own) => string | undefined
  /**
   * Refuses what one database would do and the other would not, or not in the same way.
   *
   * @throws {Error} with what has to be done first
   */
  readonly refuse?: (operation: Own, before: SchemaState) => void
  /** What MySQL has to do: each statement is atomic for itself. */
  readonly mysql: (operation: Own, before: SchemaState, after: SchemaState) => CompiledStep[]
  /** What SQLite has to do; a rebuild of the table where its `alter table` cannot do it. */
  readonly sqlite: (operation: Own, before: SchemaState, after: SchemaState) => CompiledStep[]
}

/** `tables` of what is done to a table that keeps its name. */
export const onTable = ({ table }: { readonly table: string }) => ({ before: table, after: table })

/** The definitions of some operations. */
export type Definitions<Types extends Operation['type']> = {
  readonly [Type in Types]: Definition<Of<Type>>
}

/** What an operation is to a database. */
export type CompiledStep =
  | Statement
  | Rebuild
  | { readonly data: DataStep }
  /**
   * Stands for an operation without a way back, by its place in the migration, from 1, where it has not happened and only those before it are
   * taken back.
   */
  | { readonly noWayBack: number }
