import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import t, { type Test } from 'tap'
import { type TSchema, Type } from 'typebox'
import { defineResource } from '../../src/resource/resource.ts'
import { serveThings } from '../helpers/app.ts'

/** A resource that answers with `value` whatever its type, and the same in the app of production. */
async function answers(t: Test, response: TSchema, value: unknown) {
  const get = defineResource({ summary: 'Get', response, perform: () => value as never })
  const strict = await serveThings(t, { get })
  const lax = await serveThings(t, { get }, { strict: false })
  const [development, production] = [await strict.inject('/things'), await lax.inject('/things')]
  return {
    development: development.json(),
    production: production.json(),
    written: production.body,
  }
}

const City = Type.Object({ id: Type.Integer(), name: Type.String() })

t.test(
  'a field that would be dropped is an error in development, dropped in production',
  async (t) => {
    const schema = Type.Object({
      rows: Type.Array(City),
      one: Type.Union([City, Type.Null()]),
      both: Type.Intersect([City, Type.Object({ at: City })]),
      by: Type.Record(Type.String(), City),
    })
    const city = { id: 1, name: 'x' }
    const leaky = { ...city, secret: 'hidden' }
    const value = {
      rows: [city, leaky],
      one: leaky,
      both: { ...city, at: leaky, secret: 'hidden' },
      by: { a: leaky },
      secret: 'hidden',
    }
    const { development, production } = await answers(t, schema, value)
    t.match(development, { result: false, code: 'INVALID_RESPONSE' })
    for (const path of [
      '/secret',
      '/rows/1/secret',
      '/one/secret',
      '/both/secret',
      '/both/at/secret',
      '/by/a/secret',
    ]) {
      t.ok(
        development.errors.some((error: { path: string }) => error.path === path),
        path,
      )
    }
    t.strictSame(production.data, {
      rows: [city, city],
      one: city,
      both: { ...city, at: city },
      by: { a: city },
    })
  },
)

t.test('what is checked is what will be JSON, and it is left as it is', async (t) => {
  class Row {
    id = 1
    get name() {
      return 'of the class, which JSON does not see'
    }
  }
  const { development } = await answers(t, City, new Row())
  t.match(development.errors, [{ path: '/name', message: 'is required' }])
  const Default = Type.Object({ id: Type.Integer(), name: Type.String({ default: 'x' }) })
  const row = Object.freeze({ id: 1, name: 'y' })
  t.strictSame((await answers(t, Default, row)).development.data, row)
  const optional = Type.Object({ id: Type.Integer(), name: Type.Optional(Type.String()) })
  const given = { id: 1, name: undefined }
  t.strictSame((await answers(t, optional, given)).development.data, { id: 1 })
})

t.test('of a union the member that fits is written, not the first that fits half', async (t) => {
  const Town = Type.Object({ name: Type.String(), at: Type.String({ format: 'date-time' }) })
  const Capital = Type.Object({ ...Town.properties, of: Type.String() })
  const value = [
    { name: 'a', at: new Date(0), of: 'b' },
    { name: 'c', at: new Date(0) },
  ]
  const { development, production } = await answers(
    t,
    Type.Array(Type.Union([Town, Capital])),
    value,
  )
  t.strictSame(development.data, JSON.parse(JSON.stringify(value)))
  t.strictSame(production.data, development.data)
  const more = await answers(t, Type.Union([Town, Capital]), { ...value[0], secret: 1 })
  t.equal(more.development.code, 'INVALID_RESPONSE')
  t.notOk('secret' in more.production.data, 'what no member lists is dropped')
})

t.test('dates, bigints, null and absent properties', async (t) => {
  const schema = Type.Object({
    at: Type.String({ format: 'date-time' }),
    maybe: Type.Union([Type.String({ format: 'date-time' }), Type.Null()]),
    big: Type.Integer(),
    count: Type.Union([Type.Integer(), Type.Null()]),
    none: Type.Union([Type.Integer(), Type.Null()]),
    kind: Type.Union([Type.Literal('a'), Type.Literal('b'), Type.Null()]),
    left: Type.Optional(Type.String()),
  })
  const value = {
    at: new Date(0),
    maybe: new Date(1),
    big: 9007199254740993n,
    count: 5n,
    none: null,
    kind: 'b',
    left: undefined,
  }
  const { development, production, written } = await answers(t, schema, value)
  t.equal(development.code, 0)
  t.strictSame(production.data, development.data)
  t.strictSame(Object.keys(production.data), ['at', 'maybe', 'big', 'count', 'none', 'kind'])
  t.match(production.data, { at: '1970-01-01T00:00:00.000Z', maybe: '1970-01-01T00:00:00.001Z' })
  t.match(written, '"big":9007199254740993,"count":5,"none":null,"kind":"b"}')
})

