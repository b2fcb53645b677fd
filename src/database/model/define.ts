import type { TProperties } from 'typebox'
import { errors } from '../../errors.ts'
import { isComputed } from '../dialect/ddl.ts'
import { foreignKeyName, indexName, uniqueName } from '../schema/names.ts'
import type { ColumnState, ForeignKeyState, IndexState, TableState } from '../schema/state.ts'
import { assertTable } from './check.ts'
import { AUDIT, columnState, inputSchema, MAX_USER, patchSchema, rowSchema } from './schemas.ts'
import {
  type AnyDefinition,
  type AuditColumn,
  type AuditDefinition,
  DELETED_AT,
  type IndexDefinition,
  type Model,
  type ModelDefinition,
  type ModelOf,
  type Reference,
} from './types.ts'

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

// A UUID is not the database's to make, and what it computes says so itself.
function markGenerated(state: ColumnState, generated: boolean): ColumnState {
  const isNumbered = generated && state.type !== 'uuid' && !isComputed(state)
  return isNumbered ? { ...state, generated } : state
}

function addedState(name: string): ColumnState {
  if (name === DELETED_AT) return { type: 'datetime', nullable: true }
  return name.endsWith('_at')
    ? { type: 'datetime' }
    : { type: `varchar(${MAX_USER})`, nullable: true }
}

/** The primary key, indexes and foreign keys of a table. */
interface TableKeys {
  primaryKey: readonly string[]
  indexes: readonly IndexState[]
  unique: readonly IndexState[]
  foreignKeys: readonly ForeignKeyState[]
}

/** The keys that a definition asks for; each foreign key has an index, as InnoDB would make one by itself. */
function keysOf(table: string, definition: AnyDefinition): TableKeys {
  const { columns, primaryKey = 'id' in columns ? ['id'] : [] } = definition
  const unique = named(definition.unique, (columns) => uniqueName(table, columns))
  const declared = named(definition.indexes, (columns) => indexName(table, columns))
  const foreignKeys = foreignKeysOf(table, definition.foreignKeys ?? [])
  const indexes = [...declared]
  for (const { columns } of foreignKeys) {
    const all = [primaryKey, ...[...unique, ...indexes].map((index) => index.columns)]
    if (all.some((index) => columns.every((column, i) => column === index[i]))) continue
    indexes.push({ name: indexName(table, columns), columns })
  }
  return {
    primaryKey,
    indexes: indexes.toSorted(byName),
    unique: unique.toSorted(byName),
    foreignKeys: foreignKeys.toSorted(byName),
  }
}

function named(
  definitions: readonly IndexDefinition<string>[] = [],
  name: (columns: readonly string[]) => string,
): IndexState[] {
  return definitions.map((index) =>
    'columns' in index
      ? { name: index.name, columns: index.columns }
      : { name: name(index), columns: index },
  )
}

function foreignKeysOf(
  table: string,
  given: NonNullable<AnyDefinition['foreignKeys']>,
): ForeignKeyState[] {
  const all = isList(given)
    ? given
    : Object.entries(given).map(([column, key]) => ({
        ...(typeof key === 'string' ? { references: key } : key),
        columns: [column],
      }))
  return all.map(({ references, columns, name, onDelete, onUpdate }) => {
    const [to, others] = targetOf(table, columns, references)
    return {
      name: name ?? foreignKeyName(table, columns),
      columns,
      table: to,
      references: others,
      ...(onDelete && { onDelete }),
      ...(onUpdate && { onUpdate }),
    }
  })
}

/** @throws {PlinthError} MODEL_INVALID where TypeScript has not been asked */
function targetOf(
  table: string,
  columns: readonly string[],
  references: Reference | undefined,
): readonly [table: string, columns: readonly string[]] {
  if (typeof references === 'string') {
    const [to = '', column = ''] = references.split('.')
    return [to, [column]]
  }
  if (references && isList(references) && isList(references[1])) return references
  throw errors.MODEL_INVALID(
    table,
    `the foreign key of ${columns} does not say what it refers to; use { country: 'country.code' }, { country: { references: 'country.code', onDelete: 'cascade' } } or [{ columns: ['country'], references: ['country', ['code']] }]`,
  )
}

// `Array.isArray` does not know of readonly arrays.
const isList = <T>(value: object | readonly T[]): value is readonly T[] => Array.isArray(value)

const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1)
