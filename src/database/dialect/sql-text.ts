import type { ColumnState } from '../schema/state.ts'
import {
  canonicalDefault,
  type DialectName,
  NOW,
  numeric,
  type PerDialect,
} from '../schema/types.ts'
import { quoteName, quoteText } from './ddl.ts'

/** A piece of SQL. `text` is what it stands for: a string without its quotes, an unquoted word in lower case. */
export interface Token {
  readonly kind: 'word' | 'name' | 'string' | 'number' | 'symbol'
  readonly text: string
  /** Where it is in the SQL. */
  readonly start: number
  readonly end: number
}

const SKIP = /(?:\s|--[^\n]*|\/\*[\s\S]*?\*\/)+/y

type Pattern = readonly [kind: Token['kind'], pattern: RegExp, read: (text: string) => string]

/** What a token may be. What stands in quotes is a group. */
const PATTERNS: Readonly<Record<DialectName, readonly Pattern[]>> = {
  mysql: patterns(/'((?:[^'\\]|''|\\[\s\S])*)'/y, (text) =>
    text.replace(/''|\\([\s\S])/g, (_, escaped?: string) =>
      escaped === undefined ? "'" : (ESCAPES[escaped] ?? escaped),
    ),
  ),
  sqlite: patterns(/'((?:[^']|'')*)'/y, (text) => text.replaceAll("''", "'")),
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', 0: '\0', Z: '\x1a' }

function patterns(string: RegExp, read: Pattern[2]): Pattern[] {
  const names = [/"((?:[^"]|"")*)"/y, /`((?:[^`]|``)*)`/y, /\[([^\]]*)\]/y]
  return [
    ['string', string, read],
    ...names.map((name): Pattern => ['name', name, (text) => text.replace(/(["`])\1/g, '$1')]),
    ['number', /0x[\da-f]+|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?/iy, (text) => text],
    ['word', /[\p{L}_$][\p{L}\p{M}\p{N}_$]*/uy, (text) => text.toLowerCase()],
  ]
}

/** Cuts SQL into its tokens, comments left out. */
export function tokenize(sql: string, dialect: DialectName): Token[] {
  const tokens: Token[] = []
  let start = 0
  while (start < sql.length) {
    start += matchAt(SKIP, sql, start)?.[0].length ?? 0
    if (start === sql.length) break
    const token = next(sql, start, dialect)
    tokens.push(token)
    start = token.end
  }
  return tokens
}

/** The tokens without the parentheses around all of them. */
export function unwrap(tokens: readonly Token[]): readonly Token[] {
  return isSymbol(tokens[0], '(') && closing(tokens, 0) === tokens.length - 1
    ? unwrap(tokens.slice(1, -1))
    : tokens
}

/** The index of the parenthesis that closes the one at `open`, or of the end. */
export function closing(tokens: readonly Token[], open: number): number {
  let depth = 0
  for (let i = open; i < tokens.length; i++) {
    if (isSymbol(tokens[i], '(')) depth += 1
    if (isSymbol(tokens[i], ')')) depth -= 1
    if (depth === 0) return i
  }
  return tokens.length
}

export function isSymbol(token: Token | undefined, text: string): boolean {
  return token?.kind === 'symbol' && token.text === text
}

export function isWord(token: Token | undefined, ...texts: readonly string[]): boolean {
  return token?.kind === 'word' && texts.includes(token.text)
}

/** SQL in a form that two spellings of the same have in common: for comparing, not for running. */
export function spelled(sql: string, dialect: DialectName): string {
  return (
    unwrap(tokenize(sql, dialect))
      .map(({ kind, text }) => (kind === 'string' ? quoteText(text, dialect) : text.toLowerCase()))
      .join(' ')
      .replace(/\b(current_timestamp|now) \( \)/g, 'current_timestamp')
      // As MariaDB calls them, whatever they were called.
      .replace(/\blcase \(/g, 'lower (')
      .replace(/\bucase \(/g, 'upper (')
  )
}

function next(sql: string, start: number, dialect: DialectName): Token {
  for (const [kind, pattern, read] of PATTERNS[dialect]) {
    const match = matchAt(pattern, sql, start)
    if (!match) continue
    const [whole, inner = whole] = match
    return { kind, text: read(inner), start, end: start + whole.length }
  }
  return { kind: 'symbol', text: sql[start] as string, start, end: start + 1 }
}

function matchAt(pattern: RegExp, text: string, start: number): RegExpExecArray | null {
  pattern.lastIndex = start
  return pattern.exec(text)
}

// ---- what expressions say

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
  const all = tokenize(sql, dialect)
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

const NOW_WORDS = new Set(['current_timestamp', 'now', 'localtime', 'localtimestamp'])

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
  if (first?.kind === 'word' && NOW_WORDS.has(first.text) && tokens.length <= 4) {
    const now = type === 'datetime' ? 'current_timestamp(3)' : 'current_timestamp'
    return {
      mysql: dialect === 'mysql' ? text : now,
      sqlite: dialect === 'mysql' && isInstant(type) ? NOW.sqlite : 'current_timestamp',
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
export function readValues(condition: string, dialect: DialectName): ValuesCheck | undefined {
  const tokens = unwrap(tokenize(condition, dialect)).filter(
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
  const tokens = tokenize(type, dialect)
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
