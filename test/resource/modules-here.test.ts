import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { Type } from 'typebox'
import { defineModule, type ModuleTable } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createBareApp, createService, failure } from '../helpers/app.ts'
import { redisUrl } from '../helpers/drivers.ts'

const count = (definition: object = {}) =>
  defineResource({ summary: 'Count', response: Type.Integer(), perform: () => 1, ...definition })

/** Two modules and one within another; each has a schedule. */
function createModules() {
  const schedule = '0 3 1 1 *'
  const users = defineModule({ prefix: '/users', resources: { count: count({ schedule }) } })
  return {
    cities: defineModule({ prefix: '/cities', resources: { count: count({ schedule }) } }),
    countries: defineModule({
      prefix: '/countries',
      queue: 'countries',
      resources: { count: count({ schedule }) },
    }),
    admin: defineModule({
      prefix: '/admin',
      queue: 'admin',
      resources: { count: count({ task: { queue: 'heavy' } }) },
      modules: { users },
    }),
  }
}

const URLS = ['/cities', '/countries', '/admin', '/admin/users']

async function see(t: Parameters<typeof createService>[0], PLINTH_MODULES?: string) {
  const variables = { ...(PLINTH_MODULES !== undefined && { PLINTH_MODULES }) }
  const { app } = await createService(t, {}, { modules: createModules(), variables })
  const served = await Promise.all(
    URLS.map(async (url) => ((await app.inject(url)).statusCode === 200 ? [url] : [])),
  )
  const schedules = await (await app.tasks.schedules()).list()
  const { paths } = (await app.inject('/openapi.json')).json()
  t.strictSame(
    Object.keys(paths).filter((path) => URLS.includes(path)),
    served.flat(),
    'the document follows',
  )
  return {
    served: served.flat(),
    schedules: schedules.map(({ name }) => name),
    queues: [...app.tasks.ownQueues],
  }
}

const ALL = {
  served: URLS,
  schedules: ['cities.count', 'countries.count', 'admin.users.count'],
  queues: ['admin', 'countries', 'default', 'heavy'],
}

t.test('PLINTH_MODULES says which modules a process serves and runs', async (t) => {
  t.strictSame(await see(t), ALL)
  t.strictSame(await see(t, ''), ALL)
  t.strictSame(await see(t, '__all__'), ALL)
  t.strictSame(await see(t, ' cities , countries '), {
    served: ['/cities', '/countries'],
    schedules: ['cities.count', 'countries.count'],
    queues: ['countries', 'default'],
  })
  t.strictSame(await see(t, 'admin'), {
    served: ['/admin', '/admin/users'],
    schedules: ['admin.users.count'],
    queues: ['admin', 'heavy'],
  })
  t.strictSame(await see(t, 'admin.users'), {
    served: ['/admin/users'],
    schedules: ['admin.users.count'],
    queues: ['admin'],
  })
})

t.test('the others can be called and enqueued', async (t) => {
  const modules = createModules()
  const { count } = modules.countries.resources ?? {}
  const variables = { PLINTH_MODULES: 'cities' }
  const { app } = await createService(t, {}, { modules, variables })
  t.equal(await app.resources.countries?.count?.(), 1)
  t.equal(await app.run(() => count?.()), 1)
  // In the memory of this process nobody else would run it.
  const task = await app.resources.countries?.count?.enqueue()
  t.equal(await task?.result(), 1)
  t.equal((await app.tasks.find(task?.task_id ?? '')).state, 'succeeded')
})

t.test('modules that run elsewhere have no context here', async (t) => {
  const contexts: string[] = []
  const plugin = (app: FastifyInstance) => {
    app.addHook('onRegister', ({ prefix }) => void contexts.push(prefix))
  }
  await createBareApp(t, createModules(), { plugin, resources: { only: ['admin.users'] } })
  t.strictSame(
    contexts.filter((prefix) => prefix !== ''),
    ['/admin', '/admin/users'],
  )
})

