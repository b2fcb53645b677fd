import {
  AliasNode,
  AndNode,
  BinaryOperationNode,
  ColumnNode,
  type JoinNode,
  OnNode,
  type OperationNode,
  OperatorNode,
  ParensNode,
  ReferenceNode,
  SelectionNode,
  SelectQueryNode,
  type TableNode,
  ValueNode,
  WhereNode,
} from 'kysely'
import { DELETED_AT } from '../model.ts'
import { type TrackedTables, type Use, useOf } from './tracked.ts'

/** What of a statement says which rows it sees. */
interface Seeing {
  readonly joins?: readonly JoinNode[]
  readonly where?: WhereNode
}

/**
 * Hides flagged rows from a statement. The condition on a joined table stands with the join, so that an outer
 * row stays that has no partner left.
 *
 * @param tables what stands in `from`, or is updated
 */
export function hide<T extends Seeing>(
  node: T,
  tables: readonly OperationNode[],
  tracked: TrackedTables,
): T {
  const conditions = tables.flatMap((table) => conditionOn(table, tracked) ?? [])
  const joins = node.joins?.map((join) => {
    const condition = conditionOn(join.table, tracked)
    if (!condition) return join
    if (join.on) return { ...join, on: OnNode.create(and(join.on.on, condition)) }
    conditions.push(condition)
    return join
  })
  if (conditions.length === 0) return joins ? { ...node, joins } : node
  const where = conditions.reduce((all, one) => and(all, one), node.where?.where)
  return { ...node, ...(joins && { joins }), ...(where && { where: WhereNode.create(where) }) }
}

function conditionOn(node: OperationNode, tracked: TrackedTables): OperationNode | undefined {
  const use = useOf(node, tracked)
  return use?.model.softDelete ? notFlagged(use.table) : undefined
}

/** `table.deleted_at is null` */
function notFlagged(table: TableNode): OperationNode {
  return BinaryOperationNode.create(
    ReferenceNode.create(ColumnNode.create(DELETED_AT), table),
    OperatorNode.create('is'),
    ValueNode.createImmediate(null),
  )
}

// In parentheses: raw SQL may have an `or` in it.
function and(given: OperationNode | undefined, condition: OperationNode): OperationNode {
  return given ? AndNode.create(ParensNode.create(given), condition) : condition
}

/** Whether a select joins so that no condition beside the join could hide a row of one side alone. */
export function joinsBackwards({ joins }: SelectQueryNode): boolean {
  return joins?.some(({ joinType }) => joinType === 'RightJoin' || joinType === 'FullJoin') ?? false
}

/** A table as the rows of it that are not flagged: `(select * from city where deleted_at is null) as city`. */
export function derive(node: OperationNode, tracked: TrackedTables): OperationNode {
  const use = useOf(node, tracked)
  return use?.model.softDelete ? derived(node, use) : node
}

function derived(node: OperationNode, { table }: Use): OperationNode {
  const source = AliasNode.is(node) ? node.node : node
  const query = SelectQueryNode.cloneWithSelections(SelectQueryNode.createFrom([source]), [
    SelectionNode.createSelectAll(),
  ])
  const where = WhereNode.create(notFlagged(source as TableNode))
  const visible: SelectQueryNode = { ...query, where }
  return AliasNode.create(visible, table.table.identifier)
}
