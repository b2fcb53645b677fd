import type { Kysely } from 'kysely'
import { checkName } from '../../schema/names.ts'
import type { ColumnState, ReferenceAction, SchemaState } from '../../schema/state.ts'
import {
  isText,
  type PerDialect,
  type PortableType,
  portableType,
  sqliteDecimal,
} from '../../schema/types.ts'
import { readDefault, readValues } from '../expressions.ts'
import { spelled } from '../sql-text.ts'
import { type Draft, emptyDraft, finished, type ReadSchema } from '../table-draft.ts'
import {
  type Catalogue,
  type ColumnRow,
  type ForeignKeyRow,
  fetchCatalogue,
  type IndexRow,
  type TableRow,
} from './catalogue.ts'
import { comparisonOf } from './ddl.ts'

const BACKSLASHES = { backslashes: true }

/** One table of MySQL while it is being read. */
export class MysqlTable {
  readonly draft: Draft = emptyDraft()
  readonly #table: TableRow
  readonly #found: Catalogue
  readonly #notes: string[]

  constructor(table: TableRow, found: Catalogue, notes: string[]) {
    this.#table = table
    this.#found = found
    this.#notes = notes
    this.#noteOptions()
  }

  #noteOptions(): void {
    const { engine, collation, options, comment } = this.#table
    const { ownCollation } = this.#found
    if (engine !== 'InnoDB') this.#note(`the engine ${engine} becomes InnoDB`)
    if (collation !== ownCollation)
      this.#note(`the collation ${collation} becomes ${ownCollation} in a new table`)
    if (options?.includes('partitioned')) this.#note('its partitions are left out')
    if (comment) this.#note(`the comment '${comment}' is left out`)
  }

  readColumns(): void {
    for (const row of this.#own(this.#found.columns)) {
      this.draft.columns[row.name] = this.#column(row)
      if (row.comment) this.#note(`the comment '${row.comment}' of ${row.name} is left out`)
      if (/invisible/i.test(row.extra)) this.#note(`${row.name} becomes visible`)
    }
  }

  #column(row: ColumnRow): ColumnState {
    const comparison = comparisonOf(row.collation ?? '')
    const type = mysqlType({
      ...row,
      isUsual:
        row.charset === 'utf8mb4' &&
        (row.collation === this.#table.collation || comparison !== undefined),
      isJson: row.type === 'json' || this.#isJson(row),
      rest: this.#rest(row),
    })
    const value = this.#without(row.name, this.#default(row, type))
    return {
      type,
      ...(row.nullable === 'YES' && { nullable: true }),
      ...(value !== undefined && { default: value }),
      ...(comparison === 'ignoreCase' && isText(type) && { comparison }),
      ...(row.extra === 'auto_increment' && this.#isPrimaryKey(row) && { generated: true }),
    }
  }

  /** MariaDB's JSON is a longtext with a check. */
  #isJson({ name, type, collation }: ColumnRow): boolean {
    return (
      type === 'longtext' &&
      collation === 'utf8mb4_bin' &&
      this.#own(this.#found.checks).some(({ clause }) => isJsonCheck(clause, name))
    )
  }

  #isPrimaryKey({ name }: ColumnRow): boolean {
    const key = this.#own(this.#found.indexes).filter(({ index }) => index === 'PRIMARY')
    return key.length === 1 && key[0]?.column === name
  }

  #rest(row: ColumnRow): string {
    const { extra, expression } = row
    if (extra === 'auto_increment') return this.#isPrimaryKey(row) ? '' : extra
    const kind = /(virtual|stored) generated/i.exec(extra)?.[1]?.toLowerCase()
    if (kind && expression) return `generated always as (${this.#plain(expression)}) ${kind}`
    return /on update \S+/i.exec(extra)?.[0].toLowerCase() ?? ''
  }

  #default(row: ColumnRow, type: ColumnState['type']): ColumnState['default'] | undefined {
    const { default: text, extra } = row
    if (text === null || /virtual|stored/i.test(extra)) return undefined
    if (this.#found.isMariadb) return readDefault(text, type, 'mysql')
    if (/default_generated/i.test(extra)) return readDefault(this.#plain(text), type, 'mysql')
    // MySQL has a literal without its quotes.
    const isBare = /^(tinyint|smallint|mediumint|int|bigint|decimal|float|double|year|bit)/.test(
      row.type,
    )
    return readDefault(isBare ? text : `'${text.replace(/['\\]/g, '\\$&')}'`, type, 'mysql')
  }

  /** No table can be made with a date of zeros for a default any more: the mode of each session refuses it. */
  #without(column: string, value: ColumnState['default']): ColumnState['default'] {
    if (typeof value !== 'string' || !/^0000-00-00/.test(value)) return value
    this.#note(`the default '${value}' of ${column} is left out`)
    return undefined
  }

  // MySQL escapes the quotes within an expression once more than it is written.
  #plain(expression: string): string {
    return this.#found.isMariadb ? expression : expression.replace(/\\([\s\S])/g, '$1')
  }

  readIndexes(): void {
    const indexes = Map.groupBy(this.#own(this.#found.indexes), ({ index }) => index)
    for (const [name, parts] of indexes) {
      const what = parts.map(oddity).find(Boolean)
      if (what) {
        this.#note(`the index ${name} ${what} and is left out`)
        continue
      }
      const columns = parts.map(({ column }) => column as string)
      if (name === 'PRIMARY') this.draft.primaryKey = columns
      else this.draft[parts[0]?.nonUnique ? 'indexes' : 'unique'].push({ name, columns })
    }
  }

  readForeignKeys(): void {
    const keys = Map.groupBy(this.#own(this.#found.foreignKeys), ({ name }) => name)
    for (const [name, parts] of keys) {
      const [{ schema, target, targetSchema, onDelete, onUpdate }] = parts as [ForeignKeyRow]
      if (schema !== targetSchema) {
        this.#note(`the foreign key ${name} to the database ${targetSchema} is left out`)
        continue
      }
      this.draft.foreignKeys.push({
        name,
        columns: parts.map(({ column }) => column),
        table: target,
        references: parts.map(({ targetColumn }) => targetColumn),
        ...action('onDelete', onDelete),
        ...action('onUpdate', onUpdate),
      })
    }
  }

  readChecks(): void {
    for (const { name, clause } of this.#own(this.#found.checks)) {
      const sql = this.#plain(clause)
      const found = readValues(sql, BACKSLASHES)
      const column = found && this.draft.columns[found.column]
      if (column && name === checkName(this.#table.name, found.column)) {
        this.draft.columns[found.column] = { ...column, values: found.values }
      } else if (!this.#isOfJson(sql)) {
        this.#note(`the check ${name} (${sql}) is left out`)
      }
    }
  }

  /** Whether a check is what MariaDB makes of JSON: it has the name that the column had first. */
  #isOfJson(clause: string): boolean {
    const columns = Object.entries(this.draft.columns)
    return columns.some(([name, { type }]) => type === 'json' && isJsonCheck(clause, name))
  }

  #own<T extends { table: string }>(rows: readonly T[]): T[] {
    return rows.filter(({ table }) => table === this.#table.name)
  }

  #note(text: string): void {
    this.#notes.push(`${this.#table.name}: ${text}`)
  }
}

