import { sql } from 'kysely'
import t from 'tap'
import { afterCommit, currentTransaction } from '../../src/database/current-transaction.ts'
import { portable } from '../../src/database/portable.ts'
import { inTransaction } from '../../src/database/transaction.ts'
import { isUniqueViolation } from '../../src/database/violations.ts'
import { type AnyDatabase, onEveryDatabase, onMysql, open } from './fixture.ts'

onEveryDatabase(t, 'a transaction within another is a part of it', async (t, { db }) => {
  await createItems(db)
  const returned = await db.transaction().execute(async (outer) => {
    await add(outer, 1)
    return await inTransaction(outer, async (inner) => {
      t.equal(currentTransaction(db), inner)
      await add(inner, 2)
      t.strictSame(await numbers(outer), [1, 2])
      return 7
    })
  })
  t.equal(returned, 7)
  await t.rejects(
    db.transaction().execute(async (outer) => {
      await inTransaction(outer, (inner) => add(inner, 3))
      throw new Error('undo')
    }),
    /undo/,
  )
  t.strictSame(await numbers(db), [1, 2], 'and is undone with it')
})

onEveryDatabase(t, 'what one undoes leaves the rest', async (t, { db }) => {
  await createItems(db)
  const failure = new Error('undo')
  await db.transaction().execute(async (outer) => {
    await add(outer, 1)
    await t.rejects(
      inTransaction(outer, async (inner) => {
        await add(inner, 2)
        await inTransaction(inner, (deeper) => add(deeper, 3))
        throw failure
      }),
      failure,
    )
    t.equal(currentTransaction(db), outer)
    await inTransaction(outer, async (inner) => {
      await add(inner, 4)
      await t.rejects(
        inTransaction(inner, async (deeper) => {
          await add(deeper, 5)
          throw failure
        }),
        failure,
      )
      await add(inner, 6)
    })
  })
  t.strictSame(await numbers(db), [1, 4, 6])
})

onEveryDatabase(t, 'several at once go one after the other', async (t, { db }) => {
  await createItems(db)
  await db.transaction().execute(async (outer) => {
    const all = [1, 2, 3, 4].map((n) =>
      inTransaction(outer, async (inner) => {
        await add(inner, n)
        await inTransaction(inner, (deeper) => add(deeper, 10 * n))
        if (n % 2 === 0) throw new Error(`undo ${n}`)
        await add(inner, 100 * n)
      }),
    )
    const settled = await Promise.allSettled(all)
    t.strictSame(
      settled.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled', 'rejected'],
    )
  })
  t.strictSame(await numbers(db), [1, 3, 10, 30, 100, 300])
})

onEveryDatabase(t, 'the outer one in the inner is the inner', async (t, { db }) => {
  await createItems(db)
  await db.transaction().execute(async (outer) => {
    await t.rejects(
      inTransaction(outer, async () => {
        await add(outer, 1)
        // Begun on the outer one, and would wait for this for ever if it were beside it.
        await inTransaction(outer, (deeper) => add(deeper, 2))
        throw new Error('undo')
      }),
      /undo/,
    )
  })
  t.strictSame(await numbers(db), [])
})

onEveryDatabase(t, 'what is to follow the commit is undone with its part', async (t, { db }) => {
  const order: string[] = []
  const follow = (what: string) =>
    afterCommit(
      db,
      () => order.push(what),
      (error) => t.error(error),
    )
  await db.transaction().execute(async (outer) => {
    follow('first')
    await inTransaction(outer, async () => follow('kept'))
    const undone = inTransaction(outer, async () => {
      follow('undone')
      throw new Error('undo')
    })
    await t.rejects(undone, /undo/)
    follow('last')
    t.strictSame(order, [])
  })
  t.strictSame(order, ['first', 'kept', 'last'])
})

onEveryDatabase(t, 'it has the level and the access of the outer one', async (t, { db }) => {
  await createItems(db)
  await db.transaction().execute(async (outer: AnyDatabase) => {
    await outer
      .transaction()
      .setAccessMode('read only')
      .execute((inner) => add(inner, 1))
    t.throws(() => outer.transaction().setIsolationLevel('serializable'), /where that one begins/)
  })
  t.strictSame(await numbers(db), [1])
})

