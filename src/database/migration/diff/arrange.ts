import type { ForeignKeyState, SchemaState, TableState } from '../../schema/state.ts'
import { compare } from './normal.ts'

/** Tables in an order in which they can be created; backwards they can be dropped. */
export interface Arranged {
  readonly tables: readonly (readonly [name: string, table: TableState])[]
  /** Foreign keys that close a circle: they are left out above, added afterwards and dropped before. */
  readonly deferred: readonly (readonly [table: string, key: ForeignKeyState])[]
}

export function arrange(schema: SchemaState): Arranged {
  const order = orderOf(schema)
  const isLater = (table: string, key: ForeignKeyState) =>
    order.indexOf(key.table) > order.indexOf(table)
  const keysOf = (table: string) => schema[table]?.foreignKeys ?? []
  return {
    tables: order.map((name) => {
      const keys = keysOf(name).filter((key) => !isLater(name, key))
      return [name, withForeignKeys(schema[name] as TableState, keys)]
    }),
    deferred: order.flatMap((name) =>
      keysOf(name)
        .filter((key) => isLater(name, key))
        .map((key) => [name, key] as const),
    ),
  }
}

/** Each table after those that it refers to, as far as there is no circle. */
function orderOf(schema: SchemaState): string[] {
  const order: string[] = []
  const met = new Set<string>()
  const visit = (name: string): void => {
    const table = schema[name]
    if (!table || met.has(name)) return
    met.add(name)
    for (const key of table.foreignKeys ?? []) visit(key.table)
    order.push(name)
  }
  for (const name of Object.keys(schema).sort(compare)) visit(name)
  return order
}

function withForeignKeys(table: TableState, foreignKeys: readonly ForeignKeyState[]): TableState {
  const { foreignKeys: _, ...rest } = table
  return foreignKeys.length > 0 ? { ...rest, foreignKeys } : rest
}
