import type { ColumnState } from '../schema/state.ts'
import type { DialectName, PerDialect } from '../schema/types.ts'
import { canonicalDefault, numeric } from '../schema/types.ts'
import { quoteName } from './ddl.ts'
import { closing, isSymbol, isWord, type Token, tokenize, unwrap } from './sql-text.ts'

type Default = NonNullable<ColumnState['default']>

/**
 * The default of a column, from the SQL that says it; `undefined` where it is NULL.
 *
 * @param sql an expression: a text is in quotes
 */
export function readDefault(
  sql: string,
  type: ColumnState['type'],
  dialect: DialectName,
): Default | undefined {
  const all = tokenize(sql, { backslashes: dialect === 'mysql' })
  const tokens = withoutCharset(unwrap(all))
  const [first, second] = tokens
  if (tokens.length === 1 && first) {
    if (isWord(first, 'null')) return undefined
    if (isWord(first, 'true', 'false')) return canonicalDefault(first.text === 'true', type)
    if (first.kind === 'number') return canonicalDefault(numeric(first.text), type)
    // In double quotes it is a text, too, where SQLite finds no column of the name.
    if (first.kind === 'string' || first.kind === 'name') return canonicalDefault(first.text, type)
  }
  if (type === 'blob' && isWord(first, 'x') && second?.kind === 'string') {
    return Buffer.from(second.text, 'hex').toString()
  }
  if (tokens.length === 2 && second?.kind === 'number' && /^[+-]$/.test(first?.text ?? '')) {
    return canonicalDefault(numeric(`${first?.text === '-' ? '-' : ''}${second.text}`), type)
  }
  return expression(sql, all, type, dialect)
}

// MySQL 8 writes _utf8mb4'text'.
function withoutCharset(tokens: readonly Token[]): readonly Token[] {
  const [first, second] = tokens
  return first?.kind === 'word' && first.text.startsWith('_') && second?.kind === 'string'
    ? tokens.slice(1)
    : tokens
}

const NOW = new Set(['current_timestamp', 'now', 'localtime', 'localtimestamp'])

// As the kit writes them: SQLite's own current_timestamp sorts before all of these that are of the same day.
const SQLITE_NOW = "(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))"

const isInstant = (type: ColumnState['type']): boolean =>
  type === 'datetime' || (typeof type === 'object' && /^datetime\b/i.test(type.sqlite))

/** Bits as MySQL's driver reads them: bytes. SQLite has no literal of bits. */
function bytesOf(bits: string): string {
  const whole = bits.padStart(Math.max(8, Math.ceil(bits.length / 8) * 8), '0')
  const bytes = whole.match(/[01]{8}/g) ?? []
  return `x'${bytes.map((byte) => Number.parseInt(byte, 2).toString(16).padStart(2, '0')).join('')}'`
}

function expression(
  sql: string,
  all: readonly Token[],
  type: ColumnState['type'],
  dialect: DialectName,
): PerDialect {
  const tokens = unwrap(all)
  const text = sql.slice(tokens[0]?.start, tokens.at(-1)?.end)
  const [first] = tokens
  if (first?.kind === 'word' && NOW.has(first.text) && tokens.length <= 4) {
    const now = type === 'datetime' ? 'current_timestamp(3)' : 'current_timestamp'
    return {
      mysql: dialect === 'mysql' ? text : now,
      sqlite: dialect === 'mysql' && isInstant(type) ? SQLITE_NOW : 'current_timestamp',
    }
  }
  if (isWord(first, 'b') && tokens.length === 2 && tokens[1]?.kind === 'string')
    return { mysql: text, sqlite: bytesOf(tokens[1].text) }
  // Literals such as b'0' and x'00', and words such as current_date, need no parentheses; MySQL wants none around b'0'.
  const isBare = tokens.length === 1 || (tokens.length === 2 && tokens[1]?.kind === 'string')
  const own = isBare ? text : `(${text})`
  return { mysql: own, sqlite: own }
}

/** A check that a column has one of these values. */
interface ValuesCheck {
  column: string
  values: string[]
}

/** Reads `"kind" in ('town', 'city')`, or `=` as MariaDB writes it for one; `undefined` for any other condition. */
export function readValues(
  condition: string,
  options?: { backslashes?: boolean },
): ValuesCheck | undefined {
  const tokens = unwrap(tokenize(condition, options)).filter(
    ({ kind, text }) => !(kind === 'word' && text.startsWith('_utf8')),
  )
  const [column, word, open, ...list] = tokens
  if (column?.kind !== 'name' && column?.kind !== 'word') return undefined
  if (isSymbol(word, '=') && open?.kind === 'string' && list.length === 0) {
    return { column: column.text, values: [open.text] }
  }
  const close = list.pop()
  if (!isWord(word, 'in') || !isSymbol(open, '(') || !isSymbol(close, ')')) return undefined
  const fits = list.every((token, i) =>
    i % 2 === 0 ? token.kind === 'string' : isSymbol(token, ','),
  )
  if (!fits || list.length % 2 === 0) return undefined
  const values = list.filter(({ kind }) => kind === 'string').map(({ text }) => text)
  return { column: column.text, values }
}

// ---- what computed columns are computed from

/** The names in the expression of a computed column that may be those of columns; of any other type none. */
function namesIn(type: string, dialect: DialectName): Token[] {
  const tokens = tokenize(type, { backslashes: dialect === 'mysql' })
  const open = tokens.findIndex((one, i) => isSymbol(one, '(') && isWord(tokens[i - 1], 'as'))
  if (open < 0) return []
  return tokens.slice(open + 1, closing(tokens, open)).filter(({ kind, start }, i, all) => {
    // In double quotes it is a text to MySQL; what has parentheses behind it is a function.
    if (kind === 'name') return dialect === 'sqlite' || type[start] === '`'
    return kind === 'word' && !isSymbol(all[i + 1], '(')
  })
}

const isNamed = (name: string) => (token: Token) => token.text.toLowerCase() === name.toLowerCase()

/** Whether a column is computed from another of its table. */
export function isComputedFrom({ type }: ColumnState, column: string): boolean {
  if (typeof type !== 'object') return false
  return (['mysql', 'sqlite'] as const).some((one) => namesIn(type[one], one).some(isNamed(column)))
}

/** A column as it is when another of its table has got another name. */
export function withRenamed(column: ColumnState, from: string, to: string): ColumnState {
  if (!isComputedFrom(column, from)) return column
  const type = column.type as PerDialect
  const renamed = (dialect: DialectName) =>
    namesIn(type[dialect], dialect)
      .filter(isNamed(from))
      .reduceRight(
        (sql, { start, end }) => sql.slice(0, start) + quoteName(to, dialect) + sql.slice(end),
        type[dialect],
      )
  return { ...column, type: { mysql: renamed('mysql'), sqlite: renamed('sqlite') } }
}
