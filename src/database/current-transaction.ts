import { AsyncLocalStorage } from 'node:async_hooks'
import { ConnectionBuilder, Kysely, type Transaction, TransactionBuilder } from 'kysely'

/** What runs within one `db.transaction().execute(fn)`. */
interface Scope {
  readonly transaction: Transaction<unknown>
  readonly afterCommit: (() => Promise<void>)[]
  /** The transaction that this one was begun within: another one, on a connection of its own. */
  readonly outer: Scope | undefined
  ended: boolean
}

const scopes = new AsyncLocalStorage<Scope>()

/**
 * The transaction of `db` that the code under way is in: `db.transaction().execute(fn)` runs `fn`, and whatever it calls
 * and awaits, in it. Undefined outside, and for what goes on when it has ended. Transactions of `startTransaction()` have
 * no such code, and are not known here.
 *
 * @param db in any form: with plugins, a schema, or itself a transaction
 */
export function currentTransaction<DB>(db: Kysely<DB>): Transaction<DB> | undefined {
  return scopeOf(db)?.transaction as Transaction<DB> | undefined
}

/**
 * Runs `work` once the current transaction of `db` has been committed, before its `execute()` returns; never when it is
 * rolled back. Outside of a transaction there is nothing to wait for: it runs at once.
 *
 * @param onError gets what `work` throws, which is no failure of the transaction
 */
export function afterCommit<DB>(
  db: Kysely<DB>,
  work: () => unknown,
  onError: (error: unknown) => void,
): void {
  const guarded = async () => {
    try {
      await work()
    } catch (error) {
      onError(error)
    }
  }
  const scope = scopeOf(db)
  if (scope) scope.afterCommit.push(guarded)
  else void guarded()
}

/** The same database, whose transactions `currentTransaction` tells of. */
export function trackTransactions<DB>(db: Kysely<DB>): Kysely<DB> {
  return become(db, TrackedKysely)
}

// Every form of a Kysely instance has the adapter of the first.
function scopeOf<DB>(db: Kysely<DB>): Scope | undefined {
  const { adapter } = db.getExecutor()
  let scope = scopes.getStore()
  while (scope && (scope.ended || scope.transaction.getExecutor().adapter !== adapter)) {
    scope = scope.outer
  }
  return scope
}

// Kysely makes its copies (`withPlugin` …) by its own class and keeps what they need private, so that a subclass cannot
// make them: they become instances of it instead.
function become<T extends object>(object: T, { prototype }: { prototype: object }): T {
  return Object.setPrototypeOf(object, prototype)
}

class TrackedKysely<DB> extends Kysely<DB> {
  override transaction(): TransactionBuilder<DB> {
    return become(super.transaction(), TrackedTransactionBuilder)
  }

  override connection(): ConnectionBuilder<DB> {
    return become(super.connection(), TrackedConnectionBuilder)
  }
}

const COPIES = [
  'withPlugin',
  'withoutPlugins',
  'withSchema',
  'withTables',
  '$extendTables',
  '$omitTables',
  '$pickTables',
] as const

for (const name of COPIES) {
  const copy: (...args: never[]) => Kysely<unknown> = Kysely.prototype[name]
  Object.defineProperty(TrackedKysely.prototype, name, {
    value(this: Kysely<unknown>, ...args: never[]) {
      return trackTransactions(copy.apply(this, args))
    },
  })
}

class TrackedConnectionBuilder<DB> extends ConnectionBuilder<DB> {
  override execute<T>(...[callback, options]: Parameters<ConnectionBuilder<DB>['execute']>) {
    const within = (db: Kysely<DB>) => callback(trackTransactions(db))
    return super.execute(within, options) as Promise<T>
  }
}

class TrackedTransactionBuilder<DB> extends TransactionBuilder<DB> {
  override setAccessMode(...args: Parameters<TransactionBuilder<DB>['setAccessMode']>) {
    return become(super.setAccessMode(...args), TrackedTransactionBuilder)
  }

  override setIsolationLevel(...args: Parameters<TransactionBuilder<DB>['setIsolationLevel']>) {
    return become(super.setIsolationLevel(...args), TrackedTransactionBuilder)
  }

  override async execute<T>(callback: (transaction: Transaction<DB>) => Promise<T>): Promise<T> {
    let scope: Scope | undefined
    let result: T
    try {
      result = await super.execute((transaction) => {
        scope = {
          transaction: transaction as Transaction<unknown>,
          afterCommit: [],
          outer: scopes.getStore(),
          ended: false,
        }
        return scopes.run(scope, callback, transaction)
      })
    } finally {
      if (scope) scope.ended = true
    }
    for (const work of scope?.afterCommit ?? []) await work()
    return result
  }
}
