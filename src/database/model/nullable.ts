import { type TNull, type TOptional, type TSchema, type TUnion, Type } from 'typebox'
import { copySchema } from './column.ts'

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

/** A schema taken apart: what it is without null, and whether it takes null. */
export interface Parts {
  core: TSchema
  nullable: boolean
}

/** Takes `Type.Optional(X)` and unions with null apart. */
export function partsOf(schema: TSchema): Parts {
  const { anyOf } = schema as { anyOf?: readonly TSchema[] }
  const optional = Type.IsOptional(schema)
  const inner = optional ? copySchema(schema, {}, { '~optional': undefined }) : schema
  const members = anyOf?.filter((member) => !Type.IsNull(member)) ?? []
  if (!anyOf || members.length === anyOf.length) return { core: inner, nullable: optional }
  const [only, ...others] = members
  const core = only && others.length === 0 ? only : copySchema(inner, { anyOf: members })
  return { core, nullable: true }
}
