import { type Kysely, sql } from 'kysely'
import { ownName } from './own-tables.ts'
import { dialectOf } from './portable.ts'

/**
 * Which of these tables there are; changes nothing. Kysely's introspection reads every column of every table, which takes longer than
 * all else that a process asks as it starts.
 *
 * @param names as the kit calls them, whatever they are called for this service
 */
export async function existingTables<DB, Name extends string>(
  db: Kysely<DB>,
  names: readonly Name[],
): Promise<ReadonlySet<Name>> {
  const byOwnName = new Map(names.map((name) => [ownName(db, name), name]))
  const wanted = sql.join([...byOwnName.keys()].map((name) => sql.lit(name)))
  const { rows } = await (dialectOf(db) === 'mysql'
    ? sql<{ name: string }>`select table_name as name from information_schema.tables
        where table_schema = database() and table_name in (${wanted})`
    : sql<{
        name: string
      }>`select name from sqlite_master where type = 'table' and name in (${wanted})`
  ).execute(db)
  return new Set(rows.flatMap(({ name }) => byOwnName.get(name) ?? []))
}
