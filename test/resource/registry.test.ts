import t from 'tap'
import { Type } from 'typebox'
import { defineModule, type ModuleTable } from '../../src/resource/module.ts'
import { ResourceRegistry } from '../../src/resource/registry.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createBareApp, createService, failure } from '../helpers/app.ts'

const say = (text: string, path = '/') =>
  defineResource({ summary: text, path, response: Type.String(), perform: () => text })

const named = (registry: ResourceRegistry) => Array.from(registry, ({ name }) => name)

t.test('a resource is found by its name and by itself', (t) => {
  const list = say('list')
  const retrieve = say('retrieve')
  const registry = new ResourceRegistry({
    cities: defineModule({ prefix: '/cities', resources: { list } }),
    jobs: defineModule({ expose: false, resources: { retrieve } }),
  })
  t.strictSame(named(registry), ['cities.list', 'jobs.retrieve'])
  t.equal(registry.find('cities.list').resource, list)
  t.equal(registry.of(retrieve).name, 'jobs.retrieve')
  t.ok(registry.has('jobs.retrieve'))
  t.notOk(registry.has('jobs.list'))
  for (const [name, hint] of [
    ['cities.nope', 'cities.list'],
    ['cities', 'cities.list'],
    ['nope.list', 'cities.*, jobs.*'],
    ['toString.x', 'cities.*, jobs.*'],
  ] as const)
    t.throws(() => registry.find(name), {
      code: 'RESOURCE_UNKNOWN',
      message: `There is no resource ${name}; there are ${hint}`,
    })
  t.throws(() => registry.of(say('none')), { code: 'RESOURCE_UNLISTED' })
  t.end()
})

t.test('modules nest: names, paths, settings and types', async (t) => {
  const list = defineResource({
    summary: 'Users',
    request: Type.Object({ page: Type.Optional(Type.Integer()) }),
    response: Type.Array(Type.String()),
    perform: () => ['ann'],
  })
  const users = defineModule({ prefix: '/users', resources: { list } })
  const jobs = defineModule({ expose: false, resources: { clean: say('cleaned') } })
  const admin = defineModule({
    prefix: '/admin',
    tags: ['Admin'],
    security: [{ key: [] }],
    resources: { status: say('well') },
    modules: { users, jobs, open: defineModule({ modules: { x: { ...users, prefix: '/x' } } }) },
  })
  const securitySchemes = { key: { type: 'http', scheme: 'bearer' } } as const
  const { app } = await createService(t, {}, { modules: { admin }, securitySchemes })
  t.strictSame(named(app.registry), ['admin.status', 'admin.users.list', 'admin.jobs.clean'])
  const data = async (url: string) => (await app.inject(url)).json().data
  t.strictSame(await data('/admin/users'), ['ann'])
  t.strictSame(await data('/admin/x'), ['ann'])
  t.equal(await data('/admin'), 'well')
  t.equal((await app.inject('/admin/jobs')).statusCode, 404)
  const { paths } = (await app.inject('/openapi.json')).json()
  t.match(paths['/admin/users'].get, {
    operationId: 'admin.users.list',
    tags: ['Admin'],
    security: [{ key: [] }],
  })
  t.strictSame(await app.resources.admin?.users?.list?.({ page: 1 }), ['ann'])
  t.equal(await app.resources.admin?.jobs?.clean?.(), 'cleaned')
})

t.test('a module within another says what is its own', async (t) => {
  const inner = (more: object) =>
    defineModule({ prefix: '/in', resources: { one: say('one') }, ...more })
  const read = (more: object) => {
    const registry = new ResourceRegistry(
      {
        out: defineModule({
          prefix: '/out',
          tags: ['Out'],
          async: true,
          expose: false,
          modules: { in: inner(more) },
        }),
      },
      { async: false },
    )
    const [{ path, exposed, module } = {} as never] = registry.listings()
    const { tags, async } = module
    return { path, exposed, tags, async }
  }
  t.strictSame(read({}), { path: '/out/in', exposed: false, tags: ['Out'], async: true })
  t.strictSame(read({ tags: ['In'], async: false, expose: true }), {
    path: '/out/in',
    exposed: true,
    tags: ['In'],
    async: false,
  })
  t.end()
})

t.test('each nested module is a context inside the one around it', async (t) => {
  const where = () =>
    defineResource({
      summary: 'Where',
      response: Type.Array(Type.String()),
      perform: (_, { app }) => [app.prefix],
    })
  const app = await createBareApp(t, {
    a: defineModule({
      prefix: '/a',
      resources: { where: where() },
      modules: { b: defineModule({ prefix: '/b', resources: { where: where() } }) },
    }),
  })
  t.strictSame((await app.inject('/a')).json().data, ['/a'])
  t.strictSame((await app.inject('/a/b')).json().data, ['/a/b'])
  const text = { 'content-type': 'text/plain' }
  const headers = { ...text, 'content-length': '1' }
  t.equal((await app.inject({ url: '/a/b', headers, method: 'GET', payload: 'x' })).statusCode, 200)
})

