import { isDeepStrictEqual } from 'node:util'
import { indexNameIn } from '../dialect/ddl.ts'
import { normalColumn, normalForeignKey, normalIndex, normalTable } from '../schema/normal.ts'
import type {
  ColumnState,
  ForeignKeyState,
  IndexState,
  SchemaState,
  TableState,
} from '../schema/state.ts'
import type { Operation } from './operations.ts'

/**
 * What becomes of a schema by an operation.
 *
 * @throws {Error} where the operation does not fit: it names what is not there, is there already, or is not what it was written for,
 *   as where another branch has changed it, too
 */
export function replay(schema: SchemaState, operation: Operation): SchemaState {
  switch (operation.type) {
    case 'createTable':
      if (schema[operation.table]) throw new Error(`there is a table ${operation.table} already`)
      return {
        ...schema,
        [operation.table]: distinct(schema, operation.table, operation.definition),
      }
    case 'dropTable':
      assertSame(
        operation.table,
        normalTable(tableOf(schema, operation.table)),
        normalTable(operation.definition),
      )
      return without(schema, operation.table)
    case 'renameTable':
      return renameTable(schema, operation.from, operation.to)
    case 'renameColumn':
      return renameColumn(schema, operation)
    case 'runSql':
      return (operation.state ?? []).reduce(replay, schema)
    case 'runData':
      return schema
    default:
      return {
        ...schema,
        [operation.table]: distinct(
          schema,
          operation.table,
          changeTable(tableOf(schema, operation.table), operation, schema),
        ),
      }
  }
}

/** Gives an index that is new a name of its own in SQLite, where an index of another table has its name. */
function distinct(schema: SchemaState, name: string, table: TableState): TableState {
  const { [name]: before, ...others } = schema
  const known = new Set(indexesOf(before))
  if (indexesOf(table).every((index) => known.has(index))) return table
  const taken = new Set(
    Object.values(others)
      .flatMap(indexesOf)
      .map((index) => indexNameIn(index, 'sqlite').toLowerCase()),
  )
  const own = (index: IndexState): IndexState =>
    known.has(index) || !taken.has(index.name.toLowerCase())
      ? index
      : { ...index, sqlite: `${name}_${index.name}` }
  return {
    ...table,
    ...(table.indexes && { indexes: table.indexes.map(own) }),
    ...(table.unique && { unique: table.unique.map(own) }),
  }
}

function indexesOf(table: TableState | undefined): IndexState[] {
  return [...(table?.indexes ?? []), ...(table?.unique ?? [])]
}

/** The state that all of `operations` lead to, from an empty database or from `before`. */
export function replayAll(operations: readonly Operation[], before: SchemaState = {}): SchemaState {
  return operations.reduce(replay, before)
}

type TableOperation = Exclude<
  Operation,
  { type: 'createTable' | 'dropTable' | 'renameTable' | 'renameColumn' | 'runSql' | 'runData' }
>

function changeTable(
  table: TableState,
  operation: TableOperation,
  schema: SchemaState,
): TableState {
  const { columns, indexes = [], unique = [], foreignKeys = [] } = table
  switch (operation.type) {
    case 'addColumn':
      if (columns[operation.column]) throw exists(operation.table, operation.column)
      return { ...table, columns: { ...columns, [operation.column]: operation.definition } }
    case 'dropColumn':
      assertColumn(table, operation, operation.definition)
      return { ...table, columns: without(columns, operation.column) }
    case 'alterColumn':
      assertColumn(table, operation, operation.from)
      return { ...table, columns: { ...columns, [operation.column]: operation.to } }
    case 'addIndex':
      assertColumns(table, operation.table, operation.index.columns)
      return { ...table, indexes: added(indexes, operation.index, operation.table) }
    case 'dropIndex':
      return { ...table, indexes: dropped(indexes, operation.index, operation.table, normalIndex) }
    case 'addUnique':
      assertColumns(table, operation.table, operation.index.columns)
      return { ...table, unique: added(unique, operation.index, operation.table) }
    case 'dropUnique':
      return { ...table, unique: dropped(unique, operation.index, operation.table, normalIndex) }
    case 'addForeignKey':
      assertKey(table, operation.table, operation.foreignKey, schema)
      return { ...table, foreignKeys: added(foreignKeys, operation.foreignKey, operation.table) }
    case 'dropForeignKey':
      return {
        ...table,
        foreignKeys: dropped(foreignKeys, operation.foreignKey, operation.table, normalForeignKey),
      }
  }
}

