import {
  type Compilable,
  expressionBuilder,
  type Kysely,
  type KyselyPlugin,
  type RawBuilder,
  type SelectQueryBuilder,
  type SelectQueryNode,
  sql,
} from 'kysely'
import { dialectOf } from '../database/portable.ts'
import type { PreparedQueries } from '../database/prepared.ts'
import type { Row } from '../database/types.ts'
import { errors } from '../errors.ts'
import { type ColumnRule, canHave, toColumn } from './column-value.ts'
import { enclosed } from './enclosed.ts'

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
  count?: boolean
}

/** What is asked of every page of a list. */
export interface PageRules {
  filters: readonly ColumnFilter[]
  /** The columns that `search` looks into. */
  search: readonly Pick<ColumnFilter, 'column' | 'rule'>[]
  /** The unique columns that break ties. */
  key: readonly string[]
  /** Where the input has none. */
  pageSize: number
  /** No page reaches beyond this row. */
  maxDepth: number
  /** Whether all rows are counted; `optional`: unless the input says no. */
  count: boolean | 'optional'
}

export type AnyQuery = SelectQueryBuilder<Record<string, Record<string, unknown>>, string, object>

/** Where the rows of a list come from: a query, or a database and what makes the query of it. */
export type PageSource =
  | AnyQuery
  | { db: Kysely<never>; from: () => AnyQuery; kept: PreparedQueries }

interface Page {
  page: number
  num_pages?: number
  total?: number
  has_more?: boolean
  results: object[]
}

/**
 * Selects the page of the rows that the input asks for, and counts them all beside it. A page beyond the last is empty.
 *
 * @throws {PlinthError} INVALID_REQUEST where the page is deeper than it may be
 */
export async function selectPage(
  source: PageSource,
  rules: PageRules,
  input: PageInput,
): Promise<Page> {
  const { page = 1, page_size = rules.pageSize } = input
  assertDepth(page, page_size, rules.maxDepth)
  const isCounted = rules.count === true || (rules.count === 'optional' && input.count !== false)
  // One more than asked for tells whether there are more.
  const limit = isCounted ? page_size : page_size + 1
  const { counting, selecting } = statementsOf(source, rules, input, limit)
  const [counted, results] = await Promise.all([
    isCounted ? select(source, counting) : undefined,
    select(source, selecting),
  ])
  if (!counted)
    return { page, has_more: results.length > page_size, results: results.slice(0, page_size) }
  const total = (counted[0] as { total: number }).total
  const num_pages = Math.max(1, Math.ceil(total / page_size))
  const summary = { page, num_pages, total }
  return rules.count === true
    ? { ...summary, results }
    : { ...summary, has_more: page < num_pages, results }
}

/** What a page asks of the database, as its database compiles it; to look at, and not to run. */
export function compilePage(query: AnyQuery, rules: PageRules, input: PageInput) {
  const compile = ({ values, build }: Statement) => built(query, build, values).compile()
  const { counting, selecting } = statementsOf(query, rules, input, 1)
  return { counting: compile(counting), selecting: compile(selecting) }
}

interface Statement {
  /** All that it depends on beside its values and the rows of the list. */
  key: string
  values: readonly unknown[]
  build: Build
}

function statementsOf(
  source: PageSource,
  rules: PageRules,
  input: PageInput,
  limit: number,
): { counting: Statement; selecting: Statement } {
  const { page = 1, page_size = rules.pageSize, order, fields } = input
  const terms = termsOf(source, rules, input)
  const values = terms.flatMap((term) => term.values)
  const shape = terms.map(({ shape }) => shape).join()
  const isLater = page > 1 && isMysql(source)
  return {
    counting: {
      key: `count ${shape}`,
      values,
      build: (rows, values) => countAll(narrow(rows, terms, values)),
    },
    selecting: {
      key: `${isLater} ${shape} ${fields} ${order}`,
      values: [...values, limit, (page - 1) * page_size],
      build(rows, values) {
        const [limit, offset] = values.slice(-2) as [number, number]
        const cut = (query: AnyQuery) =>
          sorted(narrow(query, terms, values), order, rules.key)
            .limit(limit)
            .offset(offset)
        const named = fields === undefined ? rows : rows.clearSelect().select(namesOf(fields))
        if (!isLater || !isNamed(named)) return cut(named)
        return sorted(
          joinKeys(named, cut(selectKeys(rows, rules.key)), rules.key),
          order,
          rules.key,
        )
      },
    },
  }
}