t.test('a resource in two modules has one identity, and routes in both', async (t) => {
  let runs = 0
  const list = defineResource({
    summary: 'List',
    response: Type.Integer(),
    cache: { ttl: 60_000 },
    perform: () => ++runs,
  })
  const modules = {
    v1: defineModule({ prefix: '/v1', resources: { list } }),
    v2: defineModule({
      prefix: '/v2',
      tags: ['New'],
      resources: { list, all: say('all', '/all') },
    }),
  }
  const { app } = await createService(t, {}, { modules })
  t.strictSame(named(app.registry), ['v1.list', 'v2.all'])
  t.equal(app.registry.find('v2.list').name, 'v1.list')
  t.equal((await app.inject('/v1')).json().data, 1)
  t.equal((await app.inject('/v2')).json().data, 1, 'one entry in the cache')
  t.equal(await app.resources.v2?.list?.(), 1)
  await app.resources.v2?.list?.invalidate()
  t.equal((await app.inject('/v1')).json().data, 2)
  const task = await app.resources.v2?.list?.enqueue()
  t.equal((await app.tasks.find(task?.task_id ?? '')).data.resource, 'v1.list')
  const { paths } = (await app.inject('/openapi.json')).json()
  t.equal(paths['/v1'].get.operationId, 'v1.list')
  t.equal(paths['/v2'].get.operationId, 'v2.list')
  t.strictSame(paths['/v2'].get.tags, ['New'])
})

t.test('what cannot be is refused when the registry is made', async (t) => {
  const one = say('one')
  const a = defineModule({ prefix: '/a', resources: { one } })
  const cases: [ModuleTable, string, string][] = [
    [{ a, b: { ...a } }, 'b.one', 'a.one is served at GET /a already'],
    [
      { a, b: defineModule({ modules: { c: { prefix: '/a/', resources: { two: say('two') } } } }) },
      'b.c.two',
      'a.one is served at GET /a/ already',
    ],
    [
      { a: { resources: { one } } },
      'a.one',
      "its module has no prefix; give it one, '' for none, or say expose: false",
    ],
    [{ a: { prefix: 'a', resources: { one } } }, 'a.*', 'its prefix a does not begin with /'],
    [
      { a: { prefix: '/a', resources: { one }, modules: { one: a } } },
      'a.one',
      'a module beside it is called so, too',
    ],
    [{ 'a.b': a }, 'a.b', 'a name has no dot, comma or space, got "a.b"'],
    [
      { a: { prefix: '/a', resources: { 'o ne': one } } },
      'a.o ne',
      'a name has no dot, comma or space, got "o ne"',
    ],
    [{ '': a }, '', 'a name has no dot, comma or space, got ""'],
  ]
  for (const [modules, name, problem] of cases)
    t.match(await failure(createBareApp(t, modules)), {
      code: 'RESOURCE_INVALID',
      message: `The resource ${name} cannot be served: ${problem}`,
    })
  for (const [modules, place] of [
    [{ a: null }, 'modules.a'],
    [{ a: { modules: { b: 1 } } }, 'modules.a.modules.b'],
    [{ a: { resources: 1 } }, 'modules.a'],
  ])
    t.match(await failure(createBareApp(t, modules as never)), {
      code: 'PLUGIN_OPTION_INVALID',
      message: new RegExp(` ${place} `),
    })
})

t.test('a prefix with parameters: they are part of each request', async (t) => {
  const Place = Type.Object({ code: Type.String(), year: Type.Integer(), id: Type.Integer() })
  const retrieve = defineResource({
    summary: 'One',
    path: '/:id',
    request: Place,
    response: Place,
    perform: (place) => place,
  })
  const add = defineResource({
    summary: 'Add',
    method: 'POST',
    request: Type.Object({ ...Place.properties, name: Type.String() }),
    response: Type.Array(Type.Unknown()),
    perform: ({ code, year, id, name }) => [code, year, id, name],
  })
  const list = defineResource({
    summary: 'List',
    request: Type.Pick(Place, ['code', 'year']),
    response: Type.Array(Place),
    perform: async ({ code, year }) => [await retrieve({ code, year, id: 1 })],
  })
  const cities = defineModule({ prefix: '/cities', resources: { retrieve, add, list } })
  const years = defineModule({ prefix: '/:year', modules: { cities } })
  const modules = { countries: defineModule({ prefix: '/countries/:code', modules: { years } }) }
  const { app } = await createService(t, {}, { modules })
  const data = async (method: 'GET' | 'POST', url: string, payload?: object) =>
    (await app.inject({ method, url, ...(payload && { payload }) })).json().data
  t.strictSame(await data('GET', '/countries/FR/2020/cities/5'), { code: 'FR', year: 2020, id: 5 })
  t.strictSame(await data('GET', '/countries/FR/2020/cities'), [{ code: 'FR', year: 2020, id: 1 }])
  t.strictSame(await data('POST', '/countries/FR/2020/cities', { id: 2, name: 'Paris' }), [
    'FR',
    2020,
    2,
    'Paris',
  ])
  t.strictSame(await app.run(() => retrieve({ code: 'DE', year: 1, id: 2 })), {
    code: 'DE',
    year: 1,
    id: 2,
  })
  const bad = await app.inject('/countries/FR/now/cities/5')
  t.match(bad.json(), { code: 'INVALID_REQUEST', errors: [{ path: '/year' }] })
  const twice = await app.inject('/countries/FR/2020/cities/5?code=DE')
  t.equal(twice.statusCode, 400, 'it comes from its own place only')
  const { paths } = (await app.inject('/openapi.json')).json()
  t.strictSame(
    paths['/countries/{code}/{year}/cities/{id}'].get.parameters.map(
      (one: { name: string; in: string }) => [one.name, one.in],
    ),
    [
      ['code', 'path'],
      ['year', 'path'],
      ['id', 'path'],
    ],
  )
  const lacks = defineModule({ prefix: '/countries/:code', resources: { say: say('x') } })
  t.match(await failure(createBareApp(t, { lacks })), {
    code: 'RESOURCE_INVALID',
    message:
      'The resource lacks.say cannot be served: /countries/:code/ has code, its request schema has not; list it: code: Type.String()',
  })
})
