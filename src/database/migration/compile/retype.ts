import { type Kysely, sql } from 'kysely'
import { quoteName } from '../../schema/sql.ts'
import type { ColumnState, PortableType, TableState } from '../../schema/state.ts'

/** A column of SQLite that gets another type, which SQLite would do to any row. */
export interface Retyped {
  readonly column: string
  readonly type: PortableType
  /** What is so of a row whose value has no place in the new type, in SQL. */
  readonly misfit: string
}

const INTEGERS: Readonly<Record<string, bigint>> = {
  tinyint: 2n ** 7n,
  smallint: 2n ** 15n,
  integer: 2n ** 31n,
  bigint: 2n ** 63n,
}

/** The columns of a table for which MySQL, in its strict mode, would refuse some values. */
export function retyped(from: TableState, to: TableState): Retyped[] {
  return Object.entries(to.columns).flatMap(([column, { type }]) => {
    const before: ColumnState | undefined = from.columns[column]
    if (!before || before.type === type || typeof type !== 'string') return []
    const misfit = misfitOf(quoteName(column, 'sqlite'), type)
    return misfit === undefined ? [] : [{ column, type, misfit }]
  })
}

function misfitOf(name: string, type: PortableType): string | undefined {
  const [, length] = /^(?:var)?char\((\d+)\)$/.exec(type) ?? []
  if (length !== undefined) return `length(cast(${name} as text)) > ${length}`
  const isNumber = `(typeof(${name}) in ('integer', 'real') or (typeof(${name}) = 'text' and ${numeric(name)}))`
  const limit = INTEGERS[type]
  if (limit !== undefined) {
    const value = `cast(${name} as numeric)`
    return `not (${isNumber} and ${value} between ${-limit} and ${limit - 1n})`
  }
  switch (type) {
    case 'double':
      return `not ${isNumber}`
    case 'boolean':
      return `not (${isNumber} and cast(${name} as numeric) between -128 and 127)`
    case 'json':
      return `not json_valid(cast(${name} as text))`
    case 'date':
      return `date(${name}) is null or ${name} not glob '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'`
    case 'datetime':
      return `datetime(${name}) is null or ${name} not glob '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'`
    case 'time':
      return `time(${name}) is null or ${name} not glob '[0-9][0-9]:[0-9][0-9]*'`
    default: {
      const [, precision, scale] = /^decimal\((\d+),(\d+)\)$/.exec(type) ?? []
      const whole = Number(precision) - Number(scale)
      return precision === undefined
        ? undefined
        : `not (${isNumber} and abs(cast(${name} as numeric)) < 1e${whole})`
    }
  }
}

/** Whether a text is a number. `0 + text` would take what begins like one. */
function numeric(name: string): string {
  const digits = `ltrim(trim(${name}), '+-')`
  const bare = `replace(${digits}, '.', '')`
  return `(${bare} glob '[0-9]*' and ${bare} not glob '*[^0-9]*' and length(${digits}) - length(${bare}) <= 1)`
}

/**
 * Refuses what MySQL would refuse, too.
 *
 * @throws {Error} with the keys of the first rows; not their values, which may be nobody's business
 */
export async function refuseRetyped<DB>(
  db: Kysely<DB>,
  table: string,
  primaryKey: readonly string[],
  columns: readonly Retyped[],
): Promise<void> {
  for (const { column, type, misfit } of columns) {
    const name = quoteName(column, 'sqlite')
    const key = primaryKey.map((one) => quoteName(one, 'sqlite')).join(` || '/' || `) || 'rowid'
    const { rows } = await sql
      .raw<{ key: unknown; count: number }>(
        `select ${key} as key, count(*) over () as count from ${quoteName(table, 'sqlite')} where ${name} is not null and (${misfit}) limit 3`,
      )
      .execute(db)
    const [first] = rows
    if (!first) continue
    const keys = rows.map((row) => String(row.key)).join(', ')
    const more = first.count > rows.length ? ', …' : ''
    throw new Error(
      `${first.count} ${first.count === 1 ? 'row' : 'rows'} of ${table} have a ${column} that is no ${type} (${primaryKey.join('/') || 'rowid'} ${keys}${more}); mend them first, as with runData`,
    )
  }
}
