import { type RawBuilder, sql } from 'kysely'

/**
 * A point in time to compare a `Timestamp` column with: `where('created_at', '>', instant(cursor))`.
 *
 * @param time a `Date`, or the ISO 8601 string that such a column is read as
 */
export function instant(time: Date | string): RawBuilder<string> {
  return sql<string>`${new Date(time)}`
}
