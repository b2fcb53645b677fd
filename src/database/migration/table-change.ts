import { isDeepStrictEqual } from 'node:util'
import { errors } from '../../errors.ts'
import { isComputed } from '../dialect/ddl.ts'
import { spelled } from '../dialect/sql-text.ts'
import { foreignKeyName, indexName, uniqueName } from '../schema/names.ts'
import type { ColumnState, ForeignKeyState, IndexState, TableState } from '../schema/state.ts'
import { lengthOf } from '../schema/types.ts'

export interface Altered {
  readonly column: string
  readonly from: ColumnState
  readonly to: ColumnState
}

type Columns = readonly (readonly [column: string, definition: ColumnState])[]

/** How a table differs from what is wanted; in which order that is done is the autodetector's. */
export interface TableChange {
  readonly name: string
  readonly primaryKey: readonly string[]
  readonly added: Columns
  readonly dropped: Columns
  /** What is computed goes before what it is computed from changes, and comes behind that. */
  readonly computed: { readonly added: Columns; readonly dropped: Columns }
  /** Those that get shorter first, so that the columns of an index are never too long together. */
  readonly altered: readonly Altered[]
  readonly indexes: Matched<IndexState>
  readonly unique: Matched<IndexState>
  readonly foreignKeys: Matched<ForeignKeyState>
}

/** Names that are wanted anywhere: SQLite's indexes, and MySQL's foreign keys, share theirs across tables. */
interface Wanted {
  readonly indexes: ReadonlySet<string>
  readonly foreignKeys: ReadonlySet<string>
}

/**
 * Compares a table with what is wanted, both in normal form.
 *
 * @throws {PlinthError} MIGRATION_UNSUPPORTED where the primary key differs
 */
export function changeOf(
  name: string,
  before: TableState,
  after: TableState,
  wanted: Wanted,
): TableChange {
  if (!isDeepStrictEqual(before.primaryKey, after.primaryKey)) throw otherKey(name, before, after)
  /** A name that nobody gave is no reason to build anything again, unless another needs the old one. */
  const mayKeep =
    (derive: (table: string, columns: readonly string[]) => string, taken: ReadonlySet<string>) =>
    (one: IndexState, other: IndexState) =>
      other.name === derive(name, other.columns) && !taken.has(one.name)
  const { foreignKeys: keysBefore = [] } = before
  const { foreignKeys: keysAfter = [] } = after
  const ofIndex = mayKeep(indexName, wanted.indexes)
  const ofUnique = mayKeep(uniqueName, wanted.indexes)
  const ofKey = mayKeep(foreignKeyName, wanted.foreignKeys)
  return {
    name,
    primaryKey: after.primaryKey,
    added: missingFrom(after, before, false),
    dropped: missingFrom(before, after, false),
    computed: {
      added: missingFrom(after, before, true),
      // One may be computed from the one before it.
      dropped: missingFrom(before, after, true).toReversed(),
    },
    altered: alteredColumns(before, after),
    indexes: match(before.indexes ?? [], after.indexes ?? [], isSame, ofIndex),
    unique: match(before.unique ?? [], after.unique ?? [], isSame, ofUnique),
    foreignKeys: match(keysBefore, keysAfter, isSame, ofKey),
  }
}

function isSame<T extends IndexState>({ name: _, ...one }: T, { name: __, ...other }: T): boolean {
  return isDeepStrictEqual(one, other)
}

function missingFrom(
  table: TableState,
  other: TableState,
  computed: boolean,
): [string, ColumnState][] {
  return Object.entries(table.columns).filter(
    ([column, definition]) => !other.columns[column] && isComputed(definition) === computed,
  )
}

/** However its expression is spelled. */
function isSameColumn(one: ColumnState, other: ColumnState): boolean {
  return isDeepStrictEqual(inOneForm(one), inOneForm(other))
}

function inOneForm({ type, ...column }: ColumnState) {
  if (typeof type === 'string') return { ...column, type }
  const mysql = spelled(type.mysql, { backslashes: true })
  return { ...column, mysql, sqlite: spelled(type.sqlite) }
}

