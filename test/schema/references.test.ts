import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { type TSchema, Type } from 'typebox'
import docs from '../../plugins/docs.ts'
import type { Document } from '../../src/openapi/types.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createBareApp, failure, serveThings } from '../helpers/app.ts'
import { onEach, serve } from '../resource/attached.ts'
import { everyWay } from '../resource/ways.ts'

const SHARED = [
  { $id: 'code', type: 'string', minLength: 2, maxLength: 2 },
  {
    $id: 'country',
    type: 'object',
    properties: { code: { $ref: 'code#' }, neighbours: { type: 'array', items: { $ref: '#' } } },
    required: ['code'],
  },
  {
    $id: 'https://example.org/city',
    type: 'object',
    properties: {
      id: { type: 'integer' },
      in: { $ref: 'country' },
      at: { $ref: '#/definitions/at' },
    },
    required: ['id'],
    definitions: { at: { type: 'object', properties: { lat: { type: 'number' } } } },
  },
]

const addShared = (app: FastifyInstance) => {
  for (const schema of SHARED) app.addSchema(schema)
}

const Node = Type.Cyclic(
  {
    Node: Type.Object({ id: Type.Integer(), children: Type.Array(Type.Ref('Node')) }),
  },
  'Node',
)
const OtherNode = Type.Cyclic(
  { Node: Type.Object({ name: Type.String(), next: Type.Union([Type.Ref('Node'), Type.Null()]) }) },
  'Node',
)
const Expression = Type.Cyclic(
  {
    Expression: Type.Union([Type.Number(), Type.Ref('Sum'), Type.Ref('Not')]),
    Sum: Type.Object({ sum: Type.Array(Type.Ref('Expression')) }),
    Not: Type.Object({ not: Type.Ref('Expression') }),
  },
  'Expression',
)
const Folder = Type.Object({ name: Type.String(), folders: Type.Array(Type.This()) })
const Defined = Type.Unsafe({
  type: 'object',
  $defs: {
    name: { type: 'string', minLength: 1 },
    pair: { type: 'array', items: { $ref: '#/$defs/name' }, maxItems: 2 },
    Error: { type: 'string' },
  },
  properties: {
    name: { $ref: '#/$defs/name' },
    pair: { $ref: '#/$defs/pair' },
    e: { $ref: '#/$defs/Error' },
  },
  required: ['name'],
})
const Owned = Type.Intersect([Node, Type.Object({ owner: Type.String() })])

const tree = { id: 1, children: [{ id: 2, children: [{ id: 3, children: [] }] }] }
const city = { id: 1, in: { code: 'FR', neighbours: [{ code: 'BE' }] }, at: { lat: 48.9 } }

