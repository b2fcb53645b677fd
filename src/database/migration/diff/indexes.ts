import type { IndexState } from '../../schema/state.ts'
import type { TableChange } from './table.ts'

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
  const altered = new Set(change.altered.map(({ column }) => column))
  const isLate = ({ index }: TypedIndex) =>
    taken.has(index.name.toLowerCase()) || index.columns.some((column) => altered.has(column))
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
