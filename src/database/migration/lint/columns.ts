import { isDeepStrictEqual } from 'node:util'
import type { ColumnState } from '../../schema/state.ts'
import { needsValue } from '../fills.ts'
import { fits, isInPlace } from './fits.ts'
import type { Code } from './rules.ts'

/** @param from what the column was; `undefined`: it is new */
export function columnCodes(from: ColumnState | undefined, to: ColumnState): Code[] {
  if (!from)
    return [
      ...(needsValue(to) ? (['not-null-without-default'] as const) : []),
      ...(to.values ? (['add-check'] as const) : []),
    ]
  const needs = needsValue(to) && !needsValue(from)
  const narrows = losesValues(from, to) || (from.nullable && !to.nullable && !needs)
  return [
    ...(needs ? (['not-null-without-default'] as const) : []),
    ...(narrows ? (['narrow-type'] as const) : []),
    ...(isRewritten(from, to) && !narrows ? (['change-type'] as const) : []),
    ...(isChecked(from, to) && !narrows ? (['add-check'] as const) : []),
  ]
}

function losesValues(from: ColumnState, to: ColumnState): boolean {
  if (to.values && !from.values?.every((value) => to.values?.includes(value))) return true
  const [one, other] = [from.type, to.type]
  // What both are in SQL of their own, only their author can compare.
  return typeof one === 'string' && typeof other === 'string' && !fits(one, other)
}

function isChecked({ values: from }: ColumnState, { values: to }: ColumnState): boolean {
  return to !== undefined && !isDeepStrictEqual(from, to)
}

function isRewritten(before: ColumnState, after: ColumnState): boolean {
  const [from, to] = [before.type, after.type]
  if (before.comparison !== after.comparison) return true
  if (isDeepStrictEqual(from, to)) return false
  return typeof from !== 'string' || typeof to !== 'string' || !isInPlace(from, to)
}
