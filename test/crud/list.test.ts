import type { FastifyInstance } from 'fastify'
import type { Kysely, KyselyPlugin } from 'kysely'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import database from '../../plugins/database.ts'
import { defineList } from '../../src/crud/list.ts'
import { portable } from '../../src/database/portable.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { serveThings } from '../helpers/app.ts'
import { databaseDrivers } from '../helpers/drivers.ts'

const Place = Type.Object({
  id: Type.Integer(),
  name: Type.String({ minLength: 2, maxLength: 50, pattern: '^.{2,}$' }),
  country: Type.String({ pattern: '^[A-Z]{2}$' }),
  size: Type.Integer({ default: 0 }),
  open: Type.Boolean(),
  seen: Type.String({ format: 'date-time' }),
})

const places = defineList(Place, {
  filters: {
    name: 'contains',
    country: 'equals',
    open: 'equals',
    size: 'equals',
    min_size: { operator: 'from', column: 'size' },
    max_size: { operator: 'to', column: 'size' },
    since: { operator: 'from', column: 'seen' },
    at: { operator: 'equals', column: 'seen' },
  },
  order: ['id', 'name', 'size'],
  key: 'id',
  pageSize: 3,
  maxPageSize: 10,
})

interface Tables {
  place: {
    id: number
    name: string
    country: string
    size: number
    open: boolean
    seen: string
  }
}

const list = defineResource({
  summary: 'List',
  request: places.request,
  response: places.response,
  perform: (input, { db }) =>
    places.paginate((db as unknown as Kysely<Tables>).selectFrom('place').selectAll(), input),
})

const noon = (day: number) => `2026-01-0${day}T12:00:00.000Z`

const rows = [
  ['Paris', 'FR', 20, true, 1],
  ['100% sure', 'FR', 10, true, 2],
  ['100_sure', 'FR', 10, true, 3],
  ['a!b', 'DE', 10, false, 4],
  ['back\\slash', 'DE', 10, false, 5],
  ["O'Hare", 'US', 30, true, 6],
  ['Perpignan', 'FR', 5, false, 7],
].map(([name, country, size, open, day], index) => ({
  id: index + 1,
  name,
  country,
  size,
  open,
  seen: noon(day as number),
}))

async function createTable(app: FastifyInstance): Promise<void> {
  const { createTable, types } = portable(app.db)
  await createTable('place')
    .addColumn('id', types.id, (id) => id.primaryKey())
    .addColumn('name', 'varchar(50)', (name) => name.notNull())
    .addColumn('country', 'char(2)', (country) => country.notNull())
    .addColumn('size', 'integer', (size) => size.notNull())
    .addColumn('open', types.boolean, (open) => open.notNull())
    .addColumn('seen', types.timestamp, (seen) => seen.notNull())
    .execute()
  const values = rows.map((row) => ({ ...row, seen: new Date(row.seen) }))
  await (app.db as unknown as Kysely<Record<string, Record<string, unknown>>>)
    .insertInto('place')
    .values(values)
    .execute()
}

for (const driver of databaseDrivers) {
  t.test(driver.name, async (t) => {
    const url = await driver.url(t)
    const app = await serveThings(t, { list }, { plugin: (app) => app.register(database, { url }) })
    await createTable(app)
    await checkLists(t, app)
  })
}

async function checkLists(t: Test, app: FastifyInstance): Promise<void> {
  const page = async (query: Record<string, string>) => {
    const response = await app.inject({ url: '/things', query })
    return response.json().data
  }
  const ids = async (query: Record<string, string>) =>
    (await page(query)).results.map(({ id }: { id: number }) => id)

  t.test('a page is as long as asked for, and tells of the others', async (t) => {
    t.strictSame(await page({}), { page: 1, num_pages: 3, total: 7, results: rows.slice(0, 3) })
    t.strictSame(await page({ page: '3' }), {
      page: 3,
      num_pages: 3,
      total: 7,
      results: rows.slice(6),
    })
    t.strictSame(await page({ page_size: '7' }), {
      page: 1,
      num_pages: 1,
      total: 7,
      results: rows,
    })
    t.strictSame(await page({ page: '4' }), { page: 4, num_pages: 3, total: 7, results: [] })
    t.strictSame(await page({ country: 'XX' }), { page: 1, num_pages: 1, total: 0, results: [] })
  })

  t.test('contains takes every character for itself', async (t) => {
    t.strictSame(await ids({ name: 'p' }), [1, 7], 'whatever its case')
    t.strictSame(await ids({ name: '100%' }), [2])
    t.strictSame(await ids({ name: '100_' }), [3])
    t.strictSame(await ids({ name: '!' }), [4])
    t.strictSame(await ids({ name: '\\' }), [5])
    t.strictSame(await ids({ name: '\\s' }), [5])
    t.strictSame(await ids({ name: "'" }), [6])
    t.strictSame(await ids({ name: '%_!\\' }), [])
    t.strictSame(await ids({ name: 'a' }), [1, 4, 5], 'a part needs not be as long as a name')
  })

  t.test('filters are all to hold', async (t) => {
    t.strictSame(await ids({ country: 'FR', min_size: '10' }), [1, 2, 3])
    t.strictSame(await ids({ min_size: '20', max_size: '30' }), [1, 6], 'the bounds included')
    t.strictSame(await ids({ size: '10', open: 'false' }), [4, 5])
    t.strictSame(await ids({ open: 'true', name: '100', max_size: '9' }), [])
  })

  t.test('times are compared as times, however they are written', async (t) => {
    t.strictSame(await ids({ since: noon(6) }), [6, 7])
    t.strictSame(await ids({ since: '2026-01-06T12:00:00Z' }), [6, 7])
    t.strictSame(await ids({ at: '2026-01-06T14:00:00+02:00' }), [6])
    for (const since of ['1998-12-31T23:59:60Z', '0000-01-01T00:00:00+23:59']) {
      const response = await app.inject({ url: '/things', query: { since } })
      t.equal(response.statusCode, 400)
      t.strictSame(response.json().errors, [
        { path: '/since', message: 'must be a time that exists, of the years 0 to 9999' },
      ])
    }
  })

  t.test('order goes by several columns, ties are broken by the key', async (t) => {
    const all = { page_size: '10' }
    t.strictSame(await ids({ ...all, order: '-id' }), [7, 6, 5, 4, 3, 2, 1])
    t.strictSame(await ids({ ...all, order: 'size' }), [7, 2, 3, 4, 5, 1, 6])
    t.strictSame(await ids({ ...all, order: '-size' }), [6, 1, 5, 4, 3, 2, 7])
    t.strictSame(await ids({ ...all, order: '-size,id' }), [6, 1, 2, 3, 4, 5, 7])
    t.strictSame(await ids({ ...all, order: 'size,-name', country: 'FR' }), [7, 3, 2, 1])
    const pages = await Promise.all(
      ['1', '2', '3', '4'].map((page) => ids({ order: 'size', page, page_size: '2' })),
    )
    t.strictSame(pages, [[7, 2], [3, 4], [5, 1], [6]], 'pages neither overlap nor leave out')
  })

  t.test('in process it is the same', async (t) => {
    const found = await app.run(() => list({ country: 'DE', page_size: 1, order: '-id' }))
    t.strictSame(found, { page: 1, num_pages: 2, total: 2, results: [rows[4]] })
  })
}

