import { AsyncLocalStorage } from 'node:async_hooks'
import type { DialectAdapter, Kysely, Transaction } from 'kysely'

/** What code runs in: a transaction, one that is nested in it as a savepoint, or a connection of its own. */
export interface Scope {
  readonly adapter: DialectAdapter
  /** Undefined of a connection; set by who makes the transaction, which knows its scope. */
  transaction: Transaction<unknown> | undefined
  readonly afterCommit: (() => Promise<void>)[]
  /** What it was begun within. */
  readonly outer: Scope | undefined
  /** The transaction that it is nested in. */
  readonly parent: Scope | undefined
  /** From 1. */
  readonly depth: number
  /** Settled when no transaction is open that is nested in it: there is one at a time. */
  nested: Promise<unknown>
  /** Set of the outermost one when the database has undone all of it: it cannot be committed. */
  undone: { readonly reason: unknown } | undefined
  ended: boolean
}

const scopes = new AsyncLocalStorage<Scope>()

/** A scope within the one that the code under way is in. */
export function createScope(adapter: DialectAdapter, parent?: Scope): Scope {
  return {
    adapter,
    transaction: undefined,
    parent,
    depth: (parent?.depth ?? 0) + 1,
    outer: scopes.getStore(),
    afterCommit: [],
    nested: Promise.resolve(),
    undone: undefined,
    ended: false,
  }
}

/** Runs `work` in `scope`, which has ended then. */
export async function runInScope<T>(scope: Scope, work: () => Promise<T>): Promise<T> {
  try {
    return await scopes.run(scope, work)
  } finally {
    scope.ended = true
  }
}

/**
 * The transaction of `db` that the code under way is in: `db.transaction().execute(fn)` runs `fn`, and whatever it calls
 * and awaits, in it. Undefined outside, and for what goes on when it has ended. Transactions of `startTransaction()` have
 * no such code, and are not known here.
 *
 * @param db in any form: with plugins, a schema, or itself a transaction
 * @returns in the form of `db`, in whatever form it was begun
 */
export function currentTransaction<DB>(db: Kysely<DB>): Transaction<DB> | undefined {
  const transaction = scopeOf(db)?.transaction as Transaction<DB> | undefined
  return transaction && inFormOf(db, transaction)
}

function inFormOf<DB>(db: Kysely<DB>, transaction: Transaction<DB>): Transaction<DB> {
  const { plugins } = db.getExecutor()
  const own = transaction.getExecutor().plugins
  const same = own.length === plugins.length && own.every((plugin, i) => plugin === plugins[i])
  if (same) return transaction
  return plugins.reduce((form, plugin) => form.withPlugin(plugin), transaction.withoutPlugins())
}

/** Whether the code under way is in a transaction of any database. */
export function isInTransaction(): boolean {
  if (scopes.getStore() === undefined) return false
  return [...openScopes()].some(({ transaction }) => transaction !== undefined)
}

/** Runs `work` in none of the transactions that the code under way is in. */
export function outsideTransactions(work: () => void): void {
  scopes.run(undefined as never, work)
}

/** Whether the code under way is in a transaction, or has a connection, of the database with this adapter. */
export function holdsConnection(adapter: DialectAdapter): boolean {
  if (scopes.getStore() === undefined) return false
  return [...openScopes()].some((scope) => scope.adapter === adapter)
}

/** The innermost scope that the code under way is in and that is nested in `scope`, at any depth; else `scope` itself. */
export function innermostOf(scope: Scope): Scope {
  const root = rootOf(scope)
  for (const open of openScopes()) if (rootOf(open) === root) return open
  return scope
}

/**
 * Runs `work` once the current transaction of `db` has been committed, before its `execute()` returns; never when it, or
 * the savepoint that this is called in, is rolled back. Outside of a transaction there is nothing to wait for: it runs at
 * once.
 *
 * @param onError gets what `work` throws, which is no failure of the transaction
 */
export function afterCommit<DB>(
  db: Kysely<DB>,
  work: () => unknown,
  onError: (error: unknown) => void,
): void {
  const scope = scopeOf(db)
  const guarded = guard(work, onError)
  if (scope) scope.afterCommit.push(guarded)
  else void guarded()
}

/** The same for code that knows no database: `work` runs after the commit of each that the code under way is in. */
export function afterEveryCommit(work: () => unknown, onError: (error: unknown) => void): void {
  const guarded = guard(work, onError)
  const roots = new Set<Scope>()
  for (const scope of openScopes()) {
    const root = rootOf(scope)
    if (scope.transaction === undefined || roots.has(root)) continue
    roots.add(root)
    scope.afterCommit.push(guarded)
  }
  if (roots.size === 0) void guarded()
}

function guard(work: () => unknown, onError: (error: unknown) => void): () => Promise<void> {
  return async () => {
    try {
      await work()
    } catch (error) {
      onError(error)
    }
  }
}

function* openScopes(): Generator<Scope> {
  for (let scope = scopes.getStore(); scope; scope = scope.outer) if (!scope.ended) yield scope
}

/** Whether neither it nor what it is nested in has ended. */
export function isOpen(scope: Scope): boolean {
  for (let one: Scope | undefined = scope; one; one = one.parent) if (one.ended) return false
  return true
}

/** The outermost transaction that `scope` is nested in; else `scope` itself. */
export function rootOf(scope: Scope): Scope {
  let root = scope
  while (root.parent) root = root.parent
  return root
}

// Every form of a Kysely instance has the adapter of the first.
function scopeOf<DB>(db: Kysely<DB>): Scope | undefined {
  if (scopes.getStore() === undefined) return undefined
  const { adapter } = db.getExecutor()
  for (const scope of openScopes()) {
    if (scope.transaction !== undefined && scope.adapter === adapter) return scope
  }
  return undefined
}
