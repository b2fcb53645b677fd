import { type Kysely, sql } from 'kysely'
import { quoteText } from '../../schema/sql.ts'

/** Columns that are modified, which MySQL makes anew of what the statement says of them. */
export interface Modified {
  table: string
  /**
   * `known`: its type in SQL, where the recorded schema has it so: what else it has is not the migration's to drop. `undefined`: it is
   * not modified, but added or dropped by the same statement.
   */
  columns: readonly { readonly column: string; readonly known: string | undefined }[]
  /** The statement with more words behind those of each column. */
  sql: (words: readonly string[]) => string
}

interface ColumnRow {
  type: string
  extra: string
  comment: string
}

/**
 * The statement that modifies columns and keeps what the recorded schema does not know of them: comments, `on update`, that
 * one is invisible, and on MariaDB a check of the column's own.
 *
 * @throws {Error} where one has `zerofill`, which only its type can say
 */
export async function keeping<DB>(db: Kysely<DB>, modified: Modified): Promise<string> {
  const words: string[] = []
  for (const { column, known } of modified.columns)
    words.push(
      known === undefined ? '' : await wordsOf(db, { table: modified.table, column, known }),
    )
  return modified.sql(words)
}

interface Column {
  table: string
  column: string
  known: string
}

async function wordsOf<DB>(db: Kysely<DB>, one: Column): Promise<string> {
  const { table, column, known } = one
  const { rows } = await sql<ColumnRow>`
    select column_type as type, extra as extra, column_comment as comment
    from information_schema.columns
    where table_schema = database() and table_name = ${table} and column_name = ${column}`.execute(
    db,
  )
  const [row] = rows
  if (!row) return ''
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
  return words
    .filter(Boolean)
    .map((word) => ` ${word}`)
    .join('')
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
