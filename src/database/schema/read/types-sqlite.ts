import { sqliteDecimal } from '../sql.ts'
import type { PerDialect, PortableType } from '../state.ts'

const PLAIN: Readonly<Record<string, PortableType>> = {
  boolean: 'boolean',
  bool: 'boolean',
  'tinyint(1)': 'boolean',
  tinyint: 'tinyint',
  smallint: 'smallint',
  integer: 'integer',
  int: 'integer',
  bigint: 'bigint',
  double: 'double',
  'double precision': 'double',
  real: 'double',
  float: 'double',
  text: 'text',
  date: 'date',
  time: 'time',
  datetime: 'datetime',
  timestamp: 'datetime',
  'char(36)': 'uuid',
  json: 'json',
  blob: 'blob',
}

/**
 * The portable type of a column that is declared so, or the SQL of each database where there is none.
 *
 * @param rest what comes behind the type: a collation, the expression that computes it
 */
export function sqliteType(declared: string, rest = ''): PortableType | PerDialect {
  const type = simplified(declared)
  const portable = portableType(type)
  if (portable && !rest) return portable
  return { sqlite: `${declared}${rest && ` ${rest}`}`.trim(), mysql: mysqlType(type, portable) }
}

function simplified(declared: string): string {
  return declared
    .toLowerCase()
    .replace(/\s+/g, ' ')
    .replace(/ ?([(,)]) ?/g, '$1')
    .replace(/^((?:small|big)?int|integer)\(\d+\)$/, '$1')
    .replace(/^(datetime|timestamp|time)\(\d\)$/, '$1')
    .trim()
}

function portableType(type: string): PortableType | undefined {
  if (PLAIN[type]) return PLAIN[type]
  if (/^(var)?char\(\d+\)$/.test(type)) return type as PortableType
  const [, precision, scale] = /^decimal(?:_text)?\((\d+),(\d+)\)$/.exec(type) ?? []
  const decimal = `decimal(${Number(precision)},${Number(scale)})` as const
  // Another one that is called so is kept, and compared, in another way.
  return sqliteDecimal(decimal) === type ? decimal : undefined
}

const MYSQL_TYPES: Readonly<Partial<Record<PortableType, string>>> = {
  boolean: 'tinyint(1)',
  integer: 'int',
  text: 'longtext',
  time: 'time(3)',
  datetime: 'datetime(3)',
  uuid: 'char(36) character set ascii collate ascii_bin',
  blob: 'longblob',
}

/** The nearest that MySQL has, by the rules that SQLite itself reads a type with. */
function mysqlType(type: string, portable: PortableType | undefined): string {
  if (portable) return MYSQL_TYPES[portable] ?? portable
  const decimal = /^(?:decimal|numeric)(?:_text)?\(\d+(?:,\d+)?\)/.exec(type)
  if (decimal) return decimal[0].replace('_text', '')
  if (/int/.test(type)) return 'bigint'
  const text = /(?:var)?char\(\d+\)$/.exec(type)
  if (text) return text[0]
  if (/char|clob|text/.test(type)) return 'longtext'
  if (/^(datetime|timestamp)/.test(type)) return 'datetime(3)'
  return type === '' || /blob/.test(type) ? 'longblob' : 'double'
}
