import type { SelectQueryBuilder } from 'kysely'
import {
  type Static,
  type TArray,
  type TInteger,
  type TObject,
  type TOptional,
  type TProperties,
  type TSchema,
  type TString,
  type TStringOptions,
  Type,
} from 'typebox'
import { errors } from '../errors.ts'
import { type ColumnFilter, type FilterOperator, type PageInput, selectPage } from './page.ts'

/** On the column of the filter's own name, or on the one it names. */
export type Filter<Column extends string> =
  | FilterOperator
  | { operator: FilterOperator; column: Column }

export interface ListOptions<Column extends string, Filters> {
  /** What a client may ask for; each is an optional parameter of the request. */
  filters?: Filters & {
    [Name in keyof Filters]: Name extends Column ? unknown : { column: Column }
  }
  /** The columns that the parameter `order` may name, several joined by commas; `-` turns one round. */
  order: readonly [Column, ...Column[]]
  /** The column that is unique: it breaks ties, so that pages neither overlap nor leave anything out. */
  key: Column
  /** How many rows a page has where the request does not say; default 100, at most `maxPageSize`. */
  pageSize?: number
  /** The most rows of a page; default 1000. */
  maxPageSize?: number
}

type FilterProperties<Row extends TProperties, Filters> = {
  -readonly [Name in keyof Filters]: TOptional<ColumnSchema<Row, Name, Filters[Name]>>
}

type ColumnSchema<Row extends TProperties, Name, F> = F extends
  | 'contains'
  | { operator: 'contains' }
  ? TString
  : F extends { column: infer Column }
    ? Column extends keyof Row
      ? Row[Column]
      : TSchema
    : Name extends keyof Row
      ? Row[Name]
      : TSchema

type PageParameters = {
  page: TOptional<TInteger>
  page_size: TOptional<TInteger>
  order: TOptional<TString>
}

/** One page: `page` counts from 1, `num_pages` is at least 1, `total` counts the rows of all pages. */
export type PageSchema<Row extends TSchema> = TObject<{
  page: TInteger
  num_pages: TInteger
  total: TInteger
  results: TArray<Row>
}>

/** The schemas of a list resource, and the query that answers it. */
export interface List<Row extends TSchema, Properties extends TProperties> {
  request: TObject<Properties>
  response: PageSchema<Row>
  /** Filters, orders and cuts `query` to the page that `input` asks for, in SQL. */
  paginate<DB, TB extends keyof DB>(
    query: SelectQueryBuilder<DB, TB, Static<Row>>,
    input: Static<TObject<Properties>>,
  ): Promise<Static<PageSchema<Row>>>
}

/**
 * Declares how rows of the schema `row` are listed: which filters and orders there are, how long a page is.
 *
 * @throws {PlinthError} RESOURCE_INVALID where a filter has the name of a parameter of every list
 */
export function defineList<
  Row extends TProperties,
  const Filters extends Record<string, Filter<keyof Row & string>> = Record<never, never>,
>(
  row: TObject<Row>,
  options: ListOptions<keyof Row & string, Filters>,
): List<TObject<Row>, FilterProperties<Row, Filters> & PageParameters> {
  const { maxPageSize = 1000, order, key } = options
  const pageSize = Math.min(options.pageSize ?? 100, maxPageSize)
  const filters = Object.entries(options.filters ?? {}).map(([name, filter]) => {
    const { column, operator } =
      typeof filter === 'string' ? { column: name, operator: filter } : filter
    const { format } = row.properties[column] as TSchema & { format?: string }
    return { name, column, operator, instant: format === 'date-time' }
  })
  const taken = filters.find(({ name }) => PARAMETERS.includes(name))
  if (taken) throw errors.RESOURCE_INVALID('list', `a filter cannot be called ${taken.name}`)
  const properties = {
    ...Object.fromEntries(
      filters.map((filter) => [filter.name, createParameter(row.properties, filter)]),
    ),
    page: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000, default: 1 })),
    page_size: Type.Optional(Type.Integer({ minimum: 1, maximum: maxPageSize, default: pageSize })),
    order: Type.Optional(
      Type.String({ pattern: orderPattern(order), description: orderHelp(order) }),
    ),
  }

  return {
    request: Type.Object(properties) as never,
    response: Type.Object({
      page: Type.Integer(),
      num_pages: Type.Integer(),
      total: Type.Integer(),
      results: Type.Array(row),
    }),
    paginate: (query, input) =>
      selectPage(query as never, {
        input: input as PageInput,
        filters,
        key,
        pageSize,
      }) as Promise<never>,
  }
}

const PARAMETERS: readonly string[] = ['page', 'page_size', 'order']

function createParameter(row: TProperties, { column, operator }: ColumnFilter): TSchema {
  // A default is a row's, and would filter the list of whoever asks for no filter.
  const { default: _, ...schema } = row[column] as TSchema & Record<string, unknown>
  if (operator !== 'contains') return Type.Optional(schema)
  // A part of a text has no form: no pattern, no format, no list of choices.
  const { maxLength, description } = schema as TStringOptions
  return Type.Optional(
    Type.String({
      ...(maxLength !== undefined && { maxLength }),
      ...(description !== undefined && { description }),
    }),
  )
}

function orderPattern(columns: readonly string[]): string {
  const one = `-?(${columns.join('|')})`
  // Not without end: a database takes only so many terms.
  return `^${one}(,${one}){0,${columns.length - 1}}$`
}

function orderHelp(columns: readonly string[]): string {
  return `One or more of ${columns.join(', ')}, joined by commas; - before one for descending.`
}
