import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import Fastify, { type FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import docs from '../../plugins/docs.ts'
import resources from '../../plugins/resources.ts'
import tasks from '../../plugins/tasks.ts'
import { type EnvelopeName, envelopes } from '../../src/http/envelope.ts'
import type { ResponseObject } from '../../src/openapi/types.ts'
import { defineApi } from '../../src/remote/api.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { differences, follow, type Listed, readOperations } from './contract.ts'
import { createFixture } from './fixture.ts'

async function readFixture(
  t: Test,
  settings: { envelope?: EnvelopeName; options?: FastifyServerOptions; database?: boolean } = {},
) {
  const app = createFixture(settings.envelope ?? 'standard', settings.options)
  if (settings.database) app.decorate('db', undefined as never)
  t.teardown(() => app.close())
  const { document, operations } = await readOperations(app)
  const byId = new Map(operations.map((listed) => [listed.operation.operationId, listed]))
  return { document, operations, byId }
}

t.test('says what the service is and lists each operation once, by its name', async (t) => {
  const { document, operations } = await readFixture(t)
  t.equal(document.openapi, '3.1.1')
  t.strictSame(document.info, {
    title: 'Cities & more',
    version: '1.2.3',
    description: 'What *is* where.',
  })
  t.strictSame(document.tags, [{ name: 'Cities' }, { name: 'Health' }])
  t.strictSame(
    operations.map(({ path, method, operation }) => `${operation.operationId} ${method} ${path}`),
    [
      'plinth.health.ping get /ping',
      'plinth.health.alive get /healthz',
      'plinth.health.ready get /readyz',
      'cities.list get /cities',
      'cities.create post /cities',
      'cities.retrieve get /cities/{id}',
      'cities.replace put /cities/{id}',
      'cities.change patch /cities/{id}',
      'cities.remove delete /cities/{id}',
      'cities.createMany post /cities/bulk',
      'cities.motto get /cities/motto',
      'cities.fail get /cities/fail',
    ],
  )
})

t.test('holds together: references, path parameters, schemas and their examples', async (t) => {
  const { document, operations } = await readFixture(t)
  const text = JSON.stringify(document)
  for (const [, $ref] of text.matchAll(/"\$ref":"([^"]+)"/g)) {
    t.ok(follow(document, { $ref: $ref as string }))
  }
  const ajv = new Ajv2020({ strict: false })
  addFormats.default(ajv)
  for (const { path, operation } of operations) {
    const { parameters = [], requestBody, responses } = operation
    const inPath = parameters.filter((parameter) => parameter.in === 'path')
    t.strictSame(
      inPath.map(({ name }) => `{${name}}`),
      path.match(/\{\w+\}/g) ?? [],
      path,
    )
    const bodies = [requestBody, ...Object.values(responses).map((one) => follow(document, one))]
    const media = bodies.flatMap((one) => Object.values(one?.content ?? {}))
    for (const { schema, example } of [...media, ...parameters]) {
      const validate = ajv.compile(follow(document, schema as { $ref: string }))
      if (example !== undefined) t.ok(validate(example), ajv.errorsText(validate.errors))
    }
  }
})

t.test('describes a conditional read in full', async (t) => {
  const { byId } = await readFixture(t)
  const header = (name: string, description: string) => ({
    name,
    in: 'header',
    description,
    schema: { type: 'string' },
  })
  const { responses, parameters } = byId.get('cities.retrieve')?.operation ?? {}
  t.strictSame(parameters, [
    {
      name: 'id',
      in: 'path',
      required: true,
      description: 'Its number',
      schema: { type: 'integer', minimum: 1 },
      example: 1,
    },
    header('If-Match', 'Only if it has one of these entity tags'),
    header('If-None-Match', 'Only if it has none of these entity tags'),
    header('If-Unmodified-Since', 'Only if it has not changed since this HTTP date'),
    header('If-Modified-Since', 'Only if it has changed since this HTTP date'),
  ])
  const text = (description: string) => ({ description, schema: { type: 'string' } })
  const headers = {
    ETag: text('The entity tag of what was read'),
    'Last-Modified': text('When it was last changed, an HTTP date'),
    'Cache-Control': text('That it must be asked for again each time'),
    'X-Request-Id': { $ref: '#/components/headers/RequestId' },
  }
  const success = responses?.[200] as { headers: object; content: object }
  t.strictSame(success.headers, headers)
  t.match(success.content, {
    'application/json': {
      schema: { properties: { data: { properties: { id: { type: 'integer', minimum: 1 } } } } },
      example: { result: true, code: 0, data: { id: 1, name: 'Paris' }, message: null },
    },
  })
  t.strictSame(responses?.[304], { description: 'It is as the client knows it', headers })
  t.strictSame(responses?.[404], { $ref: '#/components/responses/NotFound' })
})