function isJsonCheck(clause: string, column: string): boolean {
  return spelled(clause, BACKSLASHES) === `json_valid ( ${column.toLowerCase()} )`
}

function oddity({ column, part, direction, type }: IndexRow): string | undefined {
  if (type === 'FULLTEXT' || type === 'SPATIAL') return `is a ${type.toLowerCase()} index`
  if (column === null) return 'is on an expression'
  if (part !== null) return `is on the first ${part} characters of ${column}`
  return direction === 'D' ? 'is descending' : undefined
}

// No action means the same as restrict in InnoDB, and which of them a server shows where none was said differs.
function action(key: 'onDelete' | 'onUpdate', rule: string): Record<string, ReferenceAction> {
  const lower = rule.toLowerCase()
  return lower === 'restrict' || lower === 'no action' ? {} : { [key]: lower as ReferenceAction }
}

/** Reads a schema of MySQL or MariaDB, from its information_schema. */
export async function readMysql(
  db: Kysely<unknown>,
  isWanted: (table: string) => boolean,
): Promise<ReadSchema> {
  const found = await fetchCatalogue(db)
  const notes: string[] = []
  const schema: Record<string, SchemaState[string]> = {}
  const unmanaged: Record<string, string> = {}
  for (const table of found.tables.filter(({ name }) => isWanted(name))) {
    if (table.kind !== 'BASE TABLE') {
      notes.push(`the ${table.kind.toLowerCase()} ${table.name} is left out`)
      unmanaged[table.name] = table.kind.toLowerCase()
      continue
    }
    if (table.options?.includes('partitioned')) unmanaged[table.name] = 'partitions'
    const reader = new MysqlTable(table, found, notes)
    reader.readColumns()
    reader.readIndexes()
    reader.readForeignKeys()
    reader.readChecks()
    schema[table.name] = finished(reader.draft)
  }
  for (const { table, name } of found.triggers.filter(({ table }) => isWanted(table))) {
    notes.push(`the trigger ${name} of ${table} is left out`)
    unmanaged[name] ??= `trigger of ${table}`
  }
  for (const { kind, name } of found.routines) {
    notes.push(`the ${kind.toLowerCase()} ${name} is left out`)
    unmanaged[name] ??= kind.toLowerCase()
  }
  return { schema, notes, unmanaged }
}

/** How a column of MySQL is declared, apart from its default. */
interface MysqlDeclaration {
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

/** The portable type, or the SQL of each database where there is none. */
export function mysqlType(declaration: MysqlDeclaration): PortableType | PerDialect {
  const type = withoutWidth(declaration.type)
  const { charset, collation, isUsual, isJson, rest } = declaration
  if (!rest) {
    if (isJson) return 'json'
    if (type === 'char(36)' && collation === 'ascii_bin') return 'uuid'
    const known = portableType(type, 'mysql')
    if (known && (isUsual || !isText(known))) return known
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
