import { type Kysely, sql } from 'kysely'
import type { ColumnState, TableState } from '../../schema/state.ts'
import { isExactDecimal, isText, misfitOf, type PortableType, typeSql } from '../../schema/types.ts'
import * as common from '../ddl.ts'
import { readSqlite } from './introspect.ts'

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

// ---- what `alter table` cannot do

// Otherwise the rename to the old name would look at all views and triggers, and not find the table of those
// that are about it. It also leaves alone what other tables refer to.
const LEGACY = 'pragma legacy_alter_table'

/** The name of a table between its old and its new state. */
export const temporaryName = (table: string) => `plinth_new_${table}`

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
    createTableSql(table, to, created),
    copyRows(table, created, from, to, fills),
    ...(isGenerated(from) && isGenerated(to) ? copySequence(table, created) : []),
    `drop table ${name(table)}`,
    `${LEGACY} = on`,
    alter(created, `rename to ${name(table)}`),
    `${LEGACY} = off`,
    ...createIndexes(table, to),
  ]
  const indexes = [...(to.indexes ?? []), ...(to.unique ?? [])]
  return {
    rebuild: table,
    columns: Object.keys(from.columns),
    primaryKey: from.primaryKey,
    retyped: retyped(from, to),
    indexes: indexes.map((index) => common.indexNameIn(index, 'sqlite')),
    statements,
  }
}

