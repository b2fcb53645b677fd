import { type Kysely, sql } from 'kysely'
import { quoteText } from '../dialect/ddl.ts'
import { name } from '../dialect/mysql/ddl.ts'
import type { ColumnState, SchemaState } from '../schema/state.ts'
import { isText, largest } from '../schema/types.ts'
import { definitionOf, type Operation } from './operations/index.ts'

/** What the rows that are there would make fail. */
export interface Trial {
  /** Of its operation in the migration, from 0. */
  readonly operation: number
  /** Counts the rows that stand in the way. */
  readonly query: string
  /** `of city have no name` */
  readonly problem: string
}

/**
 * What of a migration of MySQL can be tried on the rows before anything of it happens: each statement is committed by itself, so what fails
 * behind another leaves half a migration. Of operations behind a step by hand, or on what an earlier one has changed, nobody knows.
 *
 * @param before the schema that the first operation is done to
 */
export function trialsOf(operations: readonly Operation[], before: SchemaState): Trial[] {
  const changed = new Set<string>()
  const trials: Trial[] = []
  for (const [i, operation] of operations.entries()) {
    if (operation.type === 'runSql' || operation.type === 'runData') break
    // The first fails before anything else has happened.
    const found = i === 0 ? undefined : trialOf(operation, before, changed)
    if (found) trials.push({ ...found, operation: i })
    for (const place of placesOf(operation)) changed.add(place)
  }
  return trials
}

/**
 * @returns the first that would fail, in words
 */
export async function tryRows<DB>(
  db: Kysely<DB>,
  trials: readonly Trial[],
): Promise<(Trial & { readonly count: number }) | undefined> {
  for (const trial of trials) {
    const count = await countOf(db, trial)
    if (count > 0) return { ...trial, count }
  }
  return undefined
}

/** What cannot be asked fails when its time comes. */
async function countOf<DB>(db: Kysely<DB>, { query }: Trial): Promise<number> {
  try {
    const { rows } = await sql.raw<{ count: number }>(query).execute(db)
    return Number(rows[0]?.count ?? 0)
  } catch {
    return 0
  }
}

/** What is another afterwards: a table, or `table.column`. */
function placesOf(operation: Operation): string[] {
  const { before, after } = definitionOf(operation).tables(operation)
  if (operation.type === 'renameColumn')
    return [`${operation.table}.${operation.from}`, `${operation.table}.${operation.to}`]
  if ('column' in operation) return [`${operation.table}.${operation.column}`]
  const isTable = /Table$/.test(operation.type)
  return isTable ? [before, after].filter((one) => one !== undefined) : []
}

function trialOf(
  operation: Operation,
  schema: SchemaState,
  changed: ReadonlySet<string>,
): Omit<Trial, 'operation'> | undefined {
  const isKnown = (table: string, columns: readonly string[]) =>
    schema[table] !== undefined &&
    !changed.has(table) &&
    columns.every((one) => schema[table]?.columns[one] && !changed.has(`${table}.${one}`))
  switch (operation.type) {
    case 'addUnique': {
      const { table, index } = operation
      return isKnown(table, index.columns) ? doubles(table, index.columns) : undefined
    }
    case 'addForeignKey': {
      const { table, foreignKey: key } = operation
      const known = isKnown(table, key.columns) && isKnown(key.table, key.references)
      return known ? orphans(table, key) : undefined
    }
    case 'addColumn':
      return isKnown(operation.table, []) ? unfilled(operation) : undefined
    case 'alterColumn':
      return isKnown(operation.table, [operation.column]) ? misfits(operation) : undefined
    default:
      return undefined
  }
}

const select = (table: string, rest: string) =>
  `select count(*) as count from ${name(table)}${rest}`

function doubles(table: string, columns: readonly string[]) {
  const all = columns.map(name)
  const groups = `select 1 from ${name(table)} where ${all.map((one) => `${one} is not null`).join(' and ')} group by ${all.join(', ')} having count(*) > 1`
  return {
    query: `select count(*) as count from (${groups}) as doubles`,
    problem: `values of ${table} (${columns.join(', ')}) are there more than once`,
  }
}

function orphans(
  table: string,
  key: { columns: readonly string[]; table: string; references: readonly string[] },
) {
  const columns = key.columns.map((one) => `own.${name(one)}`)
  const on = columns.map((one, i) => `${one} = target.${name(key.references[i] as string)}`)
  const set = columns.map((one) => `${one} is not null`)
  const missing = `target.${name(key.references[0] as string)} is null`
  return {
    query: `select count(*) as count from ${name(table)} as own left join ${name(key.table)} as target on ${on.join(' and ')} where ${[...set, missing].join(' and ')}`,
    problem: `rows of ${table} (${key.columns.join(', ')}) refer to none of ${key.table}`,
  }
}

type Added = Extract<Operation, { type: 'addColumn' }>

function unfilled(operation: Added) {
  const { table, column } = operation
  if (!definitionOf(operation).unfilled?.(operation)) return undefined
  return {
    query: select(table, ''),
    problem: `rows of ${table} would have no ${column}: give it a default or a fill`,
  }
}

function misfits({ table, column, from, to, fill }: Extract<Operation, { type: 'alterColumn' }>) {
  const own = name(column)
  const isFilled = fill !== undefined || to.default !== undefined
  const conditions = [
    ...(from.nullable && !to.nullable && !isFilled ? [`${own} is null`] : []),
    ...(to.values ? [`${own} not in (${to.values.map(quoted).join(', ')})`] : []),
    ...outside(own, from, to),
  ]
  if (conditions.length === 0) return undefined
  return {
    query: select(table, ` where ${conditions.join(' or ')}`),
    problem: `rows of ${table} have a ${column} that does not fit`,
  }
}

const quoted = (value: string) => quoteText(value, 'mysql')

const NUMBER = "'^ *[-+]?([0-9]+([.][0-9]*)?|[.][0-9]+)(e[-+]?[0-9]+)? *$'"

/** What the strict mode of the server would not take for another type. */
function outside(own: string, { type: from }: ColumnState, { type }: ColumnState): string[] {
  if (typeof type !== 'string' || typeof from !== 'string' || from === type) return []
  const isWritten = from === 'uuid' || isText(from)
  const characters =
    /^(?:var)?char\((\d+)\)$/.exec(type)?.[1] ?? (type === 'uuid' ? '36' : undefined)
  if (characters) {
    const plain = type === 'uuid' ? [`${own} regexp '[^ -~]'`] : []
    return [`char_length(${own}) > ${characters}`, ...plain]
  }
  if (type === 'json') return isWritten ? [`not json_valid(${own})`] : []
  if (/^date/.test(type)) return [`cast(${own} as datetime(3)) is null and ${own} is not null`]
  if (type === 'time') return isWritten ? [`${own} not regexp '^[0-9]{1,3}:[0-9]{2}'`] : []
  const top = largest(type)
  const isNumber = top !== undefined || /^(double|decimal)/.test(type)
  return [
    ...(isNumber && isWritten ? [`${own} not regexp ${NUMBER}`] : []),
    ...(top === undefined ? [] : [`${own} not between ${-top - 1n} and ${top}`]),
  ]
}
