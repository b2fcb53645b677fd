import { checkSql, columnSql, foreignKeySql, quoteName, quoteNames } from '../../schema/sql.ts'
import type { DialectName, IndexState, TableState } from '../../schema/state.ts'
import type { Collations } from './kept.ts'

/**
 * `create table` with all that the table has; on SQLite without its indexes, which are statements of their own.
 *
 * @param created the name that it is created under, where it is to be renamed to `table` at once
 * @param collations of MySQL, of the table and of some of its columns
 */
export function createTableSql(
  table: string,
  definition: TableState,
  dialect: DialectName,
  created = table,
  { own, columns: ofColumns }: Collations = { columns: {} },
): string {
  const { columns, foreignKeys = [] } = definition
  const all = Object.entries(columns)
  const parts = [
    ...all.map(([name, column]) => columnSql(name, column, dialect, ofColumns[name])),
    ...primaryKey(definition, dialect),
    ...(dialect === 'mysql' ? keys(definition) : []),
    ...all.flatMap(([name, column]) => checkSql(table, name, column, dialect)),
    ...foreignKeys.map((key) => foreignKeySql(key, dialect)),
  ]
  const collate = own ? ` collate=${own}` : ''
  const end = dialect === 'mysql' ? ` engine=InnoDB default charset=utf8mb4${collate}` : ''
  return `create table ${quoteName(created, dialect)} (\n  ${parts.join(',\n  ')}\n)${end}`
}

function primaryKey({ columns, primaryKey: names }: TableState, dialect: DialectName): string[] {
  // SQLite says it with the column.
  const said = dialect === 'sqlite' && names.some((name) => columns[name]?.generated)
  return said || names.length === 0 ? [] : [`primary key ${quoteNames(names, dialect)}`]
}

function keys({ indexes = [], unique = [] }: TableState): string[] {
  const key = (word: string) => (index: IndexState) =>
    `${word} ${quoteName(index.name, 'mysql')} ${quoteNames(index.columns, 'mysql')}`
  return [...unique.map(key('unique key')), ...indexes.map(key('key'))]
}
