import { closing, isSymbol, isWord, type Token, tokenize } from '../sql-text.ts'

/** What the text of a CREATE TABLE tells that no pragma of SQLite does. */
export interface CreateTable {
  /** By the column's name in lower case. */
  columns: Map<string, CreateColumn>
  checks: Condition[]
  /** The names of the foreign keys, in the order of the text. */
  foreignKeys: (string | undefined)[]
  /** What no schema of ours can say: `deferrable`, `on conflict`, `strict`. */
  extras: string[]
}

export interface CreateColumn {
  autoincrement?: true
  /** Whether the primary key is said with the column and not with the table. */
  primaryKey?: true
  collate?: string
  /** `generated always as (…) stored` */
  generated?: string
}

export interface Condition {
  name?: string | undefined
  /** Without its parentheses. */
  sql: string
}

/** Reads the text that SQLite keeps of a table. */
export function parseCreateTable(sql: string): CreateTable {
  const tokens = tokenize(sql)
  const open = tokens.findIndex((token) => isSymbol(token, '('))
  const close = closing(tokens, open)
  const table: CreateTable = { columns: new Map(), checks: [], foreignKeys: [], extras: [] }
  for (const definition of split(tokens.slice(open + 1, close))) {
    new Definition(sql, definition, table).read()
  }
  const behind = tokens.slice(close + 1).map(({ text }) => text)
  if (behind.includes('strict')) table.extras.push('strict')
  if (behind.includes('rowid')) table.extras.push('without rowid')
  return table
}

/** Cuts at the commas that are in no parentheses. */
function split(tokens: readonly Token[]): Token[][] {
  const parts: Token[][] = [[]]
  for (let i = 0; i < tokens.length; i++) {
    if (isSymbol(tokens[i], ',')) {
      parts.push([])
      continue
    }
    const end = isSymbol(tokens[i], '(') ? closing(tokens, i) : i
    parts.at(-1)?.push(...tokens.slice(i, end + 1))
    i = end
  }
  return parts
}

const TABLE_CLAUSES = ['constraint', 'primary', 'unique', 'check', 'foreign']

/** One entry of the list: a column with its clauses, or clauses of the table. */
class Definition {
  readonly #sql: string
  readonly #tokens: readonly Token[]
  readonly #table: CreateTable
  readonly #column: CreateColumn = {}
  #name: string | undefined

  constructor(sql: string, tokens: readonly Token[], table: CreateTable) {
    this.#sql = sql
    this.#tokens = tokens
    this.#table = table
  }

  read(): void {
    const [first] = this.#tokens
    const isColumn = !isWord(first, ...TABLE_CLAUSES)
    if (first && isColumn) this.#table.columns.set(first.text.toLowerCase(), this.#column)
    for (let i = isColumn ? 1 : 0; i < this.#tokens.length; i++) {
      i = isSymbol(this.#tokens[i], '(') ? closing(this.#tokens, i) : this.#clause(i)
    }
  }

  /** Reads what begins at `i`; returns the index of its last token. */
  #clause(i: number): number {
    const token = this.#tokens[i]
    if (token?.kind !== 'word') return i
    const name = this.#name
    switch (token.text) {
      case 'constraint':
        this.#name = this.#tokens[i + 1]?.text
        return i + 1
      // It is counted where its `references` comes.
      case 'foreign':
        return i
      case 'references':
        this.#table.foreignKeys.push(name)
        break
      case 'check':
        this.#table.checks.push({ name, sql: this.#group(i + 1) })
        break
      case 'primary':
        this.#column.primaryKey = true
        break
      case 'autoincrement':
        this.#column.autoincrement = true
        return i
      case 'collate':
        this.#column.collate = this.#tokens[i + 1]?.text ?? ''
        this.#name = undefined
        return i + 1
      case 'as':
        this.#column.generated = this.#generated(i)
        break
      case 'conflict':
        this.#table.extras.push(`on conflict ${this.#tokens[i + 1]?.text}`)
        return i + 1
      case 'deferrable':
        if (!isWord(this.#tokens[i - 1], 'not')) this.#table.extras.push('a deferrable foreign key')
        return i
      // Followed by words that begin clauses elsewhere: `on delete set null`.
      case 'unique':
      case 'not':
      case 'default':
        break
      default:
        return i
    }
    this.#name = undefined
    return i
  }

  /** The text between the parentheses that open at `i`. */
  #group(i: number): string {
    const end = closing(this.#tokens, i)
    return this.#sql.slice(this.#tokens[i]?.end, this.#tokens[end]?.start).trim()
  }

  #generated(i: number): string {
    const stored = this.#tokens.some((token) => isWord(token, 'stored'))
    return `generated always as (${this.#group(i + 1)}) ${stored ? 'stored' : 'virtual'}`
  }
}
