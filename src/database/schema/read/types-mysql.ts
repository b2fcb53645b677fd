import { sqliteDecimal } from '../sql.ts'
import type { PerDialect, PortableType } from '../state.ts'

/** How a column of MySQL is declared, apart from its default. */
export interface MysqlDeclaration {
  /** As the server has it: `int(10) unsigned`. */
  type: string
  charset: string | null
  collation: string | null
  /** Whether the collation is the table's own and its character set utf8mb4. */
  isUsual: boolean
  /** MariaDB's JSON: a text with a check. */
  isJson?: boolean
  /** What comes behind the type: `generated always as (…)`, `on update current_timestamp()`. */
  rest: string
}

const PLAIN: Readonly<Record<string, PortableType>> = {
  'tinyint(1)': 'boolean',
  tinyint: 'tinyint',
  smallint: 'smallint',
  int: 'integer',
  bigint: 'bigint',
  double: 'double',
  date: 'date',
  'time(3)': 'time',
  'datetime(3)': 'datetime',
  json: 'json',
  longblob: 'blob',
}

const OF_TEXT = /^(longtext|(?:var)?char\(\d+\))$/

/** The portable type, or the SQL of each database where there is none. */
export function mysqlType(declaration: MysqlDeclaration): PortableType | PerDialect {
  const type = withoutWidth(declaration.type)
  const { charset, collation, isUsual, isJson, rest } = declaration
  if (!rest) {
    if (isJson) return 'json'
    const decimal = /^decimal\((\d+),(\d+)\)$/.exec(type)
    if (decimal) return `decimal(${Number(decimal[1])},${Number(decimal[2])})`
    if (PLAIN[type]) return PLAIN[type]
    if (type === 'char(36)' && collation === 'ascii_bin') return 'uuid'
    if (OF_TEXT.test(type) && isUsual) return type === 'longtext' ? 'text' : (type as PortableType)
  }
  const text = charset && !isUsual ? ` character set ${charset} collate ${collation}` : ''
  const sqlite = sqliteType(type)
  return { mysql: `${type}${text}${rest && ` ${rest}`}`, sqlite }
}

// Widths are for showing and newer servers leave them out, but for tinyint(1) and what is filled with zeros.
function withoutWidth(type: string): string {
  if (type === 'tinyint(1)' || type.endsWith('zerofill')) return type
  return type.replace(/^((?:tiny|small|medium|big)?int|year)\(\d+\)/, '$1')
}

const SQLITE_TYPES: readonly (readonly [RegExp, string])[] = [
  [/^tinyint\(1\)/, 'boolean'],
  [/^(tiny|small)int/, 'integer'],
  [/^year/, 'smallint'],
  [/^mediumint/, 'integer'],
  [/^(big)?int/, 'bigint'],
  [/^(double|float|real)/, 'double precision'],
  [/^(datetime|timestamp)/, 'datetime(3)'],
  [/^date/, 'date'],
  [/^time/, 'time'],
  [/^json/, 'json'],
  [/^(enum|set|.*text|uuid|inet)/, 'text'],
]

/** The nearest that SQLite has. */
function sqliteType(type: string): string {
  const decimal = /^decimal\((\d+),(\d+)\)/.exec(type)
  if (decimal) return sqliteDecimal(`decimal(${decimal[1]},${decimal[2]})`)
  const text = /^(?:var)?char\(\d+\)/.exec(type)
  if (text) return text[0]
  return SQLITE_TYPES.find(([pattern]) => pattern.test(type))?.[1] ?? 'blob'
}
