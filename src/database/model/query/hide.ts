import {
  AliasNode,
  AndNode,
  BinaryOperationNode,
  ColumnNode,
  type DeleteQueryBuilder,
  type DeleteResult,
  IdentifierNode,
  type JoinNode,
  type Kysely,
  OnNode,
  type OperationNode,
  OperatorNode,
  ParensNode,
  ReferenceNode,
  SelectionNode,
  SelectQueryNode,
  TableNode,
  type Transaction,
  type UpdateQueryBuilder,
  type UpdateResult,
  ValueNode,
  WhereNode,
} from 'kysely'
import { DELETED_AT, type Model } from '../types.ts'

// ---- what whoever writes a statement says of flagged rows

// Both are named: TypeScript cannot tell the tables of a transaction by its base class.
type Connection<DB> = Kysely<DB> | Transaction<DB>

/** The same database, or transaction, that shows flagged rows; updates change them, too. A delete flags rows as ever. */
export function withDeleted<DB>(db: Connection<DB>): Kysely<DB> {
  return inMode(db, 'show')
}

/**
 * The same database, or transaction, that runs statements as they are written: nothing is filled in, hidden or flagged.
 * For migrations, and for moving data.
 */
export function withoutModels<DB>(db: Connection<DB>): Kysely<DB> {
  return inMode(db, 'plain')
}

/** Restores flagged rows: `await restore(db, 'city').where('id', '=', 1).execute()` */
export function restore<DB, T extends keyof DB & string>(
  db: Connection<DB>,
  table: T,
): UpdateQueryBuilder<DB, T, T, UpdateResult> {
  return (withDeleted(db) as unknown as Flagged)
    .updateTable(table as 'table')
    .set({ deleted_at: null })
    .where('deleted_at', 'is not', null) as never
}

/** Deletes flagged rows for good: `await purge(db, 'city').where('deleted_at', '<', instant(date)).execute()` */
export function purge<DB, T extends keyof DB & string>(
  db: Connection<DB>,
  table: T,
): DeleteQueryBuilder<DB, T, DeleteResult> {
  return (withoutModels(db) as unknown as Flagged)
    .deleteFrom(table as 'table')
    .where('deleted_at', 'is not', null) as never
}

/** Of a table that flags its rows only this column is known here. */
type Flagged = Kysely<{ table: { deleted_at: Date | null } }>

/** Whether flagged rows are hidden or shown; `plain`: the statement runs as it was written. */
export type Mode = 'hide' | 'show' | 'plain'

const MODE = Symbol('plinth.mode')

/** Marks the statements of a Kysely instance. */
function inMode<DB>(db: Connection<DB>, mode: Mode): Kysely<DB> {
  return db.withPlugin({
    transformQuery: ({ node }) => ({ ...node, [MODE]: mode }),
    transformResult: async ({ result }) => result,
  })
}

/** The mode that a statement was marked with. */
export function modeOf(node: OperationNode): Mode | undefined {
  return (node as { [MODE]?: Mode })[MODE]
}

// ---- which tables of a statement are those of models

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

// ---- what hides flagged rows

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
