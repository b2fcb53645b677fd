import Fastify, { type FastifyInstance } from 'fastify'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import database from '../../plugins/database.ts'
import envelope from '../../plugins/envelope.ts'
import resources from '../../plugins/resources.ts'
import { modelResources } from '../../src/crud/model-resources.ts'
import type { AnyTables } from '../../src/crud/model-write.ts'
import { createTable, renameTable } from '../../src/database/migration/index.ts'
import { compileOperations } from '../../src/database/migration/operations/index.ts'
import { defineModel } from '../../src/database/model/define.ts'
import { column, decimal } from '../../src/database/model/schemas.ts'
import type { Model } from '../../src/database/model/types.ts'
import { defineModule } from '../../src/resource/module.ts'
import { createTables } from '../database/model/fixture.ts'
import { databaseDrivers } from '../helpers/drivers.ts'

// What comes back, is found, sorted and taken for the same is so on both databases: each expectation stands once.

const Item = defineModel('item', {
  columns: {
    id: Type.Integer(),
    name: Type.String({ maxLength: 20 }),
    tag: column(Type.String({ maxLength: 20 }), { comparison: 'ignoreCase' }),
    price: decimal(10, 2),
    rate: Type.Optional(decimal(15, 15)),
    opens: Type.Optional(Type.String({ format: 'time' })),
  },
  generated: ['id'],
  unique: [['name'], ['tag'], ['price']],
})

const item = modelResources(Item, {
  list: {
    filters: {
      name: 'equals',
      tag: 'equals',
      price: 'equals',
      opens: 'equals',
      min_price: { operator: 'from', column: 'price' },
      max_price: { operator: 'to', column: 'price' },
      opens_from: { operator: 'from', column: 'opens' },
    },
    search: ['name', 'tag'],
    order: ['id', 'name', 'price', 'opens', 'rate'],
  },
})

interface Answer {
  status: number
  text: string
  data: { results: Record<string, unknown>[] } & Record<string, unknown>
  errors: unknown
}

type Send = (
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  url: string,
  body?: object,
) => Promise<Answer>

const sender =
  (app: FastifyInstance): Send =>
  async (method, url, payload) => {
    const answer = await app.inject({ method, url, ...(payload && { payload }) })
    const { data, errors } = answer.json()
    return { status: answer.statusCode, text: answer.payload, data, errors }
  }

function onEveryDatabase(
  name: string,
  model: Model,
  made: object,
  test: (t: Test, send: Send, app: FastifyInstance) => Promise<void>,
): void {
  for (const driver of databaseDrivers) {
    t.test(`${name} (${driver.name})`, async (t) => {
      const app = Fastify()
      t.teardown(() => app.close())
      app.register(envelope)
      app.register(database, { url: await driver.url(t), models: [model] })
      const modules = { all: defineModule({ prefix: '/all', resources: made as typeof item }) }
      app.register(resources, { modules, strict: true })
      await app.ready()
      await createTables(app.db, driver, [model])
      await test(t, sender(app), app)
    })
  }
}

const tables = (app: FastifyInstance) => app.db as unknown as AnyTables

async function listed(send: Send, query: string, column: string): Promise<unknown[]> {
  const { data, status, text } = await send('GET', `/all?${query}`)
  if (status !== 200) throw new Error(text)
  return data.results.map((row) => row[column])
}

const PRICES = ['9', '10.00', '100.5', '-1.25', '-10', '0.10', '2']

async function addPrices(send: Send): Promise<void> {
  for (const [i, price] of PRICES.entries())
    await send('POST', '/all', { name: `n${i}`, tag: `t${i}`, price })
}

onEveryDatabase('decimals are compared and sorted by value', Item, item, async (t, send, app) => {
  await addPrices(send)
  const sorted = ['-10.00', '-1.25', '0.10', '2.00', '9.00', '10.00', '100.50']
  t.strictSame(await listed(send, 'order=price', 'price'), sorted)
  t.strictSame(await listed(send, 'order=-price', 'price'), sorted.toReversed())
  const ranges: [string, string[]][] = [
    ['min_price=10', ['10.00', '100.50']],
    ['max_price=9.5', ['-10.00', '-1.25', '0.10', '2.00', '9.00']],
    ['min_price=-2&max_price=2', ['-1.25', '0.10', '2.00']],
    ['price=10', ['10.00']],
    ['price=100.50', ['100.50']],
    ['price=-1.3', []],
  ]
  for (const [query, found] of ranges)
    t.strictSame(await listed(send, `${query}&order=price`, 'price'), found, query)
  // In the service's own queries, too.
  const own = tables(app).selectFrom('item').select('price').orderBy('price', 'desc')
  t.match(await own.where('price', '>', '9').execute(), [{ price: '100.50' }, { price: '10.00' }])
  const again = await send('POST', '/all', { name: 'x', tag: 'x', price: '10.0' })
  t.match(again, { status: 409, errors: [{ path: '/price' }] }, 'the same value is not unique')
})

