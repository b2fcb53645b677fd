import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import {
  createClient,
  defineModule,
  defineResource,
  defineService,
  events,
  stream,
} from '../../src/index.ts'
import { contractOf } from '../../src/remote/contract.ts'
import { parity, testApp } from '../../src/testing/index.ts'
import { PATIENT_ENV, redisUrl } from '../helpers/drivers.ts'
import {
  addOrder,
  databases,
  different,
  price,
  rate,
  remove,
  retrieve,
  root,
  type Shop,
  ship,
  shop,
  transfer,
} from './shop/service.ts'

const open = (t: Test): Promise<Shop> =>
  testApp(shop, { t, root, setUp: addOrder, upstreams: true })

t.test('requests and calls are made on behalf of somebody', async (t) => {
  const app = await open(t)
  const { create, whoami, remove } = app.resources.orders
  t.equal((await app.inject({ method: 'POST', url: '/orders', payload: {} })).statusCode, 401)
  t.equal((await app.send(create, { customer: 1, total: 3 })).failure?.code, 'UNAUTHENTICATED')

  const ann = app.as('ann')
  const made = await ann.send(create, { customer: 1, total: 3 })
  t.match(made, { statusCode: 201, failure: null, data: { id: 2, created_by: 'ann' } })
  t.strictSame(await ann.resources.orders.whoami(), { id: 'ann' })
  t.strictSame((await ann.send(whoami, { text: 'a body' })).data, { id: 'ann' })
  t.strictSame((await app.as({ id: 'bob', name: 'Bob' }).send(whoami)).data, { id: 'bob' })

  const refused = await ann.send(remove, { id: 1 })
  t.match(refused, { statusCode: 403, failure: { code: 'FORBIDDEN' } })
  t.throws(() => refused.data, /DELETE \/orders\/1 is answered with 403/)
  await t.rejects(ann.resources.orders.remove({ id: 1 }), { code: 'FORBIDDEN' })
  await t.rejects(app.as(null).resources.orders.remove({ id: 1 }), { code: 'UNAUTHENTICATED' })
  t.equal((await app.as('clerk-1').inject({ method: 'DELETE', url: '/orders/1' })).statusCode, 200)
  t.strictSame(await app.as(null).resources.orders.whoami(), { id: null })
  t.equal(await app.resources.orders.remove({ id: 2 }), null, 'the service itself may')
})

t.test('those who call at once are not one another', async (t) => {
  const app = await open(t)
  const { whoami } = app.resources.orders
  const names = Array.from({ length: 20 }, (_, i) => (i % 3 === 0 ? null : `user-${i}`))
  const found = await Promise.all(
    names.map(async (name) => (await app.as(name).send(whoami)).data.id),
  )
  t.strictSame(found, names)
})

t.test('what is public knows nobody, here as there', async (t) => {
  const resources = {
    open: defineResource({
      summary: 'Open',
      auth: 'public',
      response: Type.Boolean(),
      perform: (_, { user }) => user !== undefined,
    }),
  }
  const modules = { things: defineModule({ prefix: '/things', resources }) }
  const guarded = await testApp(defineService({ name: 'open', modules, auth: true }), { t })
  t.equal((await guarded.as('ann').send(resources.open)).data, false)
})

t.test('a service that finds its users itself is told them, too', async (t) => {
  const resources = {
    me: defineResource({
      summary: 'Me',
      response: Type.String(),
      perform: (_, { user }) => user?.id ?? 'nobody',
    }),
  }
  const modules = { me: defineModule({ prefix: '/me', resources }) }
  const identify = ({ headers }: { headers: Record<string, unknown> }) =>
    headers['x-user'] ? { id: String(headers['x-user']) } : null
  const app = await testApp(defineService({ name: 'own', modules, identify }), { t })
  t.equal((await app.as('ann').send(resources.me)).data, 'ann')
  t.equal((await app.send(resources.me, {}, { 'x-user': 'bob' })).data, 'bob')
  t.equal((await app.send(resources.me)).data, 'nobody')
  const plain = await testApp(defineService({ name: 'plain', modules }), { t })
  t.equal((await plain.as('ann').send(resources.me)).data, 'ann')
})

