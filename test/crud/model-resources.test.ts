import Fastify, { type FastifyInstance } from 'fastify'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import database from '../../plugins/database.ts'
import envelope from '../../plugins/envelope.ts'
import resources from '../../plugins/resources.ts'
import { modelResources } from '../../src/crud/model-resources.ts'
import { defineModel } from '../../src/database/model/define.ts'
import { decimal, timestamp } from '../../src/database/model/schemas.ts'
import type { Model } from '../../src/database/model/types.ts'
import { currentContext } from '../../src/resource/context.ts'
import { defineModule, type ModuleTable } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createTables } from '../database/model/fixture.ts'
import { type DatabaseDriver, databaseDrivers } from '../helpers/drivers.ts'

const Country = defineModel('country', {
  columns: { code: Type.String({ maxLength: 2 }), name: Type.String({ maxLength: 80 }) },
  primaryKey: ['code'],
})

const City = defineModel('city', {
  columns: {
    id: Type.Integer({ minimum: 1 }),
    name: Type.String({ maxLength: 120 }),
    country: Type.String({ maxLength: 2 }),
    population: Type.Integer({ minimum: 0, default: 0 }),
    price: Type.Optional(decimal(8, 2)),
    founded: Type.Optional(timestamp()),
    opens: Type.Optional(Type.String({ format: 'time' })),
    extra: Type.Optional(Type.Unknown()),
    kind: Type.Enum(['town', 'city'], { default: 'town' }),
    open: Type.Boolean({ default: true }),
  },
  generated: ['id'],
  unique: [['name', 'country']],
  foreignKeys: { country: 'country.code' },
  audit: true,
  softDelete: true,
})

const Stay = defineModel('stay', {
  columns: {
    city: Type.Integer(),
    guest: Type.String({ maxLength: 20 }),
    nights: Type.Integer({ default: 1 }),
  },
  primaryKey: ['city', 'guest'],
})

const Token = defineModel('token', {
  columns: { id: Type.String({ format: 'uuid' }), label: Type.String({ maxLength: 20 }) },
  generated: ['id'],
})

const models: readonly Model[] = [Country, City, Stay, Token]

const cities = modelResources(City, {
  list: {
    filters: {
      country: 'equals',
      min_population: { operator: 'from', column: 'population' },
      founded_since: { operator: 'from', column: 'founded' },
    },
    search: ['name', 'kind'],
    order: ['id', 'name', 'population'],
    fields: ['id', 'name', 'country'],
  },
  maxMany: 500,
})

const modules: ModuleTable = {
  cities: defineModule({ prefix: '/cities', resources: cities }),
  countries: defineModule({ prefix: '/countries', resources: modelResources(Country) }),
  stays: defineModule({ prefix: '/stays', resources: modelResources(Stay, { noun: 'stay' }) }),
  tokens: defineModule({
    prefix: '/tokens',
    resources: modelResources(Token, { only: ['create', 'createMany', 'retrieve'] }),
  }),
}

type Send = (
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  url: string,
  body?: object,
) => Promise<Answer>

interface Answer {
  status: number
  data: unknown
  code: string | number
  message: string | null
  errors: unknown
}

function onEveryDatabase(
  t: Test,
  name: string,
  test: (t: Test, send: Send, app: FastifyInstance) => Promise<void>,
): void {
  for (const driver of databaseDrivers) {
    t.test(`${name} (${driver.name})`, async (t) => {
      const app = await serve(t, driver)
      await test(t, sender(app), app)
    })
  }
}

async function serve(t: Test, driver: DatabaseDriver): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(envelope)
  app.register(database, { url: await driver.url(t), models })
  app.register(resources, { modules, strict: true })
  await app.ready()
  await createTables(app.db, driver, models)
  await sender(app)('POST', '/countries/bulk', [
    { code: 'FR', name: 'France' },
    { code: 'DE', name: 'Germany' },
  ])
  return app
}

const sender =
  (app: FastifyInstance): Send =>
  async (method, url, payload): Promise<Answer> => {
    const response = await app.inject({ method, url, ...(payload && { payload }) })
    const { data, code, message, errors } = response.json()
    return { status: response.statusCode, data, code, message, errors }
  }