/** Schemas that refer to others: what fits, what does not and where that is, and what is not listed. */
const CASES: {
  name: string
  schema: TSchema
  good: unknown
  bad: [value: unknown, path: string, message: string]
  more?: [value: unknown, path: string]
}[] = [
  {
    name: 'a schema of the app',
    schema: Type.Ref('https://example.org/city'),
    good: city,
    bad: [{ id: 1, in: { code: 'FRA' } }, '/in/code', 'must NOT have more than 2 characters'],
    more: [{ ...city, at: { lat: 1, x: 1 } }, '/at/x'],
  },
  {
    name: 'a part of a schema of the app',
    schema: Type.Array(Type.Ref('https://example.org/city#/properties/in')),
    good: [{ code: 'FR' }],
    bad: [[{ code: 'F' }], '/0/code', 'must NOT have fewer than 2 characters'],
    more: [[{ code: 'FR', neighbours: [{ code: 'BE', x: 1 }] }], '/0/neighbours/0/x'],
  },
  {
    name: 'a recursive one',
    schema: Node,
    good: tree,
    bad: [{ id: 1, children: [{ id: 'x', children: [] }] }, '/children/0/id', 'must be integer'],
    more: [{ id: 1, children: [{ id: 2, children: [], x: 1 }] }, '/children/0/x'],
  },
  {
    name: 'a recursive one in a union',
    schema: Type.Union([Node, Type.String(), Type.Null()]),
    good: tree,
    bad: [1, '', 'must match a schema in anyOf'],
    more: [{ id: 1, children: [{ id: 2, children: [], x: 1 }] }, '/children/0/x'],
  },
  {
    name: 'two of one name',
    schema: Type.Object({ tree: Node, list: OtherNode }),
    good: { tree, list: { name: 'a', next: { name: 'b', next: null } } },
    bad: [
      { tree, list: { name: 'a', next: { name: 1, next: null } } },
      '/list/next/name',
      'must be string',
    ],
    more: [{ tree, list: { name: 'a', next: { name: 'b', next: null, x: 1 } } }, '/list/next/x'],
  },
  {
    name: 'a union that is recursive',
    schema: Expression,
    good: { sum: [1, { not: { sum: [2.5, { not: 3 }] } }] },
    bad: [{ sum: [1, '2'] }, '/sum/1', 'must be number'],
    more: [{ sum: [1, { not: 2, x: 1 }] }, '/sum/1/x'],
  },
  {
    name: 'this',
    schema: Folder,
    good: { name: '/', folders: [{ name: 'a', folders: [] }] },
    bad: [{ name: '/', folders: [{ name: 'a' }] }, '/folders/0/folders', 'is required'],
    more: [{ name: '/', folders: [{ name: 'a', folders: [], x: 1 }] }, '/folders/0/x'],
  },
  {
    name: 'this within others',
    schema: Type.Array(Type.Object({ of: Folder })),
    good: [{ of: { name: '/', folders: [{ name: 'a', folders: [] }] } }],
    bad: [
      [{ of: { name: '/', folders: [{ name: 'a' }] } }],
      '/0/of/folders/0/folders',
      'is required',
    ],
  },
  {
    name: 'its own $defs',
    schema: Defined,
    good: { name: 'a', pair: ['b', 'c'] },
    bad: [{ name: 'a', pair: [''] }, '/pair/0', 'must NOT have fewer than 1 characters'],
  },
  {
    name: 'a member of an intersection',
    schema: Owned,
    good: { ...tree, owner: 'a' },
    bad: [{ ...tree, owner: 1 }, '/owner', 'must be string'],
    more: [
      { id: 1, children: [{ id: 2, children: [], owner: 'b' }], owner: 'a' },
      '/children/0/owner',
    ],
  },
]

for (const { name, schema, good, bad, more } of CASES) {
  onEach(t, `${name} is taken and given by every way`, async (t, attached) => {
    const { resources, call, same } = everyWay({
      request: Type.Object({ value: schema }),
      response: Type.Object({ value: schema }),
      perform: ({ value }) => ({ value }),
    })
    const app = await serve(t, attached, resources, { plugin: addShared })
    t.strictSame(await call(app, { value: good }), same({ value: good }))
    const refused = (path: string, message: string, given: Record<string, unknown>) => {
      for (const [way, result] of Object.entries(given)) {
        const { code, errors } = result as {
          code: string
          errors: { path: string; message: string }[]
        }
        t.equal(code, 'INVALID_REQUEST', way)
        t.ok(
          errors.some((one) => one.path === `/value${path}` && one.message === message),
          way,
        )
      }
    }
    const [value, path, message] = bad
    refused(path, message, await call(app, { value }))
    if (more) refused(more[1], 'is not known here', await call(app, { value: more[0] }))
  })

  if (!more) continue
  onEach(t, `of ${name} nothing is given that it does not list`, async (t, attached) => {
    const [value, path] = more
    const { resources, call, same } = everyWay({
      response: Type.Object({ value: schema }),
      perform: () => ({ value }),
    })
    const strict = await serve(t, attached, resources, { plugin: addShared })
    const { 'as a task': _, ...given } = await call(strict)
    for (const [way, result] of Object.entries(given)) {
      const { code, errors } = result as { code: string; errors: { path: string }[] }
      t.equal(code, 'INVALID_RESPONSE', way)
      t.ok(
        errors.some((one) => one.path === `/value${path}`),
        way,
      )
    }
    const lax = await serve(t, attached, resources, { plugin: addShared, strict: false })
    const key = path.split('/').at(-1)
    const dropped = JSON.parse(
      JSON.stringify({ value }, (name, one) => (name === key ? undefined : one)),
    )
    const expected = key === 'owner' ? { value: { ...dropped.value, owner: 'a' } } : dropped
    t.strictSame(await call(lax), same(expected))
  })
}

