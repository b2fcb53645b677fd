import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { type TSchema, Type } from 'typebox'
import { defineResource } from '../../src/resource/resource.ts'
import { closeSchema } from '../../src/schema/json-schema.ts'
import { compileExact, toDetails } from '../../src/schema/validate.ts'
import { createService, failure } from '../helpers/app.ts'
import { onEach, serve } from '../resource/attached.ts'

// Tried on 60 characters it takes longer than any test waits.
const words = Type.String({ maxLength: 10, pattern: '^(\\w+ ?)+$' })
const long = `${'a'.repeat(60)}!`
const sizeOf = (path: string, most: number, what: string) => ({
  path,
  message: `must NOT have more than ${most} ${what}`,
})
const tooLong = (path: string) => sizeOf(path, 10, 'characters')

const request = Type.Object({
  id: words,
  name: words,
  tags: Type.Array(Type.Object({ name: words }), { maxItems: 2, uniqueItems: true }),
  count: Type.Integer({ minimum: 1 }),
})
const many = Array.from({ length: 5 }, () => ({ name: long }))
const wrong = { id: long, name: long, tags: many, count: 0 }
const all = [
  tooLong('/id'),
  tooLong('/name'),
  sizeOf('/tags', 2, 'items'),
  { path: '/count', message: 'must be >= 1' },
]
const echo = defineResource({ summary: 'Echo', method: 'POST', request, perform: () => null })

/** What an HTTP request to `echo` at its path is told. */
async function errorsOf(
  t: Test,
  path: string,
  query: ('name' | 'count')[],
  url: string,
  payload: object,
) {
  const { app } = await createService(t, {
    echo: defineResource({ ...echo.definition, path, query }),
  })
  const response = await app.inject({ method: 'POST', url, payload })
  t.equal(response.statusCode, 400)
  return response.json().errors
}

t.test(
  'body, query and path: what is too large is told, and not looked at; the rest is',
  async (t) => {
    t.strictSame(await errorsOf(t, '/', [], '/things', wrong), all)
    const { id: _, ...rest } = wrong
    t.strictSame(await errorsOf(t, '/:id', [], `/things/${long}`, rest), all.slice(0, 1))
    t.strictSame(await errorsOf(t, '/:id', [], '/things/a', rest), all.slice(1))
    const { name, count, ...body } = wrong
    const url = `/things?name=${name}&count=${count}`
    t.strictSame(await errorsOf(t, '/', ['name', 'count'], url, { ...body, id: 'a', tags: [] }), [
      all[1],
      all[3],
    ])
  },
)

onEach(t, 'in process, in bulk, and what becomes a task', async (t, attached) => {
  const app = await serve(t, attached, { echo })
  t.strictSame((await failure(app.run(() => echo(wrong)))).errors, all)
  const [first] = await app.run(() => echo.bulk([wrong], { settled: true }))
  t.match(first, { status: 'rejected', reason: { code: 'INVALID_REQUEST', errors: all } })
  t.strictSame((await failure(app.run(() => echo.enqueue(wrong)))).errors, all)
})

const { createTask } = await import('../../src/task/new-task.ts')

onEach(t, 'a worker looks at the size of an input first', async (t, attached) => {
  const app = await serve(t, attached, { echo })
  const data = { resource: 'things.echo', input: wrong, user: null, requestId: 'r' }
  const task = { ...createTask(data, { attempts: 5 }, 10_000, ''), children: [] }
  await app.tasks.submit(task)
  await failure(app.tasks.result(task.id))
  t.match((await app.tasks.find(task.id)).failure, { code: 'INVALID_REQUEST' })
})

t.test('a route of the service’s own stops at the size', async (t) => {
  const schema = { body: Type.Object({ name: words, tags: request.properties.tags }) }
  const { app } = await createService(
    t,
    {},
    {
      plugins: [
        async (app: FastifyInstance) => void app.post('/mine', { schema }, async () => null),
      ],
    },
  )
  const told = async (payload: object) =>
    (await app.inject({ method: 'POST', url: '/mine', payload })).json().errors
  t.strictSame(await told({ name: long, tags: [] }), [tooLong('/name')])
  t.strictSame(await told({ name: 'a', tags: many }), [sizeOf('/tags', 2, 'items')])
})

