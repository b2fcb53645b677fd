import type { Kysely, SelectQueryBuilder } from 'kysely'
import {
  type Static,
  type TArray,
  type TBoolean,
  type TInteger,
  type TNull,
  type TObject,
  type TOptional,
  type TProperties,
  type TSchema,
  type TString,
  type TStringOptions,
  type TUnion,
  Type,
} from 'typebox'
import { columnState, partsOf } from '../database/model/schemas.ts'
import type { Core } from '../database/model/types.ts'
import { PreparedQueries } from '../database/prepared.ts'
import type { Database } from '../database/types.ts'
import { errors } from '../errors.ts'
import { currentContext } from '../resource/context.ts'
import type { RowScope } from '../resource/contract.ts'
import { columnRule, isLongDecimal } from './column-value.ts'
import { type SortColumn, sortColumn } from './cursor.ts'
import type { ColumnFilter, FilterOperator } from './filters.ts'
import {
  type AnyQuery,
  type PageInput,
  type PageRules,
  type PageSource,
  selectAll,
  selectPage,
} from './page.ts'

/** On the column of the filter's own name, or on the one it names. */
export type Filter<Column extends string> =
  | FilterOperator
  | { operator: FilterOperator; column: Column }

export interface ListOptions<
  Column extends string,
  Filters,
  Search extends readonly Column[] = readonly Column[],
  Fields extends readonly Column[] = readonly Column[],
  Count extends Counting = Counting,
  Pages extends Paging = Paging,
  Required extends keyof Filters & string = keyof Filters & string,
> {
  /**
   * The rows, where they are the same whoever asks: `paginate(db, input)` then keeps its statements, built and compiled, and
   * `manage check` can say which orders and filters no index serves.
   */
  from?: (db: Database) => unknown
  /** Which of the rows a caller has, by `defineScope`; then statements are built for each page. Default: all. */
  scope?: RowScope
  /**
   * How a client finds its pages: by their numbers (default), or each by the cursor that the page before it has told. Such pages cost
   * the same wherever they are, and rows that come and go meanwhile make none of them overlap or leave out.
   */
  pages?: Pages
  /**
   * Whether all rows are counted for each page, which takes a database as long as there are rows: always (default, but for pages
   * by cursor: never), `'optional'`: unless the client says `count=false`, by cursor where it says `count=true`, or never. Where it may
   * be that they are not, a page tells by `has_more` whether there is another.
   */
  count?: Count
  /** What a client may ask for; each is an optional parameter of the request. */
  filters?: Filters & {
    [Name in keyof Filters]: Name extends Column ? unknown : { column: Column }
  }
  /** The filters that no request may leave out: those that the prefix of the module has as parameters. Default: none. */
  required?: readonly Required[]
  /** The columns that the parameter `order` may name, several joined by commas; `-` turns one round. */
  order: readonly [Column, ...Column[]]
  /** The column or columns that are unique: they break ties, so that pages neither overlap nor leave anything out. */
  key: Column | readonly Column[]
  /** The columns of text that the parameter `search` looks into: a row is found by a part of any of them. */
  search?: Search
  /**
   * The name of the full-text index that a migration has made of the columns of `search` (`addFullText`): a row is found then where all words of a text, or longer ones
   * that begin so, are in any of them. Of a query of one table, whose columns of `search` have `comparison: 'ignoreCase'`, and whose key is one integer.
   */
  fullText?: string
  /** The columns that the parameter `fields` may name, several joined by commas: a row then has only those. */
  fields?: Fields
  /** How many rows a page has where the request does not say; default 100, at most `maxPageSize`. */
  pageSize?: number
  /** The most rows of a page; default 1000. */
  maxPageSize?: number
  /** The row that no page reaches beyond: a database goes through all before it. Default 100,000. */
  maxDepth?: number
}

export type Counting = boolean | 'optional'

export type Paging = 'numbers' | 'cursor'

/** Whether rows are counted where nothing is said of it. */
export type UsualCount<Pages> = Pages extends 'cursor' ? false : true

