import { type TSchema, Type } from 'typebox'
import type { ColumnState, PortableType } from '../schema/state.ts'
import { type ColumnOptions, optionsOf } from './column.ts'
import { partsOf } from './nullable.ts'

/** The longest varchar: 65,535 bytes, of which utf8mb4 takes four for a character. */
export const MAX_VARCHAR = 16_383

interface Keywords {
  type?: unknown
  format?: string
  const?: unknown
  default?: unknown
  enum?: readonly unknown[]
  anyOf?: readonly TSchema[]
  allOf?: readonly TSchema[]
  maxLength?: number
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  exclusiveMaximum?: number
}

/**
 * The column that a schema asks for, by what it validates and by what `column` has said of it.
 *
 * @returns undefined where no type follows from the schema
 */
export function columnState(schema: TSchema): ColumnState | undefined {
  const { core, nullable } = partsOf(schema)
  const given: ColumnOptions = { ...optionsOf(core), ...optionsOf(schema) }
  const values = valuesOf(core)
  const type = given.type ?? typeOf(core, values)
  if (!type) return undefined
  const fallback = given.default ?? scalar(schema) ?? scalar(core)
  return {
    type,
    ...(nullable && { nullable }),
    ...(fallback !== undefined && { default: fallback }),
    ...(values && given.check !== false && { values }),
    ...(given.comparison === 'ignoreCase' && { comparison: given.comparison }),
  }
}

function scalar(schema: TSchema): string | number | boolean | undefined {
  const { default: value } = schema as Keywords
  const fits = ['string', 'number', 'boolean'].includes(typeof value)
  return fits ? (value as string | number | boolean) : undefined
}

/** The texts that a schema lists; undefined where it is no list of texts. */
function valuesOf(schema: TSchema): readonly string[] | undefined {
  const { const: only, enum: listed, anyOf } = schema as Keywords
  const values = listed ?? anyOf?.map((member) => (member as Keywords).const) ?? [only]
  const texts = values.length > 0 && values.every((value) => typeof value === 'string')
  return texts ? (values as readonly string[]) : undefined
}

function typeOf(schema: TSchema, values = valuesOf(schema)): PortableType | undefined {
  if (values) return `varchar(${Math.max(1, ...values.map((value) => [...value].length))})`
  const { type, anyOf, allOf } = schema as Keywords
  switch (type) {
    case 'integer':
      return fitsInteger(schema as Keywords) ? 'integer' : 'bigint'
    case 'number':
      return 'double'
    case 'boolean':
      return 'boolean'
    case 'string':
      return ofString(schema as Keywords)
    case 'object':
    case 'array':
      return 'json'
    default: {
      const members = anyOf ?? allOf
      const isJson =
        members?.every((member) => typeOf(member) === 'json') ??
        (Type.IsUnknown(schema) || Type.IsAny(schema))
      return isJson ? 'json' : undefined
    }
  }
}

function fitsInteger(schema: Keywords): boolean {
  const minimum = schema.minimum ?? schema.exclusiveMinimum ?? Number.NEGATIVE_INFINITY
  const maximum = schema.maximum ?? schema.exclusiveMaximum ?? Number.POSITIVE_INFINITY
  return minimum >= -(2 ** 31) && maximum < 2 ** 31
}

const FORMATS: Readonly<Record<string, PortableType>> = {
  date: 'date',
  time: 'time',
  'date-time': 'datetime',
  uuid: 'uuid',
}

function ofString({ format, maxLength }: Keywords): PortableType {
  const known = format === undefined ? undefined : FORMATS[format]
  if (known) return known
  return maxLength !== undefined && maxLength <= MAX_VARCHAR
    ? `varchar(${Math.max(1, maxLength)})`
    : 'text'
}
