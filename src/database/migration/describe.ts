import type { ColumnState, ForeignKeyState, PerDialect } from '../schema/state.ts'
import type { Operation } from './operations.ts'

/** An operation in one line: `+ column city.kind varchar(8)`. */
export function describe(operation: Operation): string {
  switch (operation.type) {
    case 'createTable':
      return `+ table ${operation.table}`
    case 'dropTable':
      return `- table ${operation.table}`
    case 'renameTable':
      return `> table ${operation.from} to ${operation.to}`
    case 'addColumn':
      return `+ column ${operation.table}.${operation.column} ${definition(operation.definition)}`
    case 'dropColumn':
      return `- column ${operation.table}.${operation.column}`
    case 'renameColumn':
      return `> column ${operation.table}.${operation.from} to ${operation.table}.${operation.to}`
    case 'alterColumn':
      return `~ column ${operation.table}.${operation.column} ${definition(operation.from)} to ${definition(operation.to)}`
    case 'addIndex':
    case 'dropIndex':
      return `${sign(operation)} index ${operation.table}(${operation.index.columns.join(', ')})`
    case 'addUnique':
    case 'dropUnique':
      return `${sign(operation)} unique ${operation.table}(${operation.index.columns.join(', ')})`
    case 'addForeignKey':
    case 'dropForeignKey':
      return `${sign(operation)} foreign key ${reference(operation.table, operation.foreignKey)}`
    case 'runSql':
      return '* step in SQL'
    case 'runData':
      return '* step in code'
  }
}

function sign({ type }: Operation): string {
  return type.startsWith('add') ? '+' : '-'
}

function reference(owner: string, key: ForeignKeyState): string {
  const { columns, table, references, onDelete, onUpdate } = key
  const actions = [onDelete && ` on delete ${onDelete}`, onUpdate && ` on update ${onUpdate}`]
  const ends = `${owner}(${columns.join(', ')}) to ${table}(${references.join(', ')})`
  return ends + actions.filter(Boolean).join('')
}

function definition(column: ColumnState): string {
  const { type, nullable, default: value, values, comparison, generated } = column
  const words = [
    sql(type),
    nullable && 'null',
    values && `in (${values.map(quoted).join(', ')})`,
    value !== undefined && `default ${typeof value === 'string' ? quoted(value) : sql(value)}`,
    comparison === 'ignoreCase' && 'ignoring case',
    generated && 'generated',
  ]
  return words.filter(Boolean).join(' ')
}

/** What is SQL differs from database to database: MySQL's stands for all. */
function sql(value: PerDialect | string | number | boolean): string {
  return typeof value === 'object' ? value.mysql : String(value)
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
