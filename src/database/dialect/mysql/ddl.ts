import { type Kysely, sql } from 'kysely'
import { checkName } from '../../schema/names.ts'
import type { ColumnState, ForeignKeyState, IndexState, TableState } from '../../schema/state.ts'
import { isText, typeSql } from '../../schema/types.ts'
import type { Statement } from '../ddl.ts'
import * as common from '../ddl.ts'

// ---- words

export const name = (plain: string) => common.quoteName(plain, 'mysql')
const names = (plain: readonly string[]) => common.quoteNames(plain, 'mysql')
const text = (value: string) => common.quoteText(value, 'mysql')

export const alter = (table: string, ...changes: string[]) =>
  `alter table ${name(table)} ${changes.join(', ')}`

export const addCheck = (table: string, column: string, definition: ColumnState) =>
  common.checkSql(table, column, definition, 'mysql').map((check) => `add ${check}`)

export const dropCheck = (table: string, column: string, { values }: ColumnState) =>
  values ? [`drop constraint ${name(checkName(table, column))}`] : []

// The comments are none: MariaDB reads the first, MySQL the second. Both of `binary` tell case, accents and blanks at the end apart, as
// SQLite does by itself. A server that is too old for one has the collation of the table.
const COLLATIONS = {
  binary: '/*M! collate utf8mb4_nopad_bin *//*!80017 collate utf8mb4_0900_bin */',
  ignoreCase:
    '/*M!101001 collate utf8mb4_uca1400_nopad_as_ci *//*!80017 collate utf8mb4_0900_as_ci */',
} as const

/** The comparison that a collation is made for; undefined where it is none of ours. */
export function comparisonOf(collation: string): keyof typeof COLLATIONS | undefined {
  if (/^utf8mb4_(nopad|0900)_bin$/.test(collation)) return 'binary'
  return /^utf8mb4_(uca1400_nopad|0900)_as_ci$/.test(collation) ? 'ignoreCase' : undefined
}

/**
 * A column as `create table` and `alter table … add column` say it, without the check of its `values`.
 *
 * @param collation that a text has; default: that of its comparison
 */
export function columnSql(plain: string, column: ColumnState, collation?: string): string {
  const { type, comparison = 'binary', nullable, generated } = column
  const words = [name(plain), typeSql(type, 'mysql')]
  if (isText(type)) words.push(collation ? `collate ${collation}` : COLLATIONS[comparison])
  // Behind its expression a computed column takes no word more.
  if (common.isComputed(column, 'mysql')) return words.join(' ')
  // `null` is said, because MySQL's TIMESTAMP may not be null otherwise.
  words.push(nullable ? 'null' : 'not null')
  if (column.default !== undefined) words.push(`default ${common.defaultSql(column, 'mysql')}`)
  if (generated) words.push('auto_increment')
  return words.join(' ')
}

/** Whether it is computed when its row is written, and kept with it. */
export const isStored = ({ type }: ColumnState): boolean =>
  typeof type === 'object' && / as \([\s\S]*\) *(stored|persistent)/i.test(type.mysql)

/** Whether it is computed whenever it is read. */
export const isVirtual = (column: ColumnState): boolean =>
  common.isComputed(column, 'mysql') && !isStored(column)

/** How texts are compared: those of a table where nothing else is said, and those of some columns. */
export interface Collations {
  own?: string | undefined
  columns: Readonly<Record<string, string>>
}

/** `create table` with all that the table has. */
export function createTableSql(
  table: string,
  definition: TableState,
  { own, columns: ofColumns }: Collations = { columns: {} },
): string {
  const { columns, primaryKey, indexes = [], unique = [] } = definition
  const key = (word: string) => (index: IndexState) =>
    `${word} ${name(index.name)} ${names(index.columns)}`
  return common.createTableSql(table, definition, 'mysql', {
    created: table,
    columns: Object.entries(columns).map(([plain, column]) =>
      columnSql(plain, column, ofColumns[plain]),
    ),
    keys: [
      ...(primaryKey.length > 0 ? [`primary key ${names(primaryKey)}`] : []),
      ...unique.map(key('unique key')),
      ...indexes.map(key('key')),
    ],
    end: ` engine=InnoDB default charset=utf8mb4${own ? ` collate=${own}` : ''}`,
  })
}

