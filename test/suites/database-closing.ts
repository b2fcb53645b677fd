import { sql } from 'kysely'
import type { Test } from 'tap'
import type { DatabaseDriver } from '../helpers/drivers.ts'
import { open, openWithTables } from './database-fixture.ts'

const CLOSED = {
  code: 'DATABASE_UNAVAILABLE',
  message: 'The database cannot be used right now: it has been closed',
}

/** Closing waits for what is running and queued, refuses what comes later, and may be done again. */
export async function databaseClosing(t: Test, driver: DatabaseDriver): Promise<void> {
  const { app, db, url } = await openWithTables(t, driver, { poolSize: 1 })
  const begun = Promise.withResolvers<void>()
  const proceed = Promise.withResolvers<void>()
  const running = db.transaction().execute(async (trx) => {
    await trx.insertInto('owner').values({ email: 'running' }).execute()
    begun.resolve()
    await proceed.promise
    await trx.insertInto('owner').values({ email: 'still running' }).execute()
  })
  await begun.promise
  const queued = db.insertInto('owner').values({ email: 'queued' }).execute()
  const closing = app.close()
  await t.rejects(
    untilRefused(() => sql`select 1`.execute(db)),
    CLOSED,
  )
  proceed.resolve()
  await Promise.all([running, queued, closing])
  await app.close()
  await t.rejects(sql`select 1`.execute(db), CLOSED)
  const { db: again } = await open(t, { url })
  t.strictSame(await again.selectFrom('owner').select('email').orderBy('id').execute(), [
    { email: 'running' },
    { email: 'still running' },
    { email: 'queued' },
  ])
}

// Fastify stops its server first, so the database closes some turns later.
async function untilRefused(run: () => Promise<unknown>): Promise<void> {
  for (let turn = 0; turn < 1000; turn++) {
    await Promise.race([run(), new Promise(setImmediate)])
  }
}

/** A closed app leaves nothing behind that keeps a process alive, used or not. */
export async function databaseUnused(t: Test, driver: DatabaseDriver): Promise<void> {
  const { app } = await open(t, { url: await driver.url(t) })
  await app.close()
}
