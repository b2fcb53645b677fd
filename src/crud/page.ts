import {
  type Compilable,
  expressionBuilder,
  type Kysely,
  type KyselyPlugin,
  type SelectQueryBuilder,
  type SelectQueryNode,
  sql,
} from 'kysely'
import { dialectOf } from '../database/portable.ts'
import type { PreparedQueries } from '../database/prepared.ts'
import type { Row } from '../database/types.ts'
import { errors } from '../errors.ts'
import { asNumber } from './column-value.ts'
import { Cursors, type Order, type SortColumn } from './cursor.ts'
import { enclosed } from './enclosed.ts'
import { type Conditions, type Term, termsOf } from './filters.ts'

/** A valid request for a page. */
export interface PageInput {
  [filter: string]: unknown
  page?: number
  page_size?: number
  order?: string
  search?: string
  fields?: string
  count?: boolean
  cursor?: string
}

/** What is asked of every page of a list. */
export interface PageRules extends Conditions {
  /** The unique columns that break ties. */
  key: readonly string[]
  /** Where the input has none. */
  pageSize: number
  /** No page reaches beyond this row. */
  maxDepth: number
  /** Whether all rows are counted; `optional`: unless the input says no. */
  count: boolean | 'optional'
  /** The columns that SQLite has as texts and sorts as numbers: long decimals. */
  numbers: ReadonlySet<string>
  /** Where pages are found by cursors: the columns that there are orders by. */
  cursor?: ReadonlyMap<string, SortColumn> | undefined
}

export type AnyQuery = SelectQueryBuilder<Record<string, Record<string, unknown>>, string, object>

/** Where the rows of a list come from: a query, or a database and what makes the query of it. */
export type PageSource =
  | AnyQuery
  | { db: Kysely<never>; from: () => AnyQuery; kept: PreparedQueries }

interface Page {
  page?: number
  num_pages?: number
  total?: number
  has_more?: boolean
  next_cursor?: string | null
  results: object[]
}

/**
 * Selects the page of the rows that the input asks for, and counts them all; MySQL does so beside it. A page beyond the last is empty.
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
  const cursors = rules.cursor && cursorsOf(source, rules, rules.cursor, input)
  const wantsCount = input.count ?? !cursors
  const isCounted = rules.count === true || (rules.count === 'optional' && wantsCount)
  // One more than asked for tells whether there are more.
  const limit = isCounted && !cursors ? page_size : page_size + 1
  const { counting, selecting } = statementsOf(source, rules, input, limit, cursors)
  const asked = isCounted ? select(source, counting) : undefined
  // One that is in the process does one after the other in any case: it is not asked for what is beyond the last row.
  const isFirst = page === 1 || cursors !== undefined
  const known = asked && !isFirst && !isMysql(source) ? totalOf(await asked).total : Infinity
  const isBeyond = (page - 1) * page_size >= known
  const [counted, results] = await Promise.all([asked, isBeyond ? [] : select(source, selecting)])
  if (cursors) {
    const rows = results.slice(0, page_size)
    const next_cursor = cursors.of(results.length > page_size ? rows.at(-1) : undefined)
    cursors.clear(rows)
    return { next_cursor, ...(counted && totalOf(counted)), results: rows }
  }
  if (!counted)
    return { page, has_more: results.length > page_size, results: results.slice(0, page_size) }
  const { total } = totalOf(counted)
  const num_pages = Math.max(1, Math.ceil(total / page_size))
  const summary = { page, num_pages, total }
  return rules.count === true
    ? { ...summary, results }
    : { ...summary, has_more: page < num_pages, results }
}

const totalOf = (counted: readonly Row[]) => counted[0] as { total: number }

function cursorsOf(
  source: PageSource,
  { filters, key }: PageRules,
  columns: ReadonlyMap<string, SortColumn>,
  input: PageInput,
): Cursors {
  const { order, search, fields } = input
  return new Cursors({
    columns,
    order: parseOrder(order, key),
    asked: [order, search, ...filters.map(({ name }) => input[name])],
    fields: fields === undefined ? undefined : namesOf(fields),
    isMysql: isMysql(source),
  })
}

/** The rows of all pages, in no order. */
export function selectAll(source: PageSource, rules: PageRules, input: PageInput): AnyQuery {
  const terms = termsOf(rules, input, () => isMysql(source))
  const rows = 'from' in source ? source.from() : source
  return built(rows, (query) => narrow(query, terms, valuesOf(terms)), [])
}

