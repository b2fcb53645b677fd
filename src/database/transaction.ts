import { setTimeout as sleep } from 'node:timers/promises'
import {
  type AccessMode,
  CompiledQuery,
  ConnectionBuilder,
  type ConnectionProvider,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type IsolationLevel,
  Kysely,
  type KyselyProps,
  type QueryExecutor,
  Transaction,
  TransactionBuilder,
} from 'kysely'
import { type Duration, TIMER, toMilliseconds } from '../duration.ts'
import {
  createScope,
  innermostOf,
  isOpen,
  rootOf,
  runInScope,
  type Scope,
} from './current-transaction.ts'
import { mysqlCode } from './dialect/mysql/errors.ts'
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

interface TransactionProps extends Props {
  /** Gives the connection to one after the other. */
  readonly turns: ConnectionProvider
}

class TrackedTransaction<DB> extends Transaction<DB> {
  readonly #props: TransactionProps
  readonly #scope: Scope

  constructor(props: TransactionProps, scope: Scope) {
    super(props)
    this.#props = props
    this.#scope = scope
  }

  around(executor: QueryExecutor): TrackedTransaction<DB> {
    return new TrackedTransaction({ ...this.#props, executor }, this.#scope)
  }

  /** A savepoint. Kysely's type says that there is none; who has this as a `Kysely<DB>` is not told of that. */
  override transaction(): never {
    return new SavepointBuilder(this.#props, this.#scope) as never
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
      const begun = createScope(this.#props.executor.adapter)
      scope = begun
      const transaction = trackIn<DB>(begun, { ...this.#props, turns: plain.getExecutor() })
      const result = await runInScope(begun, () => callback(transaction))
      if (begun.undone) throw begun.undone.reason
      return result
    })
    for (const work of scope?.afterCommit ?? []) await work()
    return result
  }
}

/** What runs in `scope`, as long as that is open. */
function trackIn<DB>(scope: Scope, props: TransactionProps): TrackedTransaction<DB> {
  const executor = props.executor.withConnectionProvider(whileOpen(scope, props))
  const transaction = new TrackedTransaction<DB>({ ...props, executor }, scope)
  scope.transaction = transaction as never
  return transaction
}

// Kysely commits and rolls back past those who wait for their turn: they would run in no transaction, or in the outer one.
function whileOpen(scope: Scope, { turns, driver }: TransactionProps): ConnectionProvider {
  return {
    provideConnection: (use, options) =>
      turns.provideConnection(async (connection) => {
        if (!isOpen(scope)) throw new Error('The transaction that this is a part of has ended')
        try {
          return await use(connection)
        } catch (error) {
          if (UNDOES.has(mysqlCode(error))) await replace(rootOf(scope), error, driver, connection)
          throw error
        }
      }, options),
  }
}

// What MySQL undoes the whole transaction after: ER_LOCK_DEADLOCK; ER_CHECKREAD of MariaDB, a row has changed since it was read
const UNDOES = new Set<unknown>([1213, 1020])

/**
 * Begins another transaction for one that the database has undone by itself, as MySQL does after a deadlock: it would commit each
 * further statement by itself. The other one is undone at the end.
 */
async function replace(
  root: Scope,
  reason: unknown,
  driver: Driver,
  connection: DatabaseConnection,
): Promise<void> {
  root.undone ??= { reason }
  try {
    // Where it has ended it is being rolled back, and nobody would end another one.
    if (!root.ended) await driver.rollbackTransaction(connection)
    if (!root.ended) await driver.beginTransaction(connection, {})
  } catch {
    // The connection is of no more use, which is what the next statement tells.
  }
}

/** A transaction within another. */
class SavepointBuilder<DB> extends TransactionBuilder<DB> {
  readonly #props: TransactionProps
  readonly #within: Scope

  constructor(props: TransactionProps, within: Scope) {
    super(props)
    this.#props = props
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
    const parent = innermostOf(this.#within)
    // One after the other: savepoints of one connection can only be nested.
    const turn = parent.nested.then(() => runInSavepoint(this.#props, parent, callback))
    parent.nested = turn.catch(() => {})
    return await turn
  }
}

async function runInSavepoint<DB, T>(
  props: TransactionProps,
  parent: Scope,
  callback: (transaction: Transaction<DB>) => Promise<T>,
): Promise<T> {
  const scope = createScope(parent.adapter, parent)
  const transaction = trackIn<DB>(scope, props)
  const root = rootOf(parent)
  // It is the outer one's to begin and to end it.
  const outer = whileOpen(parent, props)
  const savepoint = `savepoint plinth_${scope.depth}`
  const send = (text: string) =>
    outer.provideConnection((connection) => connection.executeQuery(CompiledQuery.raw(text)))
  await send(savepoint)
  try {
    const result = await runInScope(scope, () => callback(transaction))
    if (root.undone) throw root.undone.reason
    await send(`release ${savepoint}`)
    parent.afterCommit.push(...scope.afterCommit)
    return result
  } catch (reason) {
    const undo = outer.provideConnection(async (connection) => {
      const undoing = connection.executeQuery(CompiledQuery.raw(`rollback to ${savepoint}`))
      // It is gone where the database has undone the whole transaction.
      await undoing.catch(() => replace(root, reason, props.driver, connection))
    })
    // Refused where the outer one has ended, which ends this as well.
    await undo.catch(() => {})
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
