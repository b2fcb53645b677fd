import Fastify from 'fastify'
import t from 'tap'
import { Type } from 'typebox'
import resources from '../../plugins/resources.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { chain } from '../../src/resource/task-plan.ts'
import { createBareApp, createService, failure } from '../helpers/app.ts'

const City = Type.Object({ id: Type.Integer() })
const retrieve = defineResource({
  summary: 'One',
  path: '/:id',
  request: City,
  response: City,
  perform: ({ id }) => ({ id, extra: 1 }) as never,
})
const create = defineResource({ ...retrieve.definition, method: 'POST', path: '/' })
const cities = defineModule({ prefix: '/cities', resources: { retrieve, create } })

t.test('works alone: envelope, errors and strict JSON for its own routes', async (t) => {
  const app = Fastify({ genReqId: () => 'r-1' })
  t.teardown(() => app.close())
  app.register(resources, { modules: { cities } })
  app.post('/mine', async ({ body }) => ({ body }))
  const bad = await app.inject('/cities/x')
  t.match(bad.json(), { result: false, code: 'INVALID_REQUEST', request_id: 'r-1' })
  t.equal(bad.headers['x-request-id'], 'r-1')
  const headers = { 'content-type': 'text/plain' }
  const text = await app.inject({ method: 'POST', url: '/cities', headers, payload: 'x' })
  t.equal(text.statusCode, 415)
  const own = await app.inject({ method: 'POST', url: '/mine', headers, payload: 'x' })
  t.strictSame(own.json(), { body: 'x' }, 'routes of others are left alone')
  t.match((await app.inject('/nope')).json(), { error: 'Not Found' })
})

t.test('is strict unless NODE_ENV is production', async (t) => {
  const { NODE_ENV } = process.env
  t.teardown(() => {
    process.env.NODE_ENV = NODE_ENV ?? ''
    if (NODE_ENV === undefined) delete process.env.NODE_ENV
  })
  for (const [mode, status] of [
    ['development', 500],
    ['test', 500],
    ['production', 200],
  ] as const) {
    process.env.NODE_ENV = mode
    const app = Fastify()
    t.teardown(() => app.close())
    app.register(resources, { modules: { cities } })
    t.equal((await app.inject('/cities/1')).statusCode, status, mode)
  }
})

t.test(
  'in an app of its own the router ends parameters: it is told where a schema takes longer ones',
  async (t) => {
    const request = Type.Object({ id: Type.String({ maxLength: 150 }), part: Type.String() })
    const read = defineResource({
      summary: 'Read',
      path: '/:id/:part',
      request,
      response: request,
      perform: (request) => request,
    })
    const modules = { books: defineModule({ prefix: '/books', resources: { read } }) }
    const url = `/books/${'x'.repeat(150)}/y`
    const warned: string[] = []
    const stream = { write: (line: string) => void warned.push(JSON.parse(line).msg) }
    const logger = { level: 'warn', stream }
    const short = await createBareApp(t, modules, { server: { logger } })
    t.equal((await short.inject(url)).statusCode, 414)
    t.strictSame(warned.splice(0), [
      '/books/:id/:part: id may have 150 characters, and the router takes 100; raise it: Fastify({ routerOptions: { maxParamLength: 150 } })',
    ])
    const long = await createBareApp(t, modules, {
      server: { logger, routerOptions: { maxParamLength: 150 } },
    })
    t.equal((await long.inject(url)).statusCode, 200)
    t.strictSame(warned, [])
  },
)

t.test('its resources are those of the modules', async (t) => {
  const app = await createBareApp(t, { cities })
  t.equal(app.resources.cities?.retrieve?.definition, retrieve.definition)
  t.equal(app.resources.cities?.retrieve?.request, retrieve.request)
})

t.test('each module is a context of its own', async (t) => {
  const seen: string[] = []
  const probe = (name: string) =>
    defineResource({
      summary: name,
      perform: (_, { app }) => {
        seen.push(app.prefix)
        return null
      },
    })
  const app = await createBareApp(t, {
    a: defineModule({ prefix: '/a', resources: { probe: probe('a') } }),
    b: defineModule({ prefix: '/b', resources: { probe: probe('b') } }),
  })
  await app.inject('/a')
  await app.inject('/b')
  t.strictSame(seen, ['/a', '/b'])
})

