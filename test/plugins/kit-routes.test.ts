import Fastify from 'fastify'
import t from 'tap'
import { Type } from 'typebox'
import docs from '../../plugins/docs.ts'
import health from '../../plugins/health.ts'
import tasks from '../../plugins/tasks.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createService, failure } from '../helpers/app.ts'
import { redisUrl } from '../helpers/drivers.ts'

const say = (text: string, definition: object = {}) =>
  defineResource({ summary: text, response: Type.String(), perform: () => text, ...definition })

const KIT = [
  '/ping',
  '/healthz',
  '/readyz',
  '/openapi.json',
  '/docs',
  '/docs/scalar.js',
  '/contract.json',
]

t.test('the routes of the kit move', async (t) => {
  const { app } = await createService(
    t,
    { say: say('hi') },
    {
      routes: {
        ping: '/_/ping',
        healthz: '/_/live',
        readyz: '/_/ready',
        tasks: '/jobs',
        docs: '/_/reference',
        openapi: '/_/api.json',
        contract: '/_/contract.json',
        queues: '/_/board',
      },
      variables: { REDIS_URL: redisUrl() },
    },
  )
  for (const url of [...KIT, '/_/queues', '/tasks/x'])
    t.equal((await app.inject(url)).statusCode, 404, url)
  t.equal((await app.inject('/_/ping')).json().data, 'pong')
  t.strictSame((await app.inject('/_/live')).json().data, { healthy: true })
  t.equal((await app.inject('/_/ready')).json().data.ready, true)
  t.equal((await app.inject('/_/board')).statusCode, 200)
  const task = await app.resources.things?.say?.enqueue()
  t.match((await app.inject(`/jobs/${task?.task_id}`)).json().data, { task_id: task?.task_id })
  const page = await app.inject('/_/reference')
  t.match(page.body, '<script src="/_/reference/scalar.js">')
  t.match(page.body, '{&quot;url&quot;:&quot;/_/api.json&quot;')
  t.match(await app.inject('/_/reference/scalar.js'), { statusCode: 200 })
  t.match((await app.inject('/_/contract.json')).json(), { contract: 1, tasks: '/jobs' })
  t.match(Object.keys((await app.inject('/_/api.json')).json().paths), [
    '/_/ping',
    '/_/live',
    '/_/ready',
    '/jobs/{id}',
  ])
})

t.test('or are left out, one by one', async (t) => {
  const off = { ping: false, healthz: false, readyz: false, tasks: false } as const
  const routes = { ...off, docs: false, contract: false } as const
  const { app } = await createService(t, { say: say('hi') }, { routes })
  for (const url of KIT.filter((url) => url !== '/openapi.json'))
    t.equal((await app.inject(url)).statusCode, 404, url)
  t.strictSame(Object.keys((await app.inject('/openapi.json')).json().paths), ['/things'])
  const task = await app.resources.things?.say?.enqueue()
  t.equal(await task?.result(), 'hi', 'tasks are there all the same')
  const none = await createService(t, {}, { routes: { openapi: false, queues: false } })
  t.equal((await none.app.inject('/docs')).statusCode, 404)
  t.equal((await none.app.inject('/openapi.json')).statusCode, 404)
})

t.test('a path that is none is told', async (t) => {
  for (const [path, got] of [
    ['jobs', 'another text'],
    ['/jobs/', 'another text'],
    ['/jobs/:id', 'another text'],
    ['/', 'another text'],
    ['', 'empty'],
    [true, 'true'],
  ])
    t.match(await failure(createService(t, {}, { routes: { tasks: path as string } })), {
      code: 'PLUGIN_OPTION_INVALID',
      message: new RegExp(`path is ${got}, expected a path, '/jobs', or false`),
    })
})

