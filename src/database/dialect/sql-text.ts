/** A piece of SQL. `text` is what it stands for: a string without its quotes, an unquoted word in lower case. */
export interface Token {
  readonly kind: 'word' | 'name' | 'string' | 'number' | 'symbol'
  readonly text: string
  /** Where it is in the SQL. */
  readonly start: number
  readonly end: number
}

const SKIP = /(?:\s|--[^\n]*|\/\*[\s\S]*?\*\/)+/y

const STRINGS = { doubled: /'((?:[^']|'')*)'/y, backslashes: /'((?:[^'\\]|''|\\[\s\S])*)'/y }

const NAMES = [/"((?:[^"]|"")*)"/y, /`((?:[^`]|``)*)`/y, /\[([^\]]*)\]/y]
const NUMBER = /0x[\da-f]+|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?/iy
const WORD = /[\p{L}_$][\p{L}\p{M}\p{N}_$]*/uy

/**
 * Cuts SQL into its tokens, comments left out.
 *
 * @param options `backslashes`: whether they escape in strings, as MySQL has it
 */
export function tokenize(sql: string, { backslashes = false } = {}): Token[] {
  const tokens: Token[] = []
  let start = 0
  while (start < sql.length) {
    start += matchAt(SKIP, sql, start)?.[0].length ?? 0
    if (start === sql.length) break
    const token = next(sql, start, backslashes)
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
export function spelled(sql: string, options: { backslashes?: boolean } = {}): string {
  const quoted = (text: string) =>
    `'${(options.backslashes ? text.replaceAll('\\', '\\\\') : text).replaceAll("'", "''")}'`
  return (
    unwrap(tokenize(sql, options))
      .map(({ kind, text }) => (kind === 'string' ? quoted(text) : text.toLowerCase()))
      .join(' ')
      .replace(/\b(current_timestamp|now) \( \)/g, 'current_timestamp')
      // As MariaDB calls them, whatever they were called.
      .replace(/\blcase \(/g, 'lower (')
      .replace(/\bucase \(/g, 'upper (')
  )
}

function next(sql: string, start: number, backslashes: boolean): Token {
  const of = (kind: Token['kind'], match: RegExpExecArray, text: string): Token => ({
    kind,
    text,
    start,
    end: start + match[0].length,
  })
  const string = matchAt(backslashes ? STRINGS.backslashes : STRINGS.doubled, sql, start)
  if (string) return of('string', string, unescaped(string[1] as string, backslashes))
  for (const pattern of NAMES) {
    const name = matchAt(pattern, sql, start)
    if (name) return of('name', name, (name[1] as string).replace(/(["`])\1/g, '$1'))
  }
  const number = matchAt(NUMBER, sql, start)
  if (number) return of('number', number, number[0])
  const word = matchAt(WORD, sql, start)
  if (word) return of('word', word, word[0].toLowerCase())
  return { kind: 'symbol', text: sql[start] as string, start, end: start + 1 }
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', 0: '\0', Z: '\x1a' }

function unescaped(text: string, backslashes: boolean): string {
  if (!backslashes) return text.replaceAll("''", "'")
  return text.replace(/''|\\([\s\S])/g, (_, escaped?: string) =>
    escaped === undefined ? "'" : (ESCAPES[escaped] ?? escaped),
  )
}

function matchAt(pattern: RegExp, text: string, start: number): RegExpExecArray | null {
  pattern.lastIndex = start
  return pattern.exec(text)
}
