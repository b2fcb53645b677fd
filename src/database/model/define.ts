import type { TProperties } from 'typebox'
import { errors } from '../../errors.ts'
import type { ColumnState, TableState } from '../schema/state.ts'
import { assertTable } from './check.ts'
import { columnState } from './column-state.ts'
import type { AnyDefinition, AuditDefinition, ModelDefinition } from './definition.ts'
import { keysOf } from './keys.ts'
import { type AuditColumn, DELETED_AT, type Model, type ModelOf } from './model.ts'
import { AUDIT, inputSchema, MAX_USER, patchSchema, rowSchema } from './schemas.ts'

/**
 * Defines a table: one schema for the table, the row type, the API and the migration.
 *
 * @throws {PlinthError} MODEL_INVALID, naming the table, the place and the remedy
 */
export function defineModel<
  const Table extends string,
  Columns extends TProperties,
  const Generated extends keyof Columns & string = never,
  const Audit extends AuditDefinition = readonly never[],
  const SoftDelete extends boolean = false,
  const Key extends keyof Columns & string = 'id',
>(
  table: Table,
  definition: ModelDefinition<Columns, Generated, Audit, SoftDelete, Key>,
): ModelOf<
  Table,
  Columns,
  Generated,
  Audit extends readonly (AuditColumn | 'log')[] ? Exclude<Audit[number], 'log'> : AuditColumn,
  SoftDelete,
  Key
> {
  return createModel(table, definition as unknown as AnyDefinition) as never
}

function createModel(table: string, definition: AnyDefinition): Model {
  const { columns, generated = [], softDelete = false } = definition
  const audit = auditColumns(definition)
  const own = Object.entries(columns).map(([name, schema]): [string, ColumnState] => {
    const state = columnState(schema)
    if (state) return [name, markGenerated(state, generated.includes(name))]
    throw errors.MODEL_INVALID(
      table,
      `no type follows from the schema of the column ${name}; give it one with column(schema, { type: 'varchar(20)' })`,
    )
  })
  const added = [...audit, ...(softDelete ? [DELETED_AT] : [])]
  const { primaryKey, ...keys } = keysOf(table, definition)
  const lists = Object.entries(keys).filter(([, list]) => list.length > 0)
  const state: TableState = {
    columns: Object.fromEntries([...own, ...added.map((name) => [name, addedState(name)])]),
    primaryKey,
    ...Object.fromEntries(lists),
  }
  assertTable(table, definition, state, added)
  const said = Object.fromEntries(
    Object.entries(columns).filter(([name]) => !generated.includes(name)),
  )
  const schema = rowSchema(columns, audit)
  return {
    table,
    state,
    schema,
    columns: Object.keys(schema.properties),
    input: inputSchema(said, state.columns),
    patch: patchSchema(said, state.columns),
    audit,
    isLogged: [definition.audit].flat().includes('log'),
    softDelete,
    uuids: generated.filter((name) => state.columns[name]?.type === 'uuid'),
  }
}

function auditColumns({ audit = [] }: AnyDefinition): readonly AuditColumn[] {
  if (audit === true || audit === 'log') return Object.keys(AUDIT) as AuditColumn[]
  return audit.filter((name) => name !== 'log')
}

// A UUID is not the database's to make.
function markGenerated(state: ColumnState, generated: boolean): ColumnState {
  return generated && state.type !== 'uuid' ? { ...state, generated } : state
}

function addedState(name: string): ColumnState {
  if (name === DELETED_AT) return { type: 'datetime', nullable: true }
  return name.endsWith('_at')
    ? { type: 'datetime' }
    : { type: `varchar(${MAX_USER})`, nullable: true }
}
