import { type SelectQueryBuilder, sql } from 'kysely'
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
}

export interface PageTask {
  input: PageInput
  filters: readonly ColumnFilter[]
  /** The unique column that breaks ties. */
  key: string
  /** Where the input has none. */
  pageSize: number
}

type AnyQuery = SelectQueryBuilder<Record<string, Record<string, unknown>>, string, object>

/** Counts what `query` finds under the filters of the input, and selects the page that it asks for. */
export async function selectPage(query: AnyQuery, { input, filters, key, pageSize }: PageTask) {
  const { page = 1, page_size = pageSize, order } = input
  let filtered = query
  for (const filter of filters) {
    const value = input[filter.name]
    if (value !== undefined) filtered = filtered.where(condition(filter, value))
  }
  const { total } = await filtered
    .clearSelect()
    .select(sql<number>`count(*)`.as('total'))
    .executeTakeFirstOrThrow()
  let ordered = filtered
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
  const value = instant ? toInstant(name, String(given)) : given
  switch (operator) {
    case 'equals':
      return sql<boolean>`${ref} = ${value}`
    case 'from':
      return sql<boolean>`${ref} >= ${value}`
    case 'to':
      return sql<boolean>`${ref} <= ${value}`
    case 'contains':
      // Not the backslash: MySQL takes it for an escape in the text of the pattern, too.
      return sql<boolean>`${ref} like ${`%${String(value).replace(/[!%_]/g, '!$&')}%`} escape '!'`
  }
}

// What the format date-time takes and no column does: a leap second, a time zone that leads out of the years.
function toInstant(name: string, text: string): Date {
  const date = new Date(text)
  const year = date.getUTCFullYear()
  if (year >= 0 && year <= 9999) return date
  const message = 'must be a time that exists, of the years 0 to 9999'
  throw errors.INVALID_REQUEST.with({ errors: [{ path: `/${name}`, message }] }, 'the list')
}

function parseOrder(order: string | undefined, key: string): [string, 'asc' | 'desc'][] {
  const columns = order === undefined ? [] : order.split(',')
  const named = columns.map((column): [string, 'asc' | 'desc'] =>
    column.startsWith('-') ? [column.slice(1), 'desc'] : [column, 'asc'],
  )
  return named.some(([column]) => column === key) ? named : [...named, [key, 'asc']]
}
