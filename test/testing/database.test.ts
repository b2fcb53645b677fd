import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import fp from 'fastify-plugin'
import { Redis } from 'ioredis'
import { createConnection } from 'mysql2/promise'
import t, { type Test } from 'tap'
import { testApp } from '../../src/testing/index.ts'
import { PATIENT_ENV, redisUrl } from '../helpers/drivers.ts'
import { addOrder, databases, root, type Shop, shop } from './shop/service.ts'

const open = (t: Test, database: string): Promise<Shop> =>
  testApp(shop, { t, root, database, setUp: addOrder })

const rows = async ({ db }: Shop) => ({
  customers: await db.selectFrom('shop_customer').selectAll().orderBy('id').execute(),
  orders: await db.selectFrom('shop_order').selectAll().orderBy('id').execute(),
})

for (const [kind, database] of Object.entries(databases)) {
  t.test(`two apps have each a database of its own (${kind})`, async (t) => {
    const [one, other] = await Promise.all([open(t, database), open(t, database)])
    t.match(await rows(one), { customers: { length: 2 }, orders: [{ id: 1, total: 10 }] })
    await one.db.deleteFrom('shop_customer').execute()
    t.strictSame(await rows(one), { customers: [], orders: [] })
    t.match(await rows(other), { customers: { length: 2 }, orders: [{ id: 1 }] })
  })

  t.test(`whatever a test has changed is put back, numbers too (${kind})`, async (t) => {
    const app = await open(t, database)
    const before = await rows(app)
    const { db } = app
    const add = async () => {
      const row = { customer: 1, total: 7, state: 'new' }
      return Number((await db.insertInto('shop_order').values(row).executeTakeFirst()).insertId)
    }
    for (let round = 0; round < 3; round++) {
      t.equal(await add(), 2)
      await db.updateTable('shop_customer').set({ name: 'Zoe', rating: 1.5 }).execute()
      await app.reset()
      t.strictSame(await rows(app), before)
    }
    // With it go the orders.
    await db.deleteFrom('shop_customer').where('id', '=', 1).execute()
    t.strictSame((await rows(app)).orders, [])
    await app.reset()
    t.strictSame(await rows(app), before)
    await add()
    await db.deleteFrom('shop_order').where('id', '>', 1).execute()
    await app.reset()
    t.equal(await add(), 2, 'though the same rows were there')
  })

  t.test(`what the kit makes when it is needed is there after a reset (${kind})`, async (t) => {
    const app = await open(t, database)
    for (let round = 0; round < 2; round++) {
      const { data } = await app.as('ann').send(app.resources.orders.create, {
        customer: 1,
        total: 5,
      })
      t.equal(data.id, 2)
      await app.clock.advance(60_000)
      await app.tasks.drain()
      t.match((await rows(app)).orders, [{ state: 'new' }, { state: 'shipped' }])
      await app.reset()
    }
  })

  t.test(`it is reset, or closed, with a test (${kind})`, async (t) => {
    const app = await open(t, database)
    await t.test('changes', async (t) => {
      app.resetAfter(t)
      await app.db.deleteFrom('shop_order').execute()
    })
    t.equal((await rows(app)).orders.length, 1)
    let after = async () => {}
    const closed = await testApp(shop, {
      root,
      database,
      t: {
        after: (work: () => Promise<void>) => {
          after = work
        },
      },
    })
    t.strictSame((await closed.db.selectFrom('shop_customer').selectAll().execute()).length, 0)
    await after()
    await t.rejects(closed.db.selectFrom('shop_customer').selectAll().execute())
  })

  t.test(`an app that does not start leaves nothing open (${kind})`, async (t) => {
    const plugins = [
      async () => {
        throw new Error('no')
      },
    ]
    await t.rejects(testApp({ ...shop, plugins }, { root, database }), { message: 'no' })
    const taking = fp(async (app) => void app.decorate('reset', () => {}))
    const taken = testApp({ ...shop, plugins: [taking] }, { root, database })
    await t.rejects(taken, { code: 'FST_ERR_DEC_ALREADY_PRESENT' })
    const app = await testApp(shop, { t, root, database })
    t.strictSame(await app.db.selectFrom('shop_customer').selectAll().execute(), [])
  })
}