t.test('a stub does what a resource would, and is checked as that is', async (t) => {
  const app = await open(t)
  const order = await app.resources.orders.retrieve({ id: 1 })
  const stub = app.stub(retrieve, ({ id }) => ({ ...order, id, total: 1000 }))
  t.equal((await app.inject('/orders/7')).json().data.total, 1000)
  t.equal((await app.inject('/orders/0')).statusCode, 400, 'the request is validated')
  t.equal((await app.inject('/orders/7')).json().data.total, 1000)
  t.strictSame(stub.calls, [{ id: 7 }], 'the second answer came from the cache')
  t.equal((await app.inject('/orders/1')).json().data.total, 10, 'so did this, from before')

  app.stub(app.resources.orders.retrieve, () => ({ ...order, total: -1 }))
  t.match((await app.inject('/orders/8')).json(), { code: 'INVALID_RESPONSE' })
  app.stub(rate, () => ({ currency: 'EUR', rate: 11 }))
  const misfit = { code: 'INVALID_RESPONSE', errors: [{ path: '/rate' }] }
  await t.rejects(app.resources.bank.rate({ currency: 'EUR' }), misfit, 'of an API, too')
  app.stub(rate, () => ({ currency: 'EUR', rate: 2 }))
  t.equal(await app.resources.orders.price({ id: 1, currency: 'EUR' }), 20)
  t.strictSame(app.upstreams.sent, [], 'nobody was asked')

  await app.reset()
  t.equal((await app.inject('/orders/7')).statusCode, 404)
  t.equal((await app.inject('/orders/1')).json().data.total, 10)
  const stranger = defineResource({ summary: 'Elsewhere', perform: () => null })
  t.throws(() => app.stub(stranger, () => null), { code: 'RESOURCE_UNLISTED' })
})

t.test('a stub is over with its app', async (t) => {
  const app = await testApp(shop, { root, setUp: addOrder, upstreams: true })
  app.stub(different, () => 'a stub')
  t.equal(await app.resources.orders.different(), 'a stub')
  await app.close()
  t.equal(await (await open(t)).resources.orders.different(), 'in process')
})

t.test('other systems are answered by what was agreed, or what a test says', async (t) => {
  const app = await open(t)
  const first = await app.resources.bank.rate({ currency: 'USD', day: '2026-01-02' })
  t.match(first.currency, /^[A-Z]{3}$/)
  t.ok(first.rate >= 0.01 && first.rate <= 10)
  t.strictSame(await app.resources.bank.rate({ currency: 'USD' }), first, 'each time')

  app.upstreams.answer(rate, { currency: 'EUR', rate: 1.5 })
  t.equal((await app.inject('/orders/1/price/EUR')).json().data, 15)
  app.upstreams.answer(transfer, ({ body }) => ({ id: (body as { amount: number }).amount * 2 }))
  t.strictSame(await app.resources.bank.transfer({ amount: 4 }), { id: 8 })
  t.match(app.upstreams.sent, [
    { resource: 'bank.rate', method: 'GET', path: '/v1/rates/USD?day=2026-01-02', body: null },
    { path: '/v1/rates/USD' },
    { path: '/v1/rates/EUR' },
    {
      resource: 'bank.transfer',
      method: 'POST',
      origin: 'https://bank.example',
      body: { amount: 4 },
    },
  ])
  t.ok(app.upstreams.sent.every(({ headers }) => !Object.keys(headers).join().includes('plinth')))

  const bad = () => app.upstreams.answer(rate, { currency: 'euro', rate: 1 })
  t.throws(bad, { code: 'INVALID_RESPONSE', errors: [{ path: '/currency' }] })
  t.throws(() => app.upstreams.answer(retrieve, {} as never), /no resource of an API/)

  app.upstreams.answer(rate, { result: false, code: 4, message: 'none' }, { status: 404 })
  t.match((await app.inject('/orders/1/price/XXX')).json(), { code: 'CURRENCY_UNKNOWN' })
  app.upstreams.answer(transfer, {}, { status: 503 })
  await t.rejects(app.resources.bank.transfer({ amount: 1 }), { code: 'UPSTREAM_UNAVAILABLE' })
  await app.reset()
  t.strictSame(app.upstreams.sent, [])
  t.strictSame(await app.resources.bank.rate({ currency: 'USD' }), first)

  const without = await testApp(shop, { t, root })
  t.throws(() => without.upstreams, /upstreams: true/)
})

