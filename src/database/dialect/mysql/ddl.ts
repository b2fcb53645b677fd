import { checkName } from '../../schema/names.ts'
import type { ColumnState, IndexState, TableState } from '../../schema/state.ts'
import { isText, typeSql } from '../../schema/types.ts'
import * as common from '../ddl.ts'
import type { Statement } from '../statement.ts'

// ---- words

export const name = (plain: string) => common.quoteName(plain, 'mysql')
const names = (plain: readonly string[]) => common.quoteNames(plain, 'mysql')
const text = (value: string) => common.quoteText(value, 'mysql')

export const alter = (table: string, ...changes: string[]) =>
  `alter table ${name(table)} ${changes.join(', ')}`

export const addCheck = (table: string, column: string, definition: ColumnState) =>
  common.checkSql(table, column, definition, 'mysql').map((check) => `add ${check}`)

export const dropCheck = (table: string, column: string, { values }: ColumnState) =>
  values ? [`drop constraint ${name(checkName(table, column))}`] : []

// The comments are none: MariaDB reads the first, MySQL the second. Both of `binary` tell case, accents and blanks at the end apart, as
// SQLite does by itself. A server that is too old for one has the collation of the table.
const COLLATIONS = {
  binary: '/*M! collate utf8mb4_nopad_bin *//*!80017 collate utf8mb4_0900_bin */',
  ignoreCase:
    '/*M!101001 collate utf8mb4_uca1400_nopad_as_ci *//*!80017 collate utf8mb4_0900_as_ci */',
} as const

/** The comparison that a collation is made for; undefined where it is none of ours. */
export function comparisonOf(collation: string): keyof typeof COLLATIONS | undefined {
  if (/^utf8mb4_(nopad|0900)_bin$/.test(collation)) return 'binary'
  return /^utf8mb4_(uca1400_nopad|0900)_as_ci$/.test(collation) ? 'ignoreCase' : undefined
}

/**
 * A column as `create table` and `alter table … add column` say it, without the check of its `values`.
 *
 * @param collation that a text has; default: that of its comparison
 */
export function columnSql(plain: string, column: ColumnState, collation?: string): string {
  const { type, comparison = 'binary', nullable, generated } = column
  const words = [name(plain), typeSql(type, 'mysql')]
  if (isText(type)) words.push(collation ? `collate ${collation}` : COLLATIONS[comparison])
  // Behind its expression a computed column takes no word more.
  if (common.isComputed(column, 'mysql')) return words.join(' ')
  // `null` is said, because MySQL's TIMESTAMP may not be null otherwise.
  words.push(nullable ? 'null' : 'not null')
  if (column.default !== undefined) words.push(`default ${common.defaultSql(column, 'mysql')}`)
  if (generated) words.push('auto_increment')
  return words.join(' ')
}

/** Whether it is computed when its row is written, and kept with it. */
export const isStored = ({ type }: ColumnState): boolean =>
  typeof type === 'object' && / as \([\s\S]*\) *(stored|persistent)/i.test(type.mysql)

/** Whether it is computed whenever it is read. */
export const isVirtual = (column: ColumnState): boolean =>
  common.isComputed(column, 'mysql') && !isStored(column)

/** How texts are compared: those of a table where nothing else is said, and those of some columns. */
export interface Collations {
  own?: string | undefined
  columns: Readonly<Record<string, string>>
}

/** `create table` with all that the table has. */
export function createTableSql(
  table: string,
  definition: TableState,
  { own, columns: ofColumns }: Collations = { columns: {} },
): string {
  const { columns, primaryKey, indexes = [], unique = [] } = definition
  const key = (word: string) => (index: IndexState) =>
    `${word} ${name(index.name)} ${names(index.columns)}`
  return common.createTableSql(table, definition, 'mysql', {
    created: table,
    columns: Object.entries(columns).map(([plain, column]) =>
      columnSql(plain, column, ofColumns[plain]),
    ),
    keys: [
      ...(primaryKey.length > 0 ? [`primary key ${names(primaryKey)}`] : []),
      ...unique.map(key('unique key')),
      ...indexes.map(key('key')),
    ],
    end: ` engine=InnoDB default charset=utf8mb4${own ? ` collate=${own}` : ''}`,
  })
}

// ---- whether a statement has happened

/** A condition in SQL. */
type Fact = string

/** A statement, and the facts that are so once it has happened. */
export const statement = (sql: string, ...facts: readonly Fact[]): Statement => ({
  sql,
  happened: `select ${facts.join(' and ')} as happened`,
})

export const tableExists = (table: string): Fact => exists('tables', table)

export const columnExists = (table: string, column: string): Fact =>
  exists('columns', table, `column_name = ${text(column)}`)

/** Upper and lower case differ, so that a rename that changes nothing else can be seen. */
export const exactColumnExists = (table: string, column: string): Fact =>
  exists('columns', table, `cast(column_name as binary) = ${text(column)}`)

export const indexExists = (table: string, index: string): Fact =>
  exists('statistics', table, `index_name = ${text(index)}`)

export const constraintExists = (
  table: string,
  constraint: string,
  type: 'CHECK' | 'FOREIGN KEY',
): Fact =>
  exists(
    'table_constraints',
    table,
    `constraint_type = ${text(type)} and constraint_name = ${text(constraint)}`,
  )

export const checkExists = (table: string, column: string): Fact =>
  constraintExists(table, checkName(table, column), 'CHECK')

export const not = (fact: Fact): Fact => `not ${fact}`

function exists(view: string, table: string, condition?: string): Fact {
  const conditions = [
    'table_schema = database()',
    `table_name = ${text(table)}`,
    ...(condition ? [condition] : []),
  ]
  return `exists (select 1 from information_schema.${view} where ${conditions.join(' and ')})`
}
