import { type Kysely, type RawBuilder, sql } from 'kysely'
import { checkName, foreignKeyName, uniqueName } from '../../schema/names.ts'
import type { ColumnState, ReferenceAction, TableState } from '../../schema/state.ts'
import {
  isText,
  type PerDialect,
  type PortableType,
  portableType,
  typeSql,
} from '../../schema/types.ts'
import { type Draft, emptyDraft, finished, leaveOut, type ReadSchema } from '../introspect.ts'
import {
  closing,
  isSymbol,
  isWord,
  readDefault,
  readValues,
  type Token,
  tokenize,
} from '../sql-text.ts'

interface Entry {
  type: 'table' | 'view' | 'trigger' | 'index'
  /** Of a table: `virtual`, or `shadow`, which a virtual one keeps its rows in. */
  kind: string | null
  name: string
  table: string
  sql: string | null
}

interface Column {
  table: string
  name: string
  type: string
  notnull: number
  default: string | null
  /** Its place in the primary key, from 1; 0: none. */
  pk: number
  /** 2, 3: computed. */
  hidden: number
}

interface IndexColumn {
  table: string
  index: string
  unique: number
  /** `c`: made by CREATE INDEX, `u`: by UNIQUE, `pk`. */
  origin: string
  partial: number
  /** null for an expression. */
  column: string | null
  desc: number
  coll: string | null
}

interface KeyColumn {
  table: string
  id: number
  target: string
  from: string
  /** null: the primary key of the target. */
  to: string | null
  onUpdate: string
  onDelete: string
}

const ENTRIES = sql<Entry>`
  select s.type, l.type as kind, s.name, s.tbl_name as "table", s.sql
  from sqlite_schema s left join pragma_table_list l on l.name = s.name and l.schema = 'main'
  order by s.name`

const COLUMNS = sql<Column>`
  select m.name as "table", c.name, c.type, c."notnull", c.dflt_value as "default", c.pk, c.hidden
  from sqlite_schema m join pragma_table_xinfo(m.name) c
  where m.type = 'table' order by m.name, c.cid`

const INDEXES = sql<IndexColumn>`
  select m.name as "table", l.name as "index", l."unique", l.origin, l.partial, x.name as "column", x."desc", x.coll
  from sqlite_schema m join pragma_index_list(m.name) l join pragma_index_xinfo(l.name) x
  where m.type = 'table' and x."key" = 1 order by m.name, l.name, x.seqno`

// The ids count from the last one of the text.
const FOREIGN_KEYS = sql<KeyColumn>`
  select m.name as "table", k.id, k."table" as target, k."from", k."to", k.on_update as "onUpdate", k.on_delete as "onDelete"
  from sqlite_schema m join pragma_foreign_key_list(m.name) k
  where m.type = 'table' order by m.name, k.id desc, k.seq`

/** One table of SQLite while it is being read. */
class SqliteTable {
  readonly draft: Draft = emptyDraft()
  readonly #name: string
  readonly #text: CreateTable
  readonly #notes: string[]

  constructor(name: string, text: CreateTable, notes: string[]) {
    this.#name = name
    this.#text = text
    this.#notes = notes
    for (const extra of text.extras) this.#note(`${extra} is not kept`)
  }

  readColumns(columns: readonly Column[]): void {
    for (const column of columns) this.draft.columns[column.name] = this.#column(column)
    this.draft.primaryKey = columns
      .filter(({ pk }) => pk > 0)
      .toSorted((a, b) => a.pk - b.pk)
      .map(({ name }) => name)
    for (const { name, pk, notnull, type } of columns) {
      const isRowid = type.toLowerCase() === 'integer' && this.draft.primaryKey.length === 1
      const said = this.#text.columns.get(name.toLowerCase())
      if (pk === 0 || said?.autoincrement) continue
      if (isRowid && said?.primaryKey) {
        this.#note(`${name} is numbered by SQLite without autoincrement, which a model cannot say`)
      } else if (!isRowid && !notnull) {
        this.#note(`${name} is a primary key that SQLite lets be null; a model does not`)
      }
    }
  }

