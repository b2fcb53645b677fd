import { setTimeout as sleep } from 'node:timers/promises'
import { ConnectionBuilder, Kysely, sql, Transaction, TransactionBuilder } from 'kysely'
import { type Duration, TIMER, toMilliseconds } from '../duration.ts'
import { createScope, innermostOf, runInScope, type Scope } from './current-transaction.ts'
import { isTransactionConflict } from './violations.ts'

/**
 * Runs `work` in a transaction of its own, which is a savepoint where `db` is one: all of it or nothing.
 * What `startTransaction()` has begun has savepoints of another kind; there it runs without.
 */
export function inTransaction<DB, T>(
  db: Kysely<DB>,
  work: (db: Kysely<DB>) => Promise<T>,
): Promise<T> {
  const isControlled = db.isTransaction && !(db instanceof TrackedTransaction)
  return isControlled ? work(db) : db.transaction().execute<T>(work as never)
}

/** The same database, whose transactions `currentTransaction` tells of, and which can be nested. */
export function trackTransactions<DB>(db: Kysely<DB>): Kysely<DB> {
  return become(db, TrackedKysely)
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

class TrackedTransaction<DB> extends Transaction<DB> {
  declare readonly scope: Scope

  /** A savepoint. Kysely's type says that there is none; who has this as a `Kysely<DB>` is not told of that. */
  override transaction(): never {
    const builder = become(Kysely.prototype.transaction.call(this), SavepointBuilder)
    return Object.assign(builder, { within: this }) as never
  }
}

function trackTransaction<DB>(transaction: Transaction<DB>, scope: Scope): Transaction<DB> {
  return Object.assign(become(transaction, TrackedTransaction), { scope })
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

type Copy = (...args: never[]) => unknown

for (const name of COPIES) {
  const copyKysely = Kysely.prototype[name] as Copy
  Object.defineProperty(TrackedKysely.prototype, name, {
    value(this: Kysely<unknown>, ...args: never[]) {
      return trackTransactions(copyKysely.apply(this, args) as Kysely<unknown>)
    },
  })
  const copyTransaction = Transaction.prototype[name] as Copy
  Object.defineProperty(TrackedTransaction.prototype, name, {
    value(this: TrackedTransaction<unknown>, ...args: never[]) {
      return trackTransaction(copyTransaction.apply(this, args) as never, this.scope)
    },
  })
}

class TrackedConnectionBuilder<DB> extends ConnectionBuilder<DB> {
  override execute<T>(...[callback, options]: Parameters<ConnectionBuilder<DB>['execute']>) {
    const within = (db: Kysely<DB>) => {
      const scope = createScope(db.getExecutor().adapter)
      return runInScope(scope, () => callback(trackTransactions(db)))
    }
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
    const result = await super.execute(async (transaction) => {
      const begun = createScope(transaction.getExecutor().adapter, transaction)
      scope = begun
      const result = await runInScope(begun, () => callback(trackTransaction(transaction, begun)))
      if (begun.undone) throw begun.undone.reason
      return result
    })
    for (const work of scope?.afterCommit ?? []) await work()
    return result
  }
}

/** A transaction within another. */
class SavepointBuilder<DB> extends TransactionBuilder<DB> {
  declare readonly within: TrackedTransaction<DB>

  /** It may read and write what the other one may. */
  override setAccessMode(): this {
    return this
  }

  override setIsolationLevel(): never {
    throw new Error(
      'A transaction within another has the isolation level of that one: set it where that one begins',
    )
  }

  override async execute<T>(callback: (transaction: Transaction<DB>) => Promise<T>): Promise<T> {
    const parent = innermostOf(this.within.scope)
    // One after the other: savepoints of one connection can only be nested.
    const turn = parent.nested.then(() => runInSavepoint(this.within, parent, callback))
    parent.nested = turn.catch(() => {})
    return await turn
  }
}

async function runInSavepoint<DB, T>(
  within: Transaction<DB>,
  parent: Scope,
  callback: (transaction: Transaction<DB>) => Promise<T>,
): Promise<T> {
  const transaction: Transaction<DB> = within.$extendTables() as never
  const scope = createScope(parent.adapter, transaction, parent)
  const name = sql.id(`plinth_${scope.depth}`)
  await sql`savepoint ${name}`.execute(transaction)
  try {
    const result = await runInScope(scope, () => callback(trackTransaction(transaction, scope)))
    if (scope.undone) throw scope.undone.reason
    await sql`release savepoint ${name}`.execute(transaction)
    parent.afterCommit.push(...scope.afterCommit)
    return result
  } catch (reason) {
    await sql`rollback to savepoint ${name}`.execute(transaction).catch(async () => {
      // The database has undone the whole transaction (MySQL does after a deadlock), and would commit each of its further
      // statements by itself: they go into another one, which is undone at the end.
      parent.undone = { reason }
      await sql`begin`.execute(transaction).catch(() => {})
    })
    throw reason
  }
}

export interface RetryTransactionOptions {
  /** How often it is tried at most; default 5. */
  attempts?: number
  /**
   * How long is waited at most before the second try, milliseconds or a text like `'1s'`, and twice as long before each further one; how
   * long, chance says, so that those who were in each other's way are not again. Default 50.
   */
  delay?: Duration
  /** Ends the waiting: `context.signal` of a resource. */
  signal?: AbortSignal | undefined
}

/**
 * Runs `work` in a transaction, and again where that has failed because of what others do at the same time (`isTransactionConflict`):
 * a deadlock is no mistake of anybody, and the database expects that it is tried again. What `work` does beside the database it may do
 * several times. Where `db` is a transaction already, `work` is a part of it and is run once: the database has taken back all of that
 * one, which only its beginning can run again.
 *
 * @throws the last error, where each try fails; any other error at once; a RangeError where `delay` is none
 */
export async function retryTransaction<DB, T>(
  db: Kysely<DB>,
  work: (db: Kysely<DB>) => Promise<T>,
  { attempts = 5, delay: given = 50, signal }: RetryTransactionOptions = {},
): Promise<T> {
  const delay = toMilliseconds(given, 'delay', TIMER)
  for (let attempt = 1; ; attempt++) {
    try {
      return await inTransaction(db, work)
    } catch (error) {
      const isLast = db.isTransaction || attempt >= attempts
      if (isLast || !isTransactionConflict(error)) throw error
    }
    await sleep(Math.random() * delay * 2 ** (attempt - 1), undefined, {
      ...(signal && { signal }),
    })
  }
}