// A database goes through all the rows before a page.
function assertDepth(page: number, size: number, maxDepth: number): void {
  if (page === 1 || page * size <= maxDepth) return
  const last = Math.max(1, Math.floor(maxDepth / size))
  const message = `must be at most ${last} for pages of ${size}: this list can be read as far as row ${maxDepth}; narrow it by a filter, or order it the other way round`
  throw errors.INVALID_REQUEST.with({ errors: [{ path: '/page', message }] }, 'the list')
}

/** Makes a statement of the rows of a list, with values or what stands for them. */
type Build = (rows: AnyQuery, values: readonly unknown[]) => AnyQuery

async function select(source: PageSource, { key, values, build }: Statement): Promise<Row[]> {
  if ('from' in source) {
    const { db, from, kept } = source
    return await kept.run(db, key, values, (values) => built(from(), build, values))
  }
  return (await built(source, build, values).execute()) as Row[]
}

function built(query: AnyQuery, build: Build, values: readonly unknown[]): AnyQuery & Compilable {
  if (isPlain(query.toOperationNode() as SelectQueryNode)) return build(query, values)
  const rows = expressionBuilder<Record<string, Record<string, unknown>>>()
    .selectFrom(unsorted(query).as('rows'))
    .selectAll() as unknown as AnyQuery
  return query.withPlugin(new Instead(build(rows, values).toOperationNode() as SelectQueryNode))
}

// Of rows that are cut already the order says which ones they are.
function unsorted(query: AnyQuery): AnyQuery {
  const { limit, offset, fetch, top } = query.toOperationNode() as SelectQueryNode
  return limit || offset || fetch || top ? query : query.clearOrderBy()
}

/** Runs another select where the one it is put on would run. */
class Instead implements KyselyPlugin {
  readonly #node: SelectQueryNode

  constructor(node: SelectQueryNode) {
    this.#node = node
  }

  transformQuery(): SelectQueryNode {
    return this.#node
  }

  async transformResult({ result }: Parameters<KyselyPlugin['transformResult']>[0]) {
    return result
  }
}

/**
 * Whether the rows of a query are those of one table, so that more can be said of them in the query itself. Of all others, of
 * joins, groups, distinct rows and other names, the columns of the result are meant and not those of the tables, so they become
 * a table of their own: `select * from (…) as rows where …`. Where it can be, the database takes that apart again.
 */
function isPlain(node: SelectQueryNode): boolean {
  const { kind, from, selections = [], where, orderBy, endModifiers, ...others } = node
  const [table, second] = from?.froms ?? []
  const isTable =
    table?.kind === 'TableNode' ||
    (table?.kind === 'AliasNode' &&
      (table as { node?: { kind: string } }).node?.kind === 'TableNode')
  const isOneTable =
    isTable && second === undefined && Object.values(others).every((one) => one === undefined)
  return isOneTable && selections.every(({ selection }) => PLAIN.has(selection.kind))
}

const PLAIN: ReadonlySet<string> = new Set(['SelectAllNode', 'ColumnNode', 'ReferenceNode'])

/** Whether it selects columns of one table by their names, and says nothing of their order. */
function isNamed(query: AnyQuery): boolean {
  const node = query.toOperationNode() as SelectQueryNode
  const isStar = node.selections?.some(({ selection }) => selection.kind === 'SelectAllNode')
  return isPlain(node) && node.selections !== undefined && !isStar && !node.orderBy
}

// On MySQL what stands before a page is gone through in the index alone, whose entries have the key, and the rows of the page are
// read then: to read all those before it costs so much that it sorts the whole table in place of it. SQLite reads them at
// little cost, and would join the other way round.
const selectKeys = (rows: AnyQuery, key: readonly string[]): AnyQuery =>
  rows.clearSelect().select(key.map((name, i) => sql.ref(name).as(`key_${i}`)))

function joinKeys(rows: AnyQuery, keys: AnyQuery, key: readonly string[]): AnyQuery {
  const isSame = key.map((name, i) => sql`${sql.ref(name)} = ${sql.ref(`keys_of_page.key_${i}`)}`)
  return rows.innerJoin(keys.as('keys_of_page') as never, (join) =>
    join.on(sql<boolean>`${sql.join(isSame, sql` and `)}`),
  ) as unknown as AnyQuery
}

/** What one filter, or the search, says of the rows. */
interface Term {
  /** All that its SQL depends on beside the values. */
  shape: string
  values: readonly unknown[]
  write: (values: readonly unknown[]) => RawBuilder<boolean>
}