export type FilterProperties<Row extends TProperties, Filters, Required = never> = {
  -readonly [Name in keyof Filters]: Name extends Required
    ? ColumnSchema<Row, Name, Filters[Name]>
    : TOptional<ColumnSchema<Row, Name, Filters[Name]>>
}

type ColumnSchema<Row extends TProperties, Name, F> = Asked<
  F extends { operator: infer Operator } ? Operator : F,
  F extends { column: infer Column } ? ValueOf<Row, Column> : ValueOf<Row, Name>
>

/** What a client says of a column. */
type Asked<Operator, Value extends TSchema> = Operator extends 'contains'
  ? TString
  : Operator extends 'null'
    ? TBoolean
    : Operator extends 'in' | 'not'
      ? TArray<Value>
      : Value

type ValueOf<Row extends TProperties, Column> = Column extends keyof Row
  ? Core<Row[Column]>
  : TSchema

export type PageParameters<
  Search extends readonly unknown[] = readonly [],
  Fields extends readonly unknown[] = readonly [],
  Count = true,
  Pages = 'numbers',
> = {
  page_size: TOptional<TInteger>
  order: TOptional<TString>
} & (Pages extends 'cursor' ? { cursor: TOptional<TString> } : { page: TOptional<TInteger> }) &
  (Count extends 'optional' ? { count: TOptional<TBoolean> } : unknown) &
  SearchParameter<Search> &
  (Fields extends readonly [] ? unknown : { fields: TOptional<TString> })

export type SearchParameter<Search> = Search extends readonly []
  ? unknown
  : { search: TOptional<TString> }

/** The properties of a row of the list: all, or where `fields` is possible those that are asked for. */
export type ListedRow<
  Row extends TProperties,
  Fields extends readonly unknown[],
> = Fields extends readonly [] ? Row : { [Name in keyof Row]: TOptional<Row[Name]> }

/**
 * One page: `page` counts from 1, `num_pages` is at least 1, `total` counts the rows of all pages. Where they may not be
 * counted, `has_more` tells whether there is another page; by cursors `next_cursor` does, which leads there, and is null at the end.
 */
export type PageSchema<Row extends TSchema, Count = true, Pages = 'numbers'> = TObject<
  { results: TArray<Row> } & (Pages extends 'cursor'
    ? CursorPage<Count>
    : { page: TInteger } & NumberedPage<Count>)
>

type NumberedPage<Count> = Count extends true
  ? { num_pages: TInteger; total: TInteger }
  : Count extends 'optional'
    ? { num_pages: TOptional<TInteger>; total: TOptional<TInteger>; has_more: TBoolean }
    : { has_more: TBoolean }

type CursorPage<Count> = { next_cursor: TUnion<[TString, TNull]> } & (Count extends true
  ? { total: TInteger }
  : Count extends 'optional'
    ? { total: TOptional<TInteger> }
    : unknown)

/** The schemas of a list resource, and the query that answers it. */
export interface List<
  Row extends TSchema,
  Properties extends TProperties,
  Listed extends TSchema = Row,
  Count = true,
  Pages = 'numbers',
> {
  request: TObject<Properties>
  response: PageSchema<Listed, Count, Pages>
  /**
   * Filters, orders and cuts rows to the page that `input` asks for, in SQL.
   *
   * @param rows a query, or the database for the rows that `from` names. Of a query with joins, groups, distinct rows or
   *   other names for columns it is the columns of its result that are filtered and ordered by
   * @throws {PlinthError} INVALID_REQUEST where the page is deeper than `maxDepth`, or the cursor of no page; of a list with a scope UNAUTHENTICATED, and
   *   CONTEXT_MISSING outside of a request and of `app.run`
   */
  paginate<DB, TB extends keyof DB>(
    rows: SelectQueryBuilder<DB, TB, Static<Row>> | Database,
    input: Static<TObject<Properties>>,
  ): Promise<Static<PageSchema<Listed, Count, Pages>>>
  /**
   * The query of all rows that `input` asks for by filters and `search`, whatever page: for `rows()`.
   *
   * @param rows as of `paginate`
   * @throws {PlinthError} of a list with a scope UNAUTHENTICATED, CONTEXT_MISSING
   */
  select<DB, TB extends keyof DB>(
    rows: SelectQueryBuilder<DB, TB, Static<Row>> | Database,
    input: Partial<Static<TObject<Properties>>>,
  ): SelectQueryBuilder<Record<string, Record<string, unknown>>, string, Static<Row> & object>
}

