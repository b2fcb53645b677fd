import { Readable } from 'node:stream'
import t from 'tap'
import { Type } from 'typebox'
import { errors } from '../../src/errors.ts'
import { currentContext } from '../../src/resource/context.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createService, failure, serveThings } from '../helpers/app.ts'

const City = Type.Object({ id: Type.Integer({ minimum: 1 }), name: Type.String() })

const retrieve = defineResource({
  summary: 'One city',
  path: '/:id',
  request: Type.Object({ id: City.properties.id }),
  response: City,
  perform: ({ id }) => ({ id, name: `city ${id}` }),
})

t.test('validates, performs, validates', async (t) => {
  const steps: string[] = []
  const traced = defineResource({
    summary: 'Traced',
    request: Type.Object({ id: Type.Integer() }),
    response: City,
    perform({ id }) {
      steps.push(`perform ${id}`)
      return { id, name: 'x' }
    },
  })
  const app = await serveThings(t, { traced })
  t.strictSame(await app.run(() => traced({ id: 1 })), { id: 1, name: 'x' })
  t.strictSame(await failure(app.run(() => traced({ id: 'x' } as never))), {
    code: 'INVALID_REQUEST',
    message: 'The request to things.traced is not valid; see errors',
    errors: [{ path: '/id', message: 'must be integer' }],
  })
  t.strictSame(await failure(app.run(() => traced({ id: -1 }))), {
    code: 'INVALID_RESPONSE',
    message: 'What things.traced returned does not fit its response schema; see errors',
    errors: [{ path: '/id', message: 'must be >= 1' }],
  })
  t.strictSame(steps, ['perform 1', 'perform -1'], 'not performed where the request is not valid')
})

t.test('tells every failing place of a request', async (t) => {
  const create = defineResource({
    summary: 'Create',
    method: 'POST',
    request: Type.Object({
      name: Type.String({ maxLength: 2 }),
      kind: Type.Enum(['town', 'city']),
      fixed: Type.Literal('x'),
      at: Type.Object({ lat: Type.Number(), lon: Type.Number() }),
    }),
    perform: () => null,
  })
  const app = await serveThings(t, { create })
  const bad = { name: 'abc', kind: 'sea', fixed: 'y', at: { lat: '1' }, 'a/b~c': 1 }
  t.strictSame((await failure(app.run(() => create(bad as never)))).errors, [
    { path: '/a~1b~0c', message: 'is not known here' },
    { path: '/name', message: 'must NOT have more than 2 characters' },
    { path: '/kind', message: 'must be one of town, city' },
    { path: '/fixed', message: 'must be "x"' },
    { path: '/at/lon', message: 'is required' },
    { path: '/at/lat', message: 'must be number' },
  ])
})

t.test('only undefined means an empty request', async (t) => {
  const list = defineResource({
    summary: 'List',
    request: Type.Object({ page: Type.Optional(Type.Integer()) }),
    response: Type.Unknown(),
    perform: (request) => request,
  })
  const app = await serveThings(t, { list })
  const call = list as (request?: unknown) => Promise<unknown>
  t.strictSame(await app.run(() => call()), {})
  t.strictSame(await app.run(() => call(undefined)), {})
  for (const wrong of [null, [], 0, '', false]) {
    t.strictSame(await failure(app.run(() => call(wrong))), {
      code: 'INVALID_REQUEST',
      message: 'The request to things.list is not valid; see errors',
      errors: [{ path: '', message: 'must be object' }],
    })
  }
})

t.test('defaults are filled in, and never into the object of the caller', async (t) => {
  const list = defineResource({
    summary: 'List',
    method: 'POST',
    request: Type.Object({
      page: Type.Integer({ default: 1 }),
      at: Type.Object({ zone: Type.String({ default: 'UTC' }) }),
      tags: Type.Array(Type.Object({ weight: Type.Integer({ default: 5 }) })),
    }),
    response: Type.Unknown(),
    perform: (request) => request,
  })
  const app = await serveThings(t, { list })
  const request = Object.freeze({ at: Object.freeze({}), tags: Object.freeze([Object.freeze({})]) })
  t.strictSame(await app.run(() => list(request as never)), {
    page: 1,
    at: { zone: 'UTC' },
    tags: [{ weight: 5 }],
  })
  t.strictSame(request, { at: {}, tags: [{}] })
  const found = await failure(app.run(() => list({ ...request, page: () => 1 } as never)))
  t.strictSame(found.errors, [{ path: '/page', message: 'must be integer' }])
})

t.test('numbers that have lost digits are refused', async (t) => {
  const app = await serveThings(t, { retrieve })
  for (const id of [2 ** 53, Number.POSITIVE_INFINITY, Number.NaN]) {
    t.equal((await failure(app.run(() => retrieve({ id })))).code, 'INVALID_REQUEST', `${id}`)
  }
})

