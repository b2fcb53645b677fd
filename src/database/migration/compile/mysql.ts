import {
  type Collations,
  columnSql,
  createIndexSql,
  createTableSql,
  foreignKeySql,
  isText,
} from '../../dialect/ddl.ts'
import type { ColumnState, ForeignKeyState, SchemaState, TableState } from '../../schema/state.ts'
import { constraintExists, indexExists, not, tableExists } from './happened.ts'
import type { ColumnOperation, Of, SchemaOperation } from './misfit.ts'
import { changeColumns, renameColumn } from './mysql-columns.ts'
import { addCheck, alter, checkExists, dropCheck, name, statement } from './mysql-words.ts'
import type { Statement } from './steps.ts'

/** The statements of MySQL and MariaDB for an operation, each atomic for itself. */
export function compileMysql(operation: SchemaOperation, before: SchemaState): Statement[] {
  // Not those that a foreign key refers to: it is looked for on its own table alone.
  const tables =
    operation.type === 'renameTable' ? [operation.from, operation.to] : [operation.table]
  return statementsOf(operation, before).map((one) => ({ ...one, tables }))
}

/** Those of several operations on columns of one table. */
export function compileMysqlColumns(
  operations: readonly [ColumnOperation, ...ColumnOperation[]],
  before: SchemaState,
): Statement[] {
  const [{ table }] = operations
  const statements = changeColumns(table, operations, before[table]?.columns ?? {})
  return statements.map((one) => ({ ...one, tables: [table] }))
}

function statementsOf(operation: SchemaOperation, before: SchemaState): Statement[] {
  switch (operation.type) {
    case 'createTable':
      return [createTable(operation)]
    case 'dropTable':
      return [statement(`drop table ${name(operation.table)}`, not(tableExists(operation.table)))]
    case 'renameTable':
      return renameTable(operation, before)
    case 'addColumn':
    case 'dropColumn':
    case 'alterColumn':
      return changeColumns(operation.table, [operation], before[operation.table]?.columns ?? {})
    case 'renameColumn':
      return [renameColumn(operation, columnOf(before, operation.table, operation.from))]
    case 'addIndex':
    case 'addUnique':
      return [addIndex(operation)]
    case 'dropIndex':
    case 'dropUnique':
      return [dropIndex(operation)]
    case 'addForeignKey':
    case 'dropForeignKey':
      return [foreignKey(operation, before)]
  }
}

function createTable({ table, definition }: Of<'createTable'>): Statement {
  const sql = (collations?: Collations) =>
    createTableSql(table, definition, 'mysql', table, collations)
  const keys = (definition.foreignKeys ?? []).filter((key) => isOfText(key, definition))
  return { ...statement(sql(), tableExists(table)), fitted: { table, creates: true, keys, sql } }
}

function isOfText({ columns }: ForeignKeyState, table: TableState | undefined): boolean {
  return columns.some((name) => isText(table?.columns[name] as ColumnState))
}

function columnOf(schema: SchemaState, table: string, column: string) {
  return schema[table]?.columns[column] as ColumnState
}

// In two statements, because the other tables' foreign keys follow a plain rename for sure.
function renameTable({ from, to }: Of<'renameTable'>, before: SchemaState): Statement[] {
  const renamed = statement(
    alter(from, `rename to ${name(to)}`),
    tableExists(to),
    not(tableExists(from)),
  )
  const checked = Object.entries(before[from]?.columns ?? {}).filter(([, { values }]) => values)
  const [first] = checked
  if (!first) return [renamed]
  const changes = checked.flatMap(([column, definition]) => [
    ...dropCheck(from, column, definition),
    ...addCheck(to, column, definition),
  ])
  return [renamed, statement(alter(to, ...changes), checkExists(to, first[0]))]
}

function addIndex({ type, table, index }: Of<'addIndex' | 'addUnique'>): Statement {
  return statement(
    createIndexSql(table, index, 'mysql', type === 'addUnique'),
    indexExists(table, index.name),
  )
}

function dropIndex({ table, index }: Of<'dropIndex' | 'dropUnique'>): Statement {
  return statement(
    `drop index ${name(index.name)} on ${name(table)}`,
    not(indexExists(table, index.name)),
  )
}

function foreignKey(
  { type, table, foreignKey: key }: Of<'addForeignKey' | 'dropForeignKey'>,
  before: SchemaState,
): Statement {
  const there = constraintExists(table, key.name, 'FOREIGN KEY')
  if (type === 'dropForeignKey')
    return statement(alter(table, `drop foreign key ${name(key.name)}`), not(there))
  const sql = ({ columns }: Collations) => {
    const fitting = Object.entries(columns).map(([column, collation]) => {
      const definition = columnOf(before, table, column)
      return `modify column ${columnSql(column, definition, 'mysql', collation)}`
    })
    return alter(table, ...fitting, `add ${foreignKeySql(key, 'mysql')}`)
  }
  const added = statement(sql({ columns: {} }), there)
  if (!isOfText(key, before[table])) return added
  return { ...added, fitted: { table, creates: false, keys: [key], sql } }
}