t.test('path and query may refer to schemas, too', async (t) => {
  const get = defineResource({
    summary: 'Get',
    path: '/:code/:id',
    request: Type.Object({
      code: Type.Ref<'code'>('code') as never,
      id: Type.Ref('https://example.org/city#/properties/id') as never,
      near: Type.Optional(Type.Array(Type.Ref('code') as never)),
    }),
    response: Type.Unknown(),
    perform: (input) => input,
  })
  const app = await serveThings(t, { get }, { plugin: addShared })
  const read = async (url: string) => (await app.inject(url)).json()
  t.strictSame((await read('/things/FR/7?near=BE')).data, { code: 'FR', id: 7, near: ['BE'] })
  t.strictSame((await read('/things/FRA/x')).errors, [
    { path: '/code', message: 'must NOT have more than 2 characters' },
    { path: '/id', message: 'must be integer' },
  ])
})

t.test('a schema of the module itself, and of another app, is each its own', async (t) => {
  const get = defineResource({
    summary: 'Get',
    response: Type.Ref('thing') as never,
    perform: () => ({ id: 1, name: 'x' }) as never,
  })
  const answer = async (schema: object) => {
    const plugin = (app: FastifyInstance) => void app.addSchema({ $id: 'thing', ...schema })
    const app = await serveThings(t, { get }, { plugin, strict: false })
    t.strictSame(await app.run(() => get()), (await app.inject('/things')).json().data)
    return await app.run(() => get())
  }
  t.strictSame(await answer({ type: 'object', properties: { id: { type: 'integer' } } }), { id: 1 })
  t.strictSame(await answer({ type: 'object', properties: { name: { type: 'string' } } }), {
    name: 'x',
  })
})

t.test('what cannot be referred to stops the boot in one sentence', async (t) => {
  const boot = (schema: TSchema, expose = true) => {
    const get = defineResource({
      summary: 'Get',
      response: schema,
      expose,
      perform: () => null as never,
    })
    return failure(serveThings(t, { get }, { plugin: addShared }))
  }
  const prefix = 'The resource things.get cannot be served: '
  for (const expose of [true, false]) {
    t.strictSame(await boot(Type.Ref('nowhere'), expose), {
      code: 'RESOURCE_INVALID',
      message: `${prefix}it refers to nowhere, which is neither in its $defs nor added by app.addSchema (there: code, country, https://example.org/city)`,
      errors: null,
    })
  }
  t.match(await boot(Type.Ref('code#/properties/x')), {
    message: /refers to code#\/properties\/x, /,
  })
  const Endless = Type.Unsafe({
    $defs: { A: { anyOf: [{ $ref: '#/$defs/B' }] }, B: { allOf: [{ $ref: '#/$defs/A' }] } },
    $ref: '#/$defs/A',
  })
  t.match(await boot(Endless), {
    message: `${prefix}a schema of it refers to itself for ever: A → B → A`,
  })
})

