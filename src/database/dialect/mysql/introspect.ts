import { type Kysely, sql } from 'kysely'
import { checkName } from '../../schema/names.ts'
import type { ColumnState, ReferenceAction, SchemaState, TableState } from '../../schema/state.ts'
import {
  isText,
  type PerDialect,
  type PortableType,
  portableType,
  sqliteDecimal,
} from '../../schema/types.ts'
import { type Draft, emptyDraft, finished, leaveOut, type ReadSchema } from '../introspect.ts'
import { readDefault, readValues, spelled } from '../sql-text.ts'
import { comparisonOf } from './ddl.ts'

/** What information_schema tells of a database. Its own names differ in case by server, so all have aliases. */
export interface Catalogue {
  isMariadb: boolean
  /** What a table gets that a migration makes: that of the database, where it is utf8mb4. */
  ownCollation: string
  tables: TableRow[]
  columns: ColumnRow[]
  indexes: IndexRow[]
  foreignKeys: ForeignKeyRow[]
  checks: CheckRow[]
  triggers: { table: string; name: string }[]
  routines: { kind: string; name: string }[]
}

interface TableRow {
  name: string
  /** `BASE TABLE`, `VIEW`, `SEQUENCE` */
  kind: string
  engine: string | null
  collation: string | null
  options: string | null
  comment: string | null
}

export interface ColumnRow {
  table: string
  name: string
  type: string
  nullable: 'YES' | 'NO'
  default: string | null
  extra: string
  charset: string | null
  collation: string | null
  expression: string | null
  comment: string
}

interface IndexRow {
  table: string
  index: string
  nonUnique: number
  /** null for an expression. */
  column: string | null
  /** How many characters of it. */
  part: number | null
  /** A or D: ascending or descending. */
  direction: string | null
  /** BTREE, FULLTEXT, SPATIAL, HASH */
  type: string
}

interface ForeignKeyRow {
  table: string
  name: string
  column: string
  targetSchema: string
  target: string
  targetColumn: string
  onUpdate: string
  onDelete: string
  schema: string
}

interface CheckRow {
  table: string
  name: string
  clause: string
}

/** Reads all of it: a query for each table of information_schema that has something to say. */
export async function fetchCatalogue(db: Kysely<unknown>): Promise<Catalogue> {
  const rows = async <T>(query: ReturnType<typeof sql<T>>) => (await query.execute(db)).rows
  const [server] = await rows(SERVER)
  const isMariadb = /mariadb/i.test(server?.version ?? '')
  return {
    isMariadb,
    ownCollation: server?.collation ?? '',
    tables: await rows(TABLES),
    columns: await rows(COLUMNS),
    indexes: await rows(INDEXES),
    foreignKeys: await rows(FOREIGN_KEYS),
    checks: await rows(isMariadb ? CHECKS_OF_MARIADB : CHECKS_OF_MYSQL),
    triggers: await rows(TRIGGERS),
    routines: await rows(ROUTINES),
  }
}

const SERVER = sql<{ version: string; collation: string }>`
  select version() as version,
    if(@@character_set_database = 'utf8mb4', @@collation_database, default_collate_name) as collation
  from information_schema.character_sets where character_set_name = 'utf8mb4'`

const TABLES = sql<TableRow>`
  select table_name as name, table_type as kind, engine as engine, table_collation as collation,
    create_options as options, table_comment as comment
  from information_schema.tables where table_schema = database() order by table_name`

const COLUMNS = sql<ColumnRow>`
  select table_name as \`table\`, column_name as name, column_type as type, is_nullable as nullable,
    column_default as \`default\`, extra as extra, character_set_name as charset,
    collation_name as collation, generation_expression as expression, column_comment as comment
  from information_schema.columns where table_schema = database() order by table_name, ordinal_position`

const INDEXES = sql<IndexRow>`
  select table_name as \`table\`, index_name as \`index\`, non_unique as nonUnique, column_name as \`column\`,
    sub_part as part, collation as direction, index_type as type
  from information_schema.statistics where table_schema = database()
  order by table_name, index_name, seq_in_index`

const FOREIGN_KEYS = sql<ForeignKeyRow>`
  select u.table_name as \`table\`, u.constraint_name as name, u.column_name as \`column\`,
    u.table_schema as \`schema\`, u.referenced_table_schema as targetSchema,
    u.referenced_table_name as target, u.referenced_column_name as targetColumn,
    r.update_rule as onUpdate, r.delete_rule as onDelete
  from information_schema.key_column_usage u
  join information_schema.referential_constraints r
    on r.constraint_schema = u.constraint_schema and r.constraint_name = u.constraint_name
    and r.table_name = u.table_name
  where u.table_schema = database() and u.referenced_table_name is not null
  order by u.table_name, u.constraint_name, u.ordinal_position`