function narrow(rows: AnyQuery, terms: readonly Term[], values: readonly unknown[]): AnyQuery {
  let at = 0
  return terms.reduce(
    (query, term) => {
      const own = values.slice(at, at + term.values.length)
      at += own.length
      return query.where(term.write(own))
    },
    terms.length > 0 ? enclosed(rows) : rows,
  )
}

function countAll(rows: AnyQuery): AnyQuery {
  return rows.clearSelect().clearOrderBy().select(sql<number>`count(*)`.as('total'))
}

function namesOf(fields: string): string[] {
  return [...new Set(fields.split(','))]
}

function sorted(rows: AnyQuery, order: string | undefined, key: readonly string[]): AnyQuery {
  return parseOrder(order, key).reduce(
    (query, [column, direction]) => query.orderBy(sql.ref(column), direction),
    rows,
  )
}

function termsOf(source: PageSource, { filters, search }: PageRules, input: PageInput): Term[] {
  const terms = filters.flatMap((filter) => {
    const value = input[filter.name]
    return value === undefined ? [] : [filterTerm(filter, value, source)]
  })
  if (input.search !== undefined && search.length > 0) terms.push(searchTerm(search, input.search))
  return terms
}

// Of a text that the column cannot have, and that MySQL would refuse to compare with it.
const NO_ROW: Term = { shape: 'none', values: [], write: () => sql<boolean>`1 = 0` }

function filterTerm(filter: ColumnFilter, given: unknown, source: PageSource): Term {
  const { name, column, operator, rule } = filter
  if (operator === 'contains') return containsTerm(filter, String(given))
  if (!canHave(rule, given)) return NO_ROW
  const value = toColumn(rule, given, `/${name}`, 'the list')
  if (value instanceof Date && !isMysql(source)) return storedTerm(filter, value)
  const comparison = sql.raw({ equals: '=', from: '>=', to: '<=' }[operator])
  return {
    shape: `${operator} ${name}`,
    values: [value],
    write: ([value]) => sql<boolean>`${sql.ref(column)} ${comparison} ${value}`,
  }
}

function isMysql(source: PageSource): boolean {
  if ('from' in source) return dialectOf(source.db) === 'mysql'
  // A query does not tell its database, but quotes its names as it does.
  return /^[^"`]*`/.test(source.compile().sql)
}

/**
 * In SQLite points in time are texts: the kit's own `2026-11-22T10:00:00.000Z`, and `2026-11-22 10:00:00[.0…]` of
 * others. Of one day the latter sort before the former, so they are compared for themselves. Not as what a function makes of
 * the column, which no index would be used for.
 */
function storedTerm({ name, column, operator }: ColumnFilter, value: Date): Term {
  const iso = value.toISOString()
  const noon = `${iso.slice(0, 10)}T`
  // The first and the last text that means the same.
  const least = iso
    .slice(0, -1)
    .replace('T', ' ')
    .replace(/\.?0*$/, '')
  const most = `${iso.slice(0, -1).replace('T', ' ')}000000`
  const ref = sql.ref(column)
  return {
    shape: `${operator} ${name}`,
    values: [iso, least, most, noon],
    write: ([iso, least, most, noon]) =>
      ({
        equals: sql<boolean>`(${ref} = ${iso} or ${ref} between ${least} and ${most})`,
        contains: NO_ROW.write([]),
        from: sql<boolean>`(${ref} >= ${iso} or (${ref} >= ${least} and ${ref} < ${noon}))`,
        to: sql<boolean>`(${ref} <= ${iso} and not (${ref} > ${most} and ${ref} < ${noon}))`,
      })[operator],
  }
}

function containsTerm({ column, rule }: Pick<ColumnFilter, 'column' | 'rule'>, text: string): Term {
  if (!canHave(rule, text)) return NO_ROW
  return {
    shape: `part ${column}`,
    // Not the backslash: MySQL takes it for an escape in the text of the pattern, too.
    values: [`%${text.replace(/[!%_]/g, '!$&')}%`],
    write: ([pattern]) => sql<boolean>`${sql.ref(column)} like ${pattern} escape '!'`,
  }
}

function searchTerm(columns: PageRules['search'], text: string): Term {
  const parts = columns.map((column) => containsTerm(column, text))
  return {
    shape: `any of ${parts.map(({ shape }) => shape).join(' or ')}`,
    values: parts.flatMap(({ values }) => values),
    write: (values) => {
      const own = values.values()
      const found = parts.map((part) => part.write(part.values.map(() => own.next().value)))
      return sql<boolean>`(${sql.join(found, sql` or `)})`
    },
  }
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