/**
 * Declares how rows of the schema `row` are listed: which filters and orders there are, how long a page is.
 *
 * @throws {PlinthError} RESOURCE_INVALID where a filter has the name of a parameter of every list or asks for null where there is none, a column
 *   is none of the rows, or one of JSON or bytes, and pages are found by cursor; where no full-text index can be of these columns
 */
export function defineList<
  Row extends TProperties,
  const Filters extends Record<string, Filter<keyof Row & string>> = Record<never, never>,
  const Search extends readonly (keyof Row & string)[] = readonly [],
  const Fields extends readonly (keyof Row & string)[] = readonly [],
  const Pages extends Paging = 'numbers',
  const Count extends Counting = UsualCount<Pages>,
  const Required extends keyof Filters & string = never,
>(
  row: TObject<Row>,
  options: ListOptions<keyof Row & string, Filters, Search, Fields, Count, Pages, Required>,
): List<
  TObject<Row>,
  FilterProperties<Row, Filters, Required> & PageParameters<Search, Fields, Count, Pages>,
  TObject<ListedRow<Row, Fields>>,
  Count,
  Pages
> {
  const { maxPageSize = 1000, maxDepth = 100_000, order, search = [], fields = [] } = options
  const byCursor = options.pages === 'cursor'
  const count: Counting = options.count ?? !byCursor
  const key = [options.key].flat()
  const pageSize = Math.min(options.pageSize ?? 100, maxPageSize)
  for (const column of [...order, ...search, ...fields]) assertColumn(row, column)
  const ruleOf = (column: string) => columnRule(assertColumn(row, column))
  const filters = Object.entries(options.filters ?? {}).map(([name, filter]) => {
    const { column, operator } =
      typeof filter === 'string' ? { column: name, operator: filter } : filter
    if (operator === 'null') assertNullable(row, name, column)
    return { name, column, operator, rule: ruleOf(column) }
  })
  const searched = search.map((column) => ({ column, rule: ruleOf(column) }))
  const fullText = options.fullText
    ? { index: options.fullText, key: fullTextKey(row, search, key) }
    : undefined
  const parameters = [
    ...PARAMETERS,
    byCursor ? 'cursor' : 'page',
    count === 'optional' && 'count',
    search.length > 0 && 'search',
    fields.length > 0 && 'fields',
  ]
  const taken = filters.find(({ name }) => parameters.includes(name))
  if (taken) throw errors.RESOURCE_INVALID('list', `a filter cannot be called ${taken.name}`)
  const needed: readonly string[] = options.required ?? []
  const properties = {
    ...Object.fromEntries(
      filters.map((filter) => {
        const schema = createParameter(row.properties, filter)
        return [filter.name, needed.includes(filter.name) ? schema : Type.Optional(schema)]
      }),
    ),
    ...(byCursor ? { cursor: cursorParameter() } : { page: pageParameter(maxDepth) }),
    page_size: Type.Optional(Type.Integer({ minimum: 1, maximum: maxPageSize, default: pageSize })),
    order: Type.Optional(
      Type.String({ pattern: orderPattern(order), description: orderHelp(order) }),
    ),
    ...(count === 'optional' && { count: countParameter(!byCursor) }),
    ...(search.length > 0 && { search: searchParameter(search, fullText !== undefined) }),
    ...(fields.length > 0 && { fields: fieldsParameter(fields) }),
  }

  const rules: PageRules = {
    ...{ filters, search: searched, fullText, key, pageSize, maxDepth, count },
    numbers: new Set([...order, ...key].filter((column) => isLongDecimal(ruleOf(column)))),
    cursor: byCursor ? sortColumns(row, [...order, ...key]) : undefined,
  }
  const kept = new PreparedQueries()
  const ofDatabase = (db: Kysely<never>) => {
    const { from } = options
    if (!from) throw errors.RESOURCE_INVALID('list', NO_FROM)
    return { db, from: () => from(db as never) as AnyQuery, kept }
  }
  const sourceOf = (rows: unknown): PageSource => {
    const isDatabase = 'getExecutor' in (rows as object)
    const source: PageSource = isDatabase ? ofDatabase(rows as never) : (rows as AnyQuery)
    const { scope } = options
    if (!scope) return source
    const context = currentContext()
    if (!context) throw errors.CONTEXT_MISSING('the list')
    return scope(context, 'from' in source ? source.from() : source)
  }

  const request = Type.Object(properties)
  // What of it is served by an index depends on the scope.
  if (options.from && !options.scope)
    declared.set(request, { from: options.from as Declared['from'], order, rules })
  return {
    request: request as never,
    response: pageSchema(fields.length > 0 ? Type.Partial(row) : row, count, byCursor) as never,
    paginate: (rows, input) =>
      selectPage(sourceOf(rows), rules, input as PageInput) as Promise<never>,
    select: (rows, input) => selectAll(sourceOf(rows), rules, input as PageInput) as never,
  }
}