t.test('a schema of MySQL is used by one test after the other', async (t) => {
  const { mysql: database } = databases
  const first = await testApp(shop, { root, database, setUp: addOrder })
  const { DATABASE_URL } = first.config
  await first.db.deleteFrom('shop_customer').execute()
  await first.close()
  const second = await open(t, database)
  t.equal(second.config.DATABASE_URL, DATABASE_URL)
  t.match(await rows(second), { customers: { length: 2 }, orders: [{ id: 1 }] })
  await second.db.schema.dropTable('shop_order').execute()
  await t.rejects(second.reset(), /no tables that were dropped: shop_order/)
  await second.close()
  t.not((await open(t, database)).config.DATABASE_URL, DATABASE_URL)
})

t.test('two apps share a Redis, and no key of it; theirs go with them', async (t) => {
  // A database of its own: others have keys, too.
  const redis = `${redisUrl()}/12`
  const client = new Redis(redis)
  t.teardown(() => client.disconnect())
  const start = () => testApp(shop, { root, redis, env: PATIENT_ENV, setUp: addOrder })
  const apps = await Promise.all([start(), start()])
  const [one, other] = apps
  const { retrieve, ship } = one.resources.orders
  await retrieve({ id: 1 })
  await one.db.updateTable('shop_order').set({ total: 11 }).execute()
  await other.db.updateTable('shop_order').set({ total: 12 }).execute()
  t.match(await retrieve({ id: 1 }), { total: 10 }, 'from its cache')
  t.match(await other.resources.orders.retrieve({ id: 1 }), { total: 12 }, 'that has none of it')
  await Promise.all(apps.map((app) => app.tasks.fake()))
  await ship.enqueue({ id: 1 }, { key: 'same' })
  t.strictSame(await other.tasks.enqueued(), [])
  await other.resources.orders.ship.enqueue({ id: 1 }, { key: 'same' })
  t.match(await other.tasks.drain(), [{ state: 'succeeded' }])
  t.match(await one.tasks.enqueued(), { length: 1 })
  t.not(await client.dbsize(), 0)
  await Promise.all(apps.map((app) => app.close()))
  t.strictSame(await client.keys('*'), [])
})

t.test('neither the environment nor .env is read', async (t) => {
  process.env.SUPERUSERS = 'ann'
  t.teardown(() => delete process.env.SUPERUSERS)
  const app = await testApp(shop, { t, root: t.testdir({ '.env': 'PORT=9999\n' }) })
  t.equal(app.superusers, undefined)
  t.equal(app.config.PORT, 8000)
})

const CHILD = fileURLToPath(new URL('shop-child.ts', import.meta.url))

/** A process that makes two apps, and tells where their databases are. */
async function startChild(way: string) {
  const child = spawn(process.execPath, [CHILD, way, databases.mysql], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  let told = ''
  for await (const chunk of child.stdout) {
    told += chunk
    if (told.includes('\n')) break
  }
  const [sqlite = '', mysql = ''] = told.trim().split(' ')
  return {
    child,
    ended,
    file: sqlite.replace('sqlite:', ''),
    schema: new URL(mysql).pathname.slice(1),
  }
}

async function schemas(): Promise<string[]> {
  const connection = await createConnection(databases.mysql)
  const [found] = await connection.query('show databases')
  await connection.end()
  return (found as { Database: string }[]).map(({ Database }) => Database)
}

t.test('a process leaves neither files nor schemas behind', async (t) => {
  const open = await startChild('close')
  await open.ended
  t.notOk(existsSync(open.file))
  t.notOk((await schemas()).some((name) => name.startsWith(open.schema)))

  const killed = await startChild('stay')
  t.ok(existsSync(killed.file))
  killed.child.kill('SIGKILL')
  await killed.ended
  t.ok(existsSync(killed.file), 'it could not')
  const next = await startChild('close')
  await next.ended
  t.notOk(existsSync(killed.file), 'the next one does')
  t.notOk((await schemas()).some((name) => name.startsWith(killed.schema)))
})