const Sum = defineModel('sum', {
  columns: { id: Type.Integer(), total: decimal(20, 4) },
  generated: ['id'],
})

const TOTALS = ['9', '10.00', '100.5', '-1.25', '-10', '0.1', '1234567890123456.7891', '2']

for (const pages of ['numbers', 'cursor'] as const) {
  const sum = modelResources(Sum, {
    list: {
      pages,
      filters: {
        total: 'equals',
        min: { operator: 'from', column: 'total' },
        max: { operator: 'to', column: 'total' },
      },
      order: ['total'],
    },
  })
  const name = `so are those with more digits than numbers have, by ${pages}`
  onEveryDatabase(name, Sum, sum, async (t, send) => {
    for (const total of TOTALS) await send('POST', '/all', { total })
    const sorted = [
      ...['-10.0000', '-1.2500', '0.1000', '2.0000', '9.0000', '10.0000', '100.5000'],
      '1234567890123456.7891',
    ]
    t.strictSame(await listed(send, 'order=total', 'total'), sorted)
    t.strictSame(await listed(send, 'order=-total', 'total'), sorted.toReversed())
    t.strictSame(await listed(send, 'min=10&order=total', 'total'), sorted.slice(5))
    t.strictSame(await listed(send, 'max=9.5&order=total', 'total'), sorted.slice(0, 5))
    t.strictSame(await listed(send, 'total=10', 'total'), ['10.0000'])
    t.strictSame(await listed(send, 'total=1234567890123456.7892', 'total'), [])
    if (pages === 'numbers') return
    const found: unknown[] = []
    for (let cursor: unknown = ''; cursor !== null; ) {
      const query = `order=-total&page_size=3${cursor && `&cursor=${cursor}`}`
      const { data } = await send('GET', `/all?${query}`)
      found.push(...data.results.map(({ total }) => total))
      cursor = data.next_cursor
    }
    t.strictSame(found, sorted.toReversed())
  })
}

onEveryDatabase('a decimal keeps all of its digits', Item, item, async (t, send, app) => {
  const many = ['0.1', '0.2', '12345678.91', '-99999999.99', '99999999.99', '0']
  for (const [i, price] of many.entries()) {
    const { data } = await send('POST', '/all', {
      ...{ name: `n${i}`, tag: `t${i}`, price },
      rate: '0.123456789012345',
    })
    t.match(data, { price: Number(price).toFixed(2), rate: '0.123456789012345' })
  }
  const rows = await tables(app)
    .selectFrom('item')
    .select(['price', 'rate'])
    .orderBy('id')
    .execute()
  t.strictSame(
    rows.map(({ price }) => price),
    ['0.10', '0.20', '12345678.91', '-99999999.99', '99999999.99', '0.00'],
  )
  const { data } = await send('PUT', '/all/6', {
    name: 'z',
    tag: 'z',
    price: '-0.00',
    rate: '0.000000000000001',
  })
  t.match(data, { price: '0.00', rate: '0.000000000000001' })
})

onEveryDatabase('times of day read, sort and compare alike', Item, item, async (t, send, app) => {
  const given = ['10:00:00', '09:30:00.5', '09:30:00.250', '23:59:59.999', '09:30:00']
  for (const [i, opens] of given.entries())
    await send('POST', '/all', { name: `n${i}`, tag: `t${i}`, price: `${i}`, opens })
  const sorted = ['09:30:00', '09:30:00.250', '09:30:00.500', '10:00:00', '23:59:59.999']
  t.strictSame(await listed(send, 'order=opens', 'opens'), sorted)
  t.strictSame(await listed(send, 'opens=09:30:00.50', 'opens'), ['09:30:00.500'])
  t.strictSame(await listed(send, 'opens=10:00:00.000', 'opens'), ['10:00:00'])
  t.strictSame(await listed(send, 'opens_from=09:30:00.3&order=opens', 'opens'), sorted.slice(2))
  const rows = await tables(app).selectFrom('item').select('opens').orderBy('opens').execute()
  t.strictSame(
    rows.map(({ opens }) => opens),
    sorted,
  )
})

onEveryDatabase('texts are the same where their characters are', Item, item, async (t, send) => {
  const names = ['Ann', 'ann', 'Ann ', 'Änn', 'ANN']
  for (const [i, name] of names.entries()) {
    const { status } = await send('POST', '/all', { name, tag: `t${i}`, price: `${i}` })
    t.equal(status, 201, name)
  }
  for (const name of names)
    t.strictSame(await listed(send, `name=${encodeURIComponent(name)}`, 'name'), [name])
  t.strictSame(await listed(send, 'order=name', 'name'), ['ANN', 'Ann', 'Ann ', 'ann', 'Änn'])
  t.strictSame(await listed(send, 'search=aNN&order=name', 'name'), ['ANN', 'Ann', 'Ann ', 'ann'])
  const again = await send('POST', '/all', { name: 'Ann', tag: 'x', price: '9' })
  t.match(again, { status: 409, errors: [{ path: '/name' }] })
})