/** A list that says what it lists, as far as {@link findUnserved} looks at it. */
export interface Declared {
  from: (db: Database) => AnyQuery
  order: readonly string[]
  rules: PageRules
}

const declared = new WeakMap<TSchema, Declared>()

/** The list whose request has this schema; undefined where it is none, or does not say what it lists. */
export function listOf(request: TSchema | undefined): Declared | undefined {
  return request && declared.get(request)
}

/** Its schema. TypeScript is not always asked. */
function assertColumn({ properties }: TObject, column: string): TSchema {
  const schema = properties[column]
  if (schema) return schema
  const known = Object.keys(properties).join(', ')
  throw errors.RESOURCE_INVALID('list', `its rows have no ${column}; they have ${known}`)
}

const NO_FROM =
  'it is given a database, and does not say what it lists; declare it with `from`, or paginate a query'

/** @throws {PlinthError} RESOURCE_INVALID where no row is without a value */
function assertNullable(row: TObject, filter: string, column: string): void {
  if (partsOf(assertColumn(row, column)).nullable) return
  const problem = `the filter ${filter} asks where ${column} is null, and by its schema it never is`
  throw errors.RESOURCE_INVALID('list', problem)
}

/**
 * By which column the rows of a full-text index are known.
 *
 * @throws {PlinthError} RESOURCE_INVALID where no index could find the same on every database
 */
function fullTextKey(row: TObject, search: readonly string[], key: readonly string[]): string {
  const [only = '', ...others] = key
  const type = columnState(assertColumn(row, only))?.type
  const refuse = (problem: string) =>
    errors.RESOURCE_INVALID('list', `fullText finds rows by words, and ${problem}`)
  if (search.length === 0) throw refuse('`search` names no columns')
  if (others.length > 0 || !/int/.test(String(type))) throw refuse('`key` is not one integer')
  const exact = search.find(
    (column) => columnState(assertColumn(row, column))?.comparison !== 'ignoreCase',
  )
  if (exact !== undefined)
    throw refuse(
      `MySQL would tell upper from lower case in ${exact}; define it by column(schema, { comparison: 'ignoreCase' })`,
    )
  return only
}

/** @throws {PlinthError} RESOURCE_INVALID where there is no telling what comes behind a value */
function sortColumns(row: TObject, names: readonly string[]): Map<string, SortColumn> {
  const columns = names.map((name) => {
    const column = sortColumn(assertColumn(row, name))
    if (column) return [name, column] as const
    const problem = `${name} is JSON or bytes, and no cursor can say where it is; take it out of order`
    throw errors.RESOURCE_INVALID('list', problem)
  })
  return new Map(columns)
}