// ---- whether a statement has happened

/** A condition in SQL. */
type Fact = string

/** A statement, and the facts that are so once it has happened. */
export const statement = (sql: string, ...facts: readonly Fact[]): Statement => ({
  sql,
  happened: `select ${facts.join(' and ')} as happened`,
})

export const tableExists = (table: string): Fact => exists('tables', table)

export const columnExists = (table: string, column: string): Fact =>
  exists('columns', table, `column_name = ${text(column)}`)

/** Upper and lower case differ, so that a rename that changes nothing else can be seen. */
export const exactColumnExists = (table: string, column: string): Fact =>
  exists('columns', table, `cast(column_name as binary) = ${text(column)}`)

export const indexExists = (table: string, index: string): Fact =>
  exists('statistics', table, `index_name = ${text(index)}`)

export const constraintExists = (
  table: string,
  constraint: string,
  type: 'CHECK' | 'FOREIGN KEY',
): Fact =>
  exists(
    'table_constraints',
    table,
    `constraint_type = ${text(type)} and constraint_name = ${text(constraint)}`,
  )

export const checkExists = (table: string, column: string): Fact =>
  constraintExists(table, checkName(table, column), 'CHECK')

export const not = (fact: Fact): Fact => `not ${fact}`

function exists(view: string, table: string, condition?: string): Fact {
  const conditions = [
    'table_schema = database()',
    `table_name = ${text(table)}`,
    ...(condition ? [condition] : []),
  ]
  return `exists (select 1 from information_schema.${view} where ${conditions.join(' and ')})`
}

// ---- columns that change

// MySQL gives the rows that are there 0 or '' where nobody said a value. This check, which no row passes, makes it
// refuse instead, as SQLite does, and its name is in the error.
const NO_ROWS = 'existing_rows_need_a_default'

/** What becomes of one column, as a part of `alter table`. */
export interface ColumnChange {
  readonly column: string
  /** @param kept what a column that is modified keeps */
  readonly changes: (kept: Kept) => readonly string[]
  /** What is so once it has happened. None: it does no harm to do it twice. */
  readonly facts: readonly string[]
  /**
   * Where the column is modified, its type in SQL, if the recorded schema has it so: what else it has is not the migration's to
   * drop.
   */
  readonly known?: string
  /** Whether texts are compared as before: then it keeps its collation, which may be another than that of new columns. */
  readonly keepsCollation?: boolean
  /** Whether the table may have no rows. */
  readonly isOfEmpty?: boolean
  /** What the rows without a value get before, in SQL. */
  readonly fill?: string | undefined
  /** What becomes of indexes with it; two columns may say the same. */
  readonly keys?: readonly string[]
  /** What is altered before it, and may be so for good: a column that is computed whenever it is read has to be kept to become another. */
  readonly ahead?: readonly string[]
  /** What is altered behind it: the default that it had for the rows that are there goes. */
  readonly behind?: string
}

