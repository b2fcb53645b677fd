import { setImmediate as turn } from 'node:timers/promises'
import { Kysely, sql, type Transaction } from 'kysely'
import t, { type Test } from 'tap'
import { afterCommit, currentTransaction } from '../../src/database/current-transaction.ts'
import { withDeleted, withoutModels } from '../../src/database/model/query/hide.ts'
import { portable } from '../../src/database/portable.ts'
import { inTransaction } from '../../src/database/transaction.ts'
import { type AnyDatabase, onEveryDatabase, open } from './fixture.ts'

const unexpected = (error: unknown) => {
  throw error
}

onEveryDatabase(t, 'code knows the transaction it is in', async (t, { db }) => {
  await createItems(db)
  t.equal(currentTransaction(db), undefined)
  const deep = async () => {
    await turn()
    return currentTransaction(db)
  }
  const returned = await db.transaction().execute(async (transaction) => {
    t.equal(currentTransaction(db), transaction)
    t.equal(await deep(), transaction)
    t.equal(await Promise.resolve().then(deep), transaction)
    await currentTransaction(db)?.insertInto('item').values({ n: 1 }).execute()
    t.equal(currentTransaction(transaction), transaction)
    t.not(await inTransaction(transaction, deep), transaction)
    t.equal(currentTransaction(db), transaction)
    return 7
  })
  t.equal(returned, 7)
  t.equal(currentTransaction(db), undefined)
  t.strictSame(await numbers(db), [1])
})

onEveryDatabase(t, 'nor does it afterwards, when it was rolled back', async (t, { db }) => {
  await createItems(db)
  const failure = new Error('undo')
  await t.rejects(
    db.transaction().execute(async () => {
      await currentTransaction(db)?.insertInto('item').values({ n: 1 }).execute()
      throw failure
    }),
    failure,
  )
  t.equal(currentTransaction(db), undefined)
  t.strictSame(await numbers(db), [])
})

onEveryDatabase(t, 'however the database was reached', async (t, { db }) => {
  const plugin = {
    transformQuery: ({ node }: never) => node,
    transformResult: async ({ result }: never) => result,
  }
  const forms: Record<string, AnyDatabase> = {
    withoutModels: withoutModels(db),
    withDeleted: withDeleted(db),
    withPlugin: db.withPlugin(plugin as never),
    withoutPlugins: withDeleted(db).withoutPlugins(),
    withSchema: db.withSchema('main'),
    withTables: db.withTables<Record<string, Record<string, unknown>>>(),
    extended: db.$extendTables<Record<string, Record<string, unknown>>>(),
    omitted: db.$omitTables<never>() as AnyDatabase,
    picked: db.$pickTables<string>(),
    several: withoutModels(withDeleted(db).withTables<never>()) as unknown as AnyDatabase,
  }
  await createItems(db)
  for (const [name, form] of Object.entries(forms)) {
    await form.transaction().execute(async (transaction) => {
      t.equal(currentTransaction(form), transaction, name)
      const plugins = (one: AnyDatabase | undefined) => one?.getExecutor().plugins
      t.strictSame(plugins(currentTransaction(db)), [], `${name}: in the form that is asked for`)
      const other = withoutModels(transaction)
      t.strictSame(plugins(currentTransaction(other)), plugins(other), name)
      await currentTransaction(db)?.deleteFrom('item').execute()
      await currentTransaction(db)?.insertInto('item').values({ n: 1 }).execute()
      const plain = transaction.withoutPlugins() as unknown as AnyDatabase
      t.strictSame(await numbers(plain), [1], `${name}: it is the same transaction`)
    })
  }
  await db.connection().execute(async (connection) => {
    t.equal(currentTransaction(db), undefined, 'a connection is no transaction')
    await withoutModels(connection)
      .transaction()
      .execute(async (transaction) => {
        t.equal(currentTransaction(withoutModels(db).withoutPlugins())?.isTransaction, true)
        t.equal(currentTransaction(transaction), transaction)
      })
  })
  await db
    .transaction()
    .setIsolationLevel('serializable')
    .setAccessMode('read write')
    .execute(async (transaction) => t.equal(currentTransaction(db), transaction))
})

t.test('there are no other ways to reach it', async (t) => {
  const known = [
    'constructor schema dynamic introspection case fn transaction startTransaction connection',
    'withPlugin withoutPlugins withSchema withTables $extendTables $omitTables $pickTables',
    'destroy isTransaction getExecutor executeQuery',
  ]
  t.strictSame(
    Object.getOwnPropertyNames(Kysely.prototype).sort(),
    known.join(' ').split(' ').sort(),
    'a new version of Kysely: does what is new make a copy, or a transaction?',
  )
})