t.test('lists the statuses that an operation can answer, and no other', async (t) => {
  const deadline = { options: { handlerTimeout: 1000 }, database: true }
  for (const [settings, own] of [
    [{}, []],
    [deadline, ['503', '504']],
  ] as const) {
    const { byId } = await readFixture(t, settings)
    const statuses = (id: string) => Object.keys(byId.get(id)?.operation.responses ?? {})
    const failing = ['500', ...own, 'default']
    t.strictSame(statuses('plinth.health.ping'), ['200', 'default'])
    t.strictSame(statuses('plinth.health.ready'), ['200', '503', 'default'])
    t.strictSame(statuses('cities.list'), ['200', '400', ...failing])
    t.strictSame(statuses('cities.retrieve'), ['200', '304', '400', '404', '412', ...failing])
    t.strictSame(statuses('cities.create'), ['201', '400', '413', '415', ...failing])
    t.strictSame(statuses('cities.replace'), [
      ...['200', '400', '404', '412', '413', '415'],
      ...failing,
    ])
    t.strictSame(statuses('cities.remove'), ['200', '400', '404', ...failing])
  }
})

t.test('several failures of one status are told by their codes', async (t) => {
  const app = createFixture('standard')
  app.decorate('db', undefined as never)
  app.decorate('pressures', new Map())
  t.teardown(() => app.close())
  const { document, operations } = await readOperations(app)
  const list = operations.find(({ operation }) => operation.operationId === 'cities.list')
  const busy = follow(document, list?.operation.responses[503] as { $ref: string })
  t.match(busy, {
    description: /^- `OVERLOADED`: .*Retry-After.*\n- `DATABASE_BUSY`: .*$/,
    content: {
      'application/json': {
        examples: {
          OVERLOADED: { value: { result: false, code: 'OVERLOADED', data: null } },
          DATABASE_BUSY: { value: { result: false, code: 'DATABASE_BUSY' } },
        },
      },
    },
  })
})

t.test('where other systems are called, what they may do is told', async (t) => {
  const get = defineApi({ name: 'billing', baseUrl: 'http://127.0.0.1:1' }).resource({
    summary: 'An invoice',
    path: '/',
  })
  const show = defineResource({ summary: 'Show', timeout: 5000, perform: () => get() })
  const app = Fastify()
  app.register(docs, { title: 'x', version: '1' })
  const invoices = defineModule({ prefix: '/invoices', resources: { get, show } })
  app.register(resources, { modules: { invoices } })
  t.teardown(() => app.close())
  const { document, operations } = await readOperations(app)
  t.strictSame(
    operations.map(({ operation }) => operation.operationId),
    ['invoices.show'],
  )
  const { responses = {} } = operations[0]?.operation ?? {}
  t.strictSame(Object.keys(responses), ['200', '400', '500', '502', '503', '504'])
  const codes = (status: number) => {
    const { description } = follow(document, responses[status] as ResponseObject)
    return Array.from(description.matchAll(/`([A-Z_]+)`/g), ([, code]) => code)
  }
  t.strictSame(codes(502), ['UPSTREAM_REFUSED', 'UPSTREAM_INVALID'])
  t.strictSame(codes(504), ['DEADLINE_EXCEEDED', 'UPSTREAM_TIMEOUT'])
  t.match(follow(document, responses[503] as { $ref: string }), {
    content: { 'application/json': { example: { code: 'UPSTREAM_UNAVAILABLE' } } },
  })
})

