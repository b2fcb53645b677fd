import { type RawBuilder, sql } from 'kysely'
import { asNumber, type ColumnRule, canHave, isLongDecimal, toColumn } from './column-value.ts'

/**
 * How a filter's value is compared with its column. `contains` takes part of a text; `from` and `to` include the value; `in` takes several
 * values, of which a row has one, and `not` such of which it has none, as rows without any value do; `null` is true for these, and
 * false for all others.
 */
export type FilterOperator = 'equals' | 'contains' | 'from' | 'to' | 'in' | 'not' | 'null'

export interface ColumnFilter {
  /** Of the request's parameter. */
  name: string
  column: string
  operator: FilterOperator
  rule: ColumnRule
}

/** What a list may be narrowed by. */
export interface Conditions {
  filters: readonly ColumnFilter[]
  /** The columns that `search` looks into. */
  search: readonly Pick<ColumnFilter, 'column' | 'rule'>[]
  /** Where it goes by their words: the index of these, and the key of the rows. */
  fullText?: { readonly index: string; readonly key: string } | undefined
}

/** What one filter, the search or a cursor says of the rows. */
export interface Term {
  /** All that its SQL depends on beside the values. */
  shape: string
  values: readonly unknown[]
  write: (values: readonly unknown[]) => RawBuilder<boolean>
}

type Input = Readonly<Record<string, unknown>>

/** What a request says of the rows. @throws {PlinthError} INVALID_REQUEST for a time that no column takes */
export function termsOf(
  { filters, search, fullText }: Conditions,
  input: Input,
  isMysql: () => boolean,
): Term[] {
  const terms = filters.flatMap((filter) => {
    const value = input[filter.name]
    return value === undefined ? [] : (filterTerm(filter, value, isMysql) ?? [])
  })
  if (typeof input.search === 'string' && search.length > 0)
    terms.push(
      fullText
        ? wordsTerm(search, fullText, input.search, isMysql())
        : searchTerm(search, input.search),
    )
  return terms
}

// Of a text that the column cannot have, and that MySQL would refuse to compare with it.
const NO_ROW: Term = { shape: 'none', values: [], write: () => sql<boolean>`1 = 0` }

/** Undefined where it says nothing. */
function filterTerm(
  filter: ColumnFilter,
  given: unknown,
  isMysql: () => boolean,
): Term | undefined {
  const { operator, name, column } = filter
  switch (operator) {
    case 'contains':
      return containsTerm(filter, String(given))
    case 'null':
      return {
        shape: `${name} ${given}`,
        values: [],
        write: () => sql<boolean>`${sql.ref(column)} is ${sql.raw(given ? 'null' : 'not null')}`,
      }
    case 'in':
      return anyOf(filter, given as unknown[], isMysql) ?? NO_ROW
    case 'not': {
      const term = anyOf(filter, given as unknown[], isMysql)
      return (
        term && {
          ...term,
          write: (values) =>
            sql<boolean>`(not ${term.write(values)} or ${sql.ref(column)} is null)`,
        }
      )
    }
    default:
      return compareTerm(filter, operator, given, isMysql)
  }
}

/** Whether it is one of the values; undefined where the column can have none of them. */
function anyOf(
  filter: ColumnFilter,
  given: readonly unknown[],
  isMysql: () => boolean,
): Term | undefined {
  const known = given.filter((value) => canHave(filter.rule, value))
  if (known.length === 0) return undefined
  const parts = known.map((value) => compareTerm(filter, 'equals', value, isMysql))
  // To the next power of two: each number of values would be a statement of its own to keep.
  const missing = 2 ** Math.ceil(Math.log2(parts.length)) - parts.length
  parts.push(...Array<Term>(missing).fill(parts.at(-1) as Term))
  return joinByOr(`${filter.operator} ${filter.name} ${parts.length}`, parts)
}

function compareTerm(
  filter: ColumnFilter,
  operator: 'equals' | 'from' | 'to',
  given: unknown,
  isMysql: () => boolean,
): Term {
  const { name, column, rule } = filter
  if (!canHave(rule, given)) return NO_ROW
  const value = toColumn(rule, given, `/${name}`, 'the list')
  if (value instanceof Date && !isMysql()) return storedTerm(filter, operator, value)
  const comparison = sql.raw({ equals: '=', from: '>=', to: '<=' }[operator])
  const shape = `${operator} ${name}`
  const ref = sql.ref(column)
  if (isLongDecimal(rule) && (isMysql() || operator !== 'equals')) {
    // MySQL would compare a text with a decimal as floating point numbers.
    const write: Term['write'] = isMysql()
      ? ([value]) =>
          sql<boolean>`${ref} ${comparison} cast(${value} as ${sql.raw(String(rule.decimal))})`
      : ([value]) => sql<boolean>`${asNumber(ref)} ${comparison} ${asNumber(value)}`
    return { shape, values: [value], write }
  }
  return {
    shape,
    values: [value],
    write: ([value]) => sql<boolean>`${ref} ${comparison} ${value}`,
  }
}

/**
 * In SQLite points in time are texts: the kit's own `2026-11-22T10:00:00.000Z`, and `2026-11-22 10:00:00[.0…]` of
 * others. Of one day the latter sort before the former, so they are compared for themselves. Not as what a function makes of
 * the column, which no index would be used for.
 */
function storedTerm(
  { name, column }: ColumnFilter,
  operator: 'equals' | 'from' | 'to',
  value: Date,
): Term {
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
    // However the column is compared, a part of it is found whatever its case.
    write: ([pattern]) => sql<boolean>`lower(${sql.ref(column)}) like lower(${pattern}) escape '!'`,
  }
}

function searchTerm(columns: Conditions['search'], text: string): Term {
  const parts = columns.map((column) => containsTerm(column, text))
  return joinByOr(`any of ${parts.map(({ shape }) => shape).join(' or ')}`, parts)
}

/** Rows that have all the words of a text, or longer ones that begin so; none where it has no word. */
function wordsTerm(
  columns: Conditions['search'],
  { index, key }: NonNullable<Conditions['fullText']>,
  text: string,
  isMysql: boolean,
): Term {
  const words = text.match(/[\p{L}\p{M}\p{N}]+/gu)
  if (!words) return NO_ROW
  const shape = 'words'
  if (!isMysql)
    return {
      shape,
      values: [words.map((word) => `"${word}"*`).join(' ')],
      write: ([query]) =>
        sql<boolean>`${sql.ref(key)} in (select rowid from ${sql.table(index)} where ${sql.ref(index)} match ${query})`,
    }
  // It would demand what its index does not have.
  const known = words.filter((word) => word.length > 2 && !UNINDEXED.has(word.toLowerCase()))
  const names = sql.join(columns.map(({ column }) => sql.ref(column)))
  return {
    shape,
    values: [(known.length > 0 ? known : words).map((word) => `+${word}*`).join(' ')],
    write: ([query]) => sql<boolean>`match (${names}) against (${query} in boolean mode)`,
  }
}

/** The longer ones of the words that InnoDB leaves out of an index, beside all of one or two letters. */
const UNINDEXED: ReadonlySet<string> = new Set(
  'about are com for from how that the this und was what when where who will with www'.split(' '),
)

function joinByOr(shape: string, parts: readonly Term[]): Term {
  return {
    shape,
    values: parts.flatMap(({ values }) => values),
    write: (values) => {
      const own = values.values()
      const found = parts.map((part) => part.write(part.values.map(() => own.next().value)))
      return sql<boolean>`(${sql.join(found, sql` or `)})`
    },
  }
}
