import { quoteText } from '../../dialect/ddl.ts'
import { name } from '../../dialect/mysql/ddl.ts'
import type { ForeignKeyState } from '../../schema/state.ts'
import { refusedBy } from '../../schema/types.ts'
import type { Of, Trial } from './operation.ts'

// What the rows of MySQL may make fail of an operation, to be asked before anything has happened.

const select = (table: string, rest = '') => `select count(*) as count from ${name(table)}${rest}`

/** Values that are to be unique. */
export function doubles(table: string, columns: readonly string[]): Trial {
  const all = columns.map(name)
  const groups = `select 1 from ${name(table)} where ${all.map((one) => `${one} is not null`).join(' and ')} group by ${all.join(', ')} having count(*) > 1`
  return {
    query: `select count(*) as count from (${groups}) as doubles`,
    problem: `values of ${table} (${columns.join(', ')}) are there more than once`,
    about: [[table, columns]],
  }
}

/** Rows that are to refer to others. */
export function orphans(table: string, key: ForeignKeyState): Trial {
  const columns = key.columns.map((one) => `own.${name(one)}`)
  const on = columns.map((one, i) => `${one} = target.${name(key.references[i] as string)}`)
  const set = columns.map((one) => `${one} is not null`)
  const missing = `target.${name(key.references[0] as string)} is null`
  return {
    query: `select count(*) as count from ${name(table)} as own left join ${name(key.table)} as target on ${on.join(' and ')} where ${[...set, missing].join(' and ')}`,
    problem: `rows of ${table} (${key.columns.join(', ')}) refer to none of ${key.table}`,
    about: [
      [table, key.columns],
      [key.table, key.references],
    ],
  }
}

/** Rows of a table that gets a column without a value for them. */
export function noValue(table: string, column: string): Trial {
  return {
    query: select(table),
    problem: `rows of ${table} would have no ${column}: give it a default or a fill`,
    about: [[table, []]],
  }
}

/** Values that a column does not take any more. */
export function misfits({ table, column, from, to, fill }: Of<'alterColumn'>): Trial | undefined {
  const own = name(column)
  const isFilled = fill !== undefined || to.default !== undefined
  const conditions = [
    ...(from.nullable && !to.nullable && !isFilled ? [`${own} is null`] : []),
    ...(to.values ? [`${own} not in (${to.values.map(quoted).join(', ')})`] : []),
    ...refusedBy(to.type, own, from.type),
  ]
  if (conditions.length === 0) return undefined
  return {
    query: select(table, ` where ${conditions.join(' or ')}`),
    problem: `rows of ${table} have a ${column} that does not fit`,
    about: [[table, [column]]],
  }
}

const quoted = (value: string) => quoteText(value, 'mysql')