/** What a page asks of the database, as its database compiles it; to look at, and not to run. */
export function compilePage(query: AnyQuery, rules: PageRules, input: PageInput) {
  const compile = ({ values, build }: Statement) => built(query, build, values).compile()
  const cursors = rules.cursor && cursorsOf(query, rules, rules.cursor, input)
  const { counting, selecting } = statementsOf(query, rules, input, 1, cursors)
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
  cursors?: Cursors,
): { counting: Statement; selecting: Statement } {
  const { page = 1, page_size = rules.pageSize, order, fields } = input
  const terms = termsOf(rules, input, () => isMysql(source))
  const isBehind = cursors && input.cursor !== undefined
  const chosen = isBehind ? [...terms, cursors.after(input.cursor as string)] : terms
  const isLater = page > 1 && isMysql(source)
  const numbers = rules.numbers.size > 0 && !isMysql(source) ? rules.numbers : undefined
  return {
    counting: {
      key: `count ${shapeOf(terms)}`,
      values: valuesOf(terms),
      build: (rows, values) => countAll(narrow(rows, terms, values)),
    },
    selecting: {
      key: `${isLater} ${shapeOf(chosen)} ${fields} ${order}`,
      values: [...valuesOf(chosen), limit, (page - 1) * page_size],
      build(rows, values) {
        const [limit, offset] = values.slice(-2) as [number, number]
        const cut = (query: AnyQuery) =>
          sorted(narrow(query, chosen, values), order, rules.key, numbers)
            .limit(limit)
            .offset(offset)
        const named = fields === undefined ? rows : rows.clearSelect().select(namesOf(fields))
        if (cursors) return cut(named.select(cursors.further))
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

const shapeOf = (terms: readonly Term[]) => terms.map(({ shape }) => shape).join()
const valuesOf = (terms: readonly Term[]) => terms.flatMap(({ values }) => values)

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

/** What `build` makes of the rows of `query`, to be run where that would run. */
export function built(
  query: AnyQuery,
  build: Build,
  values: readonly unknown[],
): AnyQuery & Compilable {
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

function sorted(
  rows: AnyQuery,
  order: string | undefined,
  key: readonly string[],
  numbers?: ReadonlySet<string>,
): AnyQuery {
  return parseOrder(order, key).reduce((query, [column, direction]) => {
    const ref = sql.ref(column)
    return query.orderBy(numbers?.has(column) ? asNumber(ref) : ref, direction)
  }, rows)
}

/** Of which of the two databases it is. */
export function isMysql(source: PageSource): boolean {
  if ('from' in source) return dialectOf(source.db) === 'mysql'
  // A query does not tell its database, but quotes its names as it does.
  return /^[^"`]*`/.test(source.compile().sql)
}

function parseOrder(order: string | undefined, key: readonly string[]): Order {
  const columns = order === undefined ? [] : order.split(',')
  const named = columns.map((column): [string, 'asc' | 'desc'] =>
    column.startsWith('-') ? [column.slice(1), 'desc'] : [column, 'asc'],
  )
  const missing = key.filter((column) => !named.some(([name]) => name === column))
  // In the direction of the last one: an index on it, which holds the key too, then gives the rows in order.
  const direction = named.at(-1)?.[1] ?? 'asc'
  return [...named, ...missing.map((column): [string, 'asc' | 'desc'] => [column, direction])]
}