t.test('a key that nothing reads is told, with those that there are', async (t) => {
  const noop = async () => {}
  const inner = defineModule({ prefix: '/in', resources: {}, hooks: { onReques: noop } as object })
  for (const [definition, place, key, known] of [
    [
      { routes: { pingg: false } },
      'routes of defineService',
      'pingg',
      /of ping, healthz, .*queues$/,
    ],
    [{ queues: { protec: noop } }, 'queues of defineService', 'protec', /of protect$/],
    [
      { limits: { mail: { maximum: 1 } } },
      'limits.mail of defineService',
      'maximum',
      /of max, duration, concurrency$/,
    ],
    [{ desription: 'x' }, 'defineService', 'desription', /of name, version, description, /],
    [{ modules: { a: { prefx: '/a', resources: {} } } }, 'The module a', 'prefx', /of prefix, /],
    [
      { modules: { a: defineModule({ modules: { inner } }) } },
      'hooks of the module a.inner',
      'onReques',
      /of onRequest, /,
    ],
  ] as const) {
    const { code, message } = await failure(createService(t, {}, definition as object))
    t.equal(code, 'SERVICE_INVALID', key)
    t.ok(message.startsWith(`${place} has ${key}, which nothing reads; expected one `), message)
    t.match(message, known)
  }
})

const NAMES = ['retrieve', 'cancel'] as const
const createTasksModule = (prefix: string) =>
  defineModule({
    prefix,
    resources: Object.fromEntries(
      NAMES.map((name) => {
        const method = name === 'cancel' ? 'DELETE' : 'GET'
        const request = Type.Object({ key: Type.String() })
        return [name, say(name, { method, path: '/:key', request })]
      }),
    ),
  })

t.test('a module at the place of a route of the kit is told how to move one of them', async (t) => {
  const modules = { tasks: createTasksModule('/tasks') }
  t.match(await failure(createService(t, {}, { modules })), {
    code: 'RESOURCE_INVALID',
    message:
      "The resource tasks.retrieve cannot be served: the app has GET /tasks/:key already; give its module another prefix, or move what is there: a route of the kit with routes of defineService, { tasks: '/jobs' }",
  })
  const docs = defineModule({ prefix: '/docs', resources: { read: say('read') } })
  t.match(await failure(createService(t, {}, { modules: { docs } })), {
    code: 'RESOURCE_INVALID',
    message: /docs\.read .* the app has GET \/docs already/,
  })
  const { app } = await createService(t, {}, { modules: { docs }, routes: { docs: false } })
  t.equal((await app.inject('/docs')).json().data, 'read')
})

t.test('modules with the names of the kit: neither names nor operations are one', async (t) => {
  const health = defineModule({ prefix: '/health', resources: { ping: say('mine') } })
  const modules = { tasks: createTasksModule('/tasks'), health }
  const { app } = await createService(t, {}, { modules, routes: { tasks: '/jobs' } })
  t.equal((await app.inject('/tasks/1')).json().data, 'retrieve')
  t.equal((await app.inject('/health')).json().data, 'mine')
  t.equal((await app.inject('/jobs/1')).statusCode, 404)
  const { paths } = (await app.inject('/openapi.json')).json()
  const operations = Object.values(paths as Record<string, Record<string, { operationId: string }>>)
  const ids = operations.flatMap((path) => Object.values(path).map((one) => one.operationId))
  t.strictSame(ids.toSorted(), [
    'health.ping',
    'plinth.health.alive',
    'plinth.health.ping',
    'plinth.health.ready',
    'plinth.tasks.cancel',
    'plinth.tasks.retrieve',
    'tasks.cancel',
    'tasks.retrieve',
  ])
  const plinth = defineModule({ prefix: '/x', resources: { x: say('x') } })
  t.match(await failure(createService(t, {}, { modules: { plinth } })), {
    code: 'RESOURCE_INVALID',
    message: /plinth\.\* .* that name is for the kit itself/,
  })
})

t.test('in an app of its own each plugin says where it is', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(docs, { title: 'x', version: '1', document: '/api.json', page: '/reference' })
  await app.register(health, { ping: '/up', readyz: false })
  await app.register(tasks, { path: '/jobs' })
  t.equal((await app.inject('/up')).json().data, 'pong')
  t.equal((await app.inject('/readyz')).statusCode, 404)
  t.match((await app.inject('/jobs/none')).json(), { code: 'TASK_NOT_FOUND' })
  t.equal((await app.inject('/reference')).statusCode, 200)
  t.equal((await app.inject('/api.json')).json().openapi, '3.1.1')
})