t.test('serves below the prefix that it is registered with', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(
    async (scope) => {
      scope.register(resources, { modules: { cities }, strict: false })
    },
    { prefix: '/v1' },
  )
  t.strictSame((await app.inject('/v1/cities/3')).json().data, { id: 3 })
})

const Hidden = { summary: 'Hidden', path: '/hidden', response: Type.String() } as const

t.test('what is not exposed has no route, and is called like any other', async (t) => {
  const hidden = defineResource({ ...Hidden, expose: false, perform: () => 'hidden' })
  const shown = defineResource({
    summary: 'Shown',
    expose: true,
    response: Type.String(),
    perform: () => hidden(),
  })
  const nightly = defineResource({
    summary: 'Nightly',
    // Neither could be served.
    request: Type.Array(Type.Integer()),
    path: '/:nothing',
    schedule: { cron: '0 3 * * *', input: [1, 2] },
    response: Type.Integer(),
    perform: (numbers) => numbers.length,
  })
  const modules = {
    things: defineModule({ prefix: '/things', resources: { hidden } }),
    jobs: defineModule({ prefix: '/jobs', expose: false, resources: { nightly, shown } }),
  }
  const { app } = await createService(t, {}, { modules })
  for (const method of ['GET', 'POST'] as const)
    for (const url of ['/things/hidden', '/things', '/jobs/1'])
      t.equal((await app.inject({ method, url })).statusCode, 404, `${method} ${url}`)
  t.equal((await app.inject('/jobs')).json().data, 'hidden')
  const { paths } = (await app.inject('/openapi.json')).json()
  t.strictSame(
    Object.keys(paths).filter((path) => !/tasks|ping|healthz|readyz/.test(path)),
    ['/jobs'],
  )
  t.equal(await app.resources.things?.hidden?.(), 'hidden')
  t.equal(await (await app.run(() => hidden.enqueue())).result(), 'hidden')
  t.equal(await app.tasks.result(await (await app.tasks.schedules()).runNow('jobs.nightly')), 2)
})

t.test('its cache is checked all the same, its path takes nothing away', async (t) => {
  const hidden = defineResource({ ...Hidden, expose: false, perform: () => 'hidden' })
  const shown = defineResource({ ...Hidden, perform: () => 'shown' })
  const app = await createBareApp(t, {
    things: defineModule({ prefix: '/things', resources: { hidden, shown } }),
  })
  t.equal((await app.inject('/things/hidden')).json().data, 'shown')
  const bad = defineResource({ ...hidden.definition, cache: { ttl: 0 } })
  const things = defineModule({ prefix: '/things', resources: { bad } })
  t.match(await failure(createBareApp(t, { things })), {
    code: 'RESOURCE_INVALID',
    message: /^The resource things\.bad .* ttl is 0/,
  })
})

t.test('a resource in no module is refused, however it is called', async (t) => {
  const cached = { response: Type.String(), cache: { ttl: 3_600_000 } }
  // To what is found by its summary they would be one.
  const one = defineResource({ summary: 'Same', ...cached, perform: () => 'one' })
  const two = defineResource({ summary: 'Same', ...cached, perform: () => 'two' })
  const { app } = await createService(t, {})
  const calls: (() => Promise<unknown>)[] = [
    () => one(),
    () => two(),
    () => one.refresh(),
    () => one.cacheless(),
    () => one.invalidate(),
    () => one.enqueue(),
    () => chain(one.task()),
  ]
  for (const call of calls)
    t.match(await failure(app.run(call)), {
      code: 'RESOURCE_UNLISTED',
      message: /^The resource "Same" is in no module of this app/,
    })
  t.match(await failure(app.run(() => one.bulk([{}, {}]))), { code: 'RESOURCE_UNLISTED' })
  t.strictSame(await (await app.tasks.driver()).queues(), [])
  const known = await createService(t, {
    one,
    two: defineResource({ ...two.definition, path: '/two' }),
  })
  const answers = ['/things', '/things/two', '/things', '/things/two'].map(
    async (url) => (await known.app.inject(url)).json().data,
  )
  t.strictSame(
    await Promise.all(answers),
    ['one', 'two', 'one', 'two'],
    'equal summaries are no matter',
  )
})