t.test('divides a request over path, query and body', async (t) => {
  const { byId } = await readFixture(t)
  const { parameters = [], requestBody } = byId.get('cities.replace')?.operation ?? {}
  t.strictSame(
    parameters.map((parameter) => [parameter.in, parameter.name, parameter.example]),
    [
      ['query', 'notify', true],
      ['path', 'id', 1],
      ['header', 'If-Match', undefined],
      ['header', 'If-None-Match', undefined],
    ],
  )
  const media = requestBody?.content['application/json']
  t.strictSame(media?.example, { name: 'Paris', country: 'FR', elevation: 35 })
  t.strictSame(Object.keys(media?.schema.properties ?? {}), ['name', 'country', 'elevation'])
  t.equal(requestBody?.required, true)
  t.equal(byId.get('cities.change')?.operation.requestBody?.required, false)
})

t.test('what has a default may be left out', async (t) => {
  const settings = Type.Object({ page: Type.Integer({ default: 1 }), order: Type.String() })
  const inner = Type.Object({ settings })
  const app = Fastify()
  app.register(docs, { title: 'x', version: '1' })
  const search = defineResource({
    summary: 'Search',
    method: 'POST',
    request: Type.Object({ ...inner.properties, limit: Type.Integer({ default: 9 }) }),
    query: ['limit'],
    perform: () => null,
  })
  app.register(resources, {
    modules: { all: defineModule({ prefix: '/', resources: { search } }) },
  })
  t.teardown(() => app.close())
  const { operations } = await readOperations(app)
  const { parameters, requestBody } = operations[0]?.operation ?? {}
  t.match(parameters, [{ name: 'limit', required: false }])
  t.match(requestBody?.content['application/json']?.schema, {
    required: ['settings'],
    properties: { settings: { required: ['order'] } },
  })
})

t.test('with problem details errors have their media type and bodies are bare', async (t) => {
  const { document, byId } = await readFixture(t, { envelope: 'problem' })
  const { responses = {} } = byId.get('cities.remove')?.operation ?? {}
  t.match(responses[200], { content: { 'application/json': { schema: { type: 'null' } } } })
  t.strictSame(follow(document, responses[404] as { $ref: string }), {
    description: 'There is no such thing',
    headers: { 'X-Request-Id': { $ref: '#/components/headers/RequestId' } },
    content: {
      'application/problem+json': {
        schema: { $ref: '#/components/schemas/Error' },
        example: {
          type: 'about:blank',
          title: 'NOT_FOUND',
          status: 404,
          detail: 'There is no thing 4711',
          instance: '/example',
          request_id: '0b0e6c2a-7a0f-4a55-9d1b-2f6f6d0c8e51',
        },
      },
    },
  })
})

for (const envelope of ['standard', 'problem'] satisfies EnvelopeName[]) {
  t.test(`${envelope}: a call that may become a task is answered as documented`, async (t) => {
    const sum = {
      summary: 'Sum',
      method: 'POST',
      request: Type.Object({ a: Type.Integer() }),
      response: Type.Object({ sum: Type.Integer() }),
      perform: ({ a }: { a: number }) => ({ sum: a }),
    } as const
    const app = Fastify()
    app.decorate('envelope', envelopes[envelope])
    app.register(docs, { title: 'x', version: '1' })
    app.register(tasks)
    const once = defineResource({ ...sum, async: true })
    const created = defineResource({ ...sum, async: true, path: '/created', status: 201 })
    const never = defineResource({ ...sum, path: '/never' })
    const all = defineModule({ prefix: '/all', resources: { once, created, never } })
    app.register(resources, { modules: { all } })
    t.teardown(() => app.close())
    const { document, operations } = await readOperations(app)
    const find = (id: string) =>
      operations.find(({ operation }) => operation.operationId === id) as Listed
    const [header] = find('all.once').operation.parameters ?? []
    t.match(header, { name: 'X-Async-Task', in: 'header', schema: { type: 'string' } })
    t.equal(find('all.never').operation.parameters, undefined)
    for (const [id, url, status] of [
      ['all.once', '/all', 200],
      ['all.created', '/all/created', 201],
    ] as const) {
      for (const headers of [{}, { 'x-async-task': '1' }]) {
        const response = await app.inject({ method: 'POST', url, headers, payload: { a: 1 } })
        t.equal(response.statusCode, 'x-async-task' in headers ? 200 : status)
        t.strictSame(differences(document, find(id), response), [])
      }
    }
  })
}

t.test('the errors that a resource declares are told by their status', async (t) => {
  const { byId } = await readFixture(t)
  const { responses } = byId.get('cities.fail')?.operation ?? {}
  t.match(responses?.[409], {
    description: '`CITY_LOST`, `CONFLICT`',
    content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
  })
})
