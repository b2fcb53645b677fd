import {
  ColumnNode,
  ColumnUpdateNode,
  type DeleteQueryNode,
  type Dialect,
  type InsertQueryNode,
  ListNode,
  type OperationNode,
  OperationNodeTransformer,
  type RootOperationNode,
  SelectQueryNode,
  type UpdateQueryNode,
  ValueNode,
  type WithNode,
} from 'kysely'
import { MAX_USER } from '../schemas.ts'
import { DELETED_AT, type Model } from '../types.ts'
import { addedUpdates, fillInsert, type Stamp } from './fill.ts'
import {
  concerns,
  derive,
  hide,
  joinsBackwards,
  type Mode,
  modeOf,
  type TrackedTables,
  trackedTables,
  useOf,
} from './hide.ts'

/** Changes one statement, and the queries in it: fills in who and when, hides flagged rows, flags instead of deleting. */
class ModelTransformer extends OperationNodeTransformer {
  readonly #all: TrackedTables
  #tables: TrackedTables
  #mode: Mode = 'hide'
  #stamp: Stamp = { user: null, now: new Date(0) }

  constructor(tables: TrackedTables) {
    super()
    this.#all = tables
    this.#tables = tables
  }

  /** The statement to run; a delete may have become an update. */
  change(node: RootOperationNode, stamp: Stamp): RootOperationNode {
    // What a statement that failed has left.
    this.nodeStack.length = 0
    this.#tables = this.#all
    this.#mode = 'hide'
    this.#stamp = stamp
    const isDelete = node.kind === 'DeleteQueryNode' && modeOf(node) !== 'plain'
    return this.transformNode(isDelete ? this.#flag(node) : node)
  }

  protected override transformSelectQuery(node: SelectQueryNode): SelectQueryNode {
    return this.#within(node, () => {
      const query = super.transformSelectQuery(node)
      if (this.#mode !== 'hide') return query
      const froms = query.from?.froms ?? []
      if (!joinsBackwards(query)) return hide(query, froms, this.#tables)
      const change = (table: OperationNode) => derive(table, this.#tables)
      const joins = query.joins?.map((join) => ({ ...join, table: change(join.table) })) ?? []
      return {
        ...query,
        ...(query.from && { from: { ...query.from, froms: froms.map(change) } }),
        joins,
      }
    })
  }

  protected override transformInsertQuery(node: InsertQueryNode): InsertQueryNode {
    return this.#within(node, () => {
      // To go through it is to copy it, which most need not: they have no other query inside.
      const query = concerns(node, this.#all, 'into') ? super.transformInsertQuery(node) : node
      const model = useOf(query.into, this.#tables)?.model
      if (!model || this.#mode === 'plain') return query
      const filled = fillInsert(query, model, this.#stamp)
      return query.onConflict || query.onDuplicateKey ? this.#fillUpsert(filled, model) : filled
    })
  }

  protected override transformUpdateQuery(node: UpdateQueryNode): UpdateQueryNode {
    return this.#within(node, () => {
      const query = concerns(node, this.#all, 'table') ? super.transformUpdateQuery(node) : node
      if (this.#mode === 'plain') return query
      const targets = itemsOf(query.table)
      const filled = this.#fill(query, targets)
      if (this.#mode !== 'hide') return filled
      return hide(filled, [...targets, ...(query.from?.froms ?? [])], this.#tables)
    })
  }

  protected override transformDeleteQuery(node: DeleteQueryNode): DeleteQueryNode {
    return this.#within(node, () => {
      const query = super.transformDeleteQuery(node)
      if (this.#mode !== 'hide') return query
      return hide(query, [...query.from.froms, ...(query.using?.tables ?? [])], this.#tables)
    })
  }

  /** What an insert changes where there is such a row; one that is flagged comes back by it, where they are hidden. */
  #fillUpsert(query: InsertQueryNode, model: Model): InsertQueryNode {
    const { onConflict, onDuplicateKey } = query
    const task = { model, stamp: this.#stamp, revives: model.softDelete && this.#mode === 'hide' }
    const filled = (updates: readonly ColumnUpdateNode[]) => [
      ...updates,
      ...addedUpdates(updates, task),
    ]
    return {
      ...query,
      ...(onConflict?.updates && {
        onConflict: { ...onConflict, updates: filled(onConflict.updates) },
      }),
      ...(onDuplicateKey && {
        onDuplicateKey: { ...onDuplicateKey, updates: filled(onDuplicateKey.updates) },
      }),
    }
  }

  #fill(query: UpdateQueryNode, targets: readonly OperationNode[]): UpdateQueryNode {
    const uses = targets.flatMap((target) => useOf(target, this.#tables) ?? [])
    const updates = query.updates ?? []
    const added = uses.flatMap(({ model, table }) => {
      // A statement on several tables (MySQL) has to say whose column it sets; SQLite refuses that.
      const several = targets.length > 1 ? table : undefined
      return addedUpdates(updates, { model, stamp: this.#stamp, table: several })
    })
    return { ...query, updates: [...updates, ...added] }
  }

  /** The update that a delete of rows becomes that are to be flagged. */
  #flag(node: DeleteQueryNode): RootOperationNode {
    const { kind: _, from, using, ...rest } = node
    const flagged = from.froms.map((table) => useOf(table, this.#tables)?.model.softDelete ?? false)
    if (!flagged.includes(true)) return node
    if (using || from.froms.length > 1)
      throw new TypeError(
        `A delete of several tables cannot flag the rows of ${this.#names(from.froms)}: delete from one table, and find its rows by a subquery`,
      )
    const set = ColumnUpdateNode.create(
      ColumnNode.create(DELETED_AT),
      ValueNode.create(this.#stamp.now),
    )
    const [table] = from.froms as [OperationNode]
    const update: UpdateQueryNode = { ...rest, kind: 'UpdateQueryNode', table, updates: [set] }
    // Where they are shown, too, rows that are flagged already keep their time.
    return modeOf(node) === 'show' ? hide(update, [table], this.#tables) : update
  }

  #names(tables: readonly OperationNode[]): string {
    return tables.map((table) => useOf(table, this.#tables)?.model.table ?? '…').join(', ')
  }

  /** Runs `work` as `node` wants it; the names of its common table expressions are no tables. */
  #within<T>(node: OperationNode & { readonly with?: WithNode }, work: () => T): T {
    const [mode, tables] = [this.#mode, this.#tables]
    this.#mode = modeOf(node) ?? mode
    const names = node.with?.expressions.map(({ name }) => name.table.table.identifier.name) ?? []
    if (names.some((name) => tables.has(name)))
      this.#tables = new Map([...tables].filter(([name]) => !names.includes(name)))
    const result = work()
    this.#mode = mode
    this.#tables = tables
    return result
  }
}

function itemsOf(node: OperationNode | undefined): readonly OperationNode[] {
  if (node === undefined) return []
  return ListNode.is(node) ? node.items : [node]
}

export interface ModelSettings {
  models: readonly Model[]
  /** The name of who makes a change; undefined: nobody is known. */
  user?: () => string | undefined
  /** Default: the clock. */
  now?: () => Date
}

const CHANGED: ReadonlySet<string> = new Set([
  'SelectQueryNode',
  'InsertQueryNode',
  'UpdateQueryNode',
  'DeleteQueryNode',
  'RawNode',
])

/**
 * A dialect whose statements do what `models` say: audit columns and UUIDs are filled in, rows flagged instead of
 * deleted. Done where statements are compiled, and not by a plugin: a plugin cannot make an update of a delete.
 */
export function modelDialect(dialect: Dialect, settings: ModelSettings): Dialect {
  const { models, user = () => undefined, now = () => new Date() } = settings
  const tables = trackedTables(models)
  if (tables.size === 0) return dialect
  const transformer = new ModelTransformer(tables)
  const hides = models.some(({ softDelete }) => softDelete)
  const change = (node: RootOperationNode): RootOperationNode => {
    if (!CHANGED.has(node.kind)) return node
    // What only reads is as it was written where no rows are hidden.
    if (!hides && SelectQueryNode.is(node) && !node.with) return node
    if (!concerns(node, tables)) return node
    // Cut: a longer name shall not be a reason to lose the change.
    const stamp = { now: now(), user: user()?.slice(0, MAX_USER) ?? null }
    return transformer.change(node, stamp)
  }
  return {
    createDriver: () => dialect.createDriver(),
    createAdapter: () => dialect.createAdapter(),
    createIntrospector: (db) => dialect.createIntrospector(db),
    createQueryCompiler() {
      const compiler = dialect.createQueryCompiler()
      return { compileQuery: (node, id) => compiler.compileQuery(change(node), id) }
    },
  }
}
