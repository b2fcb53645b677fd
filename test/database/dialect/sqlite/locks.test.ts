import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'
import { setImmediate as turn } from 'node:timers/promises'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { block } from '../../../helpers/block.ts'
import { open } from '../../../suites/database-fixture.ts'

const SRC = new URL('../../../../src/database/', import.meta.url).href

/** A database and another process's connection to its file. */
async function withOther(t: Test, options: { acquireTimeout?: number; queueLimit?: number } = {}) {
  const file = join(t.testdir(), 'test.db')
  const { db } = await open(t, { url: `sqlite:${file}`, ...options })
  await sql`create table item (name text)`.execute(db)
  const other = new DatabaseSync(file)
  t.teardown(() => other.close())
  const names = () =>
    other
      .prepare('select name from item order by rowid')
      .all()
      .map(({ name }) => name)
  return { db, other, names }
}

t.test('waits for another process without standing still', async (t) => {
  const { db, other, names } = await withOther(t)
  for (const write of [
    () => sql`insert into item values ('alone')`.execute(db),
    () =>
      db
        .transaction()
        .execute((trx) => sql`insert into item values ('in transaction')`.execute(trx)),
  ]) {
    other.exec('begin immediate')
    other.exec(`insert into item values ('other')`)
    let waited = 0
    const timer = setInterval(() => {
      // Timers run while the statement waits; the third lets it go on.
      if (++waited === 3) other.exec('commit')
    }, 20)
    await write()
    clearInterval(timer)
    t.equal(waited, 3)
  }
  t.strictSame(names(), ['other', 'alone', 'other', 'in transaction'])
})

t.test('gives up on another process after the time to acquire', async (t) => {
  const { db, other, names } = await withOther(t, { acquireTimeout: 60 })
  other.exec('begin immediate')
  const busy = { code: 'DATABASE_BUSY', message: /within 60 ms/, cause: { errcode: 5 } }
  await t.rejects(sql`insert into item values ('x')`.execute(db), busy)
  await t.rejects(
    db.transaction().execute(async () => t.fail('it has not begun')),
    busy,
  )
  t.strictSame((await sql`select * from item`.execute(db)).rows, [], 'readers go on')
  const reading = db.transaction().setAccessMode('read only')
  t.strictSame(
    await reading.execute(async (trx) => (await sql`select * from item`.execute(trx)).rows),
    [],
  )
  other.exec('rollback')
  await sql`insert into item values ('y')`.execute(db)
  t.strictSame(names(), ['y'])
})

t.test('bounds the queue and the wait for the connection', async (t) => {
  const { db } = await withOther(t, { acquireTimeout: 30, queueLimit: 2 })
  const query = () => sql`select 1 as one`.execute(db)
  const other = await db.startTransaction().execute()
  const queued = [query(), query()]
  await t.rejects(query(), { code: 'DATABASE_BUSY', message: /within 0 ms/ })
  for (const one of queued) await t.rejects(one, { code: 'DATABASE_BUSY', message: /within 30 ms/ })
  await other.rollback().execute()
  t.strictSame((await query()).rows, [{ one: 1 }])
})

t.test('whoever is given the connection as his time ends gives it back', async (t) => {
  const { db } = await withOther(t, { acquireTimeout: 1000 })
  const query = async () => (await sql`select 1 as one`.execute(db)).rows
  const { promise: blocked, resolve } = Promise.withResolvers<void>()
  const first = await db.startTransaction().execute()
  const busy = db.transaction().execute(async () => {
    block(1010)
    resolve()
  })
  await turn()
  // Its time ends before its turn: `busy` is let in by an immediate, and timers come before the next one.
  const late = query()
  await first.rollback().execute()
  await blocked
  const last = query()
  const outcomes = await Promise.allSettled([busy, late, last])
  const value = [{ one: 1 }]
  t.match(outcomes, [{ status: 'fulfilled' }, { value }, { value }])
  t.strictSame(await query(), value)
})

t.test('closes after the time to acquire whatever is not given back', async (t) => {
  const { app, db } = await open(t, { url: 'sqlite::memory:', acquireTimeout: 30 })
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  const stuck = db.transaction().execute(async (trx) => {
    await closed
    await sql`select 1`.execute(trx)
  })
  app.close().then(resolve)
  await t.rejects(stuck, { code: 'DATABASE_UNAVAILABLE', message: /it has been closed$/ })
})

t.test('many processes may open a new file at once', async (t) => {
  const file = join(t.testdir(), 'deep', 'folder', 'test.db')
  const script = `
    const { openSqlite } = await import('${SRC}dialect/sqlite/open.ts')
    const { DEFAULT_LIMITS } = await import('${SRC}types.ts')
    const { sql } = await import('kysely')
    const { db, close } = await openSqlite(process.argv[1], { limits: { ...DEFAULT_LIMITS, acquireTimeout: 60_000 } })
    await sql\`create table if not exists item (pid integer)\`.execute(db)
    for (let n = 0; n < 20; n++) await sql\`insert into item values (\${process.pid})\`.execute(db)
    await close()`
  const run = async () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, file], {
      stdio: ['ignore', 'inherit', 'pipe'],
    })
    const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')])
    return { stderr, code }
  }
  const outcomes = await Promise.all(Array.from({ length: 5 }, run))
  t.strictSame(outcomes, Array(5).fill({ stderr: '', code: 0 }))
  const database = new DatabaseSync(file)
  t.teardown(() => database.close())
  t.match(database.prepare('select count(*) as n from item').get(), { n: 100 })
})