function copyRows(
  table: string,
  created: string,
  from: TableState,
  to: TableState,
  fills: Readonly<Record<string, string>>,
): string {
  const filled = Object.entries(to.columns).flatMap(([column, target]) => {
    const [before, fill] = [from.columns[column], fills[column]]
    if (common.isComputed(target, 'sqlite')) return []
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
  const [old, next] = [common.quoteText(table, 'sqlite'), common.quoteText(created, 'sqlite')]
  return [
    `delete from sqlite_sequence where name = ${next}`,
    `insert into sqlite_sequence (name, seq) select ${next}, seq from sqlite_sequence where name = ${old} collate nocase`,
  ]
}

/** A table that is made anew and gets the rows of the old one; for `runRebuild`. */
export interface Rebuild {
  /** The table's name. */
  rebuild: string
  /** All columns that it has to have before; another one would be lost. */
  columns: readonly string[]
  /** The primary key that it has before. */
  primaryKey: readonly string[]
  /** Columns whose values have to fit another type. */
  retyped: readonly Retyped[]
  /** The indexes among `statements`. What else is on the table, `runRebuild` finds and makes anew. */
  indexes: readonly string[]
  statements: readonly string[]
}

/**
 * Runs a rebuild of a table of SQLite, in the transaction of its migration, on a connection without
 * `pragma foreign_keys`. Triggers and indexes of the table that no operation knows are made anew; views stay.
 *
 * @throws {Error} where values do not fit a new type, the table has other columns than the recorded state says, or what no state says, or a trigger or view would be broken
 */
export async function runRebuild<DB>(db: Kysely<DB>, rebuild: Rebuild): Promise<void> {
  await refuseForeignKeys(db)
  await refuseOtherColumns(db, rebuild)
  await refuseLosses(db, rebuild)
  await refuseRetyped(db, rebuild.rebuild, rebuild.primaryKey, rebuild.retyped)
  const more = await othersOn(db, rebuild)
  try {
    for (const statement of rebuild.statements) await run(db, statement)
  } finally {
    await run(db, 'pragma legacy_alter_table = off')
  }
  for (const statement of more) await run(db, statement)
  await refuseBroken(db)
}

async function run<DB>(db: Kysely<DB>, statement: string): Promise<void> {
  await sql.raw(statement).execute(db)
}

/** Dropping the old table would delete the rows that refer to its rows. */
async function refuseForeignKeys<DB>(db: Kysely<DB>): Promise<void> {
  const { rows } = await sql<{ foreign_keys: number }>`pragma foreign_keys`.execute(db)
  if (rows[0]?.foreign_keys === 0) return
  throw new Error(
    'A table is rebuilt with "pragma foreign_keys" on, which would delete rows of other tables: turn it off before the transaction',
  )
}

async function refuseOtherColumns<DB>(
  db: Kysely<DB>,
  { rebuild: table, columns }: Rebuild,
): Promise<void> {
  const { rows } = await sql<{
    name: string
  }>`select name from pragma_table_xinfo(${table})`.execute(db)
  const names = rows.map(({ name }) => name)
  const unknown = names.filter((name) => !columns.includes(name))
  const missing = columns.filter((name) => !names.includes(name))
  const what = `SQLite has to rebuild the table ${table}, which`
  if (unknown.length > 0)
    throw new Error(
      `${what} has columns that the recorded state of the schema does not know of: ${unknown.join(', ')}. They would be lost; add them in a migration first, or drop them`,
    )
  if (missing.length > 0)
    throw new Error(
      `${what} does not have columns that the recorded state of the schema knows of: ${missing.join(', ')}. Nothing was changed; add them by hand, or drop them in a migration first`,
    )
}

/** What a schema does not know of would be gone with the old table. */
async function refuseLosses<DB>(db: Kysely<DB>, { rebuild: table }: Rebuild): Promise<void> {
  const { notes } = await readSqlite(db as Kysely<unknown>, (name) => name === table)
  const lost = notes.filter((note) => /: (the check .* is left out|.* is not kept)$/s.test(note))
  if (lost.length === 0) return
  throw new Error(
    `SQLite has to rebuild the table ${table} and would drop what the recorded schema does not know of (${lost.join('; ')}); make this change with runSql as https://sqlite.org/lang_altertable.html says, and tell it in its state`,
  )
}

/** The statements of what goes with the old table and is not in the rebuild. */
async function othersOn<DB>(
  db: Kysely<DB>,
  { rebuild: table, indexes }: Rebuild,
): Promise<string[]> {
  const { rows } = await sql<{ name: string; sql: string }>`
    select name, sql from sqlite_schema
    where type in ('index', 'trigger') and tbl_name = ${table} collate nocase and sql is not null
    order by rowid`.execute(db)
  return rows.filter(({ name }) => !indexes.includes(name)).map((row) => row.sql)
}

/** A rename makes SQLite look at all triggers and views, which `create trigger` does not. */
async function refuseBroken<DB>(db: Kysely<DB>): Promise<void> {
  await run(db, 'create table plinth_probe (x)')
  await run(db, 'alter table plinth_probe rename to plinth_probed')
  await run(db, 'drop table plinth_probed')
}

/** A column that gets another type, which SQLite would do to any row. */
interface Retyped {
  readonly column: string
  readonly type: PortableType
  /** What is so of a row whose value has no place in the new type, in SQL. */
  readonly misfit: string
}

/** The columns of a table for which MySQL, in its strict mode, would refuse some values. */
function retyped(from: TableState, to: TableState): Retyped[] {
  return Object.entries(to.columns).flatMap(([column, { type }]) => {
    const before: ColumnState | undefined = from.columns[column]
    if (!before || before.type === type || typeof type !== 'string') return []
    const misfit = misfitOf(type, name(column))
    return misfit === undefined ? [] : [{ column, type, misfit }]
  })
}

/**
 * Refuses what MySQL would refuse, too.
 *
 * @throws {Error} with the keys of the first rows; not their values, which may be nobody's business
 */
async function refuseRetyped<DB>(
  db: Kysely<DB>,
  table: string,
  primaryKey: readonly string[],
  columns: readonly Retyped[],
): Promise<void> {
  for (const { column, type, misfit } of columns) {
    const key = primaryKey.map(name).join(` || '/' || `) || 'rowid'
    const { rows } = await sql
      .raw<{ key: unknown; count: number }>(
        `select ${key} as key, count(*) over () as count from ${name(table)} where ${name(column)} is not null and (${misfit}) limit 3`,
      )
      .execute(db)
    const [first] = rows
    if (!first) continue
    const keys = rows.map((row) => String(row.key)).join(', ')
    const more = first.count > rows.length ? ', …' : ''
    throw new Error(
      `${first.count} ${first.count === 1 ? 'row' : 'rows'} of ${table} have a ${column} that is no ${type} (${primaryKey.join('/') || 'rowid'} ${keys}${more}); mend them first, as with runData`,
    )
  }
}
