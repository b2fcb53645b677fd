import { errors } from '../../errors.ts'
import { foreignKeyName, indexName, uniqueName } from '../schema/names.ts'
import type { ForeignKeyState, IndexState } from '../schema/state.ts'
import type { AnyDefinition, IndexDefinition, Reference } from './definition.ts'

/** The primary key, indexes and foreign keys of a table. */
export interface TableKeys {
  primaryKey: readonly string[]
  indexes: readonly IndexState[]
  unique: readonly IndexState[]
  foreignKeys: readonly ForeignKeyState[]
}

/** The keys that a definition asks for; each foreign key has an index, as InnoDB would make one by itself. */
export function keysOf(table: string, definition: AnyDefinition): TableKeys {
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