function renameTable(schema: SchemaState, from: string, to: string): SchemaState {
  tableOf(schema, from)
  if (schema[to]) throw new Error(`there is a table ${to} already`)
  const named = (name: string) => (name === from ? to : name)
  return mapTables(schema, named, (key) => ({ ...key, table: named(key.table) }))
}

function renameColumn(
  schema: SchemaState,
  { table, from, to }: { table: string; from: string; to: string },
): SchemaState {
  const renamed = tableOf(schema, table)
  columnOf(renamed, { table, column: from })
  if (renamed.columns[to]) throw exists(table, to)
  const named = (name: string) => (name === from ? to : name)
  const inIndex = (index: IndexState) => ({ ...index, columns: index.columns.map(named) })
  const own: TableState = {
    ...renamed,
    columns: mapKeys(renamed.columns, named),
    primaryKey: renamed.primaryKey.map(named),
    ...(renamed.indexes && { indexes: renamed.indexes.map(inIndex) }),
    ...(renamed.unique && { unique: renamed.unique.map(inIndex) }),
    ...(renamed.foreignKeys && {
      foreignKeys: renamed.foreignKeys.map((key) => ({ ...key, columns: key.columns.map(named) })),
    }),
  }
  const toThis = (key: ForeignKeyState) =>
    key.table === table ? { ...key, references: key.references.map(named) } : key
  return mapTables({ ...schema, [table]: own }, (name) => name, toThis)
}

function mapTables(
  schema: SchemaState,
  named: (table: string) => string,
  referring: (key: ForeignKeyState) => ForeignKeyState,
): SchemaState {
  const tables = Object.entries(schema).map(([name, { foreignKeys, ...table }]) => [
    named(name),
    { ...table, ...(foreignKeys && { foreignKeys: foreignKeys.map(referring) }) },
  ])
  return Object.fromEntries(tables)
}

function mapKeys<T>(record: Readonly<Record<string, T>>, named: (key: string) => string) {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [named(key), value]))
}

function tableOf(schema: SchemaState, name: string): TableState {
  const table = schema[name]
  if (!table) throw new Error(`there is no table ${name}`)
  return table
}

function columnOf(
  { columns }: TableState,
  { table, column }: { table: string; column: string },
): ColumnState {
  const found = columns[column]
  if (!found) throw new Error(`there is no column ${table}.${column}`)
  return found
}

function assertColumn(
  table: TableState,
  of: { table: string; column: string },
  expected: ColumnState,
): void {
  const found = normalColumn(columnOf(table, of))
  assertSame(`${of.table}.${of.column}`, found, normalColumn(expected))
}

function assertColumns(table: TableState, name: string, columns: readonly string[]): void {
  for (const column of columns) columnOf(table, { table: name, column })
}

function assertKey(
  table: TableState,
  name: string,
  key: ForeignKeyState,
  schema: SchemaState,
): void {
  assertColumns(table, name, key.columns)
  assertColumns(tableOf(schema, key.table), key.table, key.references)
}

/** Taken back, an operation would make what it was written for. */
function assertSame(what: string, found: object, expected: object): void {
  if (isDeepStrictEqual(found, expected)) return
  const [is, was] = [found, expected].map((one) => JSON.stringify(one))
  throw new Error(
    `${what} is ${is}, and the operation was written for ${was}: another migration has changed it; say what it is`,
  )
}

function exists(table: string, column: string): Error {
  return new Error(`there is a column ${table}.${column} already`)
}

interface Named {
  readonly name: string
}

function added<T extends Named>(all: readonly T[], one: T, table: string): T[] {
  if (all.some(({ name }) => name === one.name))
    throw new Error(`there is ${one.name} on ${table} already`)
  return [...all, one]
}

function dropped<T extends Named>(
  all: readonly T[],
  one: T,
  table: string,
  normal: (one: T) => T,
): T[] {
  const found = all.find(({ name }) => name === one.name)
  if (!found) throw new Error(`there is no ${one.name} on ${table}`)
  assertSame(`${one.name} on ${table}`, normal(found), normal(one))
  return all.filter((other) => other !== found)
}

function without<T>(record: Readonly<Record<string, T>>, key: string): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([name]) => name !== key))
}
