import { setTimeout as sleep } from 'node:timers/promises'
import {
  type AccessMode,
  ConnectionBuilder,
  type Dialect,
  type IsolationLevel,
  Kysely,
  type KyselyProps,
  type QueryExecutor,
  sql,
  Transaction,
  TransactionBuilder,
} from 'kysely'
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

/**
 * A database whose transactions `currentTransaction` tells of, and which can be nested.
 *
 * @param dialect its driver is made here, once
 */
export function openTracked<DB>(dialect: Dialect): Kysely<DB> {
  const driver = dialect.createDriver()
  const config = {
    dialect: {
      createDriver: () => driver,
      createAdapter: () => dialect.createAdapter(),
      createQueryCompiler: () => dialect.createQueryCompiler(),
      createIntrospector: (db: Kysely<unknown>) => dialect.createIntrospector(db),
    },
  }
  const plain = new Kysely(config)
  return new TrackedKysely({ config, ...config, driver, executor: plain.getExecutor(), plain })
}

/** What Kysely makes its copies of, and keeps to itself. */
interface Props extends KyselyProps {
  /** Knows whether its driver has begun. */
  readonly plain: Kysely<unknown>
}

type BuilderProps = Props & ConstructorParameters<typeof TransactionBuilder>[0]

class TrackedKysely<DB> extends Kysely<DB> {
  readonly #props: Props

  constructor(props: Props) {
    super(props)
    this.#props = props
  }

  around(executor: QueryExecutor): TrackedKysely<DB> {
    return new TrackedKysely({ ...this.#props, executor })
  }

  override transaction(): TransactionBuilder<DB> {
    return new TrackedTransactionBuilder(this.#props)
  }

  override connection(): ConnectionBuilder<DB> {
    return new TrackedConnectionBuilder(this.#props)
  }

  override destroy(...args: Parameters<Kysely<DB>['destroy']>): Promise<void> {
    return this.#props.plain.destroy(...args)
  }
}

class TrackedTransaction<DB> extends Transaction<DB> {
  readonly #props: Props
  readonly scope: Scope

  constructor(props: Props, executor: QueryExecutor, scope: Scope) {
    super({ ...props, executor })
    this.#props = props
    this.scope = scope
  }

  around(executor: QueryExecutor, scope = this.scope): TrackedTransaction<DB> {
    return new TrackedTransaction(this.#props, executor, scope)
  }

  /** A savepoint. Kysely's type says that there is none; who has this as a `Kysely<DB>` is not told of that. */
  override transaction(): never {
    return new SavepointBuilder(this.#props, this) as never
  }
}

const COPIES = [
  'withPlugin',
  'withoutPlugins',
  'withSchema',
  '$extendTables',
  '$omitTables',
  '$pickTables',
] as const

// Kysely makes its copies by its own class: what differs in them is their executor.
for (const [own, kysely] of [
  [TrackedKysely.prototype, Kysely.prototype],
  [TrackedTransaction.prototype, Transaction.prototype],
] as const) {
  for (const name of COPIES) {
    const copy = kysely[name] as (...args: never[]) => Kysely<unknown>
    Object.defineProperty(own, name, {
      value(this: typeof own, ...args: never[]) {
        return this.around(copy.apply(this, args).getExecutor())
      },
    })
  }
}

class TrackedConnectionBuilder<DB> extends ConnectionBuilder<DB> {
  readonly #props: Props

  constructor(props: Props) {
    super(props)
    this.#props = props
  }

  override execute<T>(...[callback, options]: Parameters<ConnectionBuilder<DB>['execute']>) {
    const within = (db: Kysely<DB>) => {
      const executor = db.getExecutor()
      const tracked = new TrackedKysely<DB>({ ...this.#props, executor })
      return runInScope(createScope(executor.adapter), () => callback(tracked))
    }
    return super.execute(within, options) as Promise<T>
  }
}

class TrackedTransactionBuilder<DB> extends TransactionBuilder<DB> {
  readonly #props: BuilderProps

  constructor(props: BuilderProps) {
    super(props)
    this.#props = props
  }

  override setAccessMode(accessMode: AccessMode) {
    return new TrackedTransactionBuilder<DB>({ ...this.#props, accessMode })
  }

  override setIsolationLevel(isolationLevel: IsolationLevel) {
    return new TrackedTransactionBuilder<DB>({ ...this.#props, isolationLevel })
  }

  override async execute<T>(callback: (transaction: Transaction<DB>) => Promise<T>): Promise<T> {
    let scope: Scope | undefined
    const result = await super.execute(async (plain) => {
      const executor = plain.getExecutor()
      const begun = createScope(executor.adapter)
      scope = begun
      const transaction = new TrackedTransaction<DB>(this.#props, executor, begun)
      begun.transaction = transaction as never
      const result = await runInScope(begun, () => callback(transaction))
      if (begun.undone) throw begun.undone.reason
      return result
    })
    for (const work of scope?.afterCommit ?? []) await work()
    return result
  }
}

/** A transaction within another. */
class SavepointBuilder<DB> extends TransactionBuilder<DB> {
  readonly #within: TrackedTransaction<DB>

  constructor(props: Props, within: TrackedTransaction<DB>) {
    super(props)
    this.#within = within
  }

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
    const parent = innermostOf(this.#within.scope)
    // One after the other: savepoints of one connection can only be nested.
    const turn = parent.nested.then(() => runInSavepoint(this.#within, parent, callback))
    parent.nested = turn.catch(() => {})
    return await turn
  }
}

async function runInSavepoint<DB, T>(
  within: TrackedTransaction<DB>,
  parent: Scope,
  callback: (transaction: Transaction<DB>) => Promise<T>,
): Promise<T> {
  const scope = createScope(parent.adapter, parent)
  const transaction = within.around(within.getExecutor(), scope)
  scope.transaction = transaction as never
  const name = sql.id(`plinth_${scope.depth}`)
  await sql`savepoint ${name}`.execute(transaction)
  try {
    const result = await runInScope(scope, () => callback(transaction))
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
