import type { ColumnType, PerDialect } from './types.ts'

/** A column. What is not said is false. */
export interface ColumnState {
  readonly type: ColumnType
  /** Whether it may be null. */
  readonly nullable?: true
  /** What rows get that do not say it: a value, or an expression in SQL. */
  readonly default?: string | number | boolean | PerDialect
  /** The only values that it may have, kept by a check. */
  readonly values?: readonly string[]
  /** Whether texts that differ in case alone are the same to it; default: texts are the same where all of their characters are. */
  readonly comparison?: 'ignoreCase'
  /** Whether the database numbers it: an integer that is the primary key. */
  readonly generated?: true
}

export interface IndexState {
  readonly name: string
  readonly columns: readonly string[]
  /** Its name in SQLite, where another table's index had that name when it was made: there all names are in one list. */
  readonly sqlite?: string
}

export type ReferenceAction = 'cascade' | 'restrict' | 'set null' | 'no action'

export interface ForeignKeyState {
  readonly name: string
  readonly columns: readonly string[]
  /** The table that is referred to. */
  readonly table: string
  /** Its columns, the primary key or unique ones. */
  readonly references: readonly string[]
  /** Default: `restrict`. */
  readonly onDelete?: ReferenceAction
  /** Default: `restrict`. */
  readonly onUpdate?: ReferenceAction
}

export interface TableState {
  /** By name, in the order of the table. */
  readonly columns: Readonly<Record<string, ColumnState>>
  readonly primaryKey: readonly string[]
  readonly indexes?: readonly IndexState[]
  readonly unique?: readonly IndexState[]
  readonly foreignKeys?: readonly ForeignKeyState[]
}

/** Tables by name: what the models ask for, what the migrations make, or what a database has. */
export type SchemaState = Readonly<Record<string, TableState>>
