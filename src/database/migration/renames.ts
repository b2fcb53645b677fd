import { isDeepStrictEqual } from 'node:util'
import { normalSchema, type SchemaState } from '../schema/state.ts'
import { replayAll } from './operations/index.ts'
import type { Operation } from './operations/operation.ts'

/** What got another name. */
export interface Renames {
  /** New names by old ones. */
  readonly tables?: Readonly<Record<string, string>>
  /** New names of columns by `table.column`, both as they were. */
  readonly columns?: Readonly<Record<string, string>>
}

/** A rename as `--rename` has it: `city` to `town`, or `city.inhabitants` to `city.population`. */
export interface Rename {
  readonly from: string
  readonly to: string
}

type RenameOperation = Extract<Operation, { type: 'renameTable' | 'renameColumn' }>

/** The operations that rename: tables first, so that columns are named by the new ones. */
export function renameOperations({ tables = {}, columns = {} }: Renames): RenameOperation[] {
  return [
    ...Object.entries(tables).map(([from, to]) => ({ type: 'renameTable' as const, from, to })),
    ...Object.entries(columns).map(([place, to]) => {
      const [table, from] = split(place)
      return { type: 'renameColumn' as const, table: tables[table] ?? table, from, to }
    }),
  ]
}

/** What may have been renamed: something is gone, and something that is defined alike is new. */
export function findRenames(from: SchemaState, to: SchemaState, known: Renames = {}): Rename[] {
  const before = normalSchema(replayAll(renameOperations(known), from))
  const after = normalSchema(to)
  const tables = pairs(
    before,
    after,
    (one, other) =>
      isDeepStrictEqual(one.columns, other.columns) &&
      isDeepStrictEqual(one.primaryKey, other.primaryKey),
  )
  const columns = Object.entries(before).flatMap(([table, { columns }]) => {
    const found = pairs(columns, after[table]?.columns ?? columns, isDeepStrictEqual)
    const old = Object.entries(known.tables ?? {}).find(([, name]) => name === table)?.[0] ?? table
    return found.map((one) => ({ from: `${old}.${one.from}`, to: `${table}.${one.to}` }))
  })
  return [...tables, ...columns]
}

/**
 * `known` and what differs in upper and lower case alone: the databases take both for one name, so that nothing can be added beside
 * what is dropped.
 */
export function withCases(from: SchemaState, to: SchemaState, known: Renames = {}): Renames {
  const before = () => replayAll(renameOperations(renames), from)
  let renames = known
  for (const [old, now] of cases(before(), to)) renames = addRename(renames, { from: old, to: now })
  const tables = new Map(Object.entries(renames.tables ?? {}).map(([old, now]) => [now, old]))
  for (const [table, { columns }] of Object.entries(before())) {
    for (const [old, now] of cases(columns, to[table]?.columns ?? columns)) {
      const place = `${tables.get(table) ?? table}.${old}`
      renames = addRename(renames, { from: place, to: `${table}.${now}` })
    }
  }
  return renames
}

function cases(before: object, after: object): [old: string, now: string][] {
  const gone = Object.keys(before).filter((name) => !(name in after))
  const added = Object.keys(after).filter((name) => !(name in before))
  return gone.flatMap((old): [string, string][] => {
    const now = added.find((name) => name.toLowerCase() === old.toLowerCase())
    return now === undefined ? [] : [[old, now]]
  })
}

function pairs<T>(
  before: Readonly<Record<string, T>>,
  after: Readonly<Record<string, T>>,
  isSame: (one: T, other: T) => boolean,
): Rename[] {
  const gone = Object.entries(before).filter(([name]) => !after[name])
  const added = Object.entries(after).filter(([name]) => !before[name])
  return gone.flatMap(([from, one]) =>
    added.filter(([, other]) => isSame(one, other)).map(([to]) => ({ from, to })),
  )
}

/** `renames` and one more. */
export function addRename(renames: Renames, { from, to }: Rename): Renames {
  const [, column] = split(to)
  return column === ''
    ? { ...renames, tables: { ...renames.tables, [from]: to } }
    : { ...renames, columns: { ...renames.columns, [from]: column } }
}

/**
 * What is wrong with a rename that somebody names; `undefined` where it can be done.
 *
 * @param known the renames that come before it
 */
export function renameProblem(
  { from, to }: Rename,
  before: SchemaState,
  after: SchemaState,
  known: Renames,
): string | undefined {
  const [table, column] = split(from)
  const [toTable, toColumn] = split(to)
  const isTable = column === ''
  if (isTable !== (toColumn === '')) return 'one of them is a table and the other a column'
  const now = isTable ? table : (known.tables?.[table] ?? table)
  const state = replayAll(renameOperations(known), before)
  if (!has(state, now, column)) return `${from} is not in the recorded schema`
  if (!has(after, toTable, toColumn)) return `${to} is not in the models`
  if (!isTable && now !== toTable) return `${from} belongs to the table ${now}, ${to} to ${toTable}`
  if (has(after, now, column)) return `the models still have ${from}`
  if (has(state, toTable, toColumn)) return `the recorded schema has ${to} already`
  return undefined
}

function has(schema: SchemaState, table: string, column: string): boolean {
  const found = schema[table]
  return found !== undefined && (column === '' || found.columns[column] !== undefined)
}

function split(place: string): [table: string, column: string] {
  const [table = '', column = ''] = place.split('.')
  return [table, column]
}
