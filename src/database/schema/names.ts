import { createHash } from 'node:crypto'

/** How long the name of a table, column, index or constraint may be: MySQL's limit. */
export const MAX_NAME = 64

const HASH = 8

/** What an index is called that has no name of its own: `city_country_population_idx`. */
export const indexName = (table: string, columns: readonly string[]): string =>
  join(table, columns, 'idx')

/** What a unique index is called that has no name of its own: `city_code_key`. */
export const uniqueName = (table: string, columns: readonly string[]): string =>
  join(table, columns, 'key')

/** What a foreign key is called that has no name of its own: `city_country_fkey`. */
export const foreignKeyName = (table: string, columns: readonly string[]): string =>
  join(table, columns, 'fkey')

/** What the check is called that keeps a column to its `values`: `city_kind_check`. */
export const checkName = (table: string, column: string): string => join(table, [column], 'check')

function join(table: string, columns: readonly string[], ending: string): string {
  const name = [table, ...columns, ending].join('_')
  if (name.length <= MAX_NAME) return name
  const hash = createHash('sha256').update(name).digest('hex').slice(0, HASH)
  return `${name.slice(0, MAX_NAME - HASH - 1)}_${hash}`
}
