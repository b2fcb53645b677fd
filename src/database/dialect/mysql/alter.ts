import { type Kysely, sql } from 'kysely'
import type { ForeignKeyState } from '../../schema/state.ts'
import { type Collations, quoteText } from '../ddl.ts'

/** Columns that are modified, which MySQL makes anew of what the statement says of them. */
export interface Modified {
  table: string
  columns: readonly ModifiedColumn[]
  /** The statement with what each column keeps. */
  sql: (kept: readonly Kept[]) => string
}

interface ModifiedColumn {
  readonly column: string
  /**
   * Its type in SQL, where the recorded schema has it so: what else it has is not the migration's to drop. `undefined`: it is
   * not modified, but added or dropped by the same statement.
   */
  readonly known: string | undefined
  /** Whether texts are compared as before: then it keeps its collation, which may be another than that of new columns. */
  readonly keepsCollation?: boolean | undefined
}

/** What a column keeps. */
export interface Kept {
  /** Behind those of the column. */
  readonly words: string
  readonly collation?: string | undefined
}

export const NOTHING: Kept = { words: '' }

interface ColumnRow {
  type: string
  extra: string
  comment: string
  charset: string | null
  collation: string | null
}

/**
 * The statement that modifies columns and keeps what the recorded schema does not know of them: comments, collations, `on update`, that
 * one is invisible, and on MariaDB a check of the column's own.
 *
 * @throws {Error} where one has `zerofill`, which only its type can say
 */
export async function keeping<DB>(db: Kysely<DB>, modified: Modified): Promise<string> {
  const kept: Kept[] = []
  for (const { known, ...one } of modified.columns) {
    const { table } = modified
    kept.push(known === undefined ? NOTHING : await keptOf(db, { ...one, table, known }))
  }
  return modified.sql(kept)
}

interface Column extends ModifiedColumn {
  readonly table: string
  readonly known: string
}

async function keptOf<DB>(db: Kysely<DB>, one: Column): Promise<Kept> {
  const { table, column, known, keepsCollation } = one
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
    row.comment && isNew('comment') && `comment ${quoteText(row.comment, 'mysql')}`,
    ...(await ownChecks(db, one)),
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

/** A table that is created, or a foreign key that is added: its texts have to be compared as those that they have to do with. */
export interface Fitted {
  table: string
  creates: boolean
  /** Those whose columns are texts. */
  keys: readonly ForeignKeyState[]
  sql: (collations: Collations) => string
}

/**
 * The statement with the collation of the database, so that its tables can be joined and refer to each other whoever has made them, and
 * with those of the columns that its foreign keys refer to: MySQL wants them to be the same.
 */
export async function fitting<DB>(db: Kysely<DB>, fitted: Fitted): Promise<string> {
  const columns: Record<string, string> = {}
  for (const { columns: from, table, references } of fitted.keys) {
    for (const [i, column] of from.entries()) {
      const target = await collationOf(db, table, references[i] as string)
      const own = fitted.creates ? undefined : await collationOf(db, fitted.table, column)
      if (target && target !== own) columns[column] = target
    }
  }
  return fitted.sql({ own: fitted.creates ? await ownCollation(db) : undefined, columns })
}

/** That of the database; none where it is of another character set than our tables. */
async function ownCollation<DB>(db: Kysely<DB>): Promise<string | undefined> {
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

// MySQL makes checks of the table of them, which stay. MariaDB's JSON is one that comes with the type.
async function ownChecks<DB>(db: Kysely<DB>, { table, column, known }: Column): Promise<string[]> {
  const { rows } = await sql<{ version: string }>`select version() as version`.execute(db)
  if (!/mariadb/i.test(rows[0]?.version ?? '')) return []
  const checks = await sql<{ clause: string }>`
    select check_clause as clause from information_schema.check_constraints
    where constraint_schema = database() and table_name = ${table} and constraint_name = ${column}
      and level = 'Column'`.execute(db)
  return checks.rows
    .filter(({ clause }) => !/^json_valid\(/i.test(clause) && !/check/i.test(known))
    .map(({ clause }) => `check (${clause})`)
}
