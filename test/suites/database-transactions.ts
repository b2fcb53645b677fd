import type { Test } from 'tap'
import type { DatabaseDriver } from '../helpers/drivers.ts'
import { type Db, openWithTables } from './database-fixture.ts'

/** All of a transaction or nothing of it. */
export async function databaseTransactions(t: Test, driver: DatabaseDriver): Promise<void> {
  const { db } = await openWithTables(t, driver)
  const returned = await db.transaction().execute(async (trx) => {
    await add(trx, 'kept')
    return 7
  })
  t.equal(returned, 7)
  const failure = new Error('thrown within')
  await t.rejects(
    db.transaction().execute(async (trx) => {
      await add(trx, 'lost')
      throw failure
    }),
    failure,
  )
  await t.rejects(
    db.transaction().execute(async (trx) => {
      await add(trx, 'lost too')
      await add(trx, 'kept')
    }),
  )
  t.strictSame(await emails(db), ['kept'])
}

/** Savepoints undo a part of a transaction. */
export async function databaseSavepoints(t: Test, driver: DatabaseDriver): Promise<void> {
  const { db } = await openWithTables(t, driver)
  const trx = await db.startTransaction().execute()
  await add(trx, 'before')
  const outer = await trx.savepoint('outer "quoted`').execute()
  await add(outer, 'within outer')
  const inner = await outer.savepoint('inner').execute()
  await add(inner, 'within inner')
  const back = await inner.rollbackToSavepoint('inner').execute()
  t.strictSame(await emails(back), ['before', 'within outer'])
  const released = await back.releaseSavepoint('outer "quoted`').execute()
  await add(released, 'after')
  await trx.commit().execute()
  t.strictSame(await emails(db), ['after', 'before', 'within outer'])
}

/** Two at once: neither sees what the other has not committed, and both are done. */
export async function databaseIsolation(t: Test, driver: DatabaseDriver): Promise<void> {
  const { db } = await openWithTables(t, driver)
  // SQLite lets one in at a time: there the second begins when the first has ended.
  const together = driver.name === 'mysql'
  const written = Promise.withResolvers<void>()
  const looked = Promise.withResolvers<void>()
  const first = db.transaction().execute(async (trx) => {
    await add(trx, 'first')
    written.resolve()
    if (together) await looked.promise
    // Gives the second the time to look, should it be able to.
    else for (let turn = 0; turn < 20; turn++) await emails(trx)
  })
  await written.promise
  const second = db.transaction().execute(async (trx) => {
    t.strictSame(await emails(trx), together ? [] : ['first'])
    looked.resolve()
    await add(trx, 'second')
  })
  await Promise.all([first, second])
  t.strictSame(await emails(db), ['first', 'second'])
}

/** Increments at once lose none. */
export async function databaseConcurrentWrites(t: Test, driver: DatabaseDriver): Promise<void> {
  const { db } = await openWithTables(t, driver)
  await db.insertInto('sample').values({ small: 0, doc: null }).execute()
  const increments = Array.from({ length: 30 }, () =>
    db.transaction().execute(async (trx) => {
      await trx
        .updateTable('sample')
        .set((eb) => ({ small: eb('small', '+', 1) }))
        .execute()
    }),
  )
  await Promise.all(increments)
  t.strictSame(await db.selectFrom('sample').select('small').execute(), [{ small: 30 }])
}

const add = (db: Db, email: string) => db.insertInto('owner').values({ email }).execute()

async function emails(db: Db): Promise<string[]> {
  const rows = await db.selectFrom('owner').select('email').orderBy('email').execute()
  return rows.map(({ email }) => email)
}