function alteredColumns(before: TableState, after: TableState): Altered[] {
  const altered = Object.entries(after.columns).flatMap(([column, to]) => {
    const from = before.columns[column]
    return from && !isSameColumn(from, to) ? [{ column, from, to }] : []
  })
  return altered.sort((a, b) => growth(a) - growth(b))
}

function growth({ from, to }: Altered): number {
  return (lengthOf(to.type) ?? 0) - (lengthOf(from.type) ?? 0)
}

function otherKey(name: string, before: TableState, after: TableState) {
  const [was, is] = [before, after].map(({ primaryKey }) => `(${primaryKey.join(', ')})`)
  return errors.MIGRATION_UNSUPPORTED(`the primary key of ${name} from ${was} to ${is}`)
}

/** What has a name that is not what makes it what it is: an index, a unique index, a foreign key. */
interface Named {
  readonly name: string
}

interface Matched<T> {
  /** There before and after: as it is, and as it is wanted, which may differ in the name. */
  readonly kept: readonly (readonly [before: T, after: T])[]
  readonly dropped: readonly T[]
  readonly added: readonly T[]
}

/**
 * Finds what of `before` is still there in `after`.
 *
 * @param isSame whether two are the same but for their names
 * @param mayKeep whether one may stay under its name where another is wanted
 */
function match<T extends Named>(
  before: readonly T[],
  after: readonly T[],
  isSame: (before: T, after: T) => boolean,
  mayKeep: (before: T, after: T) => boolean,
): Matched<T> {
  const kept = new Map<T, T>()
  // Those of the same name first, so that none of them is taken for another.
  for (const fits of [(b: T, a: T) => b.name === a.name, mayKeep]) {
    for (const one of after) {
      if (kept.has(one)) continue
      const taken = new Set(kept.values())
      const found = before.find((b) => !taken.has(b) && isSame(b, one) && fits(b, one))
      if (found) kept.set(one, found)
    }
  }
  const taken = new Set(kept.values())
  return {
    kept: Array.from(kept, ([a, b]) => [b, a] as const),
    dropped: before.filter((one) => !taken.has(one)),
    added: after.filter((one) => !kept.has(one)),
  }
}

export interface TypedIndex {
  readonly type: 'unique' | 'index'
  readonly index: IndexState
}

/** When the indexes of a table are added and dropped. */
export interface IndexSteps {
  readonly kept: readonly TypedIndex[]
  /** Added before others are dropped, because a foreign key may need one or the other. */
  readonly early: readonly TypedIndex[]
  readonly dropped: readonly TypedIndex[]
  /** Added last: they need a name that is still taken, or a column as it is not yet. */
  readonly late: readonly TypedIndex[]
}

/** @param taken the names of all indexes that there are before, in lower case */
export function indexSteps(change: TableChange, taken: ReadonlySet<string>): IndexSteps {
  const added = typed(change.unique.added, change.indexes.added)
  const late = new Set([
    ...change.altered.map(({ column }) => column),
    ...change.computed.added.map(([column]) => column),
  ])
  const isLate = ({ index }: TypedIndex) =>
    taken.has(index.name.toLowerCase()) || index.columns.some((column) => late.has(column))
  const kept = (pairs: TableChange['indexes']['kept']) => pairs.map(([before]) => before)
  return {
    kept: typed(kept(change.unique.kept), kept(change.indexes.kept)),
    early: added.filter((one) => !isLate(one)),
    dropped: typed(change.unique.dropped, change.indexes.dropped),
    late: added.filter(isLate),
  }
}

function typed(unique: readonly IndexState[], indexes: readonly IndexState[]): TypedIndex[] {
  return [
    ...unique.map((index) => ({ type: 'unique' as const, index })),
    ...indexes.map((index) => ({ type: 'index' as const, index })),
  ]
}

/** Whether an index on `columns` finds rows by `first`. */
export function startsWith(columns: readonly string[], first: readonly string[]): boolean {
  return first.every((column, i) => columns[i] === column)
}