onEveryDatabase('or where they differ in case alone, by choice', Item, item, async (t, send) => {
  await send('POST', '/all', { name: 'a', tag: 'Red', price: '1' })
  const again = await send('POST', '/all', { name: 'b', tag: 'rED', price: '2' })
  t.match(again, { status: 409, errors: [{ path: '/tag' }] })
  t.equal((await send('POST', '/all', { name: 'b', tag: 'red ', price: '2' })).status, 201)
  t.equal((await send('POST', '/all', { name: 'c', tag: 'réd', price: '3' })).status, 201)
  t.strictSame(await listed(send, 'tag=RED', 'tag'), ['Red'])
})

onEveryDatabase('ids beyond 2^53 are found by their digits', Item, item, async (t, send, app) => {
  const id = 9_007_199_254_740_993n
  await tables(app).insertInto('item').values({ id, name: 'far', tag: 'far', price: '1' }).execute()
  t.match((await send('GET', '/all')).text, `"id":${id},`)
  const one = await send('GET', `/all/${id}`)
  t.equal(one.status, 200)
  t.match(one.text, `"id":${id},`)
  t.equal((await send('GET', `/all/${id - 1n}`)).status, 404)
  t.equal((await send('GET', '/all/99999999999999999999')).status, 400)
  const put = await send('PUT', `/all/${id}`, { name: 'near', tag: 'far', price: '1' })
  t.match(put, { status: 200, data: { name: 'near' } })
  const many = await send('POST', '/all/bulk', [
    { name: 'a', tag: 'a', price: '2' },
    { name: 'b', tag: 'b', price: '3' },
    { name: 'c', tag: 'c', price: '4' },
  ])
  t.equal(many.status, 201)
  const ids = [...many.text.matchAll(/"id":(\d+)/g)].map(([, digits]) => BigInt(digits as string))
  t.strictSame(ids, [id + 1n, id + 2n, id + 3n])
  const { text } = await send('GET', `/all/${id + 2n}`)
  t.match(text, '"name":"b"')
  t.equal((await send('DELETE', `/all/${id}`)).status, 200)
  t.equal((await send('GET', `/all/${id}`)).status, 404)
  t.equal((await send('GET', `/all/${id + 1n}`)).status, 200, 'and no other')
})

const computed = (expression: string) => `varchar(21) generated always as (${expression}) stored`
const Word = defineModel('word', {
  columns: {
    id: Type.Integer(),
    name: Type.String({ maxLength: 20 }),
    shout: column(Type.String({ maxLength: 21 }), {
      type: { mysql: computed("concat(name, '!')"), sqlite: computed("name || '!'") },
    }),
  },
  generated: ['id', 'shout'],
  unique: [['shout']],
})

onEveryDatabase(
  'what the database computes no client says',
  Word,
  modelResources(Word),
  async (t, send) => {
    const made = await send('POST', '/all', { name: 'ah' })
    t.match(made, { status: 201, data: { id: 1, name: 'ah', shout: 'ah!' } })
    t.equal((await send('POST', '/all', { name: 'oh', shout: 'oh!' })).status, 400)
    t.match(await send('POST', '/all', { name: 'ah' }), {
      status: 409,
      errors: [{ path: '/shout' }],
    })
    t.match(await send('PUT', '/all/1', { name: 'oh' }), { status: 200, data: { shout: 'oh!' } })
    t.match(await send('GET', '/all/1'), { data: { name: 'oh', shout: 'oh!' } })
  },
)

const Member = defineModel('member', {
  columns: {
    id: Type.Integer(),
    email: Type.String({ maxLength: 40 }),
    name: Type.String({ maxLength: 9 }),
  },
  generated: ['id'],
  unique: [['email'], ['name', 'email']],
})

for (const driver of databaseDrivers) {
  t.test(
    `a key that is taken is named, whatever the table was called (${driver.name})`,
    async (t) => {
      const app = Fastify()
      t.teardown(() => app.close())
      app.register(envelope)
      app.register(database, { url: await driver.url(t), models: [Member] })
      const modules = { all: defineModule({ prefix: '/all', resources: modelResources(Member) }) }
      app.register(resources, { modules, strict: true })
      await app.ready()
      const { unique = [], ...state } = Member.state
      const old = unique.map((key) => ({ ...key, name: key.name.replace('member', 'person') }))
      const operations = [
        createTable('person', { ...state, unique: old }),
        renameTable('person', 'member'),
      ]
      for (const step of compileOperations(operations, {}, driver.name))
        if ('sql' in step) await sql.raw(step.sql).execute(app.db)
      const send = sender(app)
      await send('POST', '/all', { email: 'a@x', name: 'a' })
      const again = await send('POST', '/all', { email: 'a@x', name: 'b' })
      t.match(again, { status: 409, errors: [{ path: '/email', message: 'is taken already' }] })
    },
  )
}