t.test('a response is checked as the JSON that it becomes', async (t) => {
  const schema = Type.Object({
    at: Type.String({ format: 'date-time' }),
    big: Type.Integer(),
    price: Type.Object({ cents: Type.Integer() }),
    left: Type.Optional(Type.String()),
  })
  class Money {
    toJSON() {
      return { cents: 5n, note: undefined }
    }
  }
  const good = { at: new Date(0), big: 7n, price: new Money(), left: undefined }
  const answer = defineResource({
    summary: 'Answer',
    request: Type.Object({ more: Type.Optional(Type.Unknown()) }),
    response: schema,
    perform: ({ more }) => ({ ...good, ...(more as object) }) as never,
  })
  const app = await serveThings(t, { answer })
  const expected = { at: '1970-01-01T00:00:00.000Z', big: 7, price: { cents: 5 } }
  t.strictSame(await app.run(() => answer()), expected, 'and that is what the caller gets')
  const wrong = { price: { cents: 1, extra: 2 }, at: new Date(Number.NaN), secret: 1 }
  t.strictSame((await failure(app.run(() => answer({ more: wrong })))).errors, [
    { path: '/secret', message: 'is not known here' },
    { path: '/at', message: 'must be string' },
    { path: '/price/extra', message: 'is not known here' },
  ])
})

t.test('nothing is null, and a stream is refused: only a route answers with one', async (t) => {
  const stream = Readable.from(['x'])
  const nothing = defineResource({
    summary: 'Nothing',
    path: '/a',
    perform: () => undefined as never,
  })
  const file = defineResource({ summary: 'File', path: '/b', perform: () => stream as never })
  const app = await serveThings(t, { nothing, file })
  t.equal(await app.run(() => nothing()), null)
  t.strictSame(await failure(app.run(() => file())), {
    code: 'INVALID_RESPONSE',
    message: 'What things.file returned does not fit its response schema; see errors',
    errors: [
      {
        path: '',
        message: 'is a stream, which only a route can answer with, and no cache or task can keep',
      },
    ],
  })
  t.ok(stream.destroyed, 'and closed')
})

t.test('needs a context: of a request, app.run or app.resources', async (t) => {
  const app = await serveThings(t, { retrieve })
  t.strictSame(await failure(retrieve({ id: 1 })), {
    code: 'CONTEXT_MISSING',
    message:
      'One city was called outside a request; call it through app.resources, or within app.run(fn)',
    errors: null,
  })
  t.strictSame(await app.run(() => retrieve({ id: 1 })), { id: 1, name: 'city 1' })
  t.strictSame(await app.resources.things?.retrieve?.({ id: 2 }), { id: 2, name: 'city 2' })
  t.strictSame(await app.resources.things?.retrieve?.bulk([{ id: 3 }]), [{ id: 3, name: 'city 3' }])
  t.equal(
    app.run(() => currentContext()?.app),
    app,
    'app.run gives back what the function returns',
  )
  t.equal(currentContext(), undefined)
})

t.test('what perform throws is what the caller gets', async (t) => {
  const thrown = new Error('its own')
  const fail = defineResource({
    summary: 'Fail',
    request: Type.Object({ how: Type.Enum(['now', 'later', 'known']) }),
    perform({ how }) {
      if (how === 'known') throw errors.NOT_FOUND('city', 9)
      if (how === 'now') throw thrown
      return Promise.reject(thrown)
    },
  })
  const app = await serveThings(t, { fail })
  await t.rejects(
    app.run(() => fail({ how: 'now' })),
    thrown,
  )
  await t.rejects(
    app.run(() => fail({ how: 'later' })),
    thrown,
  )
  t.equal((await failure(app.run(() => fail({ how: 'known' })))).message, 'There is no city 9')
})

t.test('a bigint keeps its digits, from the cache or not', async (t) => {
  const response = Type.Object({ id: Type.Integer(), small: Type.Integer() })
  const perform = () => ({ id: 9007199254740993n, small: 7n }) as never
  const plain = defineResource({ summary: 'Plain', response, perform })
  const cache = { ttl: 60_000, perUser: false }
  const cached = defineResource({ summary: 'Cached', path: '/cached', response, cache, perform })
  const { app } = await createService(t, { plain, cached })
  const expected = { id: 9007199254740993n, small: 7 }
  for (const call of [plain, cached, cached])
    t.strictSame(await app.run(() => call()), expected, call.definition.summary)
  for (const path of ['/things', '/things/cached'])
    t.match((await app.inject(path)).body, '"data":{"id":9007199254740993,"small":7}')
})