t.test('names that are none are told at the start', async (t) => {
  const wrong = (variables: NodeJS.ProcessEnv) =>
    failure(createService(t, {}, { modules: createModules(), variables }))
  const expected =
    'expected __all__, or modules with commas between them: cities, countries, admin, admin.users'
  for (const name of ['nope', 'cities,nope', 'admin.count', 'users', 'cities;admin', ','])
    t.match(await wrong({ PLINTH_MODULES: name }), {
      code: 'CONFIG_INVALID',
      message: `  PLINTH_MODULES: got ${JSON.stringify(name)} from the environment, ${expected}`,
    })
  t.match(await wrong({ BKAPP_DEPLOY_MODULE: 'default' }), {
    code: 'CONFIG_INVALID',
    message: `  PLINTH_MODULES: got "default" (BKAPP_DEPLOY_MODULE, otherwise __all__), ${expected}`,
  })
  t.match(await failure(createBareApp(t, createModules(), { resources: { only: ['x'] } })), {
    code: 'PLUGIN_OPTION_INVALID',
    message: /only .* cities, countries, admin, admin\.users/,
  })
})

t.test('the name of the original works, and ours wins', async (t) => {
  const served = async (variables: NodeJS.ProcessEnv) => {
    const { app } = await createService(t, {}, { modules: createModules(), variables })
    return app.tasks.ownQueues.has('heavy')
  }
  t.notOk(await served({ BKAPP_DEPLOY_MODULE: 'cities' }))
  t.ok(await served({ BKAPP_DEPLOY_MODULE: 'admin' }))
  t.notOk(await served({ BKAPP_DEPLOY_MODULE: 'admin', PLINTH_MODULES: 'cities' }))
})

t.test('a resource in two modules runs where either does', async (t) => {
  const list = count({ schedule: '0 3 1 1 *', task: { queue: 'lists' } })
  const modules: ModuleTable = {
    v1: defineModule({ prefix: '/v1', resources: { list } }),
    v2: defineModule({ prefix: '/v2', resources: { list } }),
  }
  const { app } = await createService(t, {}, { modules, variables: { PLINTH_MODULES: 'v2' } })
  t.equal((await app.inject('/v1')).statusCode, 404)
  t.equal((await app.inject('/v2')).json().data, 1)
  const schedules = await (await app.tasks.schedules()).list()
  t.strictSame(
    schedules.map(({ name }) => name),
    ['v1.list'],
  )
  t.ok(app.tasks.ownQueues.has('lists'))
})

t.test('two processes on one Redis: each works on the queues of its modules', async (t) => {
  const ran: string[] = []
  const here = (name: string) =>
    defineResource({
      summary: name,
      request: Type.Object({ from: Type.String() }),
      response: Type.String(),
      perform({ from }, { app }) {
        const { PLINTH_MODULES } = app.config
        ran.push(`${name} of ${from} in ${PLINTH_MODULES}`)
        return PLINTH_MODULES
      },
    })
  const createOne = async (PLINTH_MODULES: string) => {
    const one = {
      cities: defineModule({ expose: false, resources: { count: here('cities') } }),
      countries: defineModule({
        expose: false,
        queue: 'countries',
        resources: { count: here('countries'), shared: here('shared') },
      }),
    }
    const variables = { PLINTH_MODULES, REDIS_URL }
    const { app } = await createService(t, {}, { name, modules: one, variables })
    return app
  }
  const REDIS_URL = redisUrl()
  const name = `two-${process.pid}`
  const [cities, countries] = [await createOne('cities'), await createOne('countries')]
  const enqueue = async (app: typeof cities, module: string, key: string, options = {}) => {
    const task = await app.resources[module]?.[key]?.enqueue({ from: 'x' }, options)
    return task?.task_id ?? ''
  }
  const work = (app: typeof cities) =>
    app.tasks.work({ queues: [...app.tasks.ownQueues], concurrency: 2, schedules: true })
  // Enqueued where it is not run, while only the other one works.
  const left = await enqueue(cities, 'countries', 'count')
  await work(cities)
  const own = await enqueue(countries, 'cities', 'count')
  t.equal(await cities.tasks.result(own), 'cities')
  // Of another module, in a queue that this one works on: it is run, not handed back.
  const shared = await enqueue(countries, 'countries', 'shared', { queue: 'default' })
  t.equal(await countries.tasks.result(shared), 'cities')
  t.match(await cities.tasks.find(left), { state: 'waiting', attempts_made: 0 })
  await work(countries)
  t.equal(await cities.tasks.result(left), 'countries')
  t.strictSame(ran, [
    'cities of x in cities',
    'shared of x in cities',
    'countries of x in countries',
  ])
})