onEveryDatabase(t, 'two at once know each its own', async (t, { db, driver }) => {
  const seen = async (transaction: Transaction<unknown>) => {
    await turn()
    return currentTransaction(db) === transaction
  }
  const both = [1, 2].map(() => db.transaction().execute((own) => seen(own as never)))
  t.strictSame(await Promise.all(both), [true, true])
  if (driver.name === 'sqlite') return
  // Where there are several connections, one may be begun within another.
  await db.transaction().execute(async (outer) => {
    await db.transaction().execute(async (inner) => t.equal(currentTransaction(db), inner))
    t.equal(currentTransaction(db), outer)
  })
})

onEveryDatabase(t, 'two databases are told apart', async (t, { db, driver }) => {
  const other = await open(t, 'sqlite::memory:')
  await db.transaction().execute(async (outer) => {
    t.equal(currentTransaction(other), undefined)
    await other.transaction().execute(async (inner) => {
      t.equal(currentTransaction(other), inner)
      t.equal(currentTransaction(db), outer, driver.name)
    })
  })
})

onEveryDatabase(t, 'what goes on after its end is in none', async (t, { db }) => {
  const ended = Promise.withResolvers<void>()
  let later: Promise<unknown> = Promise.resolve()
  await db.transaction().execute(async () => {
    later = ended.promise.then(() => currentTransaction(db))
  })
  ended.resolve()
  t.equal(await later, undefined)
})

onEveryDatabase(t, 'after a commit', async (t, { db }) => {
  await createItems(db)
  await runsAfterCommit(t, db)
  await runsNothingAfterRollback(t, db)
  await reportsFailures(t, db)
})

async function runsAfterCommit(t: Test, db: AnyDatabase): Promise<void> {
  const order: unknown[] = []
  await db.transaction().execute(async (transaction) => {
    afterCommit(
      db,
      async () => {
        order.push('first')
        t.equal(currentTransaction(db), undefined)
        order.push(await numbers(db))
      },
      unexpected,
    )
    afterCommit(transaction, () => order.push('second'), unexpected)
    await transaction.insertInto('item').values({ n: 1 }).execute()
    order.push('written')
  })
  t.strictSame(order, ['written', 'first', [1], 'second'], 'and before execute returns')
  afterCommit(db, () => order.push('at once'), unexpected)
  t.equal(order.at(-1), 'at once')
}

async function runsNothingAfterRollback(t: Test, db: AnyDatabase): Promise<void> {
  const fail = () => t.fail('nothing was committed')
  await t.rejects(
    db.transaction().execute(async () => {
      afterCommit(db, fail, unexpected)
      throw new Error('undo')
    }),
    /undo/,
  )
}

async function reportsFailures(t: Test, db: AnyDatabase): Promise<void> {
  const failures: unknown[] = []
  const report = (error: unknown) => void failures.push((error as Error).message)
  const broken = (message: string) => () => {
    throw new Error(message)
  }
  const returned = await db.transaction().execute(async () => {
    afterCommit(db, broken('one'), report)
    afterCommit(db, async () => broken('two')(), report)
    afterCommit(db, () => failures.push('ran'), report)
    return 'kept'
  })
  t.equal(returned, 'kept')
  afterCommit(db, broken('three'), report)
  t.strictSame(failures, ['one', 'two', 'ran', 'three'])
}

onEveryDatabase(t, 'nothing runs when the commit fails', async (t, { db, driver, url }) => {
  if (driver.name === 'sqlite') {
    const { createTable } = portable(db)
    await createTable('parent')
      .addColumn('id', 'integer', (id) => id.primaryKey())
      .execute()
    await createTable('child')
      .addColumn('id', 'integer')
      .addForeignKeyConstraint('up', ['id'], 'parent', ['id'], (key) =>
        key.deferrable().initiallyDeferred(),
      )
      .execute()
    await t.rejects(
      db.transaction().execute(async (transaction) => {
        afterCommit(db, () => t.fail('it was not committed'), unexpected)
        await transaction.insertInto('child').values({ id: 1 }).execute()
      }),
      /FOREIGN KEY/,
    )
    return
  }
  // mysql2 keeps the timer of a query whose connection is lost.
  const other = await open(t, url, { queryTimeout: 1000 })
  await t.rejects(
    other.transaction().execute(async (transaction) => {
      afterCommit(other, () => t.fail('it was not committed'), unexpected)
      await killConnection(db, transaction)
    }),
    { code: 'DATABASE_UNAVAILABLE' },
  )
})

async function killConnection(db: AnyDatabase, transaction: AnyDatabase): Promise<void> {
  const { rows } = await sql<{ id: number }>`select connection_id() as id`.execute(transaction)
  await sql`kill ${sql.raw(String(rows[0]?.id))}`.execute(db)
}

async function createItems(db: AnyDatabase): Promise<void> {
  await portable(db).createTable('item').addColumn('n', 'integer').execute()
}

async function numbers(db: AnyDatabase): Promise<unknown[]> {
  return (await db.selectFrom('item').select('n').orderBy('n').execute()).map(({ n }) => n)
}
