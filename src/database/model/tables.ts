import type { ColumnType, Kysely } from 'kysely'
import type { Static, TProperties, TSchema } from 'typebox'
import type { Core, IsNullable } from './column.ts'
import type { AuditColumn, MayBeLeftOut, Model, ModelOf } from './model.ts'

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
