import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import t from 'tap'
import { Type } from 'typebox'
import cache from '../../plugins/cache.ts'
import type { Cache } from '../../src/cache/types.ts'
import { notFound } from '../../src/errors.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createService, failure } from '../helpers/app.ts'
import { until } from '../suites/cache-fixture.ts'
import { onEach, serve } from './attached.ts'

const Id = Type.Object({ id: Type.Integer() })
const Counted = Type.Object({ id: Type.Integer(), runs: Type.Integer() })
const HOUR = { ttl: 3_600_000, perUser: false }

/** A resource that tells how often it has run. */
function counting(cache: object = HOUR, path = '/:id') {
  let runs = 0
  return defineResource({
    summary: 'Counted',
    path,
    request: Id,
    response: Counted,
    cache: { ...HOUR, ...cache },
    perform: ({ id }) => ({ id, runs: ++runs }),
  })
}

onEach(t, 'a call in process runs once for equal requests', async (t, attached) => {
  const counted = counting()
  const app = await serve(t, attached, { counted })
  const ask = (id: number) => app.resources.things?.counted?.({ id })
  t.strictSame(await Promise.all([ask(1), ask(1), ask(1)]), Array(3).fill({ id: 1, runs: 1 }))
  t.strictSame(await ask(2), { id: 2, runs: 2 })
  t.strictSame(await ask(1), { id: 1, runs: 1 })
  const one = (await ask(1)) as { runs: number }
  one.runs = 99
  t.strictSame(await ask(1), { id: 1, runs: 1 }, 'what a caller does with its result is its own')
})

t.test('a cache that keeps nothing is not asked', async (t) => {
  const counted = counting()
  const app = await serve(t, { url: undefined }, { counted }, { cache: { maxBytes: 0 } })
  t.strictSame((await app.inject('/things/1')).json().data, { id: 1, runs: 1 })
  t.strictSame(await app.run(() => counted({ id: 1 })), { id: 1, runs: 2 })
  t.strictSame(await app.run(() => counted.refresh({ id: 1 })), { id: 1, runs: 3 })
  await app.run(() => counted.invalidate({ id: 1 }))
  t.equal(app.cache.counts.misses, 0)
})

onEach(t, 'HTTP and process share results, over all processes', async (t, attached) => {
  const prefix = t.fullname.replaceAll(/\W/g, '-') + process.pid
  const counted = counting()
  const app = await serve(t, attached, { counted }, { prefix })
  t.strictSame((await app.inject('/things/7')).json().data, { id: 7, runs: 1 })
  t.strictSame(await app.run(() => counted({ id: 7 })), { id: 7, runs: 1 })
  const other = await serve(t, attached, { counted }, { prefix })
  const runs = attached.url ? 1 : 2
  t.strictSame((await other.inject('/things/7')).json().data, { id: 7, runs })
})