/** One statement for all columns: each for itself would write a large table anew. All of it happens, or nothing does. */
export function changeColumns(table: string, all: readonly ColumnChange[]): Statement[] {
  const isOfEmpty = all.some((one) => one.isOfEmpty)
  const text = (kept: readonly Kept[]) =>
    alter(
      table,
      ...all.flatMap(({ changes }, i) => changes(kept[i] ?? NOTHING)),
      ...new Set(all.flatMap(({ keys = [] }) => keys)),
      ...(isOfEmpty ? [`add constraint ${NO_ROWS} check (1 < 1)`] : []),
    )
  const facts = all.flatMap((one) => one.facts)
  const complete = async <DB>(db: Kysely<DB>) => {
    const kept: Kept[] = []
    for (const one of all) kept.push(await keptOf(db, table, one))
    return text(kept)
  }
  const changed: Statement = {
    ...(facts.length > 0
      ? statement(text([]), ...facts)
      : { sql: text([]), repeatable: true as const }),
    ...(all.some(({ known }) => known !== undefined) && { complete }),
  }
  const ahead = all.flatMap((one) => one.ahead ?? [])
  const behind = all.flatMap((one) => one.behind ?? [])
  const statements: Statement[] = []
  if (ahead.length > 0)
    statements.push({ sql: alter(table, ...ahead), repeatable: true, fills: true })
  statements.push(...fillNulls(table, all), changed)
  if (behind.length > 0) statements.push({ sql: alter(table, ...behind), repeatable: true })
  if (isOfEmpty) {
    const dropped = alter(table, `drop constraint ${NO_ROWS}`)
    statements.push(statement(dropped, not(constraintExists(table, NO_ROWS, 'CHECK'))))
  }
  return statements
}

function fillNulls(table: string, all: readonly ColumnChange[]): Statement[] {
  const filled = all.flatMap(({ column, fill }) =>
    fill === undefined ? [] : [[name(column), fill] as const],
  )
  if (filled.length === 0) return []
  const set = filled.map(([column, fill]) => `${column} = coalesce(${column}, ${fill})`)
  const where = filled.map(([column]) => `${column} is null`)
  const sql = `update ${name(table)} set ${set.join(', ')} where ${where.join(' or ')}`
  return [{ sql, repeatable: true, fills: true }]
}

// ---- what the recorded schema does not know of

/** What a column that is modified keeps: MySQL makes it anew of what the statement says. */
interface Kept {
  /** Behind those of the column. */
  readonly words: string
  readonly collation?: string | undefined
}

const NOTHING: Kept = { words: '' }

interface ColumnRow {
  type: string
  extra: string
  comment: string
  charset: string | null
  collation: string | null
}

/**
 * Comments, collations, `on update`, that a column is invisible, and on MariaDB a check of its own.
 *
 * @throws {Error} where it has `zerofill`, which only its type can say
 */
async function keptOf<DB>(
  db: Kysely<DB>,
  table: string,
  { column, known, keepsCollation }: ColumnChange,
): Promise<Kept> {
  if (known === undefined) return NOTHING
  const { rows } = await sql<ColumnRow>`
    select column_type as type, extra as extra, column_comment as comment,
      character_set_name as charset, collation_name as collation
    from information_schema.columns
    where table_schema = database() and table_name = ${table} and column_name = ${column}`.execute(
    db,
  )
  const [row] = rows
  if (!row) return NOTHING
  const isNew = (word: string) => !known.toLowerCase().includes(word)
  if (/zerofill/i.test(row.type) && isNew('zerofill'))
    throw new Error(
      `${table}.${column} is ${row.type}, and would lose zerofill, which the recorded schema does not know of; say it in the type, { mysql: '${row.type}', sqlite: 'bigint' }, or change the column with runSql`,
    )
  const onUpdate = /on update \S+/i.exec(row.extra)?.[0]
  const words = [
    onUpdate && isNew('on update') && onUpdate,
    /invisible/i.test(row.extra) && isNew('invisible') && 'invisible',
    row.comment && isNew('comment') && `comment ${text(row.comment)}`,
    ...(/check/i.test(known) ? [] : await ownChecks(db, table, column)),
  ]
  const isOurs = keepsCollation && row.charset === 'utf8mb4'
  return {
    words: words
      .filter(Boolean)
      .map((word) => ` ${word}`)
      .join(''),
    collation: (isOurs && row.collation) || undefined,
  }
}

