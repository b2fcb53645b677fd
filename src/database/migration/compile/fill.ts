import { defaultSql, isComputed } from '../../dialect/ddl.ts'
import type { ColumnState, DialectName } from '../../schema/state.ts'
import type { ColumnOperation } from './misfit.ts'

/** The default that a new column has while it is added, for the rows that are there; `undefined`: its own, or none. */
export function addedWith(
  operation: ColumnOperation,
  dialect: DialectName,
): ColumnState | undefined {
  if (operation.type !== 'addColumn') return undefined
  const { definition, fill } = operation
  return fill === undefined || isComputed(definition, dialect)
    ? undefined
    : { ...definition, default: fill }
}

/** What rows without a value get, in SQL, before a column may not be null any more; `undefined`: nothing. */
export function filledWith(operation: ColumnOperation, dialect: DialectName): string | undefined {
  if (operation.type !== 'alterColumn') return undefined
  const { from, to, fill = to.default } = operation
  if (!from.nullable || to.nullable || fill === undefined) return undefined
  if (isComputed(to, dialect) || isComputed(from, dialect)) return undefined
  return defaultSql({ ...to, default: fill }, dialect)
}

/** What rows get for columns of a table that is built anew, in SQL. */
export function fillsOf(
  operations: readonly ColumnOperation[],
  dialect: DialectName,
): Readonly<Record<string, string>> {
  const fills = operations.flatMap((one) => {
    const added = addedWith(one, dialect)
    const fill = added ? defaultSql(added, dialect) : filledWith(one, dialect)
    return fill === undefined ? [] : [[one.column, fill] as const]
  })
  return Object.fromEntries(fills)
}
