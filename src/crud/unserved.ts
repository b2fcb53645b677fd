import { CompiledQuery, sql } from 'kysely'
import { dialectOf } from '../database/portable.ts'
import type { Database, Row } from '../database/types.ts'
import type { ResourceRegistry } from '../resource/registry.ts'
import { type Declared, listOf } from './list.ts'
import { compilePage, type PageInput } from './page.ts'

/** How many rows a list has at least that is looked at: fewer are sorted and searched in no time. */
const MANY = 10_000

/** What a client may ask of a list and the database has no index for. */
export interface Unserved {
  /** `the order by name`, `the filter country` */
  what: string
  /** How the database goes about it, in its own words. */
  plan: string
}

/**
 * The orders and filters of a list that no index serves, each by itself, as the database that holds the rows plans them. Nothing
 * is told of lists that are short, and of filters by a part of a text or by what a value is not, which no index serves.
 *
 * @throws what the database does, where it has no such table
 */
export async function findUnserved(db: Database, list: Declared): Promise<Unserved[]> {
  const query = list.from(db)
  const { rows } = await sql<{ n: number }>`
    select count(*) as n from (select 1 from ${query} as ${sql.id('rows')} limit ${MANY}) as ${sql.id('some')}`.execute(
    db,
  )
  if ((rows[0]?.n ?? 0) < MANY) return []
  const dialect = READERS[dialectOf(db)]
  const look = async (what: string, kind: 'selecting' | 'counting', input: PageInput) => {
    const statement = compilePage(query, list.rules, input)[kind]
    const { rows: plan } = await db.executeQuery<Row>(
      CompiledQuery.raw(`${dialect.explain} ${statement.sql}`, [...statement.parameters]),
    )
    const isServed = kind === 'selecting' ? !dialect.sorts(plan) : !dialect.scans(plan)
    return isServed ? [] : [{ what, plan: dialect.describe(plan) }]
  }
  const found: Unserved[] = []
  for (const order of list.order)
    found.push(...(await look(`the order by ${order}`, 'selecting', { order })))
  for (const { name, column, operator } of list.rules.filters) {
    if (operator === 'contains' || operator === 'not') continue
    const value = await someValue(db, list, column)
    if (value === undefined || value === null) continue
    const asked = operator === 'null' ? true : operator === 'in' ? [value] : value
    found.push(...(await look(`the filter ${name}`, 'counting', { [name]: asked })))
  }
  return found
}

async function someValue(db: Database, list: Declared, column: string): Promise<unknown> {
  const { rows } = await sql<{ value: unknown }>`
    select ${sql.ref(column)} as value from ${list.from(db)} as ${sql.id('rows')} limit 1`.execute(
    db,
  )
  return rows[0]?.value
}

/** How a database tells its plan. */
interface PlanReader {
  explain: string
  /** Whether rows are sorted that no index gives in order. */
  sorts(plan: readonly Row[]): boolean
  /** Whether all rows of a table are looked at. */
  scans(plan: readonly Row[]): boolean
  describe(plan: readonly Row[]): string
}

const READERS: Record<'sqlite' | 'mysql', PlanReader> = {
  sqlite: {
    explain: 'explain query plan',
    sorts: (plan) =>
      plan.some(({ detail }) => /USE TEMP B-TREE FOR .*ORDER BY/.test(String(detail))),
    scans: (plan) => plan.some(({ detail }) => /^SCAN (?!rows\b|\()/.test(String(detail))),
    describe: (plan) => plan.map(({ detail }) => detail).join('; '),
  },
  mysql: {
    explain: 'explain',
    sorts: (plan) => plan.some(({ Extra }) => /Using (?:filesort|temporary)/.test(String(Extra))),
    // With an index that it could use it may look at all rows nevertheless, where most of them are meant.
    scans: (plan) =>
      plan.some(
        ({ table, type, possible_keys }) =>
          /^(?:ALL|index)$/.test(String(type)) && !possible_keys && !/^</.test(String(table)),
      ),
    describe: (plan) =>
      plan
        .map(
          ({ table, type, key, rows, Extra }) =>
            `${table}: ${type}, key ${key}, ${rows} rows, ${Extra}`,
        )
        .join('; '),
  },
}

/**
 * The same of all lists that are served, a sentence each. A list whose table is not there is not told of: what is pending
 * is another matter.
 */
export async function unservedLists(db: Database, registry: ResourceRegistry): Promise<string[]> {
  const told: string[] = []
  for (const { name, resource, runsHere } of registry) {
    const list = runsHere && listOf(resource.definition.request)
    if (!list) continue
    const found = await findUnserved(db, list).catch(() => [])
    for (const { what, plan } of found)
      told.push(
        `${name}: no index serves ${what}; add one, or take it out of the list. The database plans: ${plan}`,
      )
  }
  return told
}
