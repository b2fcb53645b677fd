import { type Kysely, sql } from 'kysely'
import { readSqlite } from '../../schema/read/sqlite.ts'
import { refuseRetyped } from './retype.ts'
import type { Rebuild } from './steps.ts'

/**
 * Runs a rebuild of a table of SQLite, in the transaction of its migration, on a connection without
 * `pragma foreign_keys`. Triggers and indexes of the table that no operation knows are made anew; views stay.
 *
 * @throws {Error} where values do not fit a new type, the table has other columns than the recorded state says, or what no state says, or a trigger or view would be broken
 */
export async function runRebuild<DB>(db: Kysely<DB>, rebuild: Rebuild): Promise<void> {
  await refuseForeignKeys(db)
  await refuseOtherColumns(db, rebuild)
  await refuseLosses(db, rebuild)
  await refuseRetyped(db, rebuild.rebuild, rebuild.primaryKey, rebuild.retyped)
  const more = await othersOn(db, rebuild)
  try {
    for (const statement of rebuild.statements) await run(db, statement)
  } finally {
    await run(db, 'pragma legacy_alter_table = off')
  }
  for (const statement of more) await run(db, statement)
  await refuseBroken(db)
}

async function run<DB>(db: Kysely<DB>, statement: string): Promise<void> {
  await sql.raw(statement).execute(db)
}

/** Dropping the old table would delete the rows that refer to its rows. */
async function refuseForeignKeys<DB>(db: Kysely<DB>): Promise<void> {
  const { rows } = await sql<{ foreign_keys: number }>`pragma foreign_keys`.execute(db)
  if (rows[0]?.foreign_keys === 0) return
  throw new Error(
    'A table is rebuilt with "pragma foreign_keys" on, which would delete rows of other tables: turn it off before the transaction',
  )
}

async function refuseOtherColumns<DB>(
  db: Kysely<DB>,
  { rebuild: table, columns }: Rebuild,
): Promise<void> {
  const { rows } = await sql<{
    name: string
  }>`select name from pragma_table_xinfo(${table})`.execute(db)
  const names = rows.map(({ name }) => name)
  const unknown = names.filter((name) => !columns.includes(name))
  const missing = columns.filter((name) => !names.includes(name))
  if (unknown.length > 0) throw differs(table, 'has', unknown, 'They would be lost')
  if (missing.length > 0) throw differs(table, 'does not have', missing, 'Nothing was changed')
}

function differs(table: string, has: string, columns: readonly string[], so: string): Error {
  const [state, remedy] =
    has === 'has'
      ? ['does not know of', 'add them in a migration first, or drop them']
      : ['knows of', 'add them by hand, or drop them in a migration first']
  return new Error(
    `SQLite has to rebuild the table ${table}, which ${has} columns that the recorded state of the schema ${state}: ${columns.join(', ')}. ${so}; ${remedy}`,
  )
}

/** What a schema does not know of would be gone with the old table. */
async function refuseLosses<DB>(db: Kysely<DB>, { rebuild: table }: Rebuild): Promise<void> {
  const { notes } = await readSqlite(db as Kysely<unknown>, (name) => name === table)
  const lost = notes.filter((note) => /: (the check .* is left out|.* is not kept)$/s.test(note))
  if (lost.length === 0) return
  throw new Error(
    `SQLite has to rebuild the table ${table} and would drop what the recorded schema does not know of (${lost.join('; ')}); make this change with runSql as https://sqlite.org/lang_altertable.html says, and tell it in its state`,
  )
}

/** The statements of what goes with the old table and is not in the rebuild. */
async function othersOn<DB>(
  db: Kysely<DB>,
  { rebuild: table, indexes }: Rebuild,
): Promise<string[]> {
  const { rows } = await sql<{ name: string; sql: string }>`
    select name, sql from sqlite_schema
    where type in ('index', 'trigger') and tbl_name = ${table} collate nocase and sql is not null
    order by rowid`.execute(db)
  return rows.filter(({ name }) => !indexes.includes(name)).map((row) => row.sql)
}

/** A rename makes SQLite look at all triggers and views, which `create trigger` does not. */
async function refuseBroken<DB>(db: Kysely<DB>): Promise<void> {
  await run(db, 'create table plinth_probe (x)')
  await run(db, 'alter table plinth_probe rename to plinth_probed')
  await run(db, 'drop table plinth_probed')
}
