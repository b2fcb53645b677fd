import type { Model } from '../model/model.ts'
import type { ColumnState } from '../schema/state.ts'
import { describeType } from '../schema/types.ts'
import { definitionOf, type Fill, type SchemaOperation } from './operations/index.ts'

/** What rows that are there get, by `table.column`. */
export type Fills = Readonly<Record<string, Fill>>

/** A column that needs a value in each row, and that rows may have none for. */
export interface Unfilled {
  /** `city.kind` */
  readonly place: string
  readonly column: ColumnState
}

/** Now, as the kit's own timestamps are. */
const NOW: Fill = {
  mysql: 'current_timestamp(3)',
  sqlite: "(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))",
}

/** The columns of `operations` for which the rows of a table need values that nobody has said. */
export function findUnfilled(operations: readonly SchemaOperation[]): Unfilled[] {
  return operations.flatMap((one) => unfilledBy(one) ?? [])
}

function unfilledBy(operation: SchemaOperation): Unfilled | undefined {
  const definition = definitionOf(operation)
  const found = definition.unfilled?.(operation)
  const table = definition.tables(operation).after
  return found && { place: `${table}.${found.column}`, column: found.definition }
}

/** The same operations with what is to be filled in. */
export function withFills(operations: readonly SchemaOperation[], fills: Fills): SchemaOperation[] {
  return operations.map((one) => {
    const unfilled = unfilledBy(one)
    const fill = unfilled && fills[unfilled.place]
    return fill === undefined ? one : ({ ...one, fill } as SchemaOperation)
  })
}

/** When the rows that are there were made or changed nobody knows: as far as that is known, now. */
export function auditFills(models: readonly Model[]): Fills {
  const times = models.flatMap(({ table, audit }) =>
    audit.filter((name) => name.endsWith('_at')).map((name) => [`${table}.${name}`, NOW] as const),
  )
  return Object.fromEntries(times)
}

/**
 * What somebody has said to fill in for a column: a number, `true` or `false`, a text, or `now` for a time.
 *
 * @returns what is wrong with it, where something is
 */
export function readFill(text: string, { type, values }: ColumnState): { fill: Fill } | string {
  if (values && !values.includes(text)) return `it is none of ${values.join(', ')}`
  if (type === 'boolean')
    return /^(true|false)$/.test(text) ? { fill: text === 'true' } : 'it is neither true nor false'
  if (type === 'datetime' && text === 'now') return { fill: NOW }
  const known = describeType(type)
  if (known?.literal !== 'number') return { fill: text }
  const number = Number(text)
  const fits =
    text.trim() !== '' && (type === 'double' ? Number.isFinite : Number.isSafeInteger)(number)
  return fits ? { fill: number } : `it is no ${type === 'double' ? 'number' : 'whole number'}`
}
