import type { ColumnState, TableState } from '../../schema/state.ts'
import { isText, typeSql } from '../../schema/types.ts'
import * as common from '../ddl.ts'

export const name = (plain: string) => common.quoteName(plain, 'sqlite')

export const alter = (table: string, change: string) => `alter table ${name(table)} ${change}`

// SQLite numbers a column that is declared in exactly these words.
const GENERATED = 'integer primary key autoincrement'

/** A column as `create table` and `alter table … add column` say it, without the check of its `values`. */
export function columnSql(plain: string, column: ColumnState): string {
  const { type, comparison, nullable, generated } = column
  if (generated) return `${name(plain)} ${GENERATED}`
  const words = [name(plain), typeSql(type, 'sqlite')]
  if (isText(type) && comparison === 'ignoreCase') words.push('collate nocase')
  // Behind its expression a computed column takes no word more.
  if (common.isComputed(column, 'sqlite')) return words.join(' ')
  if (!nullable) words.push('not null')
  if (column.default !== undefined) words.push(`default ${common.defaultSql(column, 'sqlite')}`)
  return words.join(' ')
}

/**
 * `create table` without its indexes, which are statements of their own.
 *
 * @param created the name that it is created under, where it is to be renamed to `table` at once
 */
export function createTableSql(table: string, definition: TableState, created = table): string {
  const { columns, primaryKey } = definition
  // A column that is numbered says it itself.
  const isSaid = primaryKey.some((plain) => columns[plain]?.generated)
  return common.createTableSql(table, definition, 'sqlite', {
    created,
    columns: Object.entries(columns).map(([plain, column]) => columnSql(plain, column)),
    keys:
      isSaid || primaryKey.length === 0
        ? []
        : [`primary key ${common.quoteNames(primaryKey, 'sqlite')}`],
  })
}

/** The `create index` statements for all indexes of a table. */
export function createIndexes(table: string, { indexes = [], unique = [] }: TableState): string[] {
  return [
    ...unique.map((index) => common.createIndexSql(table, index, 'sqlite', true)),
    ...indexes.map((index) => common.createIndexSql(table, index, 'sqlite', false)),
  ]
}