function detailsOf(schema: TSchema, value: unknown) {
  const validate = compileExact(closeSchema(schema))
  return validate(value) ? [] : toDetails(validate.errors)
}

t.test('every kind of size and of costly keyword', async (t) => {
  const deep = Type.Array(Type.Array(words, { maxItems: 1 }), { maxItems: 2 })
  t.strictSame(detailsOf(deep, [[long, long], ['a', long], []]), [sizeOf('', 2, 'items')])
  t.strictSame(detailsOf(deep, [[long, long], [long]]), [sizeOf('/0', 1, 'items'), tooLong('/1/0')])
  const record = Type.Record(Type.String(), words, { maxProperties: 1 })
  t.strictSame(detailsOf(record, { a: long, b: long }), [sizeOf('', 1, 'properties')])
  t.strictSame(detailsOf(record, { a: long }), [tooLong('/a')])
  const maybe = Type.Union([words, Type.Null()])
  t.strictSame(detailsOf(maybe, long)[0], tooLong(''))
  const mail = Type.String({ format: 'email', maxLength: 5 })
  t.strictSame(detailsOf(mail, 'not a mail'), [sizeOf('', 5, 'characters')])
  t.strictSame(detailsOf(mail, 'a'), [{ path: '', message: 'must match format "email"' }])
})

t.test('a URL has at most 2,048 characters', async (t) => {
  const url = Type.String({ format: 'url' })
  const refused = [{ path: '', message: 'must match format "url"' }]
  t.strictSame(detailsOf(url, `https://example.org/${'a'.repeat(2028)}`), [])
  t.strictSame(detailsOf(url, `https://example.org/${'a'.repeat(2029)}`), refused)
  t.strictSame(detailsOf(url, `http://${':'.repeat(1_000_000)}`), refused)
  t.strictSame(detailsOf(url, 'example.org'), refused)
})

t.test('characters are counted, not their halves', async (t) => {
  t.strictSame(detailsOf(Type.String({ maxLength: 2, pattern: '^a' }), '😀😀'), [
    { path: '', message: 'must match pattern "^a"' },
  ])
})

t.test('the size of an intersection is that of each member', async (t) => {
  const members = [
    Type.String({ pattern: '^(\\w+ ?)+$' }),
    Type.String({ maxLength: 10 }),
    Type.Intersect([Type.String({ pattern: '^a' })]),
  ]
  const { name: _, ...whole } = Type.Intersect(members) as TSchema & { name?: never }
  t.strictSame(detailsOf(Type.Object({ a: whole }), { a: long }), [tooLong('/a')])
  t.strictSame(detailsOf(whole, 'b!').length, 2, 'what fits is looked at by all')
})

t.test('of equal items both are told, whatever they are', async (t) => {
  const any = Type.Array(Type.Unknown(), { uniqueItems: true })
  const twice = (j: number, i: number) => [
    { path: '', message: `must NOT have duplicate items (items ## ${j} and ${i} are identical)` },
  ]
  t.strictSame(detailsOf(any, ['a', 'b', 'a']), twice(2, 0))
  t.strictSame(detailsOf(any, [{ a: 1, b: [2] }, 1, { b: [2], a: 1 }]), twice(2, 0))
  t.strictSame(
    detailsOf(any, [
      [1, { a: null }],
      [1, { a: null }],
    ]),
    twice(1, 0),
  )
  const unlike = [1, '1', null, 'null', true, 'true', [1], ['1'], {}, { a: 1 }, '{"a":1}', [], '[]']
  t.strictSame(detailsOf(any, [...unlike, { a: '1' }, { a: [1] }, { a: undefined, b: 1 }]), [])
  const deep = JSON.parse(`${'['.repeat(2000)}${']'.repeat(2000)}`)
  t.strictSame(detailsOf(any, [deep, deep]), twice(1, 0))
  t.strictSame(detailsOf(Type.Array(Type.Unknown(), { uniqueItems: false }), [1, 1]), [])
})

t.test('to find equal items each is looked at once', async (t) => {
  const schema = Type.Array(Type.Unknown(), { uniqueItems: true })
  let looks = 0
  const count = (n: number) => {
    looks++
    return n
  }
  const items = Array.from({ length: 5000 }, (_, n) =>
    Object.defineProperty({}, 'n', { enumerable: true, get: () => count(n) }),
  )
  t.strictSame(detailsOf(schema, items), [])
  t.equal(looks, 5000)
})
