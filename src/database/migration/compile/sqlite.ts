import {
  checkSql,
  columnSql,
  createIndexSql,
  createTableSql,
  indexNameIn,
  isComputed,
  quoteName,
} from '../../dialect/ddl.ts'
import {
  createIndexes,
  type Rebuild,
  rebuildTable,
  temporaryName,
} from '../../dialect/sqlite/alter.ts'
import type { ColumnState, IndexState, SchemaState, TableState } from '../../schema/state.ts'
import { fillsOf } from './fill.ts'
import type { Of, SchemaOperation } from './misfit.ts'
import type { CompiledStep, Statement } from './steps.ts'

/** SQLite's statements for an operation; a rebuild of the table where `alter table` cannot do it. */
export function compileSqlite(
  operation: SchemaOperation,
  before: SchemaState,
  after: SchemaState,
): CompiledStep[] {
  switch (operation.type) {
    case 'createTable':
      return statements(
        createTableSql(operation.table, operation.definition, 'sqlite'),
        ...createIndexes(operation.table, after[operation.table] as TableState),
      )
    case 'dropTable':
      return statements(`drop table ${name(operation.table)}`)
    case 'renameTable':
      return renameTable(operation, after)
    case 'addColumn':
      return addColumn(operation, before, after)
    case 'dropColumn':
      return dropColumn(operation, before, after)
    case 'renameColumn':
      return renameColumn(operation, after)
    case 'alterColumn':
      return [rebuild(operation.table, before, after, fillsOf([operation], 'sqlite'))]
    case 'addForeignKey':
    case 'dropForeignKey':
      return [rebuild(operation.table, before, after)]
    case 'addIndex':
    case 'addUnique':
      return statements(
        createIndexSql(
          operation.table,
          indexOf(operation, after),
          'sqlite',
          operation.type === 'addUnique',
        ),
      )
    case 'dropIndex':
    case 'dropUnique':
      return statements(`drop index ${name(indexNameIn(indexOf(operation, before), 'sqlite'))}`)
  }
}

/** The index of an operation, as the table has it. */
function indexOf(
  { table, index }: Of<'addIndex' | 'addUnique' | 'dropIndex' | 'dropUnique'>,
  schema: SchemaState,
): IndexState {
  const { indexes = [], unique = [] } = schema[table] ?? {}
  return [...indexes, ...unique].find((one) => one.name === index.name) ?? index
}

const name = (plain: string) => quoteName(plain, 'sqlite')

const statements = (...all: string[]): Statement[] => all.map((sql) => ({ sql }))

const alter = (table: string, change: string) => `alter table ${name(table)} ${change}`

function rebuild(
  table: string,
  before: SchemaState,
  after: SchemaState,
  fills?: Readonly<Record<string, string>>,
): Rebuild {
  return rebuildTable(table, before[table] as TableState, after[table] as TableState, fills)
}

// Other tables, triggers and views follow SQLite's own rename; a rebuild after it renames the checks only.
function renameTable({ from, to }: Of<'renameTable'>, after: SchemaState): CompiledStep[] {
  const renames = statements(...renamed(from, to))
  const checked = Object.values(after[to]?.columns ?? {}).some(({ values }) => values)
  return checked ? [...renames, rebuild(to, after, after)] : renames
}

function renamed(from: string, to: string): string[] {
  if (from.toLowerCase() !== to.toLowerCase()) return [alter(from, `rename to ${name(to)}`)]
  // To SQLite there is a table of that name already: this one.
  const between = temporaryName(from)
  return [alter(from, `rename to ${name(between)}`), alter(between, `rename to ${name(to)}`)]
}

function addColumn(
  operation: Of<'addColumn'>,
  before: SchemaState,
  after: SchemaState,
): CompiledStep[] {
  const { table, column, definition } = operation
  const fills = fillsOf([operation], 'sqlite')
  if (column in fills || !canAdd(definition)) return [rebuild(table, before, after, fills)]
  const check = checkSql(table, column, definition, 'sqlite')
  const words = [columnSql(column, definition, 'sqlite'), ...check].join(' ')
  return statements(alter(table, `add column ${words}`))
}

// SQLite adds no column whose default is an expression, nor one without a default that may not be null, not even
// to an empty table.
function canAdd(column: ColumnState): boolean {
  const { nullable, default: value } = column
  // One that is stored cannot be added either.
  if (isComputed(column, 'sqlite')) return false
  return value === undefined ? nullable === true : typeof value !== 'object'
}

function dropColumn(
  { table, column }: Of<'dropColumn'>,
  before: SchemaState,
  after: SchemaState,
): CompiledStep[] {
  // SQLite drops no column that a check of the table is about.
  if (before[table]?.columns[column]?.values) return [rebuild(table, before, after)]
  return statements(alter(table, `drop column ${name(column)}`))
}

function renameColumn({ table, from, to }: Of<'renameColumn'>, after: SchemaState): CompiledStep[] {
  const renames = statements(alter(table, `rename column ${name(from)} to ${name(to)}`))
  const checked = after[table]?.columns[to]?.values
  return checked ? [...renames, rebuild(table, after, after)] : renames
}