onEveryDatabase(t, 'one of startTransaction() is joined as it is', async (t, { db }) => {
  await createItems(db)
  const controlled = await db.startTransaction().execute()
  await inTransaction(controlled, (same) => add(same, 1))
  await controlled.rollback().execute()
  t.strictSame(await numbers(db), [])
})

onEveryDatabase(t, 'one that has ended begins no other', async (t, { db }) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  let later: Promise<unknown> = Promise.resolve()
  await db.transaction().execute(async (outer) => {
    later = promise.then(() => inTransaction(outer, async () => t.fail('it has ended')))
  })
  resolve()
  await t.rejects(later, /already committed/)
})

onEveryDatabase(t, 'the database itself is beside the transaction', async (t, { db, driver }) => {
  await createItems(db)
  const beside = async () => await add(db, 2)
  const held = { code: 'TRANSACTION_BYPASSED', statusCode: 500, message: /context\.db/ }
  await db.transaction().execute(async (outer) => {
    await add(outer, 1)
    if (driver.name === 'mysql') {
      await beside()
      return
    }
    // With the only connection in our hands we would wait for ourselves.
    await t.rejects(beside(), held)
    await t.rejects(
      db.transaction().execute(async () => t.fail('it has not begun')),
      held,
    )
    await t.rejects(db.startTransaction().execute(), held)
  })
  if (driver.name === 'sqlite') {
    await db.connection().execute(async (own) => {
      await add(own, 2)
      await t.rejects(beside(), held)
    })
    // Another one's, and one that has ended, are only waited for.
    await Promise.all([db.transaction().execute((trx) => add(trx, 3)), add(db, 4)])
    t.strictSame(await numbers(db), [1, 2, 3, 4])
  } else t.strictSame(await numbers(db), [1, 2])
})

onEveryDatabase(t, 'what waits beside a part that fails is undone with it', async (t, { db }) => {
  await createKeys(db)
  const besides: Record<string, (trx: AnyDatabase) => Promise<unknown>[]> = {
    statements: (trx) => [1, 2, 3, 4, 5, 6, 7, 8].map((n) => add(trx, n)),
    'a transaction': (trx) => [
      ...[1, 2].map((n) => add(trx, n)),
      inTransaction(trx, (inner) => add(inner, 3)),
    ],
    transactions: (trx) => [1, 2].map((n) => inTransaction(trx, (inner) => add(inner, n))),
  }
  for (const [name, besideEachOther] of Object.entries(besides)) {
    let all: Promise<unknown>[] = []
    const failing = db.transaction().execute(async (trx) => {
      all = besideEachOther(trx)
      await Promise.all(all)
    })
    const error = await failing.catch((error: unknown) => error)
    t.ok(isUniqueViolation(error), name)
    await Promise.allSettled(all)
    t.strictSame(await numbers(db), [1], name)
    await db.transaction().execute((trx) => add(trx, 9))
    await db.deleteFrom('item').where('n', '=', 9).execute()
  }
})

onEveryDatabase(t, 'nor is it a part of the outer one then', async (t, { db }) => {
  await createKeys(db)
  await db.transaction().execute(async (outer) => {
    let chain: Promise<void> = Promise.resolve()
    const failing = inTransaction(outer, async (inner) => {
      chain = addEach(inner, [2, 3, 4, 5, 6, 7])
      await Promise.all([add(inner, 1), chain])
    })
    t.ok(isUniqueViolation(await failing.catch((error: unknown) => error)))
    await t.rejects(chain, /has ended/)
    await add(outer, 8)
  })
  t.strictSame(await numbers(db), [1, 8])
})

const DEADLOCK = /deadlock/i

type Lose = (trx: AnyDatabase) => Promise<unknown>