  #column({ name, type, notnull, default: text }: Column): ColumnState {
    const said = this.#text.columns.get(name.toLowerCase())
    const collate = said?.collate && said.collate.toLowerCase() !== 'binary'
    // pragma_table_xinfo has `generated always` in the type of a computed column.
    const declared = type.replace(/\s*generated always$/i, '')
    const isCase = said?.collate?.toLowerCase() === 'nocase' && !said.generated
    const ignoresCase = isCase && isText(sqliteType(declared))
    const own = collate && !ignoresCase && `collate ${said.collate}`
    const rest = [said?.generated, own].filter(Boolean).join(' ')
    const read = sqliteType(declared, rest)
    const value = text === null ? undefined : readDefault(text, read, 'sqlite')
    return {
      type: read,
      ...(!notnull && { nullable: true }),
      ...(value !== undefined && { default: value }),
      ...(ignoresCase && { comparison: 'ignoreCase' as const }),
      ...(said?.autoincrement && { generated: true }),
    }
  }

  readIndexes(columns: readonly IndexColumn[]): void {
    const indexes = Map.groupBy(columns, ({ index }) => index)
    for (const [name, parts] of indexes) {
      const [{ unique, origin, partial }] = parts as [IndexColumn]
      if (origin === 'pk') continue
      const what = partial
        ? 'has a condition'
        : (parts.map((part) => this.#oddity(part)).find(Boolean) ?? undefined)
      if (what) {
        this.#note(`the index ${name} ${what} and is left out`)
        continue
      }
      const names = parts.map(({ column }) => column as string)
      const own = origin === 'u' ? uniqueName(this.#name, names) : name
      this.draft[unique ? 'unique' : 'indexes'].push({ name: own, columns: names })
    }
  }

  #oddity({ column, desc, coll }: IndexColumn): string | undefined {
    if (column === null) return 'is on an expression'
    if (desc) return 'is descending'
    const own = this.#text.columns.get(column.toLowerCase())?.collate ?? 'binary'
    return coll?.toLowerCase() === own.toLowerCase() ? undefined : `has the collation ${coll}`
  }

  readForeignKeys(rows: readonly KeyColumn[], columns: Map<string, Column[]>): void {
    const keys = [...Map.groupBy(rows, ({ id }) => id).values()]
    for (const [index, parts] of keys.entries()) {
      const [{ target, onDelete, onUpdate }] = parts as [KeyColumn]
      const own = parts.map(({ from }) => from)
      const primaryKey = (columns.get(target) ?? [])
        .filter(({ pk }) => pk > 0)
        .toSorted((a, b) => a.pk - b.pk)
      const name = this.#text.foreignKeys[index] ?? foreignKeyName(this.#name, own)
      this.draft.foreignKeys.push({
        name,
        columns: own,
        table: target,
        references: parts.map(({ to }, i) => to ?? primaryKey[i]?.name ?? ''),
        ...this.#action('onDelete', name, onDelete),
        ...this.#action('onUpdate', name, onUpdate),
      })
    }
  }

  #action(key: 'onDelete' | 'onUpdate', name: string, action: string) {
    const lower = action.toLowerCase()
    if (lower === 'restrict') return {}
    if (lower !== 'set default') return { [key]: lower as ReferenceAction }
    this.#note(`the foreign key ${name} sets the default, which is read as no action`)
    return { [key]: 'no action' as const }
  }

  readChecks(): void {
    for (const { name, sql } of this.#text.checks) {
      const found = readValues(sql, 'sqlite')
      const column = Object.keys(this.draft.columns).find(
        (column) => column.toLowerCase() === found?.column.toLowerCase(),
      )
      const state = column === undefined ? undefined : this.draft.columns[column]
      if (found && column !== undefined && state && !state.values) {
        this.draft.columns[column] = { ...state, values: found.values }
        if (name === checkName(this.#name, column)) continue
        this.#note(`the check of ${column} is read as its values and gets a name of its own`)
      } else {
        this.#note(`the check ${name ? `${name} ` : ''}(${sql}) is left out`)
      }
    }
  }

  #note(text: string): void {
    this.#notes.push(`${this.#name}: ${text}`)
  }
}

/** Reads a schema of SQLite: from its pragmas, and from the text of its tables what those do not tell. */
export async function readSqlite(
  db: Kysely<unknown>,
  isWanted: (table: string) => boolean,
): Promise<ReadSchema> {
  const { rows: entries } = await ENTRIES.execute(db)
  const columns = await rowsOf(COLUMNS, db)
  const indexes = await rowsOf(INDEXES, db)
  const keys = await rowsOf(FOREIGN_KEYS, db)
  const schema: Record<string, TableState> = {}
  const read: ReadSchema = { schema, notes: [], unmanaged: {} }
  for (const { type, kind, name, table, sql } of entries.filter((entry) => isWanted(entry.table))) {
    const other = type === 'table' && kind === 'virtual' ? 'virtual table' : type
    if (other !== 'table' && other !== 'index')
      leaveOut(read, other, name, type === 'trigger' ? table : undefined)
    if (type !== 'table' || kind !== 'table') continue
    const reader = new SqliteTable(name, parseCreateTable(sql ?? ''), read.notes)
    reader.readColumns(columns.get(name) ?? [])
    reader.readIndexes(indexes.get(name) ?? [])
    reader.readForeignKeys(keys.get(name) ?? [], columns)
    reader.readChecks()
    schema[name] = finished(reader.draft)
  }
  return read
}

/** By the table that they belong to. */
async function rowsOf<T extends { table: string }>(query: RawBuilder<T>, db: Kysely<unknown>) {
  return Map.groupBy((await query.execute(db)).rows, ({ table }) => table)
}

/**
 * The portable type of a column that is declared so, or the SQL of each database where there is none.
 *
 * @param rest what comes behind the type: a collation, the expression that computes it
 */
export function sqliteType(declared: string, rest = ''): PortableType | PerDialect {
  const type = simplified(declared)
  const portable = portableType(type, 'sqlite')
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

/** The nearest that MySQL has, by the rules that SQLite itself reads a type with. */
function mysqlType(type: string, portable: PortableType | undefined): string {
  if (portable) return typeSql(portable, 'mysql')
  const decimal = /^(?:decimal|numeric)(?:_text)?\(\d+(?:,\d+)?\)/.exec(type)
  if (decimal) return decimal[0].replace('_text', '')
  if (/int/.test(type)) return 'bigint'
  const text = /(?:var)?char\(\d+\)$/.exec(type)
  if (text) return text[0]
  if (/char|clob|text/.test(type)) return 'longtext'
  if (/^(datetime|timestamp)/.test(type)) return 'datetime(3)'
  return type === '' || /blob/.test(type) ? 'longblob' : 'double'
}

/** What the text of a CREATE TABLE tells that no pragma of SQLite does. */
interface CreateTable {
  /** By the column's name in lower case. */
  columns: Map<string, CreateColumn>
  checks: Condition[]
  /** The names of the foreign keys, in the order of the text. */
  foreignKeys: (string | undefined)[]
  /** What no schema of ours can say: `deferrable`, `on conflict`, `strict`. */
  extras: string[]
}

interface CreateColumn {
  autoincrement?: true
  /** Whether the primary key is said with the column and not with the table. */
  primaryKey?: true
  collate?: string
  /** `generated always as (…) stored` */
  generated?: string
}

interface Condition {
  name?: string | undefined
  /** Without its parentheses. */
  sql: string
}

/** Reads the text that SQLite keeps of a table. */
export function parseCreateTable(sql: string): CreateTable {
  const tokens = tokenize(sql, 'sqlite')
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