t.test('what no list has is refused', async (t) => {
  const app = await serveThings(t, { list })
  const refused = async (query: Record<string, string>) =>
    (await app.inject({ url: '/things', query })).json().errors
  t.strictSame(await refused({ page_size: '11' }), [
    { path: '/page_size', message: 'must be <= 10' },
  ])
  t.strictSame(await refused({ page: '0' }), [{ path: '/page', message: 'must be >= 1' }])
  t.strictSame(await refused({ seen: noon(1) }), [{ path: '/seen', message: 'is not known here' }])
  t.strictSame(await refused({ name: 'x'.repeat(51) }), [
    { path: '/name', message: 'must NOT have more than 50 characters' },
  ])
  t.strictSame(await refused({ country: 'fr' }), [
    { path: '/country', message: 'must match pattern "^[A-Z]{2}$"' },
  ])
  const columns = [
    'seen',
    'id desc',
    'id;drop table place',
    '',
    ',',
    'id,',
    '--id',
    'ID',
    'id,id,id,id',
  ]
  for (const order of columns) {
    t.match(await refused({ order }), [{ path: '/order', message: /^must match pattern/ }], order)
  }
})

t.test('a filter cannot take the name of a parameter of every list', async (t) => {
  const Row = Type.Object({ id: Type.Integer(), order: Type.Integer() })
  t.throws(() => defineList(Row, { filters: { order: 'equals' }, order: ['id'], key: 'id' }), {
    code: 'RESOURCE_INVALID',
    message: 'The resource list cannot be served: a filter cannot be called order',
  })
})

t.test('a page is not longer by default than it may be', async (t) => {
  const Row = Type.Object({ id: Type.Integer() })
  const { request } = defineList(Row, { order: ['id'], key: 'id', maxPageSize: 5 })
  t.match(request.properties.page_size, { maximum: 5, default: 5 })
  const wide = defineList(Row, { order: ['id'], key: 'id' })
  t.match(wide.request.properties.page_size, { maximum: 1000, default: 100 })
})

for (const driver of databaseDrivers) {
  t.test(`deep pages (${driver.name})`, async (t) => {
    let selects = 0
    const counting: KyselyPlugin = {
      transformQuery: ({ node }) => node,
      async transformResult({ result }) {
        selects++
        return result
      },
    }
    const few = defineList(Place, { order: ['id'], key: 'id', maxPageSize: 10, maxDepth: 40 })
    const shallow = defineResource({
      summary: 'Few',
      path: '/few',
      request: few.request,
      response: few.response,
      perform(input, { db }) {
        const counted = (db as unknown as Kysely<Tables>).withPlugin(counting)
        return few.paginate(counted.selectFrom('place').selectAll(), input)
      },
    })
    const url = await driver.url(t)
    const plugin = (app: FastifyInstance) => void app.register(database, { url })
    const app = await serveThings(t, { shallow }, { plugin })
    await createTable(app)
    const read = async (query: string) => {
      selects = 0
      const answer = await app.inject(`/things/few?${query}`)
      return { answer, selects }
    }
    const beyond = await read('page=3&page_size=10')
    t.strictSame(beyond.answer.json().data, { page: 3, num_pages: 1, total: 7, results: [] })
    t.equal(beyond.selects, driver.name === 'sqlite' ? 1 : 2, 'it is counted, and not looked for')
    t.equal((await read('page=1&page_size=10')).selects, 2)
    const deep = await read('page=5&page_size=10')
    t.equal(deep.selects, 0)
    t.match(
      [deep.answer.statusCode, deep.answer.json()],
      [
        400,
        {
          code: 'INVALID_REQUEST',
          errors: [{ path: '/page', message: /^must be at most 4 .*row 40;/ }],
        },
      ],
    )
    t.equal((await read('page=1000000')).answer.statusCode, 400)
  })
}