function pageSchema(row: TSchema, count: Counting, byCursor: boolean): TObject {
  if (byCursor) return cursorPageSchema(row, count)
  const counted = { num_pages: Type.Integer(), total: Type.Integer() }
  const more = { has_more: Type.Boolean() }
  const partial = {
    num_pages: Type.Optional(counted.num_pages),
    total: Type.Optional(counted.total),
  }
  return Type.Object({
    page: Type.Integer(),
    ...(count === true ? counted : count === 'optional' ? { ...partial, ...more } : more),
    results: Type.Array(row),
  })
}

function cursorPageSchema(row: TSchema, count: Counting): TObject {
  const total = Type.Integer()
  const next_cursor = Type.Union([Type.String(), Type.Null()], {
    description: 'The cursor of the next page; null where this is the last.',
  })
  return Type.Object({
    next_cursor,
    ...(count !== false && { total: count === true ? total : Type.Optional(total) }),
    results: Type.Array(row),
  })
}

const PARAMETERS: readonly string[] = ['page_size', 'order']

// The longer a text, the more a search costs; nobody types as much.
const MAX_SEARCH = 100

/** What a URL has room for, beside filters. */
const MAX_CURSOR = 4096

function pageParameter(maxDepth: number): TSchema {
  const description = `From 1; page times page_size is at most ${maxDepth}.`
  return Type.Optional(Type.Integer({ minimum: 1, maximum: maxDepth, default: 1, description }))
}

function cursorParameter(): TSchema {
  const description =
    '`next_cursor` of the page before, asked for with the same order and filters; left out for the first.'
  return Type.Optional(Type.String({ minLength: 1, maxLength: MAX_CURSOR, description }))
}

function countParameter(initial: boolean): TSchema {
  const description = `Whether \`total\`${initial ? ' and `num_pages` are' : ' is'} asked for.`
  return Type.Optional(Type.Boolean({ default: initial, description }))
}

function searchParameter(columns: readonly string[], byWords: boolean): TSchema {
  const what = byWords ? 'Words, or how they begin, all of which are in' : 'A part of'
  const description = `${what} ${columns.join(' or ')}.`
  return Type.Optional(Type.String({ minLength: 1, maxLength: MAX_SEARCH, description }))
}

function fieldsParameter(columns: readonly string[]): TSchema {
  const description = `Which fields a row has: some of ${columns.join(', ')}, joined by commas. All, where it is left out.`
  return Type.Optional(Type.String({ pattern: listPattern('', columns), description }))
}

/** The most values of one filter. */
const MAX_VALUES = 100

function createParameter(row: TProperties, { column, operator }: ColumnFilter): TSchema {
  // A default is a row's, and would filter the list of whoever asks for no filter.
  const { core } = partsOf(row[column] as TSchema)
  const { default: _, ...schema } = core as TSchema & Record<string, unknown>
  if (operator === 'null') return Type.Boolean({ description: `Whether ${column} is null.` })
  if (operator === 'in' || operator === 'not') {
    const description = `${operator === 'in' ? 'One' : 'None'} of these is ${column}.`
    const size = { minItems: 1, maxItems: MAX_VALUES }
    return Type.Array(schema as TSchema, { ...size, description })
  }
  if (operator !== 'contains') return schema
  // A part of a text has no form: no pattern, no format, no list of choices.
  const { maxLength, description } = schema as TStringOptions
  return Type.String({
    ...(maxLength !== undefined && { maxLength }),
    ...(description !== undefined && { description }),
  })
}

const orderPattern = (columns: readonly string[]): string => listPattern('-?', columns)

function listPattern(sign: string, columns: readonly string[]): string {
  const one = `${sign}(${columns.join('|')})`
  // Not without end: a database takes only so many terms.
  return `^${one}(,${one}){0,${columns.length - 1}}$`
}

function orderHelp(columns: readonly string[]): string {
  return `One or more of ${columns.join(', ')}, joined by commas; - before one for descending.`
}
