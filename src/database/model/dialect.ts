import { type Dialect, type RootOperationNode, SelectQueryNode } from 'kysely'
import type { Model } from './model.ts'
import { MAX_USER } from './schemas.ts'
import { concerns, trackedTables } from './tracked.ts'
import { ModelTransformer } from './transform.ts'

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