t.test('the API document names what is referred to', async (t) => {
  const resources = Object.fromEntries(
    CASES.map(({ schema }, index) => [
      `case${index}`,
      defineResource({
        summary: 'Case',
        method: 'POST',
        path: `/${index}`,
        request: Type.Object({ value: schema }),
        response: Type.Object({ value: schema }),
        perform: (input) => input as never,
      }),
    ]),
  )
  const app = await createBareApp(
    t,
    { things: defineModule({ prefix: '/things', resources }) },
    {
      plugin(app) {
        addShared(app)
        app.register(docs, { title: 'x', version: '1.0.0' })
        const schema = { response: { 200: { $ref: 'country#' } } }
        app.after(() => app.get('/plain', { schema }, () => ({ code: 'FR' })))
      },
    },
  )
  const document = (await app.inject('/openapi.json')).json<Document>()
  t.strictSame(Object.keys(document.components.schemas).sort(), [
    'Error',
    'Error2',
    'Expression',
    'ExpressionInput',
    'Node',
    'Node.memberInput',
    'Node2',
    'Node2Input',
    'NodeInput',
    'Not',
    'NotInput',
    'Self',
    'SelfInput',
    'Sum',
    'SumInput',
    'at',
    'atInput',
    'code',
    'country',
    'countryInput',
    'https_example.org_city',
    'https_example.org_cityInput',
    'in',
    'inInput',
    'name',
    'pair',
  ])
  // One schema with the whole document below it: every reference has to lead somewhere.
  const ajv = new Ajv2020({ strict: false, validateSchema: false })
  addFormats.default(ajv)
  ajv.addSchema({ ...document, $id: 'document' })
  for (const [index, { good, bad, more }] of CASES.entries()) {
    const pointer = `document#/paths/${encodeURIComponent(`/things/${index}`).replaceAll('%2F', '~1')}/post`
    const body = ajv.compile({ $ref: `${pointer}/requestBody/content/application~1json/schema` })
    const answer = ajv.compile({
      $ref: `${pointer}/responses/200/content/application~1json/schema`,
    })
    const ok = { result: true, code: 0, message: null, request_id: '1', trace_id: null }
    t.ok(body({ value: good }), ajv.errorsText(body.errors))
    t.ok(answer({ ...ok, data: { value: good } }), ajv.errorsText(answer.errors))
    t.notOk(body({ value: bad[0] }))
    t.notOk(answer({ ...ok, data: { value: bad[0] } }))
    if (more) t.notOk(body({ value: more[0] }), 'closed')
  }
})

t.test('what is nested deeper than can be checked is refused', async (t) => {
  const take = defineResource({
    summary: 'Take',
    method: 'POST',
    request: Node as TSchema,
    perform: () => null,
  })
  const app = await serveThings(t, { take })
  const deep = (depth: number) => {
    let node: object = { id: 1, children: [] }
    for (let i = 1; i < depth; i++) node = { id: 1, children: [node] }
    return node as never
  }
  t.equal(await app.run(() => take(deep(200))), null)
  t.match(await failure(app.run(() => take(deep(40_000)))), {
    code: 'INVALID_REQUEST',
    errors: [{ path: '', message: 'is nested too deeply' }],
  })
  const headers = { 'content-type': 'application/json' }
  const payload = '{"id":1,"children":['.repeat(40_000) + ']}'.repeat(40_000)
  const { statusCode } = await app.inject({ method: 'POST', url: '/things', payload, headers })
  t.equal(statusCode, 400)
})

/** How much code is compiled while `work` runs, by Ajv and fast-json-stringify. */
async function compiled(
  work: () => Promise<unknown>,
): Promise<{ functions: number; characters: number }> {
  const { Function: original } = globalThis
  let [functions, characters] = [0, 0]
  const construct = (target: FunctionConstructor, args: string[]) => {
    functions++
    characters += args.at(-1)?.length ?? 0
    return Reflect.construct(target, args)
  }
  globalThis.Function = new Proxy(original, { construct })
  try {
    await work()
  } finally {
    globalThis.Function = original
  }
  return { functions, characters }
}

t.test('each union in a union costs as much as the one before', async (t) => {
  const cost = (depth: number) => {
    let schema: TSchema = Type.String()
    let value: unknown = 'end'
    for (let i = 0; i < depth; i++) {
      schema = Type.Union([Type.Object({ [`a${i}`]: schema }), Type.Object({ b: Type.Integer() })])
      value = { [`a${i}`]: value }
    }
    return compiled(async () => {
      const { resources, call, same } = everyWay({
        request: Type.Object({ value: schema }),
        response: schema,
        perform: ({ value }) => value,
      })
      const app = await serve(t, { url: undefined }, resources, {})
      t.strictSame(await call(app, { value }), same(value))
    })
  }
  await cost(1)
  const [five, ten, fifteen] = [await cost(5), await cost(10), await cost(15)]
  t.equal(ten.functions - five.functions, fifteen.functions - ten.functions)
  const [first, second] = [ten.characters - five.characters, fifteen.characters - ten.characters]
  t.ok(second < first * 1.25, `${first} characters more, then ${second}`)
})
