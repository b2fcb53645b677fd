import type { TNull, TObject, TOptional, TProperties, TString, TUnion } from 'typebox'
import type { ReferenceAction, TableState } from '../schema/state.ts'
import type { ColumnOptions, IsNullable, TTimestamp, Whole } from './column.ts'

/** The columns that `audit` adds. */
export type AuditColumn = 'created_at' | 'created_by' | 'updated_at' | 'updated_by'

/** The column that `softDelete` adds. */
export const DELETED_AT = 'deleted_at'

/** A table, as all that works with tables sees it. */
export interface Model {
  readonly table: string
  /** What the database is to have. */
  readonly state: TableState
  /** A row, as the API shows it. */
  readonly schema: TObject
  /** The columns of `schema`, for `select(City.columns)`: `selectAll()` has `deleted_at`, too. */
  readonly columns: readonly string[]
  /** What a client says to create a row. */
  readonly input: TObject
  /** What a client says to change a row: each of it may be left out. */
  readonly patch: TObject
  /** The columns that are filled in with who and when. */
  readonly audit: readonly AuditColumn[]
  /** Whether what its resources change is written into the audit log. */
  readonly isLogged: boolean
  /** Whether rows are flagged instead of deleted. */
  readonly softDelete: boolean
  /** The columns that get a UUID where an insert does not say one. */
  readonly uuids: readonly string[]
}

/** A model whose types are known. */
export interface ModelOf<
  Table extends string,
  Columns extends TProperties,
  Generated extends string,
  Audit extends AuditColumn,
  SoftDelete extends boolean,
  Key extends string,
> extends Model {
  readonly table: Table
  readonly schema: TObject<RowProperties<Columns, Audit>>
  readonly columns: readonly ((keyof Columns & string) | Audit)[]
  readonly input: TObject<InputProperties<Columns, Generated>>
  readonly patch: TObject<PatchProperties<Columns, Generated>>
  /** For TypeScript alone: it is not there when the code runs. */
  readonly '~shape'?: {
    columns: Columns
    generated: Generated
    audit: Audit
    softDelete: SoftDelete
    key: Key
  }
}

export interface AuditProperties {
  created_at: TTimestamp
  created_by: TUnion<[TString, TNull]>
  updated_at: TTimestamp
  updated_by: TUnion<[TString, TNull]>
}

export type RowProperties<Columns extends TProperties, Audit extends AuditColumn> = {
  [Name in (keyof Columns & string) | Audit]: Name extends keyof Columns
    ? Whole<Columns[Name]>
    : Name extends AuditColumn
      ? AuditProperties[Name]
      : never
}

export type InputProperties<Columns extends TProperties, Generated extends string> = {
  [Name in Exclude<keyof Columns & string, Generated>]: MayBeLeftOut<Columns[Name]> extends true
    ? TOptional<Whole<Columns[Name]>>
    : Whole<Columns[Name]>
}

export type PatchProperties<Columns extends TProperties, Generated extends string> = {
  [Name in Exclude<keyof Columns & string, Generated>]: TOptional<Whole<Columns[Name]>>
}

/** Whether a row may be inserted without the column: it may be null, or `column` has given it a default. */
export type MayBeLeftOut<Schema> = Schema extends { '~column': infer Options extends ColumnOptions }
  ? 'default' extends keyof Options
    ? true
    : NullableOf<Schema>
  : NullableOf<Schema>

type NullableOf<Schema> = Schema extends TProperties[string] ? IsNullable<Schema> : false

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
  /** An integer that the database numbers, UUIDs that are filled in on insert, and what the database computes: nothing that a client says. */
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
