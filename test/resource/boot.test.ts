import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { Type } from 'typebox'
import { defineModule, type ResourceTable } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createApp } from '../../src/service.ts'
import { createBareApp, failure, serveThings } from '../helpers/app.ts'

const refused = (name: string, problem: string) => ({
  code: 'RESOURCE_INVALID',
  message: `The resource ${name} cannot be served: ${problem}`,
  errors: null,
})

const Id = Type.Object({ id: Type.Integer() })
const perform = () => null

t.test('a request that cannot be divided over the request is refused at boot', async (t) => {
  const cases: [string, ResourceTable][] = [
    [
      '/things/:id has id, its request schema has not; list it: id: Type.String()',
      { one: defineResource({ summary: 'x', path: '/:id', perform }) },
    ],
    [
      '/things/:constructor has constructor, its request schema has not; list it: constructor: Type.String()',
      { one: defineResource({ summary: 'x', path: '/:constructor', request: Id, perform }) },
    ],
    [
      'its query has dry, its request schema has not',
      {
        one: defineResource({
          summary: 'x',
          method: 'POST',
          request: Id,
          query: ['dry' as never],
          perform,
        }),
      },
    ],
    [
      'id appears twice in its path and query',
      {
        one: defineResource({
          summary: 'x',
          method: 'PUT',
          path: '/:id',
          request: Id,
          query: ['id'],
          perform,
        }),
      },
    ],
    [
      'id appears twice in its path and query',
      { one: defineResource({ summary: 'x', path: '/:id/:id', request: Id, perform }) },
    ],
    [
      'a GET has no body to hold a request that is no object',
      { one: defineResource({ summary: 'x', request: Type.Array(Id), perform }) },
    ],
    [
      'a request that is no object has no path or query',
      {
        one: defineResource({
          summary: 'x',
          method: 'POST',
          path: '/:id',
          request: Type.Union([Id, Type.Object({ name: Type.String() })]),
          perform,
        }),
      },
    ],
    [
      'its path :id does not begin with /',
      { one: defineResource({ summary: 'x', path: ':id', request: Id, perform }) },
    ],
    ...[
      Id,
      Type.Array(Id),
      Type.Union([Id, Type.Object({ name: Type.String() })]),
      Type.Intersect([Id, Type.Object({ name: Type.String() })]),
      Type.Record(Type.String(), Type.Integer()),
    ].map((filter): [string, ResourceTable] => [
      'filter is an object, which a path or query cannot hold; take it from a body, or list its properties',
      { one: defineResource({ summary: 'x', request: Type.Object({ filter }), perform }) },
    ]),
    [
      'a path has no wildcard; name its parameters',
      { one: defineResource({ summary: 'x', path: '/*', perform }) },
    ],
  ]
  for (const [problem, resources] of cases) {
    t.strictSame(await failure(serveThings(t, resources)), refused('things.one', problem), problem)
  }
})

t.test('two resources at one place are refused at boot, both named', async (t) => {
  const one = defineResource({ summary: 'x', path: '/:id', request: Id, perform })
  const other = defineResource({
    summary: 'x',
    path: '/:code/',
    request: Type.Object({ code: Type.String() }),
    perform,
  })
  t.strictSame(
    await failure(serveThings(t, { one, other })),
    refused('things.other', 'things.one is served at GET /things/:code/ already'),
  )
  const modules = {
    a: defineModule({ prefix: '/a', resources: { one } }),
    b: defineModule({
      prefix: '/a/',
      resources: { two: defineResource({ summary: 'x', path: '/1', perform }) },
    }),
    c: defineModule({ prefix: '/a/', resources: { three: one } }),
  }
  t.strictSame(
    await failure(createBareApp(t, modules)),
    refused('c.three', 'a.one is served at GET /a/:id already'),
  )
})

t.test('one path takes several methods', async (t) => {
  const get = defineResource({ summary: 'x', path: '/:id', request: Id, perform })
  const put = defineResource({ summary: 'x', method: 'PUT', path: '/:id', request: Id, perform })
  const fixed = defineResource({ summary: 'x', path: '/new', perform })
  const app = await serveThings(t, { get, put, fixed })
  for (const [method, url] of [
    ['GET', '/things/1'],
    ['PUT', '/things/1'],
    ['GET', '/things/new'],
  ] as const) {
    t.equal((await app.inject({ method, url })).statusCode, 200, `${method} ${url}`)
  }
})

t.test('a timeout is one that a timer can be set for, or 0', async (t) => {
  for (const timeout of [Number.POSITIVE_INFINITY, -1, Number.NaN, 2 ** 31, 2 ** 31 + 0.5, 0.5]) {
    const one = defineResource({ summary: 'x', timeout, perform })
    const unit = "whole milliseconds, or a text like '30s' (ms, s, m, h, d)"
    const problem = `its timeout is ${timeout}; expected ${unit}, from 0, 2147483647 ms at most`
    t.strictSame(await failure(serveThings(t, { one })), refused('things.one', problem))
  }
})

t.test(
  'what a schema cannot be compiled to keeps an app from starting, but in production',
  async (t) => {
    const broken = Type.Object({ name: Type.String({ pattern: '(' }) })
    const things = {
      one: defineResource({ summary: 'x', path: '/one', request: broken, perform }),
      two: defineResource({
        summary: 'y',
        method: 'POST',
        path: '/two/:id',
        request: Type.Object({ ...Id.properties, size: Type.Integer({ minimum: 1 }) }),
        response: Id,
        perform: ({ id }) => ({ id, secret: 'left out' }),
      }),
    }
    t.match(await failure(serveThings(t, things, { strict: true })), { message: /Invalid regular/ })
    const app = await serveThings(t, things, { strict: false })
    t.match((await app.inject('/things/one?name=x')).statusCode, 500)
    // The first request, for which it is compiled, and the next ones.
    for (const size of [0, 1, 0, 1]) {
      const url = '/things/two/7'
      const response = await app.inject({ method: 'POST', url, payload: { size } })
      const wrong = { result: false, errors: [{ path: '/size', message: 'must be >= 1' }] }
      t.match(response.json(), size === 0 ? wrong : { result: true, data: { id: 7 } })
      t.notMatch(response.body, 'left out')
    }
  },
)

t.test('a timeout of 0 has no end, by every way', async (t) => {
  const one = defineResource({
    summary: 'x',
    timeout: 0,
    perform: () => new Promise<null>((done) => setImmediate(done, null)),
  })
  const app = await serveThings(t, { one })
  t.equal((await app.inject('/things')).statusCode, 200)
  t.equal(await app.run(() => one()), null)
  t.equal(await app.run(() => one({}, { timeout: 0 })), null)
  t.strictSame(await app.run(() => one.bulk([{}, {}])), [null, null])
})

t.test('why an app failed to start is told, whatever closing it does', async (t) => {
  const lines: string[] = []
  const logger = { level: 'error', stream: { write: (line: string) => void lines.push(line) } }
  const plugin = async (app: FastifyInstance) => {
    app.addHook('onClose', () => Promise.reject(new Error('cannot close')))
    throw new Error('cannot start')
  }
  const service = { name: 'broken', modules: {}, plugins: [plugin] }
  const env = { NODE_ENV: 'test' }
  t.match(await failure(createApp(service, { env, logger })), { message: 'cannot start' })
  t.match(
    lines.map((line) => JSON.parse(line)),
    [{ msg: 'an app that failed to start could not be closed', err: { message: 'cannot close' } }],
  )
})
