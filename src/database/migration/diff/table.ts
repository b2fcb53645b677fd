import { isDeepStrictEqual } from 'node:util'
import { errors } from '../../../errors.ts'
import { foreignKeyName, indexName, uniqueName } from '../../schema/names.ts'
import type { ColumnState, ForeignKeyState, IndexState, TableState } from '../../schema/state.ts'
import { type Matched, match } from './match.ts'

export interface Altered {
  readonly column: string
  readonly from: ColumnState
  readonly to: ColumnState
}

/** How a table differs from what is wanted. */
export interface TableChange {
  readonly name: string
  readonly primaryKey: readonly string[]
  readonly added: readonly (readonly [column: string, definition: ColumnState])[]
  readonly dropped: readonly (readonly [column: string, definition: ColumnState])[]
  /** Those that get shorter first, so that the columns of an index are never too long together. */
  readonly altered: readonly Altered[]
  readonly indexes: Matched<IndexState>
  readonly unique: Matched<IndexState>
  readonly foreignKeys: Matched<ForeignKeyState>
}

/** Names that are wanted anywhere: SQLite's indexes, and MySQL's foreign keys, share theirs across tables. */
export interface Wanted {
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
    added: missingFrom(after, before),
    dropped: missingFrom(before, after),
    altered: alteredColumns(before, after),
    indexes: match(before.indexes ?? [], after.indexes ?? [], isSame, ofIndex),
    unique: match(before.unique ?? [], after.unique ?? [], isSame, ofUnique),
    foreignKeys: match(keysBefore, keysAfter, isSame, ofKey),
  }
}

function isSame<T extends IndexState>({ name: _, ...one }: T, { name: __, ...other }: T): boolean {
  return isDeepStrictEqual(one, other)
}

function missingFrom(table: TableState, other: TableState): [string, ColumnState][] {
  return Object.entries(table.columns).filter(([column]) => !other.columns[column])
}

function alteredColumns(before: TableState, after: TableState): Altered[] {
  const altered = Object.entries(after.columns).flatMap(([column, to]) => {
    const from = before.columns[column]
    return from && !isDeepStrictEqual(from, to) ? [{ column, from, to }] : []
  })
  return altered.sort((a, b) => growth(a) - growth(b))
}

function growth({ from, to }: Altered): number {
  return lengthOf(to) - lengthOf(from)
}

function lengthOf({ type }: ColumnState): number {
  return Number(/char\((\d+)\)/.exec(typeof type === 'string' ? type : '')?.[1] ?? 0)
}

function otherKey(name: string, before: TableState, after: TableState) {
  const [was, is] = [before, after].map(({ primaryKey }) => `(${primaryKey.join(', ')})`)
  return errors.MIGRATION_UNSUPPORTED(`the primary key of ${name} from ${was} to ${is}`)
}
