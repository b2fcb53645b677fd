import type { TNull, TObject, TOptional, TProperties, TString, TUnion } from 'typebox'
import type { TableState } from '../schema/state.ts'
import type { ColumnOptions, TTimestamp } from './column.ts'
import type { IsNullable, Whole } from './nullable.ts'

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
