import { isComputed } from '../../src/database/dialect/ddl.ts'
import { replay } from '../../src/database/migration/operations/index.ts'
import type { Operation } from '../../src/database/migration/operations/operation.ts'
import type {
  ColumnState,
  ForeignKeyState,
  SchemaState,
  TableState,
} from '../../src/database/schema/state.ts'

/**
 * The state after `operations`, as MySQL and SQLite take them.
 *
 * @throws {Error} where one of the two would refuse one
 */
export function replayStrictly(operations: readonly Operation[], before: SchemaState): SchemaState {
  return operations.reduce((schema, operation) => {
    const after = replay(schema, operation)
    const problem = problemOf(operation, after) ?? brokenKey(after)
    if (problem) throw new Error(`${problem} by ${JSON.stringify(operation)}`)
    return after
  }, before)
}

/** What is wrong with a schema that no single operation is needed to see. */
function brokenKey(schema: SchemaState): string | undefined {
  for (const [name, table] of Object.entries(schema)) {
    for (const key of table.foreignKeys ?? []) {
      const target = schema[key.table]
      if (!target) return `${key.name} refers to no table`
      if (!served(table, (columns) => key.columns.every((column, i) => columns[i] === column)))
        return `${key.name} has no index on ${name}`
      const unique = [target.primaryKey, ...(target.unique ?? []).map(({ columns }) => columns)]
      if (!unique.some((columns) => columns.join() === key.references.join()))
        return `${key.name} has nothing unique to refer to`
      if (!sameTypes(key, table, target)) return `${key.name} has other types`
    }
    for (const { name: index, columns } of [...(table.indexes ?? []), ...(table.unique ?? [])]) {
      if (!columns.every((column) => isKey(table, column))) return `${index} cannot be`
    }
  }
  return twice(schema)
}

function problemOf(operation: Operation, after: SchemaState): string | undefined {
  if (operation.type !== 'alterColumn') return undefined
  const { table, column, from, to } = operation
  const isUsed = Object.entries(after).some(([owner, { foreignKeys = [] }]) =>
    foreignKeys.some(
      (key) =>
        (owner === table && key.columns.includes(column)) ||
        (key.table === table && key.references.includes(column)),
    ),
  )
  const storage = ({ type, nullable, generated }: ColumnState) =>
    JSON.stringify([type, nullable, generated])
  return isUsed && storage(from) !== storage(to) ? 'a foreign key uses the column' : undefined
}

function sameTypes(key: ForeignKeyState, table: TableState, target: TableState): boolean {
  return key.columns.every(
    (column, i) =>
      JSON.stringify(table.columns[column]?.type) ===
      JSON.stringify(target.columns[key.references[i] as string]?.type),
  )
}

function served(table: TableState, serves: (columns: readonly string[]) => boolean): boolean {
  const all = [...(table.indexes ?? []), ...(table.unique ?? [])].map(({ columns }) => columns)
  return [table.primaryKey, ...all].some(serves)
}

function isKey(table: TableState, column: string): boolean {
  const definition = table.columns[column]
  if (!definition) return false
  return isComputed(definition) || !/^(text|json|blob|\[object.*)$/.test(String(definition.type))
}

/** SQLite's indexes and MySQL's foreign keys share their names across tables. */
function twice(schema: SchemaState): string | undefined {
  const tables = Object.values(schema)
  const indexes = tables.flatMap(({ indexes = [], unique = [] }) => [...indexes, ...unique])
  const keys = tables.flatMap(({ foreignKeys = [] }) => foreignKeys)
  for (const names of [indexes, keys].map((all) => all.map(({ name }) => name))) {
    const found = names.find((name, i) => names.indexOf(name) !== i)
    if (found) return `there are two ${found}`
  }
  return undefined
}