onEach(t, 'a hit is the answer of a miss, with the ids of its own request', async (t, attached) => {
  const text = 'ü"\\\u2028</script>'
  const status = defineResource({
    summary: 'With a status',
    method: 'POST',
    status: 201,
    request: Id,
    response: Type.Object({ text: Type.String(), none: Type.Null() }),
    cache: HOUR,
    perform: () => ({ text, none: null, extra: 'not told' }) as never,
  })
  const app = await serve(t, attached, { status }, { strict: false })
  const ask = (id: string, traceparent = '') =>
    app.inject({
      method: 'POST',
      url: '/things',
      payload: { id: 1 },
      headers: { 'x-request-id': id, ...(traceparent && { traceparent }) },
    })
  const miss = await ask('one')
  const hit = await ask('two', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01')
  t.strictSame(
    [miss.statusCode, hit.statusCode, hit.headers['content-type']],
    [201, 201, 'application/json; charset=utf-8'],
  )
  t.strictSame(miss.json().data, { text, none: null })
  const { request_id, trace_id, ...body } = hit.json()
  t.equal(trace_id, '0af7651916cd43dd8448eb211c80319c')
  t.strictSame(miss.json(), { ...body, request_id: miss.json().request_id, trace_id: null })
  t.not(request_id, miss.json().request_id)
  t.strictSame(Object.keys(hit.json()), Object.keys(miss.json()))
})

onEach(t, 'in the envelope of problems a hit is the bare data', async (t, attached) => {
  const name = defineResource({
    summary: 'A text',
    path: '/:id',
    request: Id,
    response: Type.String(),
    cache: { ...HOUR, negative: 60_000 },
    perform: ({ id }) => (id === 0 ? notFound('name', id) : 'a "name"'),
  })
  const app = await serve(t, attached, { name }, { envelope: 'problem' })
  for (const round of ['miss', 'hit']) {
    const { body, headers } = await app.inject('/things/1')
    t.equal(body, '"a \\"name\\""', round)
    t.equal(headers['content-type'], 'application/json; charset=utf-8')
    const none = await app.inject('/things/0')
    t.equal(none.headers['content-type'], 'application/problem+json; charset=utf-8')
    t.match(none.json(), { title: 'NOT_FOUND', status: 404, detail: 'There is no name 0' }, round)
  }
})

for (const envelope of ['standard', 'problem'] as const) {
  onEach(
    t,
    `preSerialization hooks see a miss, a hit and what is not cached, in the ${envelope} form`,
    async (t, attached) => {
      const thing = defineResource({
        summary: 'A thing',
        path: '/:id',
        status: 201,
        request: Id,
        response: Type.Object({ id: Type.Integer(), big: Type.Integer(), by: Type.String() }),
        cache: HOUR,
        perform: ({ id }) => ({ id, big: 2n ** 60n, by: 'perform' }) as never,
      })
      const free = defineResource({
        ...thing.definition,
        path: '/free/:id',
        cache: undefined as never,
      })
      const seen: unknown[] = []
      const plugin = (app: FastifyInstance) => {
        app.addHook('preSerialization', async (_request, _reply, payload) => {
          const { data = payload } = payload as { data?: unknown }
          seen.push({ ...(data as object) })
          Object.assign(data as object, { by: 'the hook' })
          return payload
        })
      }
      const app = await serve(t, attached, { thing, free }, { envelope, plugin, strict: false })
      for (const url of ['/things/1', '/things/1', '/things/free/1']) {
        const { body, statusCode, headers } = await app.inject(url)
        t.equal(statusCode, 201)
        t.equal(headers['content-type'], 'application/json; charset=utf-8')
        const data = '{"id":1,"big":1152921504606846976,"by":"the hook"}'
        if (envelope === 'problem') t.equal(body, data)
        else t.ok(body.startsWith(`{"result":true,"code":0,"data":${data},"message":null`), body)
      }
      t.match(seen, [{ by: 'perform' }, { by: 'perform' }, { by: 'perform' }])
      t.equal(await app.run(async () => (await thing({ id: 1 })).by), 'perform')
    },
  )
}

onEach(t, 'refresh runs and stores, cacheless does neither read nor store', async (t, attached) => {
  const counted = counting()
  const app = await serve(t, attached, { counted })
  const ask = async () => (await app.inject('/things/1')).json().data.runs
  t.strictSame(await app.run(() => counted.cacheless({ id: 1 })), { id: 1, runs: 1 })
  t.equal(await ask(), 2)
  t.strictSame(await app.run(() => counted.cacheless({ id: 1 })), { id: 1, runs: 3 })
  t.equal(await ask(), 2)
  t.strictSame(await app.run(() => counted.refresh({ id: 1 })), { id: 1, runs: 4 })
  t.equal(await ask(), 4)
  t.equal(
    (await failure(app.run(() => counted.refresh({ id: 'x' } as never)))).code,
    'INVALID_REQUEST',
  )
})

onEach(t, 'invalidate takes away what is stored for one request', async (t, attached) => {
  const counted = counting()
  const app = await serve(t, attached, { counted })
  const { things } = app.resources
  t.strictSame(await things?.counted?.({ id: 1 }), { id: 1, runs: 1 })
  t.strictSame(await things?.counted?.({ id: 2 }), { id: 2, runs: 2 })
  await things?.counted?.invalidate({ id: 1 })
  t.strictSame(await things?.counted?.({ id: 1 }), { id: 1, runs: 3 })
  t.strictSame(await things?.counted?.({ id: 2 }), { id: 2, runs: 2 })
})

onEach(t, 'tags take away what depends on them', async (t, attached) => {
  const counted = counting({ tags: ({ id }: { id: number }) => [`odd:${id % 2}`, 'all'] })
  const fixed = counting({ tags: ['fixed'] }, '/fixed/:id')
  const app = await serve(t, attached, { counted, fixed })
  const runs = () =>
    app.run(async () => {
      const all = [await counted({ id: 1 }), await counted({ id: 2 }), await fixed({ id: 1 })]
      return all.map((one) => one.runs)
    })
  t.strictSame(await runs(), [1, 2, 1])
  await app.cache.invalidate('odd:1')
  t.strictSame(await runs(), [3, 2, 1])
  await app.cache.invalidate('fixed')
  t.strictSame(await runs(), [3, 2, 2])
  await app.cache.invalidate('all', 'none')
  t.strictSame(await runs(), [4, 5, 2])
})

onEach(t, 'what counts of a request is its key', async (t, attached) => {
  const list = defineResource({
    summary: 'By key',
    request: Type.Object({ q: Type.String(), page: Type.Optional(Type.Integer()) }),
    response: Type.String(),
    cache: { ...HOUR, key: ({ q }) => q.toLowerCase() },
    perform: ({ q, page = 1 }) => `${q} ${page}`,
  })
  const app = await serve(t, attached, { list })
  const ask = async (query: string) => (await app.inject(`/things?${query}`)).json().data
  t.equal(await ask('q=Tea&page=1'), 'Tea 1')
  t.equal(await ask('q=tea&page=2'), 'Tea 1')
  t.equal(await ask('q=milk'), 'milk 1')
})

onEach(t, 'requests that differ are told apart', async (t, attached) => {
  const any = defineResource({
    summary: 'Anything',
    request: Type.Object({ value: Type.Unknown(), b: Type.Optional(Type.Integer()) }),
    response: Type.Integer(),
    cache: HOUR,
    perform: () => ++runs,
  })
  let runs = 0
  const app = await serve(t, attached, { any })
  const values = [1, '1', [1, 2], [2, 1], null, 'null', 'None', {}, [], true, '', { a: { b: 1 } }]
  const ask = async (value: unknown) => await app.run(() => any({ value }))
  const each = []
  for (const value of [...values, ...values]) each.push(await ask(value))
  const expected = values.map((_, index) => index + 1)
  t.strictSame(each, [...expected, ...expected])
  const [ab, ba] = await app.run(async () => [
    await any({ value: { x: 1, y: 2 }, b: 1 }),
    await any({ b: 1, value: { y: 2, x: 1 } }),
  ])
  t.equal(ab, ba)
})

onEach(t, 'when tells which results are stored', async (t, attached) => {
  const counted = counting({ when: ({ runs }: { runs: number }) => runs >= 2 })
  const app = await serve(t, attached, { counted })
  const runs = []
  for (let n = 0; n < 4; n++) runs.push((await app.inject('/things/1')).json().data.runs)
  t.strictSame(runs, [1, 2, 2, 2])
})

onEach(t, 'null is a result like another', async (t, attached) => {
  let runs = 0
  const nothing = defineResource({
    summary: 'Nothing',
    cache: HOUR,
    perform() {
      runs++
      return null
    },
  })
  const app = await serve(t, attached, { nothing })
  for (let n = 0; n < 3; n++) t.equal((await app.inject('/things')).json().data, null)
  t.equal(await app.run(() => nothing()), null)
  t.equal(runs, 1)
})

onEach(t, 'what another response schema has stored is not served', async (t, attached) => {
  const prefix = `schema-${process.pid}-${attached.name}`
  const define = (response: ReturnType<typeof Type.Object>, value: object) =>
    defineResource({ summary: 'Release', response, cache: HOUR, perform: () => value as never })
  const old = define(Type.Object({ a: Type.Integer() }), { a: 1 })
  const newer = define(Type.Object({ b: Type.Integer() }), { b: 2 })
  const first = await serve(t, attached, { thing: old }, { prefix })
  t.strictSame((await first.inject('/things')).json().data, { a: 1 })
  const second = await serve(t, attached, { thing: newer }, { prefix })
  t.strictSame((await second.inject('/things')).json().data, { b: 2 })
  t.strictSame((await first.inject('/things')).json().data, { a: 1 })
})

onEach(t, 'bulk calls of equal requests run once', async (t, attached) => {
  const counted = counting()
  const app = await serve(t, attached, { counted })
  const ids = [1, 2, 1, 2, 1].map((id) => ({ id }))
  const results = await app.run(() => counted.bulk(ids, { concurrency: 5 }))
  t.strictSame(
    results.map(({ id }) => id),
    [1, 2, 1, 2, 1],
  )
  t.equal(Math.max(...results.map(({ runs }) => runs)), 2)
})

onEach(
  t,
  'a condition is checked for each request, the data comes from the cache',
  async (t, attached) => {
    let [tag, runs] = ['a', 0]
    const tagged = defineResource({
      summary: 'With an etag',
      response: Type.Integer(),
      cache: { ...HOUR, tags: ['tagged'] },
      etag: () => tag,
      perform: () => ++runs,
    })
    const app = await serve(t, attached, { tagged })
    const ask = (etag?: string) =>
      app.inject({ url: '/things', headers: etag ? { 'if-none-match': etag } : {} })
    const first = await ask()
    t.strictSame([first.headers.etag, first.json().data], ['"a"', 1])
    t.equal((await ask()).json().data, 1)
    t.strictSame([(await ask('"a"')).statusCode, (await ask('"a"')).body], [304, ''])
    tag = 'b'
    await app.cache.invalidate('tagged')
    const changed = await ask('"a"')
    t.strictSame([changed.statusCode, changed.headers.etag, changed.json().data], [200, '"b"', 2])
  },
)

onEach(t, 'time and tags follow from request and result', async (t, attached) => {
  const counted = counting({
    ttl: (_: unknown, { runs }: { runs: number }) => (runs === 1 ? 1 : '1h'),
    tags: ({ id }: { id: number }, { runs }: { runs: number }) => [`${id}:${runs}`],
  })
  const app = await serve(t, attached, { counted })
  const runs = async () => (await app.inject('/things/1')).json().data.runs
  t.equal(await runs(), 1)
  await until(async () => (await runs()) === 2)
  await app.cache.invalidate('1:1')
  t.equal(await runs(), 2)
  await app.cache.invalidate('1:2')
  t.equal(await runs(), 3)
})

onEach(t, 'a key sees the context, and users share by what they are', async (t, attached) => {
  let runs = 0
  const shared = defineResource({
    summary: 'By tenant',
    response: Type.String(),
    cache: { ttl: '1h', perUser: ({ id }) => id[0] },
    perform: (_, { user }) => `${user?.id} ${++runs}`,
  })
  const page = defineResource({
    summary: 'By language',
    path: '/page',
    response: Type.Integer(),
    cache: {
      ttl: '1h',
      perUser: false,
      key: (_, { request }) => request?.headers['accept-language'] ?? '',
    },
    perform: () => ++runs,
  })
  const app = await serve(t, attached, { shared, page })
  const ask = async (user: string) => {
    const { data } = (await app.inject({ url: '/things', headers: { 'x-user': user } })).json()
    return data
  }
  t.strictSame([await ask('a1'), await ask('a2'), await ask('b1')], ['a1 1', 'a1 1', 'b1 2'])
  const read = async (language: string) => {
    const headers = { 'accept-language': language }
    return (await app.inject({ url: '/things/page', headers })).json().data
  }
  t.strictSame([await read('de'), await read('fr'), await read('de')], [3, 4, 3])
})

onEach(t, 'clients are told how long they may keep a result', async (t, attached) => {
  const define = (path: string, cache: object) =>
    defineResource({
      summary: 'Told',
      path,
      response: Type.Integer(),
      cache: { ttl: '1m', ...cache } as never,
      perform: () => 1,
    })
  const resources = {
    own: define('/own', { http: 'private', stale: '5m' }),
    open: define('/open', {
      perUser: false,
      http: { scope: 'public', maxAge: '10s', vary: ['accept-language'] },
    }),
    rare: define('/rare', { perUser: false, http: 'public', when: () => false }),
    quiet: define('/quiet', { perUser: false }),
  }
  const app = await serve(t, attached, resources)
  const told = async (path: string) => {
    const { headers, statusCode } = await app.inject({ url: `/things${path}` })
    t.equal(statusCode, 200)
    return [headers['cache-control'], headers.age, headers.vary]
  }
  const control = /^private, max-age=5\d, stale-while-revalidate=300$/
  const [first, age, vary] = await told('/own')
  t.match(first, control)
  t.match([age, vary], [/^[0-9]$/, 'authorization, cookie'])
  t.match(await told('/own'), [first, /^[0-9]$/, vary], 'a hit says the same')
  t.match(await told('/open'), ['public, max-age=10', /^[0-9]$/, 'accept-language'])
  t.strictSame(await told('/rare'), ['no-store', undefined, undefined])
  t.strictSame(await told('/quiet'), [undefined, undefined, undefined])
})

t.test('another cache has the results of a resource that says so', async (t) => {
  const attached = { url: undefined }
  const counted = counting({ store: 'pages', tags: ['things'] })
  const plugin = (app: FastifyInstance) => void app.register(cache, { name: 'pages' })
  const app = await serve(t, attached, { counted }, { plugin })
  const runs = async () => (await app.inject('/things/1')).json().data.runs
  t.strictSame([await runs(), await runs()], [1, 1])
  await app.cache.invalidate('things')
  t.equal(await runs(), 1)
  await app.getDecorator<Cache>('pages').invalidate('things')
  t.equal(await runs(), 2)
  t.match(await failure(serve(t, attached, { counted })), {
    code: 'RESOURCE_INVALID',
    message: /of its cache store is pages/,
  })
})

t.test('what clients may keep is not for others', async (t) => {
  for (const [more, problem] of [
    [{ cache: { ttl: '1m', http: 'public' } }, /http is public, and each user/],
    [{ cache: { ttl: '1m', http: 'shared' } }, /http is shared; expected private or public/],
    [{ cache: { ttl: '1m', http: { scope: 'private', maxAge: -1 } } }, /maxAge is -1/],
    [{ method: 'POST', cache: { ttl: '1m', http: 'private' } }, /said of a POST/],
  ] as const) {
    const thing = defineResource({ summary: 'x', ...(more as object), perform: () => null })
    const { code, message } = await failure(serve(t, { url: undefined }, { thing }))
    t.equal(code, 'RESOURCE_INVALID')
    t.match(message, problem)
  }
})

t.test('without a cache every call runs, and context.cache says what is missing', async (t) => {
  const { serveThings } = await import('../helpers/app.ts')
  const counted = counting()
  const forget = defineResource({
    summary: 'Forget',
    method: 'POST',
    perform: async (_, { cache }) => {
      await cache.invalidate('x')
      return null
    },
  })
  const app = await serveThings(t, { counted, forget })
  t.equal((await app.inject('/things/1')).json().data.runs, 1)
  t.equal((await app.run(() => counted({ id: 1 }))).runs, 2)
  t.equal((await app.run(() => counted.refresh({ id: 1 }))).runs, 3)
  await app.run(() => counted.invalidate({ id: 1 }))
  t.equal((await failure(app.run(() => forget()))).code, 'CACHE_MISSING')
})

t.test(
  'a service that has proven who it is goes past the cache, a stranger does not',
  async (t) => {
    let count = 0
    const { app } = await createService(
      t,
      {
        count: defineResource({
          summary: 'Count',
          response: Type.Integer(),
          cache: { ttl: 60_000 },
          perform: () => ++count,
        }),
      },
      {
        plugins: [
          fp(async (app: FastifyInstance) => {
            app.decorateRequest('auth', null)
            app.addHook('onRequest', async (request) => {
              const { 'x-app': code } = request.headers
              if (typeof code === 'string')
                request.auth = { user: { id: `app:${code}` }, app: code, strategy: 'test' }
            })
          }),
        ],
      },
    )
    const ask = async (mode?: string, code?: string) => {
      const headers = { ...(mode && { 'x-cache-mode': mode }), ...(code && { 'x-app': code }) }
      return (await app.inject({ url: '/things', headers })).json().data
    }
    t.equal(await ask(), 1)
    t.equal(await ask('refresh'), 1)
    t.equal(await ask('cacheless'), 1)
    t.equal(await ask('refresh', 'orders'), 2)
    t.equal(await ask(), 2, 'it is stored')
    t.equal(await ask('cacheless', 'orders'), 3)
    t.equal(await ask('anything', 'orders'), 2)
  },
)
