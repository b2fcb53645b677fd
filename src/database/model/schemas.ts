import { type TObject, type TProperties, type TSchema, Type } from 'typebox'
import type { ColumnState } from '../schema/state.ts'
import { bitsOf, lengthOf } from '../schema/types.ts'
import { copySchema, optionsOf, partsOf, timestamp } from './column.ts'
import type { AuditColumn, AuditProperties } from './model.ts'

/** How long the name of a user may be that audit columns keep. */
export const MAX_USER = 64

export const AUDIT: AuditProperties = {
  created_at: timestamp({ description: 'When it was made' }),
  created_by: user('Who made it'),
  updated_at: timestamp({ description: 'When it was changed last' }),
  updated_by: user('Who changed it last'),
}

function user(description: string) {
  return Type.Union([Type.String({ maxLength: MAX_USER, description }), Type.Null()])
}

// The format `time` of JSON Schema has a time zone, which no column keeps.
const TIME = '^([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,3})?$'

/** A row as the API shows it. No defaults: a serializer would add what `fields` left out. */
export function rowSchema(columns: TProperties, audit: readonly AuditColumn[]): TObject {
  return Type.Object({
    ...mapProperties(columns, (schema) => withoutDefault(schema)),
    ...Object.fromEntries(audit.map((name) => [name, AUDIT[name]])),
  })
}

/** What a client says to create a row: it may leave out what may be null, or has a default. */
export function inputSchema(
  columns: TProperties,
  states: Readonly<Record<string, ColumnState>>,
): TObject {
  return Type.Object(
    mapProperties(columns, (schema, name) => {
      const state = states[name]
      const left = state?.nullable || state?.default !== undefined || 'default' in schema
      const fitting = whole(schema, state)
      return left ? Type.Optional(fitting) : fitting
    }),
  )
}

/** What a client says to change a row. No defaults: what it does not say stays as it is. */
export function patchSchema(
  columns: TProperties,
  states: Readonly<Record<string, ColumnState>>,
): TObject {
  return Type.Object(
    mapProperties(columns, (schema, name) => Type.Optional(withoutDefault(schema, states[name]))),
  )
}

function mapProperties(
  columns: TProperties,
  map: (schema: TSchema, name: string) => TSchema,
): TProperties {
  return Object.fromEntries(
    Object.entries(columns).map(([name, schema]) => [name, map(schema, name)]),
  )
}

function withoutDefault(schema: TSchema, state?: ColumnState): TSchema {
  return copySchema(whole(schema, state), { default: undefined })
}

/** @param state the column that the value has to fit */
function whole(schema: TSchema, state?: ColumnState): TSchema {
  const { core, nullable } = partsOf(schema)
  const isTime = (core as { format?: string }).format === 'time'
  // What it is to a database is not to be seen by its form any more.
  const hidden = isTime ? { '~column': { type: 'time', ...optionsOf(core) } } : {}
  const exact = copySchema(core, { ...boundsOf(core, state?.type), ...formOf(core) }, hidden)
  return nullable ? Type.Union([exact, Type.Null()]) : exact
}

function formOf({ format }: { format?: string }) {
  if (format === 'time') return { format: undefined, pattern: TIME }
  // Without a limit it could begin with `urn:uuid:`.
  return format === 'uuid' ? { maxLength: 36 } : {}
}

/** What a column that was given a type of its own does not take, though its schema would: SQLite takes everything. */
function boundsOf(
  schema: TSchema,
  column: ColumnState['type'] | undefined,
): Readonly<Record<string, unknown>> {
  const { type, minimum, maximum, maxLength } = schema as Record<string, unknown>
  if (typeof column !== 'string') return {}
  const bits = bitsOf(column)
  if (type === 'integer' && bits !== undefined && bits < 64) {
    const top = 2 ** (bits - 1)
    return { minimum: minimum ?? -top, maximum: maximum ?? top - 1 }
  }
  const length = lengthOf(column)
  return type === 'string' && length ? { maxLength: maxLength ?? length } : {}
}
