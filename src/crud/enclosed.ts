import { ExpressionWrapper, type OperationNode, ParensNode, type WhereNode } from 'kysely'

/**
 * A query to which conditions can be added: those that it has hold together. Kysely joins them by `and`, and of SQL that
 * somebody has written, `a or b`, the `and` would be of `b` alone.
 */
export function enclosed<Query extends object>(query: Query): Query {
  const { where } = (query as unknown as Narrowable).toOperationNode()
  if (!where || !isLoose(where.where)) return query
  const whole = new ExpressionWrapper(ParensNode.create(where.where))
  return (query as unknown as Narrowable).clearWhere().where(whole) as unknown as Query
}

interface Narrowable {
  toOperationNode(): { readonly where?: WhereNode }
  clearWhere(): Narrowable
  where(condition: ExpressionWrapper<unknown, never, unknown>): Narrowable
}

function isLoose(node: OperationNode): boolean {
  if (node.kind !== 'AndNode') return node.kind === 'RawNode' || node.kind === 'OrNode'
  const { left, right } = node as OperationNode & { left: OperationNode; right: OperationNode }
  return isLoose(left) || isLoose(right)
}