const Place = Type.Object({ id: Type.Integer({ minimum: 1 }), name: Type.String() })
const geoResources = {
  place: defineResource({
    summary: 'A place',
    path: '/:id',
    async: true,
    request: Type.Object({ id: Place.properties.id }),
    response: Place,
    perform: () => ({ id: 0, name: 'there' }),
  }),
  moves: defineResource({
    summary: 'How things move',
    path: '/moves',
    response: events(Type.Object({ to: Type.String() })),
    async *perform() {},
  }),
  chart: defineResource({
    summary: 'A chart',
    path: '/chart',
    response: stream('text/csv'),
    perform: () => Readable.from([]),
  }),
}
const geo = defineModule({ prefix: '/places', resources: geoResources })
const atlas = defineService({ name: 'atlas', modules: { geo } })

t.test('other services are answered as other systems are', async (t) => {
  const there = await testApp(atlas, { t })
  const contract = contractOf(there as never, { name: 'atlas' })
  const client = createClient<typeof atlas>({ url: 'https://atlas.example', contract })
  const asking = createClient<typeof atlas>({ url: 'https://other.example', auth: { bearer: 'b' } })
  // Called as that of the other service is.
  const place = defineResource({
    summary: 'Where it is',
    path: '/:id',
    request: Type.Object({ id: Type.Integer() }),
    response: Type.String(),
    perform: async ({ id }) => (await client.geo.place({ id })).name,
  })
  const resources = { place }
  const modules = { geo: defineModule({ prefix: '/geo', resources }) }
  const app = await testApp(defineService({ name: 'trips', modules }), { t, upstreams: true })
  const run = <T>(fn: () => T) => (app as unknown as FastifyInstance).run(fn)

  const first = await run(() => client.geo.place({ id: 1 }))
  t.strictSame(await run(() => client.geo.place({ id: 1 })), first, 'each time')
  app.upstreams.answer(client.geo.place, ({ path }) => ({ id: 7, name: `at ${path}` }))
  t.equal((await app.inject('/geo/7')).json().data, 'at /places/7')
  t.match(app.upstreams.sent.at(-1), {
    ...{ api: 'atlas.example', resource: 'geo.place', method: 'GET' },
    ...{ origin: 'https://atlas.example', path: '/places/7', headers: { 'x-client': /^trips/ } },
  })
  app.upstreams.answer(client.geo.moves, [{ id: '1', data: { to: 'a' } }, { data: { to: 'b' } }])
  const moves: string[] = []
  await run(async () => {
    for await (const { data } of await client.geo.moves()) moves.push(data.to)
  })
  t.strictSame(moves, ['a', 'b'])
  app.upstreams.answer(client.geo.chart, 'a,b\n')
  t.equal(await text(await run(() => client.geo.chart())), 'a,b\n')
  app.upstreams.answer(client.geo.place, { id: 2, name: 'by a task' })
  const task = await run(() => client.geo.place.enqueue({ id: 2 }))
  t.strictSame(await run(() => task.result()), { id: 2, name: 'by a task' })
  // @ts-expect-error it has a name
  app.upstreams.answer(client.geo.place, { id: 2 })
  const misfit = { code: 'INVALID_RESPONSE', errors: [{ path: '/name' }] }
  await t.rejects(
    run(() => client.geo.place({ id: 2 })),
    misfit,
  )
  app.upstreams.answer(
    client.geo.place,
    { result: false, code: 'GONE', message: 'no' },
    { status: 404 },
  )
  t.match((await app.inject('/geo/7')).json(), { code: 'GONE' })

  await t.rejects(
    run(() => asking.geo.place({ id: 3 })),
    /app.upstreams.answer\(client, contract\)/,
  )
  app.upstreams.answer(asking, contract)
  app.upstreams.answer(asking.geo.place, { id: 3, name: 'asked' })
  t.match(await run(() => asking.geo.place({ id: 3 })), { name: 'asked' })
  t.strictSame(
    app.upstreams.sent.slice(-2).map(({ path, headers }) => [path, headers.authorization]),
    [
      ['/contract.json', 'Bearer b'],
      ['/places/3', 'Bearer b'],
    ],
  )
  await app.reset()
  t.strictSame(await run(() => client.geo.place({ id: 1 })), first)
})