const whole = {
  name: 'Paris',
  country: 'FR',
  population: 2_138_551,
  price: '12.50',
  founded: '0250-01-01T10:00:00.000Z',
  opens: '08:30:00.500',
  extra: { tags: ['a', null, 1] },
  kind: 'city',
  open: false,
}

onEveryDatabase(t, 'a row is created and read as it was sent', async (t, send) => {
  const created = await send('POST', '/cities', whole)
  t.equal(created.status, 201)
  t.match(created.data, { id: 1, ...whole, created_by: null })
  t.notOk('deleted_at' in (created.data as object))
  t.strictSame((await send('GET', '/cities/1')).data, created.data)
  const least = await send('POST', '/cities', { name: 'Lyon', country: 'FR' })
  t.match(least.data, {
    id: 2,
    population: 0,
    price: null,
    founded: null,
    opens: null,
    extra: null,
    kind: 'town',
    open: true,
  })
  for (const extra of ['a text', 5, true, [1]]) {
    const { data } = await send('PATCH', '/cities/2', { extra })
    t.strictSame((data as typeof whole).extra, extra)
  }
  const elsewhere = await send('PATCH', '/cities/2', { founded: '2026-01-01T01:00:00+02:00' })
  t.match(elsewhere.data, { founded: '2025-12-31T23:00:00.000Z' })
})

onEveryDatabase(t, 'what a client may not say is refused', async (t, send) => {
  const refused = async (body: object) =>
    (await send('POST', '/cities', { ...whole, ...body })).errors
  t.strictSame(await refused({ id: 7 }), [{ path: '/id', message: 'is not known here' }])
  t.strictSame(await refused({ created_by: 'me' }), [
    { path: '/created_by', message: 'is not known here' },
  ])
  t.strictSame(await refused({ deleted_at: null }), [
    { path: '/deleted_at', message: 'is not known here' },
  ])
  t.match(await refused({ price: '1.234' }), [{ path: '/price' }])
  t.match(await refused({ opens: '08:30:00Z' }), [{ path: '/opens' }])
  t.match(await refused({ kind: 'sea' }), [{ path: '/kind' }])
  t.strictSame(await refused({ founded: '1998-12-31T23:59:60Z' }), [
    { path: '/founded', message: 'must be a time that exists, of the years 0 to 9999' },
  ])
})

onEveryDatabase(t, 'PATCH changes what it says, PUT everything', async (t, send) => {
  await send('POST', '/cities', whole)
  const patched = await send('PATCH', '/cities/1', { population: 5, price: null })
  t.match(patched.data, { ...whole, population: 5, price: null })
  t.match((await send('PATCH', '/cities/1', {})).data, patched.data as object)
  const put = await send('PUT', '/cities/1', { name: 'Paname', country: 'FR' })
  t.match(put.data, {
    id: 1,
    name: 'Paname',
    population: 0,
    founded: null,
    extra: null,
    kind: 'town',
    open: true,
  })
  for (const method of ['PUT', 'PATCH'] as const) {
    const missing = await send(method, '/cities/9', { name: 'x', country: 'FR' })
    t.match(missing, { status: 404, code: 'NOT_FOUND', message: 'There is no city 9' })
  }
})

onEveryDatabase(t, 'a row that is deleted is gone, and its key is taken', async (t, send, app) => {
  await send('POST', '/cities', whole)
  t.match(await send('DELETE', '/cities/1'), { status: 200, data: null })
  t.match(await send('DELETE', '/cities/1'), { status: 404, message: 'There is no city 1' })
  t.match(await send('GET', '/cities/1'), { status: 404 })
  t.match(await send('PATCH', '/cities/1', { population: 1 }), { status: 404 })
  t.match((await send('GET', '/cities')).data, { total: 0, results: [] })
  const again = await send('POST', '/cities', whole)
  t.match(again, {
    status: 409,
    code: 'CONFLICT',
    message:
      'There is another city with the same name and country; choose another, or change that one',
    errors: [
      { path: '/name', message: 'is taken already' },
      { path: '/country', message: 'is taken already' },
    ],
  })
  t.equal(JSON.stringify(again).match(/insert|Duplicate|UNIQUE/), null)
  const { rows } = await sql`select name from city where deleted_at is not null`.execute(app.db)
  t.strictSame(rows, [{ name: 'Paris' }], 'it is flagged')
})

