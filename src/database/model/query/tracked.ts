import { AliasNode, IdentifierNode, type OperationNode, TableNode } from 'kysely'
import type { Model } from '../model.ts'

/** The tables whose statements are changed, by name. */
export type TrackedTables = ReadonlyMap<string, Model>

/** The models whose rows are filled in, or flagged instead of deleted. */
export function trackedTables(models: readonly Model[]): TrackedTables {
  const tracked = models.filter(
    ({ audit, softDelete, uuids }) => audit.length > 0 || softDelete || uuids.length > 0,
  )
  return new Map(tracked.map((model) => [model.table, model]))
}

/** A tracked table in a statement, and the name that its columns have there. */
export interface Use {
  model: Model
  table: TableNode
}

/** What `node`, an item of `from`, `join` or `update`, uses; undefined where it is no tracked table. */
export function useOf(node: OperationNode | undefined, tables: TrackedTables): Use | undefined {
  if (node === undefined) return undefined
  if (AliasNode.is(node)) {
    const use = useOf(node.node, tables)
    return use && IdentifierNode.is(node.alias)
      ? { ...use, table: TableNode.create(node.alias.name) }
      : undefined
  }
  const model = TableNode.is(node) ? tables.get(node.table.identifier.name) : undefined
  return model && { model, table: node as TableNode }
}

/**
 * Whether a statement names a tracked table anywhere. It is asked of every statement, so it only looks; to
 * change one is to copy it.
 *
 * @param except a part of the statement that is not looked at
 */
export function concerns(node: OperationNode, tables: TrackedTables, except?: string): boolean {
  if (node.kind === 'TableNode') return tables.has((node as TableNode).table.identifier.name)
  // Values: of a bulk insert there are thousands.
  if (LEAVES.has(node.kind)) return false
  for (const key in node) {
    if (key === except) continue
    const part: unknown = node[key as keyof OperationNode]
    if (typeof part !== 'object' || part === null) continue
    if (Array.isArray(part)) {
      for (const item of part) if (isNode(item) && concerns(item, tables)) return true
    } else if (isNode(part) && concerns(part, tables)) {
      return true
    }
  }
  return false
}

const LEAVES: ReadonlySet<string> = new Set([
  'ColumnNode',
  'IdentifierNode',
  'OperatorNode',
  'PrimitiveValueListNode',
  'ValueNode',
])

function isNode(value: unknown): value is OperationNode {
  return typeof value === 'object' && value !== null && 'kind' in value
}
