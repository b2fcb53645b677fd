import {
  AndNode,
  BinaryOperationNode,
  type Expression,
  ExpressionWrapper,
  expressionBuilder,
  type OperationNode,
  OrNode,
  ParensNode,
  type SelectQueryNode,
  type SqlBool,
  sql,
  ValueNode,
  type WhereInterface,
  type WhereNode,
} from 'kysely'
import { concerns } from '../database/model/query/hide.ts'
import type { Model, TableOf } from '../database/model/types.ts'
import type { DatabaseTables } from '../database/types.ts'
import { errors } from '../errors.ts'
import type { Context, User } from '../resource/context.ts'
import type { RowScope } from '../resource/contract.ts'
import { enclosed } from './enclosed.ts'

/** What a scope narrows: conditions can be added to it. Other tables are reached by `exists (select …)`. */
export type Narrowed<M extends Model> = WhereInterface<
  DatabaseTables & { [Table in M['table']]: TableOf<M> },
  M['table']
>

/** Adds the conditions under which a row is the caller's. */
export type Narrow<M extends Model, Asking extends User | undefined = User> = (
  context: Context & { readonly user: Asking },
  query: Narrowed<M>,
) => Narrowed<M>

export interface ScopeOptions<Nobody extends boolean> {
  /** Whether it is asked where nobody has authenticated, too, with `user: undefined`; default false: that is 401. */
  nobody?: Nobody
}

/**
 * Says which rows of a table a caller has: `defineScope(Order, ({ user }, query) => query.where('customer', '=', user.id))`. What it gives
 * adds those conditions to any query of that table, by its own name: `mine(context, db.updateTable('order').set(…))`. What the
 * service itself does, for no user and no request, has all rows.
 *
 * @throws {PlinthError} UNAUTHENTICATED, when it is applied for nobody
 * @throws {TypeError} when it is applied and `narrow` returns anything but its query with conditions
 */
export function defineScope<M extends Model, const Nobody extends boolean = false>(
  model: M,
  narrow: Narrow<M, Nobody extends true ? User | undefined : User>,
  { nobody }: ScopeOptions<Nobody> = {},
): RowScope {
  const scope: RowScope = (context, query) => {
    // Of the service itself are all rows. What is done for several users, and cached for all, is not its own.
    if (context.isSystem) return query
    if (!nobody && context.user === undefined) throw errors.UNAUTHENTICATED()
    const condition = conditionOf(model, (rows) => narrow(context as never, rows as never))
    return condition ? (add(model, query as never, condition) as never) : query
  }
  made.set(scope, model)
  return scope
}

const made = new WeakMap<object, Model>()

/** The model whose rows a scope chooses; undefined where `defineScope` has not made it. */
export function modelOfScope(scope: RowScope): Model | undefined {
  return made.get(scope)
}

/** The scope that is given, made where only its conditions are. */
export function scopeOf<M extends Model>(model: M, given: Narrow<M>): RowScope {
  return made.has(given) ? (given as RowScope) : defineScope(model, given)
}

interface Query {
  toOperationNode(): OperationNode & { readonly where?: WhereNode }
  where(condition: Expression<SqlBool>): Query
  clearWhere(): Query
}

function add(model: Model, query: Query, condition: OperationNode): Query {
  const { table, state } = model
  const isSimple = query.toOperationNode().kind === 'SelectQueryNode' || !reads(condition, model)
  if (isSimple) return enclosed(query).where(new ExpressionWrapper(condition))
  // MySQL changes no table that the statement reads, unless what is read has become a table of its own.
  const keys = sql.join(state.primaryKey.map((name) => sql.ref(`${table}.${name}`)))
  const found = sql`select distinct ${keys} from ${sql.table(table)} where ${new ExpressionWrapper(condition)}`
  return enclosed(query).where(
    sql<SqlBool>`(${keys}) in (select * from (${found}) as ${sql.id('in_scope')})`,
  )
}

/** What `narrow` adds, in parentheses: it may be SQL that somebody has written. Undefined: nothing, the caller has all rows. */
function conditionOf({ table }: Model, narrow: (rows: unknown) => unknown) {
  const rows = expressionBuilder<Record<string, object>>().selectFrom(table)
  const given = narrow(rows) as Partial<typeof rows> | undefined
  const { kind, from, where, ...others } = (given?.toOperationNode?.() ?? {}) as SelectQueryNode
  const isIts = from !== undefined && from === rows.toOperationNode().from
  if (
    kind !== 'SelectQueryNode' ||
    !isIts ||
    Object.values(others).some((one) => one !== undefined)
  )
    throw new TypeError(
      `The scope of ${table} has to return the query that it was given, with conditions and nothing else: return query.where(…)`,
    )
  if (where && hasEmpty(where.where))
    throw new TypeError(
      `A condition of the scope of ${table} says nothing: it is of values that are undefined, which Kysely leaves out of and({ … })`,
    )
  return where && ParensNode.create(where.where)
}

/** Whether a part of a condition is what Kysely makes of none at all, and every row meets: `1 = 1`. */
function hasEmpty(node: OperationNode): boolean {
  if (AndNode.is(node) || OrNode.is(node)) return hasEmpty(node.left) || hasEmpty(node.right)
  if (ParensNode.is(node)) return hasEmpty(node.node)
  return BinaryOperationNode.is(node) && isOne(node.leftOperand) && isOne(node.rightOperand)
}

const isOne = (node: OperationNode): boolean =>
  ValueNode.is(node) && node.immediate === true && node.value === 1

/** Whether a query within `node` reads the table. */
function reads(node: unknown, model: Model): boolean {
  if (typeof node !== 'object' || node === null) return false
  const { kind } = node as OperationNode
  if (kind === 'ValueNode' || kind === 'PrimitiveValueListNode') return false
  if (kind === 'SelectQueryNode' || kind === 'RawNode')
    return concerns(node as OperationNode, new Map([[model.table, model]]))
  return Object.values(node).some((part) => reads(part, model))
}
