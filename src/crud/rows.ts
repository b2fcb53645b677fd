import { Readable } from 'node:stream'
import { setImmediate as othersTurn } from 'node:timers/promises'
import { type RawBuilder, type SelectQueryBuilder, sql } from 'kysely'
import { type ByteAnswer, sentAs } from '../resource/stream.ts'
import { exactly, toJson } from '../schema/json.ts'
import { enclosed } from './enclosed.ts'
import { type AnyQuery, built, isMysql } from './page.ts'

export interface RowsOptions<Row> {
  /**
   * How they are written: `csv` (RFC 4180), with the names of the columns in the first line; `ndjson`, an object in each line; `json`, one list.
   */
  as: 'csv' | 'ndjson' | 'json'
  /**
   * The columns that tell the rows apart, in the order in which these come: selected, together unique, never null, of integers or texts. Default `['id']`.
   */
  key?: readonly (keyof Row & string)[]
  /** Of `csv`: the columns, in their order; default: those of the first row. They are told where there is no row, too. */
  columns?: readonly (keyof Row & string)[]
  /** How many rows are read at once; default 500, of SQLite 100: it reads in this process, where others wait meanwhile. */
  pageSize?: number
}

/**
 * Streams the rows of a query, as its client reads them: page by page in the order of their key, each by a statement of its own, so that no connection is
 * held and no transaction is open while somebody reads slowly. What is written meanwhile may be in it or not; no row is in it twice.
 *
 * @param query a select; what orders it is `key`
 * @returns what a resource answers with whose response is `stream('text/csv')`
 */
export function rows<Row extends object>(
  // biome-ignore lint/suspicious/noExplicitAny: of any tables
  query: SelectQueryBuilder<any, any, Row>,
  { as, key = ['id' as keyof Row & string], columns, pageSize }: RowsOptions<Row>,
): ByteAnswer {
  const all = query as unknown as AnyQuery
  const pages = pagesOf(all, key, pageSize ?? (isMysql(all) ? PAGE_SIZE : OWN_PAGE_SIZE))
  const { type, write } = FORMS[as]
  const stream = Readable.from(write(pages, columns), { objectMode: false })
  return sentAs(stream, { headers: { 'content-type': type } })
}

const PAGE_SIZE = 500
/** Of a database that is a part of this process: reading and writing so many takes less time than a request. */
const OWN_PAGE_SIZE = 100

type Row = Record<string, unknown>
type Pages = AsyncIterable<readonly Row[]>

async function* pagesOf(
  query: AnyQuery,
  key: readonly string[],
  size: number,
): AsyncGenerator<readonly Row[]> {
  let last: readonly unknown[] | undefined
  for (;;) {
    const after = last
    const page = built(query, (rows) => pageAfter(rows, key, after).limit(size), [])
    const found = (await page.execute()) as Row[]
    yield found
    const [end] = found.slice(-1)
    if (!end || found.length < size) return
    last = key.map((name) => keyOf(end, name))
    // A statement of SQLite runs in this process.
    await othersTurn()
  }
}

function pageAfter(
  rows: AnyQuery,
  key: readonly string[],
  last: readonly unknown[] | undefined,
): AnyQuery {
  const found = last ? enclosed(rows).where(isAfter(key, last)) : rows
  return key.reduce((query, name) => query.orderBy(sql.ref(name)), found.clearOrderBy())
}

/** `a >= 1 and (a > 1 or (a = 1 and b > 2))`: for an index on these MySQL wants to be told of the first one by itself. */
function isAfter(key: readonly string[], last: readonly unknown[]): RawBuilder<boolean> {
  const is = (operator: '=' | '>' | '>=', i: number) =>
    sql`${sql.ref(key[i] as string)} ${sql.raw(operator)} ${last[i]}`
  const ways = key.map((_, i) => {
    const same = key.slice(0, i).map((_, before) => is('=', before))
    return sql`(${sql.join([...same, is('>', i)], sql` and `)})`
  })
  return sql<boolean>`(${is('>=', 0)} and (${sql.join(ways, sql` or `)}))`
}

/** @throws {TypeError} where the rows cannot be told apart by it */
function keyOf(row: Row, name: string): unknown {
  const value = row[name]
  if (value !== undefined && value !== null && typeof value !== 'object') return value
  const problem = value === undefined ? 'is not among its columns' : 'is no integer or text'
  throw new TypeError(
    `rows() cannot go on after a row whose ${name} ${problem}; give it another key`,
  )
}

type Write = (pages: Pages, columns: readonly string[] | undefined) => AsyncGenerator<string>

/** One text for each page. */
const FORMS: Readonly<Record<RowsOptions<Row>['as'], { type: string; write: Write }>> = {
  csv: {
    type: 'text/csv; charset=utf-8',
    async *write(pages, columns) {
      const line = (cells: readonly unknown[]) => `${cells.map(toCell).join(',')}\r\n`
      let names = columns
      if (names) yield line(names)
      for await (const page of pages) {
        const [first] = page
        if (first && !names) {
          names = Object.keys(first)
          yield line(names)
        }
        yield page.map((row) => line((names ?? []).map((name) => row[name]))).join('')
      }
    },
  },
  ndjson: {
    type: 'application/x-ndjson',
    async *write(pages) {
      for await (const page of pages) yield page.map((row) => `${toText(row)}\n`).join('')
    },
  },
  json: {
    type: 'application/json; charset=utf-8',
    async *write(pages) {
      let before = '['
      for await (const page of pages) {
        if (page.length === 0) continue
        yield before + page.map(toText).join(',\n')
        before = ',\n'
      }
      yield before === '[' ? '[]' : ']'
    },
  },
}

function toCell(value: unknown): string {
  if (value === null || value === undefined) return ''
  const text = value instanceof Uint8Array ? Buffer.from(value).toString('base64') : toPlain(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

function toPlain(value: unknown): string {
  return typeof value === 'object' ? toText(value) : String(value)
}

/** A row, or a JSON value in one, with all digits of integers that are no exact numbers. */
function toText(value: unknown): string {
  const json = toJson(value, false, exactly)
  const entries = Object.entries(json as object)
  if (!entries.some(([, one]) => typeof one === 'bigint')) return JSON.stringify(json)
  const texts = entries.map(([name, one]) => {
    const text = typeof one === 'bigint' ? String(one) : JSON.stringify(one)
    return `${JSON.stringify(name)}:${text}`
  })
  return `{${texts.join()}}`
}