// Each catches the deadlock that `lose` ends in, and goes on.
const goingOn: Record<string, (outer: AnyDatabase, lose: Lose) => Promise<unknown>> = {
  'after a part of it': async (outer, lose) => {
    await inTransaction(outer, lose).catch(() => {})
    await add(outer, 4)
  },
  'in the same one': async (outer, lose) => {
    await lose(outer).catch(() => {})
    await add(outer, 4)
    await inTransaction(outer, (inner) => add(inner, 5))
  },
  'in the same part': (outer, lose) =>
    inTransaction(outer, async (inner) => {
      await lose(inner).catch(() => {})
      await add(inner, 4)
    }).catch(() => {}),
  'in the part around it': (outer, lose) =>
    inTransaction(outer, async (middle) => {
      await inTransaction(middle, lose).catch(() => {})
      await add(middle, 4)
    }).catch(() => {}),
  'by the outer one in a part': (outer, lose) =>
    inTransaction(outer, async (inner) => {
      await lose(outer).catch(() => {})
      await add(inner, 4)
    }).catch(() => {}),
}

for (const [name, goOn] of Object.entries(goingOn)) {
  const title = `what the server has undone is not committed piece by piece, ${name}`
  onMysql(t, title, async (t, { db, url }) => {
    await createKeys(db)
    await add(db, 2)
    const other = await open(t, url)
    const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    // It has changed more, so that it is the other one that the server ends.
    const winner = other.transaction().execute(async (trx) => {
      await addEach(
        trx,
        Array.from({ length: 100 }, (_, i) => 100 + i),
      )
      await lock(trx, 2)
      second.resolve()
      await first.promise
      await lock(trx, 1)
    })
    await second.promise
    await t.rejects(
      db.transaction().execute(async (outer) => {
        await add(outer, 3)
        await lock(outer, 1)
        await goOn(outer, async (trx) => {
          first.resolve()
          await lock(trx, 2)
        })
      }),
      DEADLOCK,
    )
    await winner
    t.strictSame(
      (await numbers(db)).filter((n) => n < 100),
      [1, 2],
    )
    await db.transaction().execute((trx) => add(trx, 3))
  })
}

onMysql(t, 'nor where a row has changed since it was read', async (t, { db, url }) => {
  const { rows } = await sql`show variables like 'innodb_snapshot_isolation'`.execute(db)
  if (rows.length === 0) return
  await createKeys(db)
  await db.schema.alterTable('item').addColumn('size', 'integer').execute()
  const other = await open(t, url)
  const change = (db: AnyDatabase) => db.updateTable('item').set({ size: 5 }).execute()
  await t.rejects(
    db.transaction().execute(async (trx) => {
      await sql`set innodb_snapshot_isolation = on`.execute(trx)
      t.strictSame(await numbers(trx), [1])
      await change(other)
      await add(trx, 3)
      await t.rejects(change(trx), /has changed since/)
      await add(trx, 4)
    }),
    /has changed since/,
  )
  t.strictSame(await numbers(db), [1])
})

onMysql(t, 'nor what follows a statement that has committed it', async (t, { db }) => {
  await createKeys(db)
  const failure = new Error('undo')
  await t.rejects(
    db.transaction().execute(async (outer) => {
      const failing = inTransaction(outer, async (inner) => {
        await inner.schema.createTable('other').addColumn('n', 'integer').execute()
        throw failure
      })
      await t.rejects(failing, failure)
      await add(outer, 4)
    }),
    failure,
  )
  t.strictSame(await numbers(db), [1])
})

async function createItems(db: AnyDatabase): Promise<void> {
  await portable(db).createTable('item').addColumn('n', 'integer').execute()
}

/** The same where each number is there once, and 1 is there. */
async function createKeys(db: AnyDatabase): Promise<void> {
  await db.schema
    .createTable('item')
    .addColumn('n', 'integer', (n) => n.primaryKey())
    .execute()
  await add(db, 1)
}

const add = (db: AnyDatabase, n: number) => db.insertInto('item').values({ n }).execute()

async function addEach(db: AnyDatabase, numbers: readonly number[]): Promise<void> {
  for (const n of numbers) await add(db, n)
}

const lock = (db: AnyDatabase, n: number) =>
  db.selectFrom('item').selectAll().where('n', '=', n).forUpdate().execute()

async function numbers(db: AnyDatabase): Promise<number[]> {
  const rows = await db.selectFrom('item').select('n').orderBy('n').execute()
  return rows.map(({ n }) => Number(n))
}