// MySQL makes checks of the table of them, which stay. MariaDB's JSON is one that comes with the type.
async function ownChecks<DB>(db: Kysely<DB>, table: string, column: string): Promise<string[]> {
  const { rows } = await sql<{ version: string }>`select version() as version`.execute(db)
  if (!/mariadb/i.test(rows[0]?.version ?? '')) return []
  const checks = await sql<{ clause: string }>`
    select check_clause as clause from information_schema.check_constraints
    where constraint_schema = database() and table_name = ${table} and constraint_name = ${column}
      and level = 'Column'`.execute(db)
  return checks.rows
    .filter(({ clause }) => !/^json_valid\(/i.test(clause))
    .map(({ clause }) => `check (${clause})`)
}

// ---- texts that have to be compared as those that they have to do with

/**
 * `create table` with the collation of the database, so that its tables can be joined and refer to each other whoever has made them, and
 * with those of the columns that its foreign keys refer to: MySQL wants them to be the same.
 */
export function createTableFitting(table: string, definition: TableState): Statement {
  const plain = createTableSql(table, definition)
  const keys = (definition.foreignKeys ?? []).filter((key) => isOfText(key, definition.columns))
  return {
    ...statement(plain, tableExists(table)),
    ...(keys.length > 0 && { looks: true }),
    async complete(db) {
      const own = await ownCollation(db)
      // Of a table that refers to no texts it is all that is to be added.
      if (keys.length === 0) return own ? `${plain} collate=${own}` : plain
      return createTableSql(table, definition, { own, columns: await collationsOf(db, keys) })
    },
  }
}

/** `alter table … add` of a foreign key, whose columns get the collations of those that it refers to. */
export function addForeignKeyFitting(
  table: string,
  key: ForeignKeyState,
  definitions: Readonly<Record<string, ColumnState>>,
): Statement {
  const text = (collations: Readonly<Record<string, string>> = {}) => {
    const fitting = Object.entries(collations).map(([column, collation]) => {
      const definition = definitions[column] as ColumnState
      return `modify column ${columnSql(column, definition, collation)}`
    })
    return alter(table, ...fitting, `add ${common.foreignKeySql(key, 'mysql')}`)
  }
  const added = statement(text(), constraintExists(table, key.name, 'FOREIGN KEY'))
  if (!isOfText(key, definitions)) return added
  const complete: Statement['complete'] = async (db) => text(await collationsOf(db, [key], table))
  return { ...added, looks: true, complete }
}

function isOfText(
  { columns }: ForeignKeyState,
  definitions: Readonly<Record<string, ColumnState>>,
): boolean {
  return columns.some((column) => {
    const definition = definitions[column]
    return definition !== undefined && isText(definition.type)
  })
}

/**
 * The collations that columns need which refer to texts.
 *
 * @param table that has the columns, where it is there: those that fit stay as they are
 */
async function collationsOf<DB>(
  db: Kysely<DB>,
  keys: readonly ForeignKeyState[],
  table?: string,
): Promise<Record<string, string>> {
  const collations: Record<string, string> = {}
  for (const key of keys) {
    for (const [i, column] of key.columns.entries()) {
      const target = await collationOf(db, key.table, key.references[i] as string)
      const own = table === undefined ? undefined : await collationOf(db, table, column)
      if (target && target !== own) collations[column] = target
    }
  }
  return collations
}

const own = new WeakMap<object, Promise<string | undefined>>()

/** That of the database; none where it is of another character set than our tables. Asked once of a connection that makes many. */
function ownCollation<DB>(db: Kysely<DB>): Promise<string | undefined> {
  const known = own.get(db) ?? askCollation(db)
  own.set(db, known)
  return known
}

async function askCollation<DB>(db: Kysely<DB>): Promise<string | undefined> {
  const { rows } = await sql<{ charset: string; collation: string }>`
    select @@character_set_database as charset, @@collation_database as collation`.execute(db)
  return rows[0]?.charset === 'utf8mb4' ? rows[0].collation : undefined
}

async function collationOf<DB>(db: Kysely<DB>, table: string, column: string) {
  const { rows } = await sql<{ collation: string | null }>`
    select collation_name as collation from information_schema.columns
    where table_schema = database() and table_name = ${table} and column_name = ${column}`.execute(
    db,
  )
  return rows[0]?.collation
}
