import type { TProperties } from 'typebox'
import type { ReferenceAction } from '../schema/state.ts'
import type { AuditColumn } from './model.ts'

/** The columns of an index; with a name of its own, where the one that follows from them does not do. */
export type IndexDefinition<Column extends string> =
  | readonly Column[]
  | { readonly name: string; readonly columns: readonly Column[] }

/** What a foreign key refers to: a table and its columns, the primary key or unique ones. */
export type Reference = `${string}.${string}` | readonly [table: string, columns: readonly string[]]

/** A foreign key in full, where the column is said elsewhere. */
export interface ReferenceDefinition {
  readonly references: Reference
  /** Default: `restrict`. */
  readonly onDelete?: ReferenceAction
  /** Default: `restrict`. */
  readonly onUpdate?: ReferenceAction
  readonly name?: string
}

export interface ForeignKeyDefinition<Column extends string> extends ReferenceDefinition {
  readonly columns: readonly Column[]
}

/** `true`: all columns; `'log'`: all, and the log; else those that are listed. */
export type AuditDefinition = true | 'log' | readonly (AuditColumn | 'log')[]

export interface ModelDefinition<
  Columns extends TProperties,
  Generated extends keyof Columns & string,
  Audit extends AuditDefinition,
  SoftDelete extends boolean,
  Key extends keyof Columns & string,
> {
  /** TypeBox schemas by name. `Type.Optional(X)` and `Type.Union([X, Type.Null()])` may be null. */
  readonly columns: Columns
  /** An integer that the database numbers, or UUIDs that are filled in on insert. */
  readonly generated?: readonly Generated[]
  /** Default: `['id']`. */
  readonly primaryKey?: readonly Key[]
  readonly indexes?: readonly IndexDefinition<AnyColumn<Columns>>[]
  readonly unique?: readonly IndexDefinition<AnyColumn<Columns>>[]
  /** By column, `{ country: 'country.code' }` or `{ country: { references: 'country.code', … } }`, or a list of them. */
  readonly foreignKeys?:
    | { readonly [Name in keyof Columns & string]?: `${string}.${string}` | ReferenceDefinition }
    | readonly ForeignKeyDefinition<keyof Columns & string>[]
  /**
   * Columns with who made and changed a row, and when: filled in on every insert and update. `'log'`: and what its resources change is
   * written into the audit log, which has the model `AuditLog`.
   */
  readonly audit?: Audit
  /** Rows are flagged instead of deleted, and hidden from queries. */
  readonly softDelete?: SoftDelete
}

type AnyColumn<Columns> = (keyof Columns & string) | AuditColumn | 'deleted_at'

/** A definition as the checks see it. */
export type AnyDefinition = ModelDefinition<TProperties, string, AuditDefinition, boolean, string>
