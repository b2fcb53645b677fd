import { type RawBuilder, type SelectQueryBuilder, sql } from 'kysely'
import { errors } from '../errors.ts'
import { type ColumnRule, canHave, toColumn } from './column-value.ts'

/** How a filter's value is compared with its column. `contains` takes part of a text; `from` and `to` include the value. */
export type FilterOperator = 'equals' | 'contains' | 'from' | 'to'

export interface ColumnFilter {
  /** Of the request's parameter. */
  name: string
  column: string
  operator: FilterOperator
  rule: ColumnRule
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
  search: readonly Pick<ColumnFilter, 'column' | 'rule'>[]
  /** The unique columns that break ties. */
  key: readonly string[]
  /** Where the input has none. */
  pageSize: number
  /** No page reaches beyond this row. */
  maxDepth: number
}

type AnyQuery = SelectQueryBuilder<Record<string, Record<string, unknown>>, string, object>

/**
 * Counts what `query` finds under the filters of the input, and selects the page that it asks for. One beyond the last is
 * empty, and costs no more than the counting.
 *
 * @throws {PlinthError} INVALID_REQUEST where the page is deeper than it may be
 */
export async function selectPage(query: AnyQuery, task: PageTask) {
  const { input, filters, key, pageSize, maxDepth } = task
  const { page = 1, page_size = pageSize, order, search, fields } = input
  assertDepth(page, page_size, maxDepth)
  let filtered = query
  for (const filter of filters) {
    const value = input[filter.name]
    if (value !== undefined) filtered = filtered.where(condition(filter, value, query))
  }
  if (search !== undefined && task.search.length > 0) {
    const found = task.search.map((column) => contains(column, search))
    filtered = filtered.where(sql<boolean>`(${sql.join(found, sql` or `)})`)
  }
  const { total } = await filtered
    .clearSelect()
    .select(sql<number>`count(*)`.as('total'))
    .executeTakeFirstOrThrow()
  const summary = { page, num_pages: Math.max(1, Math.ceil(total / page_size)), total }
  const offset = (page - 1) * page_size
  if (offset >= total) return { ...summary, results: [] }
  let ordered =
    fields === undefined ? filtered : filtered.clearSelect().select([...new Set(fields.split(','))])
  for (const [column, direction] of parseOrder(order, key)) {
    ordered = ordered.orderBy(sql.ref(column), direction)
  }
  const results = await ordered.limit(page_size).offset(offset).execute()
  return { ...summary, results }
}

// A database goes through all the rows before a page.
function assertDepth(page: number, size: number, maxDepth: number): void {
  if (page === 1 || page * size <= maxDepth) return
  const last = Math.max(1, Math.floor(maxDepth / size))
  const message = `must be at most ${last} for pages of ${size}: this list can be read as far as row ${maxDepth}; narrow it by a filter, or order it the other way round`
  throw errors.INVALID_REQUEST.with({ errors: [{ path: '/page', message }] }, 'the list')
}

// Of a text that the column cannot have, and that MySQL would refuse to compare with it.
const NO_ROW = sql<boolean>`1 = 0`

function condition(filter: ColumnFilter, given: unknown, query: AnyQuery): RawBuilder<boolean> {
  const { name, column, operator, rule } = filter
  if (operator === 'contains') return contains(filter, String(given))
  if (!canHave(rule, given)) return NO_ROW
  const value = toColumn(rule, given, `/${name}`, 'the list')
  const ref = sql.ref(column)
  if (value instanceof Date && !isMysql(query)) return compareStored(ref, operator, value)
  switch (operator) {
    case 'equals':
      return sql<boolean>`${ref} = ${value}`
    case 'from':
      return sql<boolean>`${ref} >= ${value}`
    case 'to':
      return sql<boolean>`${ref} <= ${value}`
  }
}

// A query does not tell its database, but quotes its names as it does.
const isMysql = (query: AnyQuery) => /^[^"`]*`/.test(query.compile().sql)

/**
 * In SQLite points in time are texts: the kit's own `2026-11-22T10:00:00.000Z`, and `2026-11-22 10:00:00[.0…]` of
 * others. Of one day the latter sort before the former, so they are compared for themselves. Not as what a function makes of
 * the column, which no index would be used for.
 */
function compareStored(
  ref: RawBuilder<unknown>,
  operator: Exclude<FilterOperator, 'contains'>,
  value: Date,
): RawBuilder<boolean> {
  const iso = value.toISOString()
  const noon = `${iso.slice(0, 10)}T`
  // The first and the last text that means the same.
  const least = iso
    .slice(0, -1)
    .replace('T', ' ')
    .replace(/\.?0*$/, '')
  const most = `${iso.slice(0, -1).replace('T', ' ')}000000`
  switch (operator) {
    case 'equals':
      return sql<boolean>`(${ref} = ${iso} or ${ref} between ${least} and ${most})`
    case 'from':
      return sql<boolean>`(${ref} >= ${iso} or (${ref} >= ${least} and ${ref} < ${noon}))`
    case 'to':
      return sql<boolean>`(${ref} <= ${iso} and not (${ref} > ${most} and ${ref} < ${noon}))`
  }
}

function contains(
  { column, rule }: Pick<ColumnFilter, 'column' | 'rule'>,
  text: string,
): RawBuilder<boolean> {
  if (!canHave(rule, text)) return NO_ROW
  // Not the backslash: MySQL takes it for an escape in the text of the pattern, too.
  const pattern = `%${text.replace(/[!%_]/g, '!$&')}%`
  return sql<boolean>`${sql.ref(column)} like ${pattern} escape '!'`
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
