import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { Kysely } from 'kysely'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import database from '../../plugins/database.ts'
import { inTransaction } from '../../src/database/transaction.ts'
import { notFound } from '../../src/errors.ts'
import { type Context, currentContext } from '../../src/resource/context.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createGate } from '../helpers/app.ts'
import { poll } from '../helpers/network.ts'
import { onEachPlace, type Place, serve } from './attached.ts'

type Db = Kysely<{ item: { id: number; name: string } }>

const itemsOf = ({ db }: Pick<FastifyInstance, 'db'> | Context) => db as unknown as Db
const Item = Type.Object({ id: Type.Integer(), name: Type.String() })

const add = defineResource({
  summary: 'Add',
  method: 'POST',
  request: Item,
  response: Item,
  async perform(item, context) {
    await itemsOf(context).insertInto('item').values(item).execute()
    return item
  },
})

/** Adds it and one of the number beside it, in a transaction of its own; fails where the name says so. */
const addBoth = defineResource({
  summary: 'Add two',
  method: 'POST',
  path: '/both',
  request: Item,
  async perform(item, context) {
    await itemsOf(context)
      .transaction()
      .execute(async () => {
        await add(item)
        await add({ ...item, id: item.id + 1000 })
        if (item.name === 'bad') throw new Error('undo')
      })
    return null
  },
})

let loads = 0

const find = defineResource({
  summary: 'Find',
  path: '/:id',
  request: Type.Object({ id: Type.Integer() }),
  response: Item,
  cache: { ttl: 60_000, negative: 60_000, perUser: false, tags: ({ id }) => [`item:${id}`] },
  async perform({ id }, context) {
    loads++
    const items = itemsOf(context).selectFrom('item').selectAll()
    return (await items.where('id', '=', id).executeTakeFirst()) ?? notFound('item', id)
  },
})

async function create(t: Test, { driver, url }: Place, prefix: string = randomUUID()) {
  const place = await driver.url(t)
  const resources = { add, addBoth, find }
  const start = () =>
    serve(t, { url }, resources, {
      prefix,
      plugin: (app) => void app.register(database, { url: place }),
    })
  const app = await start()
  await itemsOf(app)
    .schema.createTable('item')
    .addColumn('id', 'integer', (id) => id.primaryKey())
    .addColumn('name', 'varchar(20)')
    .execute()
  const ids = async () => {
    const rows = await itemsOf(app).selectFrom('item').select('id').orderBy('id').execute()
    return rows.map(({ id }) => id)
  }
  const within = <T>(work: (trx: Db) => Promise<T>) =>
    app.run(() => itemsOf(app).transaction().execute(work))
  const get = async (id: number, of = app) => (await of.inject(`/things/${id}`)).json().data?.name
  return { app, start, ids, within, get }
}

onEachPlace(t, 'what is called in a transaction is part of it', async (t, place) => {
  const { ids, within } = await create(t, place)
  await within(async () => {
    await add({ id: 1, name: 'a' })
    t.equal((await find.cacheless({ id: 1 })).name, 'a')
    await addBoth({ id: 2, name: 'b' })
  })
  t.strictSame(await ids(), [1, 2, 1002])
  await t.rejects(
    within(async () => {
      await add({ id: 3, name: 'c' })
      await addBoth({ id: 4, name: 'd' })
      throw new Error('undo')
    }),
    /undo/,
  )
  t.strictSame(await ids(), [1, 2, 1002])
})

onEachPlace(t, 'what it undoes leaves the rest', async (t, place) => {
  const { app, ids, within } = await create(t, place)
  await within(async () => {
    await add({ id: 1, name: 'a' })
    await t.rejects(addBoth({ id: 2, name: 'bad' }), /undo/)
    await add({ id: 3, name: 'c' })
  })
  t.strictSame(await ids(), [1, 3])
  const payload = { id: 4, name: 'bad' }
  t.equal((await app.inject({ method: 'POST', url: '/things/both', payload })).statusCode, 500)
  t.strictSame(await ids(), [1, 3])
})

onEachPlace(t, 'many at once go one after the other', async (t, place) => {
  const { ids, within } = await create(t, place)
  const requests = [1, 2, 3, 4, 5].map((id) => ({ id, name: id === 3 ? 'bad' : 'good' }))
  await within(async () => {
    const done = await addBoth.bulk(requests, { settled: true, concurrency: 5 })
    const statuses = done.map(({ status }) => status === 'fulfilled')
    t.strictSame(statuses, [true, true, false, true, true])
    await Promise.all([6, 7].map((id) => addBoth({ id, name: 'good' })))
  })
  t.strictSame(await ids(), [1, 2, 4, 5, 6, 7, 1001, 1002, 1004, 1005, 1006, 1007])
})

