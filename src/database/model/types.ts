import type { ColumnType, Kysely } from 'kysely'
import type {
  Static,
  TNull,
  TObject,
  TOptional,
  TProperties,
  TSchema,
  TString,
  TUnion,
} from 'typebox'
import type { ReferenceAction, TableState } from '../schema/state.ts'
import type { PerDialect, PortableType } from '../schema/types.ts'

// What TypeScript is told of models, and what all that works with them sees; nothing of it does anything.

// ---- a column

/** What a column is, where its schema does not say it. */
export interface ColumnOptions {
  /** Instead of the type that follows from the schema; SQL of each database is taken as it is. */
  readonly type?: PortableType | PerDialect
  /** What rows get that do not say it: a value, or an expression in SQL. */
  readonly default?: string | number | boolean | PerDialect
  /**
   * Of a list of texts whether the database checks it, too; default true. Where it does not, a list that grows changes no table: MySQL and
   * MariaDB write it anew for a check.
   */
  readonly check?: boolean
  /**
   * When two texts are the same, to comparisons, unique keys and orders: `binary` (default), where all of their characters are, or
   * `ignoreCase`. On SQLite case is that of A to Z alone.
   */
  readonly comparison?: 'binary' | 'ignoreCase'
}

/** A schema that knows more of its column than what it validates. */
export type Column<Schema extends TSchema, Options extends ColumnOptions> = Schema & {
  '~column': Options
}

/** A point in time: read as an ISO 8601 string in UTC, written as a `Date`. */
export type TTimestamp = Column<TString, { readonly type: 'datetime' }>

/** `Schema` without `Type.Optional`. */
export type Required<Schema extends TSchema> =
  Schema extends TOptional<infer Inner extends TSchema> ? Inner : Schema

/** Whether the column may be null: `Type.Optional(X)`, or a union with `Type.Null()`. */
export type IsNullable<Schema extends TSchema> = Schema extends { '~optional': true }
  ? true
  : Schema extends TUnion<infer Members>
    ? TNull extends Members[number]
      ? true
      : false
    : false

/** The schema of what is in the column where it is not null. */
export type Core<Schema extends TSchema> =
  Required<Schema> extends TUnion<[infer Inner extends TSchema, TNull]> ? Inner : Required<Schema>

/** The schema of the column as a row has it: `X | null` where it may be null. */
export type Whole<Schema extends TSchema> =
  IsNullable<Schema> extends true
    ? IsNullable<Required<Schema>> extends true
      ? Required<Schema>
      : TUnion<[Required<Schema>, TNull]>
    : Schema

// ---- a model

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
  /** Whether it is the audit log itself. */
  readonly isLog?: boolean
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
export type IndexDefinition<Name extends string> =
  | readonly Name[]
  | { readonly name: string; readonly columns: readonly Name[] }

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

export interface ForeignKeyDefinition<Name extends string> extends ReferenceDefinition {
  readonly columns: readonly Name[]
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

// ---- tables as Kysely wants them

/**
 * The tables of `models` as Kysely wants them:
 * `declare module 'plinth' { interface DatabaseTables extends Tables<typeof models> {} }`
 */
export type Tables<Models extends readonly Model[]> = {
  [Table in Models[number]['table']]: TableOf<Extract<Models[number], { readonly table: Table }>>
}

/** Kysely on the tables of `models`. */
export type Db<Models extends readonly Model[]> = Kysely<Tables<Models>>

/** The columns of a model's table, with what is read from, inserted into and written to each. */
export type TableOf<M extends Model> =
  M extends ModelOf<
    string,
    infer Columns,
    infer Generated,
    infer Audit,
    infer SoftDelete,
    infer _Key
  >
    ? {
        [Name in Names<Columns, Audit, SoftDelete>]: Name extends keyof Columns
          ? ColumnOf<Columns[Name], Name extends Generated ? true : MayBeLeftOut<Columns[Name]>>
          : Name extends keyof AddedColumns
            ? AddedColumns[Name]
            : never
      }
    : never

type Names<Columns extends TProperties, Audit extends AuditColumn, SoftDelete extends boolean> =
  | (keyof Columns & string)
  | Audit
  | (SoftDelete extends true ? 'deleted_at' : never)

interface AddedColumns {
  created_at: ColumnType<string, Date | undefined, Date>
  created_by: string | null
  updated_at: ColumnType<string, Date | undefined, Date>
  updated_by: string | null
  deleted_at: ColumnType<string | null, Date | null, Date | null>
}

type ColumnOf<Schema extends TSchema, LeftOut extends boolean> = Cell<
  Read<Core<Schema>> | Null<Schema>,
  Written<Core<Schema>> | Null<Schema>,
  LeftOut
>

// What may be null may be left out of an insert to Kysely, too.
type Cell<In, Out, LeftOut extends boolean> = [LeftOut, null] extends [true, Out]
  ? Plain<In, Out>
  : LeftOut extends true
    ? ColumnType<In, Out | undefined, Out>
    : Plain<In, Out>

type Plain<In, Out> = [In, Out] extends [Out, In] ? In : ColumnType<In, Out, Out>

type Null<Schema extends TSchema> = IsNullable<Schema> extends true ? null : never

type TypeName<Schema> = Schema extends { '~column': { type: infer Type } } ? Type : undefined

type Read<Schema extends TSchema> =
  TypeName<Schema> extends 'datetime'
    ? string
    : TypeName<Schema> extends 'bigint'
      ? number | bigint
      : Static<Schema>

type Written<Schema extends TSchema> = TypeName<Schema> extends 'datetime' ? Date : Read<Schema>
