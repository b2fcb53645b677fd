import { type RawBuilder, type SelectQueryBuilder, sql } from 'kysely'
import { errors } from '../errors.ts'

/** How a filter's value is compared with its column. `contains` takes part of a text; `from` and `to` include the value. */
export type FilterOperator = 'equals' | 'contains' | 'from' | 'to'

export interface ColumnFilter {
  /** Of the request's parameter. */
  name: string
  column: string
  operator: FilterOperator
  /** The column holds points in time, which are compared as a `Date`. */
  instant: boolean
}

/** A valid request for a page. */
export interface PageInput {
  [filter: string]: unknown
  page?: number
  page_size?: number
  order?: string
  search?: string
  fields?: string
}

export interface PageTask {
  input: PageInput
  filters: readonly ColumnFilter[]
  /** The columns that `search` looks into. */
  search: readonly string[]
  /** The unique columns that break ties. */
  key: readonly string[]
  /** Where the input has none. */
  pageSize: number
}

type AnyQuery = SelectQueryBuilder<Record<string, Record<string, unknown>>, string, object>

/** Counts what `query` finds under the filters of the input, and selects the page that it asks for. */
export async function selectPage(query: AnyQuery, task: PageTask) {
  const { input, filters, key, pageSize } = task
  const { page = 1, page_size = pageSize, order, search, fields } = input
  let filtered = query
  for (const filter of filters) {
    const value = input[filter.name]
    if (value !== undefined) filtered = filtered.where(condition(filter, value))
  }
  if (search !== undefined && task.search.length > 0) {
    const found = task.search.map((column) => contains(sql.ref(column), search))
    filtered = filtered.where(sql<boolean>`(${sql.join(found, sql` or `)})`)
  }
  const { total } = await filtered
    .clearSelect()
    .select(sql<number>`count(*)`.as('total'))
    .executeTakeFirstOrThrow()
  let ordered =
    fields === undefined ? filtered : filtered.clearSelect().select([...new Set(fields.split(','))])
  for (const [column, direction] of parseOrder(order, key)) {
    ordered = ordered.orderBy(sql.ref(column), direction)
  }
  const results = await ordered
    .limit(page_size)
    .offset((page - 1) * page_size)
    .execute()
  return { page, num_pages: Math.max(1, Math.ceil(total / page_size)), total, results }
}

function condition({ name, column, operator, instant }: ColumnFilter, given: unknown) {
  const ref = sql.ref(column)
  const value = instant ? toInstant(`/${name}`, String(given), 'the list') : given
  switch (operator) {
    case 'equals':
      return sql<boolean>`${ref} = ${value}`
    case 'from':
      return sql<boolean>`${ref} >= ${value}`
    case 'to':
      return sql<boolean>`${ref} <= ${value}`
    case 'contains':
      return contains(ref, String(value))
  }
}

function contains(ref: RawBuilder<unknown>, text: string): RawBuilder<boolean> {
  // Not the backslash: MySQL takes it for an escape in the text of the pattern, too.
  return sql<boolean>`${ref} like ${`%${text.replace(/[!%_]/g, '!$&')}%`} escape '!'`
}

/**
 * A valid `date-time`, refused where it is what no column takes: a leap second, a time zone that leads out of the years.
 *
 * @param path where the text stands in the request to `resource`
 * @throws {PlinthError} INVALID_REQUEST
 */
export function toInstant(path: string, text: string, resource: string): Date {
  const date = new Date(text)
  const year = date.getUTCFullYear()
  if (year >= 0 && year <= 9999) return date
  const message = 'must be a time that exists, of the years 0 to 9999'
  throw errors.INVALID_REQUEST.with({ errors: [{ path, message }] }, resource)
}

function parseOrder(order: string | undefined, key: readonly string[]): [string, 'asc' | 'desc'][] {
  const columns = order === undefined ? [] : order.split(',')
  const named = columns.map((column): [string, 'asc' | 'desc'] =>
    column.startsWith('-') ? [column.slice(1), 'desc'] : [column, 'asc'],
  )
  const missing = key.filter((column) => !named.some(([name]) => name === column))
  // In the direction of the last one: an index on it, which holds the key too, then gives the rows in order.
  const direction = named.at(-1)?.[1] ?? 'asc'
  return [...named, ...missing.map((column): [string, 'asc' | 'desc'] => [column, direction])]
}