onEachPlace(t, 'what goes on after the commit is in none', async (t, place) => {
  const { app, ids, within } = await create(t, place)
  const gate = createGate()
  let later: Promise<unknown> = Promise.resolve()
  await within(async () => {
    later = gate.opened.then(async () => {
      t.equal(currentContext()?.db, app.db)
      await add({ id: 2, name: 'later' })
    })
    await add({ id: 1, name: 'a' })
  })
  gate.open()
  await later
  t.strictSame(await ids(), [1, 2])
})

onEachPlace(t, 'a transaction neither reads the cache nor fills it', async (t, place) => {
  const { within, get, app } = await create(t, place)
  await app.run(() => add({ id: 1, name: 'old' }))
  t.equal(await get(1), 'old')
  const rename = (db: Db, name: string) => db.updateTable('item').set({ name }).execute()
  await t.rejects(
    within(async (trx) => {
      await rename(trx, 'new')
      await add({ id: 2, name: 'second' })
      for (const read of [find, find.refresh, find.cacheless])
        t.equal((await read({ id: 1 })).name, 'new')
      t.equal((await find({ id: 2 })).name, 'second')
      await t.rejects(find({ id: 3 }), { code: 'NOT_FOUND' })
      const load = () => 'mine'
      t.equal(await app.cache.getOrSet('key', load, { ttl: 60_000 }), 'mine')
      await app.cache.set('other', 'mine', { ttl: 60_000 })
      t.equal(await app.cache.get('other'), undefined)
      throw new Error('undo')
    }),
    /undo/,
  )
  t.equal(await get(1), 'old')
  t.equal(await get(2), undefined)
  t.equal(await app.cache.get('key'), undefined)
  t.equal(await app.cache.get('other'), undefined)
  await app.run(() => add({ id: 3, name: 'third' }))
  t.equal(await get(3), 'third', 'that there was none was not remembered either')
})

const changes: Record<string, (app: FastifyInstance) => Promise<unknown>> = {
  'invalidate by a tag': ({ cache }) => cache.invalidate('item:1'),
  'invalidate of a resource': () => find.invalidate({ id: 1 }),
  clear: ({ cache }) => cache.clear(),
  refresh: () => find.refresh({ id: 1 }),
}

for (const [name, change] of Object.entries(changes)) {
  onEachPlace(t, `${name} is made at the commit`, async (t, place) => {
    const { app, start, within, get } = await create(t, place)
    const other = place.url ? await start() : app
    await app.run(() => add({ id: 1, name: 'old' }))
    for (const one of [app, other]) t.equal(await get(1, one), 'old')
    await within(async (trx) => {
      await trx.updateTable('item').set({ name: 'new' }).execute()
      await change(app)
      const before = loads
      for (const one of [app, other]) t.equal(await readOutside(one), 'old')
      t.equal(loads, before, 'nothing has been taken away yet')
    })
    // Another process hears of it a moment later.
    for (const one of [app, other]) await poll(async () => (await get(1, one)) === 'new')
    t.equal(await get(1), 'new')
    await t.rejects(
      within(async () => {
        await change(app)
        throw new Error('undo')
      }),
      /undo/,
    )
    const before = loads
    for (const one of [app, other]) t.equal(await get(1, one), 'new')
    t.equal(loads, before, 'what is undone takes nothing away')
  })
}

onEachPlace(t, 'a value that is set or deleted changes at the commit', async (t, place) => {
  const { app, within } = await create(t, place)
  const { cache } = app
  await cache.set('a', 1, { ttl: 60_000 })
  await within(async (trx) => {
    await cache.set('b', 2, { ttl: 60_000 })
    await inTransaction(trx, () => cache.delete('a'))
    const undone = inTransaction(trx, async () => {
      await cache.set('c', 3, { ttl: 60_000 })
      throw new Error('undo')
    })
    await t.rejects(undone, /undo/)
    t.strictSame(await Promise.all(['a', 'b', 'c'].map((key) => cache.get(key))), [
      1,
      undefined,
      undefined,
    ])
  })
  t.strictSame(await Promise.all(['a', 'b', 'c'].map((key) => cache.get(key))), [
    undefined,
    2,
    undefined,
  ])
})

// Over HTTP and so in no transaction, as another client would.
async function readOutside(app: FastifyInstance): Promise<unknown> {
  if (!app.server.listening) await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as { port: number }
  const answer = await fetch(`http://127.0.0.1:${port}/things/1`)
  return ((await answer.json()) as { data: { name: string } }).data.name
}