onEveryDatabase(t, 'a row has the user of the request', async (t, send, app) => {
  await app.run(async () => {
    const context = currentContext()
    if (context) context.user = { id: 'ann' }
    await cities.create({ ...whole, name: 'Bonn', country: 'DE', kind: 'city' })
  })
  const [bonn] = ((await send('GET', '/cities')).data as { results: { id: number }[] }).results
  const { id } = bonn ?? {}
  t.match((await send('GET', `/cities/${id}`)).data, { created_by: 'ann', updated_by: 'ann' })
  t.match((await send('PATCH', `/cities/${id}`, { open: false })).data, {
    created_by: 'ann',
    updated_by: null,
  })
})

onEveryDatabase(t, 'broken references are the request’s, or those of others', async (t, send) => {
  const unknown = { path: '/country', message: 'there is no country XX' }
  t.match(await send('POST', '/cities', { ...whole, country: 'XX' }), {
    status: 400,
    code: 'INVALID_REQUEST',
    errors: [unknown],
  })
  const { id } = (await send('POST', '/cities', whole)).data as { id: number }
  t.match(await send('PATCH', `/cities/${id}`, { country: 'XX' }), {
    status: 400,
    errors: [unknown],
  })
  const many = [
    { name: 'a', country: 'FR' },
    { name: 'b', country: 'XX' },
  ]
  t.match(await send('POST', '/cities/bulk', many), {
    status: 400,
    errors: [{ path: '/1/country', message: 'there is no country XX' }],
  })
  t.match((await send('GET', '/cities')).data, { total: 1 }, 'all or none')
  t.match(await send('DELETE', '/countries/FR'), {
    status: 409,
    code: 'CONFLICT',
    message: 'The country is still referred to; change or delete what refers to it first',
  })
  t.match(await send('DELETE', '/countries/DE'), { status: 200 })
})

onEveryDatabase(t, 'many rows are created in one go', async (t, send) => {
  const list = Array.from({ length: 500 }, (_, i) => ({
    name: `City ${i}`,
    country: 'FR',
    // Every third one says more.
    ...(i % 3 === 0 && { price: `${i}.00` }),
  }))
  await send('POST', '/cities', whole)
  const { status, data } = await send('POST', '/cities/bulk', list)
  t.equal(status, 201)
  t.strictSame(
    data,
    list.map((_, i) => ({ id: i + 2 })),
  )
  t.match((await send('GET', '/cities/302')).data, { name: 'City 300', price: '300.00' })
  t.match((await send('GET', '/cities/303')).data, { name: 'City 301', price: null })
  const twice = await send('POST', '/cities/bulk', [{ name: 'new', country: 'FR' }, list[7] ?? {}])
  t.match(twice, {
    status: 409,
    errors: null,
    message: /another city with the same name and country/,
  })
  t.match((await send('GET', '/cities?search=new')).data, { total: 0 })
  t.match(await send('POST', '/cities/bulk', []), { status: 400 })
  t.match(await send('POST', '/cities/bulk', [...list, ...list]), { status: 400 })
})