t.test('what cannot be written in production is INTERNAL, without details', async (t) => {
  const schema = Type.Object({ id: Type.Integer(), city: City })
  const value = { id: 1, city: { id: 'secret-value', name: 'x' } }
  const { development, production } = await answers(t, schema, value)
  t.match(development, {
    code: 'INVALID_RESPONSE',
    errors: [{ path: '/city/id', message: 'must be integer' }],
  })
  t.match(production, {
    result: false,
    code: 'INTERNAL',
    data: null,
    message: 'The service failed; its log tells why under this request id',
    errors: null,
  })
  t.notMatch(JSON.stringify(production), 'secret-value')
  const missing = await answers(t, schema, { id: 1 })
  t.match(missing.production, { code: 'INTERNAL', errors: null })
})

t.test('the status of success is the one of the definition', async (t) => {
  const create = defineResource({
    summary: 'Create',
    method: 'POST',
    status: 201,
    response: City,
    perform: () => ({ id: 1, name: 'x' }),
  })
  const odd = defineResource({
    summary: 'Odd',
    response: City,
    perform: (_, { reply }) => {
      reply?.code(206)
      return { id: 1, name: 'x', secret: 1 } as never
    },
  })
  const app = await serveThings(t, { create, odd }, { strict: false })
  t.equal((await app.inject({ method: 'POST', url: '/things' })).statusCode, 201)
  const response = await app.inject('/things')
  t.equal(response.statusCode, 200, 'no other, whose answers would be written without a schema')
  t.strictSame(response.json().data, { id: 1, name: 'x' })
})

t.test('nothing is null in the envelope', async (t) => {
  const get = defineResource({ summary: 'Get', perform: () => undefined as never })
  for (const strict of [true, false]) {
    const app = await serveThings(t, { get }, { strict })
    t.strictSame((await app.inject('/things')).json().data, null)
  }
})

t.test('a route may answer with a stream', async (t) => {
  const file = defineResource({
    summary: 'File',
    response: Type.Unsafe<Readable>(Type.Unknown()),
    perform(_, { reply }) {
      reply?.type('text/csv')
      return Readable.from(['id,name\n', '1,x\n'])
    },
  })
  const app = await serveThings(t, { file })
  const response = await app.inject('/things')
  t.equal(response.headers['content-type'], 'text/csv')
  t.equal(response.body, 'id,name\n1,x\n')
})

t.test('a route may answer by its reply', async (t) => {
  const logged: string[] = []
  const logger = { level: 'warn', stream: { write: (line: string) => void logged.push(line) } }
  const go = defineResource({
    summary: 'Go',
    path: '/go',
    response: Type.Unsafe<FastifyReply>(Type.Unknown()),
    perform: (_, { reply }) => (reply as FastifyReply).redirect('/things/there', 303),
  })
  const made = defineResource({
    summary: 'Made',
    path: '/made',
    response: Type.Unsafe<FastifyReply>(City),
    perform: async (_, { reply }) => (reply as FastifyReply).code(202).send({ mine: true }),
  })
  const app = await serveThings(t, { go, made }, { server: { logger } })
  const response = await app.inject('/things/go')
  t.equal(response.statusCode, 303)
  t.equal(response.headers.location, '/things/there')
  const own = await app.inject('/things/made')
  t.equal(own.statusCode, 202)
  t.strictSame(own.json(), { mine: true })
  t.strictSame(logged, [])
})

t.test('HEAD answers like GET, without the body', async (t) => {
  const get = defineResource({
    summary: 'Get',
    response: City,
    perform: () => ({ id: 1, name: 'x' }),
  })
  const app = await serveThings(t, { get })
  const [head, whole] = [
    await app.inject({ method: 'HEAD', url: '/things' }),
    await app.inject('/things'),
  ]
  t.equal(head.statusCode, 200)
  t.equal(head.body, '')
  t.equal(head.headers['content-type'], whole.headers['content-type'])
  t.equal(head.headers['content-length'], String(Buffer.byteLength(whole.body)))
})