const CHECKS_OF_MARIADB = sql<CheckRow>`
  select table_name as \`table\`, constraint_name as name, check_clause as clause
  from information_schema.check_constraints where constraint_schema = database()
  order by table_name, constraint_name`

const CHECKS_OF_MYSQL = sql<CheckRow>`
  select t.table_name as \`table\`, c.constraint_name as name, c.check_clause as clause
  from information_schema.check_constraints c
  join information_schema.table_constraints t
    on t.constraint_schema = c.constraint_schema and t.constraint_name = c.constraint_name
    and t.constraint_type = 'CHECK'
  where c.constraint_schema = database() order by t.table_name, c.constraint_name`

const TRIGGERS = sql<{ table: string; name: string }>`
  select event_object_table as \`table\`, trigger_name as name
  from information_schema.triggers where trigger_schema = database() order by trigger_name`

const ROUTINES = sql<{ kind: string; name: string }>`
  select routine_type as kind, routine_name as name
  from information_schema.routines where routine_schema = database()
  union all select 'event', event_name from information_schema.events where event_schema = database()
  order by name`

/** One table of MySQL while it is being read. */
export class MysqlTable {
  readonly #draft: Draft = emptyDraft()
  readonly #table: TableRow
  readonly #found: Catalogue
  readonly #notes: string[]

  constructor(table: TableRow, found: Catalogue, notes: string[]) {
    this.#table = table
    this.#found = found
    this.#notes = notes
  }

  read(): TableState {
    this.#noteOptions()
    this.#readColumns()
    this.#readIndexes()
    this.#readForeignKeys()
    this.#readChecks()
    return finished(this.#draft)
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

  #readColumns(): void {
    for (const row of this.#own(this.#found.columns)) {
      this.#draft.columns[row.name] = this.#column(row)
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

  #readIndexes(): void {
    const indexes = Map.groupBy(this.#own(this.#found.indexes), ({ index }) => index)
    for (const [name, parts] of indexes) {
      const what = parts.map(oddity).find(Boolean)
      if (what) {
        this.#note(`the index ${name} ${what} and is left out`)
        continue
      }
      const columns = parts.map(({ column }) => column as string)
      if (name === 'PRIMARY') this.#draft.primaryKey = columns
      else this.#draft[parts[0]?.nonUnique ? 'indexes' : 'unique'].push({ name, columns })
    }
  }

  #readForeignKeys(): void {
    const keys = Map.groupBy(this.#own(this.#found.foreignKeys), ({ name }) => name)
    for (const [name, parts] of keys) {
      const [{ schema, target, targetSchema, onDelete, onUpdate }] = parts as [ForeignKeyRow]
      if (schema !== targetSchema) {
        this.#note(`the foreign key ${name} to the database ${targetSchema} is left out`)
        continue
      }
      this.#draft.foreignKeys.push({
        name,
        columns: parts.map(({ column }) => column),
        table: target,
        references: parts.map(({ targetColumn }) => targetColumn),
        ...action('onDelete', onDelete),
        ...action('onUpdate', onUpdate),
      })
    }
  }

  #readChecks(): void {
    for (const { name, clause } of this.#own(this.#found.checks)) {
      const sql = this.#plain(clause)
      const found = readValues(sql, 'mysql')
      const column = found && this.#draft.columns[found.column]
      if (column && name === checkName(this.#table.name, found.column)) {
        this.#draft.columns[found.column] = { ...column, values: found.values }
      } else if (!this.#isOfJson(sql)) {
        this.#note(`the check ${name} (${sql}) is left out`)
      }
    }
  }

  /** Whether a check is what MariaDB makes of JSON: it has the name that the column had first. */
  #isOfJson(clause: string): boolean {
    const columns = Object.entries(this.#draft.columns)
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
  return spelled(clause, 'mysql') === `json_valid ( ${column.toLowerCase()} )`
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
  const schema: Record<string, SchemaState[string]> = {}
  const read: ReadSchema = { schema, notes: [], unmanaged: {} }
  for (const table of found.tables.filter(({ name }) => isWanted(name))) {
    if (table.kind !== 'BASE TABLE') {
      leaveOut(read, table.kind.toLowerCase(), table.name)
      continue
    }
    if (table.options?.includes('partitioned')) read.unmanaged[table.name] = 'partitions'
    schema[table.name] = new MysqlTable(table, found, read.notes).read()
  }
  for (const { table, name } of found.triggers.filter(({ table }) => isWanted(table)))
    leaveOut(read, 'trigger', name, table)
  for (const { kind, name } of found.routines) leaveOut(read, kind.toLowerCase(), name)
  return read
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