onEveryDatabase(t, 'lists are filtered, searched, ordered and sparse', async (t, send) => {
  await send('POST', '/cities/bulk', [
    whole,
    { name: 'Lyon', country: 'FR', population: 500 },
    { name: 'Berlin', country: 'DE', population: 3000, founded: '1237-01-01T00:00:00Z' },
    { name: '100% citytrip', country: 'DE' },
  ])
  const ids = async (query: string) => {
    const { data } = await send('GET', `/cities?${query}`)
    return (data as { results: { id: number }[] }).results.map(({ id }) => id)
  }
  t.strictSame(await ids(''), [1, 2, 3, 4])
  t.strictSame(await ids('country=DE&min_population=1'), [3])
  t.strictSame(await ids('founded_since=1000-01-01T00:00:00Z'), [3])
  t.strictSame(await ids('search=l'), [2, 3])
  t.strictSame(await ids('search=city'), [1, 4], 'any of the columns')
  t.strictSame(await ids('search=%25'), [4])
  t.strictSame(await ids('search=city&country=FR'), [1])
  t.strictSame(await ids('order=-population'), [1, 3, 2, 4])
  t.strictSame((await send('GET', '/cities?fields=name,id&page_size=1')).data, {
    page: 1,
    num_pages: 4,
    total: 4,
    results: [{ name: 'Paris', id: 1 }],
  })
  t.strictSame(
    await ids('fields=country,id,country&order=-name'),
    [1, 2, 3, 4].map((i) => [1, 2, 3, 4][i - 1]),
  )
  for (const query of ['fields=price', 'fields=', 'search=', 'order=price', 'kind=town']) {
    t.equal((await send('GET', `/cities?${query}`)).status, 400, query)
  }
})

onEveryDatabase(t, 'keys may be texts, several columns, or UUIDs', async (t, send) => {
  t.match((await send('PUT', '/countries/FR', { name: 'République' })).data, {
    code: 'FR',
    name: 'République',
  })
  t.match(await send('PUT', '/countries/FR', { code: 'DE', name: 'x' }), { status: 400 })
  t.match(await send('POST', '/countries', { code: 'FR', name: 'x' }), {
    status: 409,
    errors: [{ path: '/code' }],
  })
  t.match((await send('GET', '/countries?page_size=1')).data, { results: [{ code: 'DE' }] })

  const stays = [
    { city: 1, guest: 'bob' },
    { city: 1, guest: 'ann' },
  ]
  t.strictSame((await send('POST', '/stays/bulk', stays)).data, stays)
  t.strictSame((await send('PATCH', '/stays/1/ann', { nights: 3 })).data, {
    city: 1,
    guest: 'ann',
    nights: 3,
  })
  t.strictSame((await send('GET', '/stays/1/bob')).data, { city: 1, guest: 'bob', nights: 1 })
  t.match((await send('GET', '/stays')).data, { results: [{ guest: 'ann' }, { guest: 'bob' }] })
  t.equal((await send('DELETE', '/stays/1/ann')).status, 200)
  t.match(await send('GET', '/stays/1/ann'), { status: 404, message: 'There is no stay 1/ann' })

  const { data } = await send('POST', '/tokens', { label: 'one' })
  const { id } = data as { id: string }
  t.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/)
  t.strictSame((await send('GET', `/tokens/${id}`)).data, { id, label: 'one' })
  const many = (await send('POST', '/tokens/bulk', [{ label: 'a' }, { label: 'b' }])).data as {
    id: string
  }[]
  t.strictSame(
    many,
    many.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
  )
  t.match((await send('GET', `/tokens/${many[1]?.id}`)).data, { label: 'b' })
  t.equal((await send('GET', '/tokens/urn:uuid:x')).status, 400)
  t.equal((await send('GET', '/tokens')).status, 405, 'there are only the ones that were asked for')
})

t.test('they are ordinary resources, which can be replaced one by one', async (t) => {
  t.strictSame(Object.keys(cities), [
    'list',
    'retrieve',
    'remove',
    'create',
    'createMany',
    'replace',
    'update',
  ])
  const own = defineResource({ summary: 'Own', response: Type.String(), perform: () => 'own' })
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(envelope)
  app.register(resources, {
    modules: { cities: defineModule({ prefix: '/cities', resources: { ...cities, list: own } }) },
    strict: true,
  })
  t.equal((await app.inject('/cities')).json().data, 'own')
  t.equal(cities.retrieve.definition.summary, 'One city')
})

t.test('a filter cannot take the name of a parameter', async (t) => {
  const Row = defineModel('row', {
    columns: { id: Type.Integer(), search: Type.String({ maxLength: 9 }) },
  })
  t.throws(
    () => modelResources(Row, { list: { filters: { search: 'equals' }, search: ['search'] } }),
    {
      code: 'RESOURCE_INVALID',
      message: 'The resource list cannot be served: a filter cannot be called search',
    },
  )
})