t.test('so are modules in other processes', async (t) => {
  const env = { PLINTH_REMOTES: 'geo=https://geo.example' }
  const app = await testApp(atlas, { t, env, upstreams: true })
  const { place } = geoResources
  app.upstreams.answer(place, { id: 4, name: 'elsewhere' })
  t.strictSame(await app.resources.geo.place({ id: 4 }), { id: 4, name: 'elsewhere' })
  t.match(app.upstreams.sent, [{ api: 'geo', origin: 'https://geo.example', path: '/places/4' }])
  const misfit = { code: 'INVALID_RESPONSE', errors: [{ path: '/id' }] }
  t.throws(() => app.upstreams.answer(place, { id: 0, name: 'nowhere' }), misfit)
})

for (const redis of [undefined, redisUrl()])
  t.test(`rate limits count anew after a reset (${redis ? 'redis' : 'memory'})`, async (t) => {
    const resources = { one: defineResource({ summary: 'One', perform: () => null }) }
    const modules = { ones: defineModule({ prefix: '/ones', resources }) }
    const limited = defineService({
      name: 'limited',
      modules,
      rateLimits: { by: 'all', max: 2, duration: 3_600_000 },
    })
    const app = await testApp(limited, { t, env: PATIENT_ENV, ...(redis && { redis }) })
    const ask = async () => (await app.inject('/ones')).statusCode
    for (const _ of [1, 2]) {
      t.strictSame([await ask(), await ask(), await ask()], [200, 200, 429])
      await app.reset()
    }
  })

for (const [kind, database] of Object.entries(databases)) {
  t.test(`a resource is the same by every way, or that is told (${kind})`, async (t) => {
    const app: Shop = await testApp(shop, { t, root, database, setUp: addOrder, upstreams: true })
    t.match(await parity(app, retrieve, { id: 1 }), { data: { id: 1, total: 10 } })
    const missing = { failure: { code: 'NOT_FOUND', message: 'There is no order 9' } }
    t.strictSame(await parity(app, retrieve, { id: 9 }), missing)
    t.match(await parity(app, retrieve, { id: 0 }), { failure: { code: 'INVALID_REQUEST' } })
    t.match(await parity(app, remove, { id: 1 }, { as: 'ann' }), { failure: { code: 'FORBIDDEN' } })
    t.match(await parity(app, remove, { id: 1 }, { as: 'clerk-1' }), { data: null })
    t.match(await parity(app, ship, { id: 1 }, { as: 'ann' }), { data: { by: 'ann' } })
    app.upstreams.answer(rate, { currency: 'EUR', rate: 1.5 })
    t.match(await parity(app, price, { id: 1, currency: 'EUR' }), { data: /\d/ })
    t.strictSame(await app.resources.orders.retrieve({ id: 1 }).then(({ state }) => state), 'new')
    await t.rejects(parity(app, different), {
      message:
        /orders\.different is not the same by every way:\n {2}in process: .*in process.*\n {2}over HTTP: .*by HTTP/,
    })
  })
}
