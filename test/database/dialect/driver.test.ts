import Fastify from 'fastify'
import { type Kysely, sql } from 'kysely'
import t, { type Test } from 'tap'
import database from '../../../plugins/database.ts'
import { SlowStatements } from '../../../src/database/dialect/driver.ts'
import type { LogLine } from '../../helpers/app.ts'
import { block } from '../../helpers/block.ts'
import { type DatabaseDriver, databaseDrivers } from '../../helpers/drivers.ts'
import { until } from '../../suites/cache-fixture.ts'

type Items = Kysely<{ item: { n: number } }>

// Less than any statement takes.
const ALL = 1e-6

async function open(t: Test, driver: DatabaseDriver, slowQuery: number) {
  const logs: LogLine[] = []
  const stream = { write: (line: string) => void logs.push(JSON.parse(line)) }
  const app = Fastify({ logger: { level: 'warn', stream } })
  t.teardown(() => app.close())
  await app.register(database, { url: await driver.url(t), slowQuery })
  const db = app.db as unknown as Items
  await sql`create table item (n integer)`.execute(db)
  logs.length = 0
  return { db, logs }
}

for (const driver of databaseDrivers) {
  t.test(`a slow statement is logged with its plan (${driver.name})`, async (t) => {
    const { db, logs } = await open(t, driver, ALL)
    const secret = 'hunter2'
    const find = () => sql`select n from item where n = ${secret}`.execute(db)
    await find()
    await until(() => logs.length > 0)
    t.match(logs, [
      {
        level: 40,
        msg: 'slow statement',
        sql: 'select n from item where n = ?',
        duration_ms: Number,
      },
    ])
    t.match(JSON.stringify(logs[0]?.plan), /item/)
    t.notMatch(JSON.stringify(logs), secret, 'without its values')
    await find()
    await until(() => logs.length > 1)
    t.notOk(logs[1]?.plan, 'the plan once a minute')
    await sql`create table other (n integer)`.execute(db)
    await until(() => logs.length > 2)
    t.match(logs[2], { msg: 'slow statement', sql: /create/ })
    t.notOk(logs[2]?.plan, 'what has none is told without')
  })

  t.test(`and only a slow one (${driver.name})`, async (t) => {
    for (const threshold of [0, 60_000]) {
      const { db, logs } = await open(t, driver, threshold)
      await db.selectFrom('item').selectAll().execute()
      t.strictSame(logs, [])
      await sql`drop table item`.execute(db)
    }
  })

  t.test(`in a transaction nothing is changed by that (${driver.name})`, async (t) => {
    const { db, logs } = await open(t, driver, ALL)
    await db.transaction().execute(async (trx) => {
      await trx.insertInto('item').values({ n: 1 }).execute()
      await trx.updateTable('item').set({ n: 2 }).execute()
    })
    t.strictSame(await db.selectFrom('item').selectAll().execute(), [{ n: 2 }])
    t.ok(logs.some(({ plan }) => plan))
  })
}

t.test('nor where the process stands still while MySQL is asked for a plan', async (t) => {
  for (const driver of databaseDrivers.filter(({ name }) => name === 'mysql')) {
    const { db, logs } = await open(t, driver, ALL)
    await db.transaction().execute(async (trx) => {
      await trx.insertInto('item').values({ n: 1 }).execute()
      block(6000)
      await trx.updateTable('item').set({ n: 2 }).execute()
    })
    t.strictSame(await db.selectFrom('item').selectAll().execute(), [{ n: 2 }])
    t.ok(logs.find(({ sql }) => `${sql}`.startsWith('insert'))?.plan)
  }
})

t.test('a bounded number of statements is remembered', async (t) => {
  const slow = new SlowStatements({ threshold: 1, log: () => ({ warn: () => {} }) })
  for (let n = 0; n < 1000; n++) t.ok(slow.wantsPlan(`select ${n}`))
  t.notOk(slow.wantsPlan('select 999'))
  t.ok(slow.wantsPlan('select 0'))
})
