import {
  createIndexSql,
  indexNameIn,
  isComputed,
  isExactDecimal,
  quoteName,
  quoteText,
} from '../../schema/sql.ts'
import type { ColumnState, TableState } from '../../schema/state.ts'
import { retyped } from './retype.ts'
import type { Rebuild } from './steps.ts'
import { createTableSql } from './table.ts'

// Otherwise the rename to the old name would look at all views and triggers, and not find the table of those
// that are about it. It also leaves alone what other tables refer to.
const LEGACY = 'pragma legacy_alter_table'

/** The name of a table between its old and its new state. */
export const temporaryName = (table: string) => `plinth_new_${table}`

/** SQLite's `create index` statements for all indexes of a table. */
export function createIndexes(table: string, { indexes = [], unique = [] }: TableState): string[] {
  return [
    ...unique.map((index) => createIndexSql(table, index, 'sqlite', true)),
    ...indexes.map((index) => createIndexSql(table, index, 'sqlite', false)),
  ]
}

/**
 * Makes a table anew, as https://sqlite.org/lang_altertable.html says ("Making Other Kinds Of Table Schema Changes").
 * Columns that are in both keep their values.
 *
 * @param fills what rows get that have no value, in SQL by the column
 */
export function rebuildTable(
  table: string,
  from: TableState,
  to: TableState,
  fills: Readonly<Record<string, string>> = {},
): Rebuild {
  const created = temporaryName(table)
  const statements = [
    createTableSql(table, to, 'sqlite', created),
    copyRows(table, created, from, to, fills),
    ...(isGenerated(from) && isGenerated(to) ? copySequence(table, created) : []),
    `drop table ${name(table)}`,
    `${LEGACY} = on`,
    `alter table ${name(created)} rename to ${name(table)}`,
    `${LEGACY} = off`,
    ...createIndexes(table, to),
  ]
  const indexes = [...(to.indexes ?? []), ...(to.unique ?? [])].map((index) =>
    indexNameIn(index, 'sqlite'),
  )
  return {
    rebuild: table,
    columns: Object.keys(from.columns),
    primaryKey: from.primaryKey,
    retyped: retyped(from, to),
    indexes,
    statements,
  }
}

const name = (plain: string) => quoteName(plain, 'sqlite')

function copyRows(
  table: string,
  created: string,
  from: TableState,
  to: TableState,
  fills: Readonly<Record<string, string>>,
): string {
  const filled = Object.entries(to.columns).flatMap(([column, target]) => {
    const [before, fill] = [from.columns[column], fills[column]]
    if (isComputed(target, 'sqlite')) return []
    const value = before && copied(column, before, target)
    if (value === undefined) return fill === undefined ? [] : [[column, fill] as const]
    return [[column, fill === undefined ? value : `coalesce(${value}, ${fill})`] as const]
  })
  const names = filled.map(([column]) => name(column)).join(', ')
  const values = filled.map(([, value]) => value).join(', ')
  return `insert into ${name(created)} (${names}) select ${values} from ${name(table)}`
}

// SQLite converts between numbers and texts by itself, but keeps bytes and texts as they are. Of a decimal that becomes a text the
// digits count.
function copied(column: string, { type: from }: ColumnState, { type: to }: ColumnState): string {
  const plain = name(column)
  if (typeof from === 'object' || typeof to === 'object') return plain
  if (isExactDecimal(from) && /^(text|(var)?char\(.+\)|decimal.+)$/.test(to) && !isExactDecimal(to))
    return `iif(${plain} is null, null, printf('%.${/,(\d+)/.exec(from)?.[1] ?? 0}f', ${plain}))`
  if ((from === 'blob') === (to === 'blob')) return plain
  return `cast(${plain} as ${to === 'blob' ? 'blob' : 'text'})`
}

const isGenerated = ({ columns }: TableState) =>
  Object.values(columns).some(({ generated }) => generated)

// The numbers of deleted rows are not given again.
function copySequence(table: string, created: string): string[] {
  const [old, next] = [quoteText(table, 'sqlite'), quoteText(created, 'sqlite')]
  return [
    `delete from sqlite_sequence where name = ${next}`,
    `insert into sqlite_sequence (name, seq) select ${next}, seq from sqlite_sequence where name = ${old} collate nocase`,
  ]
}
