import { checkName } from '../schema/names.ts'
import type {
  ColumnState,
  DialectName,
  ForeignKeyState,
  IndexState,
  TableState,
} from '../schema/state.ts'

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

/**
 * A column as `create table` and `alter table … add column` say it, without the check of its `values`.
 *
 * @param collation of MySQL that a text has; default: that of its comparison
 */
export function columnSql(
  name: string,
  column: ColumnState,
  dialect: DialectName,
  collation?: string,
): string {
  return [quoteName(name, dialect), ...wordsOf(column, dialect, collation)].join(' ')
}

// SQLite numbers a column that is declared in exactly these words.
const SQLITE_GENERATED = 'integer primary key autoincrement'

function wordsOf(column: ColumnState, dialect: DialectName, collation?: string): string[] {
  if (column.generated && dialect === 'sqlite') return [SQLITE_GENERATED]
  const words = [typeSql(column, dialect), ...collationSql(column, dialect, collation)]
  // Behind its expression a computed column takes no word more.
  if (isComputed(column, dialect)) return words
  if (!column.nullable) words.push('not null')
  // Said, because MySQL's TIMESTAMP may not be null otherwise.
  else if (dialect === 'mysql') words.push('null')
  if (column.default !== undefined) words.push(`default ${defaultSql(column, dialect)}`)
  if (column.generated) words.push('auto_increment')
  return words
}

/** Whether the database computes it, so that no row can be given a value. */
export function isComputed({ type }: ColumnState, dialect: DialectName): boolean {
  return typeof type === 'object' && / as \(/i.test(type[dialect])
}

/** Whether it holds texts, which are compared in one way or another. */
export function isText({ type }: Pick<ColumnState, 'type'>): boolean {
  return typeof type === 'string' && /^(text|(var)?char\(\d+\))$/.test(type)
}

// The comments are none: MariaDB reads the first, MySQL the second. Both of `binary` tell case, accents and blanks at the end apart, as
// SQLite does by itself. A server that is too old for one has the collation of the table.
const COLLATIONS = {
  binary: '/*M! collate utf8mb4_nopad_bin *//*!80017 collate utf8mb4_0900_bin */',
  ignoreCase:
    '/*M!101001 collate utf8mb4_uca1400_nopad_as_ci *//*!80017 collate utf8mb4_0900_as_ci */',
} as const

/** The comparison that a collation of MySQL is made for; undefined where it is none of ours. */
export function comparisonOf(collation: string): keyof typeof COLLATIONS | undefined {
  if (/^utf8mb4_(nopad|0900)_bin$/.test(collation)) return 'binary'
  return /^utf8mb4_(uca1400_nopad|0900)_as_ci$/.test(collation) ? 'ignoreCase' : undefined
}

function collationSql(column: ColumnState, dialect: DialectName, collation?: string): string[] {
  if (!isText(column)) return []
  if (dialect === 'sqlite') return column.comparison === 'ignoreCase' ? ['collate nocase'] : []
  return [collation ? `collate ${collation}` : COLLATIONS[column.comparison ?? 'binary']]
}

// Where a type is not here, the databases call it what we call it.
const TYPES: Readonly<Record<DialectName, Readonly<Record<string, string>>>> = {
  mysql: {
    boolean: 'tinyint(1)',
    integer: 'int',
    text: 'longtext',
    time: 'time(3)',
    datetime: 'datetime(3)',
    uuid: 'char(36) character set ascii collate ascii_bin',
    blob: 'longblob',
  },
  sqlite: { double: 'double precision', datetime: 'datetime(3)', uuid: 'char(36)' },
}

function typeSql({ type }: ColumnState, dialect: DialectName): string {
  if (typeof type === 'object') return type[dialect]
  if (dialect === 'sqlite' && type.startsWith('decimal')) return sqliteDecimal(type)
  return TYPES[dialect][type] ?? type
}

/** How many digits a floating point number keeps of every decimal. */
const EXACT_DIGITS = 15

/**
 * A decimal in SQLite: a number, which it compares and sorts as such, as long as that is exact. A longer one is kept as it is written, by
 * a type with TEXT in its name.
 */
export function sqliteDecimal(type: string): string {
  return isExactDecimal(type) ? type : type.replace('decimal', 'decimal_text')
}

/** Whether SQLite keeps a decimal of this type as a number. */
export function isExactDecimal(type: string): boolean {
  return Number(/^decimal\((\d+)/.exec(type)?.[1] ?? Number.POSITIVE_INFINITY) <= EXACT_DIGITS
}

/** The default of a column as SQL says it; it has to have one. */
export function defaultSql(column: ColumnState, dialect: DialectName): string {
  if (typeof column.default === 'object') return column.default[dialect]
  const value = defaultValue(column, dialect)
  // MySQL takes an expression there, but no plain value.
  const expressionOnly = dialect === 'mysql' && /text|blob|json/i.test(typeSql(column, dialect))
  return expressionOnly ? `(${value})` : value
}

function defaultValue({ type, default: value }: ColumnState, dialect: DialectName): string {
  if (type === 'json') return quoteText(String(value), dialect)
  if (type === 'blob') return `x'${Buffer.from(String(value)).toString('hex')}'`
  if (type === 'datetime') return quoteText(instant(String(value), dialect), dialect)
  return typeof value === 'string' ? quoteText(value, dialect) : String(Number(value))
}

// As the drivers write a `Date`, so that what is compared as text on SQLite is alike.
function instant(text: string, dialect: DialectName): string {
  const date = new Date(`${text.replace(' ', 'T').replace(/Z$/, '')}Z`)
  if (Number.isNaN(date.getTime())) return text
  const iso = date.toISOString()
  return dialect === 'mysql' ? iso.replace('T', ' ').slice(0, -1) : iso
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

/** How texts of MySQL are compared: those of a table where nothing else is said, and those of some columns. */
export interface Collations {
  own?: string | undefined
  columns: Readonly<Record<string, string>>
}

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
