import { type Kysely, sql } from 'kysely'
import { dialectOf } from '../portable.ts'

/**
 * Empties all tables, whatever refers to what, but those that record migrations; the numbers of generated keys start
 * anew. On SQLite that is one transaction. MySQL commits each table, the records of seeds first: whatever comes
 * between, no seed counts as finished.
 *
 * @returns how many tables
 */
export async function emptyTables<DB>(db: Kysely<DB>): Promise<number> {
  const empty = dialectOf(db) === 'sqlite' ? emptySqlite : emptyMysql
  return await db.connection().execute(empty)
}

interface Table {
  name: string
}

const ours = ({ name }: Table) => !name.startsWith('plinth_migration')

async function emptySqlite<DB>(connection: Kysely<DB>): Promise<number> {
  // Does nothing within a transaction.
  await sql`pragma foreign_keys = off`.execute(connection)
  try {
    return await connection.transaction().execute(async (db) => {
      // Shadow tables go with the virtual ones that they belong to.
      const { rows } = await sql<Table>`select name from pragma_table_list
        where schema = 'main' and type in ('table', 'virtual') and name not like 'sqlite\\_%' escape '\\'`.execute(
        db,
      )
      const tables = rows.filter(ours)
      for (const { name } of tables) await sql`delete from ${sql.id(name)}`.execute(db)
      await restartNumbers(db)
      return tables.length
    })
  } finally {
    await sql`pragma foreign_keys = on`.execute(connection)
  }
}

/** SQLite makes the table of the numbers with the first table that has some. */
async function restartNumbers<DB>(db: Kysely<DB>): Promise<void> {
  const { rows } = await sql`select 1 from sqlite_schema where name = 'sqlite_sequence'`.execute(db)
  if (rows.length > 0) await sql`delete from sqlite_sequence`.execute(db)
}

async function emptyMysql<DB>(db: Kysely<DB>): Promise<number> {
  const { rows } = await sql<Table>`select table_name as name from information_schema.tables
    where table_schema = database() and table_type = 'BASE TABLE'
    order by table_name <> 'plinth_seed', table_name`.execute(db)
  const tables = rows.filter(ours)
  await sql`set foreign_key_checks = 0`.execute(db)
  try {
    for (const { name } of tables) await sql`truncate table ${sql.id(name)}`.execute(db)
  } finally {
    await sql`set foreign_key_checks = 1`.execute(db)
  }
  return tables.length
}
