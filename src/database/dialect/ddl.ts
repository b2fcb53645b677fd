import type { Kysely } from 'kysely'
import { checkName } from '../schema/names.ts'
import type { ColumnState, ForeignKeyState, IndexState, TableState } from '../schema/state.ts'
import { type DialectName, typeSql, writtenDefault } from '../schema/types.ts'

/** One statement, which either happens or does not: all that the operations of migrations, and both dialects, have to do with it. */
export interface Statement {
  sql: string
  /**
   * A query whose first row's first column is 1 once the statement has happened, and 0 before. For MySQL, where
   * a crash may leave that open; missing where the statement is `repeatable` or nobody knows (hand-written SQL).
   */
  happened?: string
  /** The statement with what only the database knows; default: as it is. */
  complete?: <DB>(db: Kysely<DB>) => Promise<string>
  /** `complete` looks at tables that statements before it may make. */
  looks?: true
  /** It does no harm to run it twice: what it says is the same afterwards. */
  repeatable?: true
  /** It gives rows a value that have none: whoever does not go on leaves them so. */
  fills?: true
}

/** A name of a table, column, index or constraint as SQL says it, whatever characters are in it. */
export function quoteName(name: string, dialect: DialectName): string {
  const mark = dialect === 'mysql' ? '`' : '"'
  return `${mark}${name.replaceAll(mark, mark + mark)}${mark}`
}

/** `("a", "b")` */
export function quoteNames(names: readonly string[], dialect: DialectName): string {
  return `(${names.map((name) => quoteName(name, dialect)).join(', ')})`
}

/** A text as SQL says it. In MySQL's a backslash begins an escape, unless NO_BACKSLASH_ESCAPES is set. */
export function quoteText(text: string, dialect: DialectName): string {
  const escaped = dialect === 'mysql' ? text.replaceAll('\\', '\\\\') : text
  return `'${escaped.replaceAll("'", "''")}'`
}

/** Whether the database computes it, so that no row can be given a value; default: any database. */
export function isComputed({ type }: ColumnState, dialect?: DialectName): boolean {
  if (typeof type === 'string') return false
  return (dialect ? [type[dialect]] : Object.values(type)).some((one) => / as \(/i.test(one))
}

/** The default of a column as SQL says it; it has to have one. */
export function defaultSql(column: ColumnState, dialect: DialectName): string {
  const { type, default: value = '' } = column
  if (typeof value === 'object') return value[dialect]
  const written = writtenDefault(value, type, dialect)
  const sql = Buffer.isBuffer(written)
    ? `x'${written.toString('hex')}'`
    : typeof written === 'string'
      ? quoteText(written, dialect)
      : String(written)
  // MySQL takes an expression there, but no plain value.
  const expressionOnly = dialect === 'mysql' && /text|blob|json/i.test(typeSql(type, dialect))
  return expressionOnly ? `(${sql})` : sql
}

/** The check that keeps a column to its `values`; none where it has none. */
export function checkSql(
  table: string,
  name: string,
  { values }: ColumnState,
  dialect: DialectName,
): string[] {
  if (!values) return []
  const list = values.map((value) => quoteText(value, dialect)).join(', ')
  const constraint = quoteName(checkName(table, name), dialect)
  return [`constraint ${constraint} check (${quoteName(name, dialect)} in (${list}))`]
}

/** A foreign key, for `create table` and `alter table … add`. */
export function foreignKeySql(key: ForeignKeyState, dialect: DialectName): string {
  return [
    `constraint ${quoteName(key.name, dialect)} foreign key ${quoteNames(key.columns, dialect)}`,
    `references ${quoteName(key.table, dialect)} ${quoteNames(key.references, dialect)}`,
    `on delete ${key.onDelete ?? 'restrict'} on update ${key.onUpdate ?? 'restrict'}`,
  ].join(' ')
}

/** What an index is called in a database. */
export function indexNameIn({ name, sqlite }: IndexState, dialect: DialectName): string {
  return dialect === 'sqlite' ? (sqlite ?? name) : name
}

/** `create index`, as a statement of its own. */
export function createIndexSql(
  table: string,
  index: IndexState,
  dialect: DialectName,
  unique: boolean,
): string {
  const columns = quoteNames(index.columns, dialect)
  const name = quoteName(indexNameIn(index, dialect), dialect)
  return `create ${unique ? 'unique ' : ''}index ${name} on ${quoteName(table, dialect)} ${columns}`
}

/** What a table has that both databases say alike, and what one says by itself. */
interface Parts {
  /** The name that it is created under. */
  readonly created: string
  readonly columns: readonly string[]
  readonly keys: readonly string[]
  readonly end?: string
}

/** `create table` of a table that is called `table`, or will be at once. */
export function createTableSql(
  table: string,
  definition: TableState,
  dialect: DialectName,
  { created, columns, keys, end = '' }: Parts,
): string {
  const all = [
    ...columns,
    ...keys,
    ...Object.entries(definition.columns).flatMap(([name, column]) =>
      checkSql(table, name, column, dialect),
    ),
    ...(definition.foreignKeys ?? []).map((key) => foreignKeySql(key, dialect)),
  ]
  return `create table ${quoteName(created, dialect)} (\n  ${all.join(',\n  ')}\n)${end}`
}
