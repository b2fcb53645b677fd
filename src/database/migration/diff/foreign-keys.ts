import { isDeepStrictEqual } from 'node:util'
import type { ForeignKeyState } from '../../schema/state.ts'
import { type IndexSteps, startsWith } from './indexes.ts'
import type { Altered, TableChange } from './table.ts'

/**
 * Whether a foreign key that stays has to go while its tables change: one of its columns becomes another,
 * or an index that it needs is built again.
 *
 * @param change of its own table
 * @param target change of the table that it refers to
 */
export function isInTheWay(
  key: ForeignKeyState,
  change: TableChange,
  target: TableChange,
  steps: (change: TableChange) => IndexSteps,
): boolean {
  return (
    change.altered.some((one) => key.columns.includes(one.column) && isOther(one)) ||
    target.altered.some((one) => key.references.includes(one.column) && isOther(one)) ||
    losesIndex(change.primaryKey, steps(change), (columns) => startsWith(columns, key.columns)) ||
    losesUnique(target.primaryKey, steps(target), key.references)
  )
}

/** MySQL lets a default and a check change under a foreign key, and nothing else. */
function isOther({ from, to }: Altered): boolean {
  return (
    !isDeepStrictEqual(from.type, to.type) ||
    from.nullable !== to.nullable ||
    from.comparison !== to.comparison ||
    from.generated !== to.generated
  )
}

type Serves = (columns: readonly string[]) => boolean

function losesIndex(primaryKey: readonly string[], steps: IndexSteps, serves: Serves): boolean {
  const always = [primaryKey, ...columnsOf(steps.kept), ...columnsOf(steps.early)]
  return columnsOf(steps.dropped).some(serves) && !always.some(serves)
}

function losesUnique(
  primaryKey: readonly string[],
  steps: IndexSteps,
  columns: readonly string[],
): boolean {
  const unique = (all: IndexSteps['kept']) => all.filter(({ type }) => type === 'unique')
  const only = {
    ...steps,
    kept: unique(steps.kept),
    early: unique(steps.early),
    dropped: unique(steps.dropped),
  }
  return losesIndex(primaryKey, only, (all) => isDeepStrictEqual(all, columns))
}

function columnsOf(steps: IndexSteps['kept']): (readonly string[])[] {
  return steps.map(({ index }) => index.columns)
}
