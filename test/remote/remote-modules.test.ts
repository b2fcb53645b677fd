import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import signature from '../../plugins/signature.ts'
import { defineService, type ServiceDefinition } from '../../src/define-service.ts'
import { notFound } from '../../src/errors.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createService, failure } from '../helpers/app.ts'
import { redisUrl } from '../helpers/drivers.ts'
import { serveUpstream } from '../helpers/upstream.ts'

const SECRET = 's'.repeat(32)
const Id = Type.Object({ id: Type.Integer({ minimum: 1 }) })

/** Which process performs: each test has two of the same code. */
const performed: string[] = []

const retrieve = defineResource({
  summary: 'A city',
  path: '/:id',
  request: Id,
  response: Type.Object({ id: Type.Integer(), by: Type.String(), run: Type.Integer() }),
  cache: { ttl: 60_000, perUser: false, tags: ({ id }) => [`city:${id}`] },
  perform({ id }, { app }) {
    if (id === 404) notFound('city', id)
    performed.push(nameOf(app))
    return { id, by: nameOf(app), run: performed.length }
  },
})
const long = defineResource({
  summary: 'A task',
  method: 'POST',
  path: '/long',
  async: true,
  request: Id,
  response: Type.String(),
  perform: ({ id }, { app, task }) => `${nameOf(app)} ${id} ${task ? 'task' : 'call'}`,
})
const hidden = defineResource({
  summary: 'Hidden',
  expose: false,
  response: Type.String(),
  perform: (_, { app }) => nameOf(app),
})
const order = defineResource({
  summary: 'Calls the other module',
  path: '/:id',
  request: Id,
  response: Type.Object({ city: Type.String() }),
  perform: async ({ id }) => ({ city: (await retrieve({ id })).by }),
})

const nameOf = (app: FastifyInstance) => (app as { process?: string }).process ?? 'none'

const service = {
  name: 'shop',
  async: true,
  modules: {
    cities: defineModule({ prefix: '/cities', resources: { retrieve, long, hidden } }),
    orders: defineModule({ prefix: '/orders', resources: { order } }),
  },
} satisfies ServiceDefinition

async function start(t: Test, process: string, variables: NodeJS.ProcessEnv, more: object = {}) {
  const { app } = await createService(t, {}, {
    ...defineService(service as ServiceDefinition),
    ...more,
    variables,
  } as never)
  Object.assign(app, { process })
  return app
}

/** One process that performs the cities, and one that calls them. */
async function startBoth(t: Test, variables: NodeJS.ProcessEnv = {}, more: object = {}) {
  const cities = await start(t, 'cities', { PLINTH_MODULES: 'cities', ...variables }, more)
  const url = await cities.listen({ host: '127.0.0.1', port: 0 })
  const orders = await start(t, 'orders', { PLINTH_REMOTES: `cities=${url}`, ...variables }, more)
  return { cities, orders, url }
}

t.test('a module that is elsewhere is called by code that knows nothing of it', async (t) => {
  // In one Redis, where each would wait for what the other is loading.
  for (const variables of [{}, { REDIS_URL: redisUrl() }]) {
    const { cities, orders } = await startBoth(t, variables)
    if (variables.REDIS_URL)
      await cities.tasks.work({ queues: ['default'], concurrency: 1, schedules: false })
    const answer = await orders.inject('/orders/7')
    t.strictSame(answer.json().data, { city: 'cities' })
    t.equal((await orders.inject('/cities/7')).statusCode, 404, 'it is not served here')
    const { resources } = (await orders.inject('/contract.json')).json()
    t.strictSame(Object.keys(resources), ['orders.order'])
    const missing = await orders.inject('/orders/404')
    t.match(missing.json(), { code: 'NOT_FOUND', message: 'There is no city 404' })
    t.equal(missing.statusCode, 404)
    t.equal((await orders.inject('/orders/0')).statusCode, 400)
    const call = (fn: () => Promise<unknown>) => orders.run(fn)
    t.match(await failure(call(() => retrieve({ id: 0 }))), {
      code: 'INVALID_REQUEST',
      errors: [{ path: '/id' }],
    })
    t.match(await call(() => retrieve.bulk([{ id: 8 }, { id: 9 }])), [{ id: 8 }, { id: 9 }])
    const task = await orders.run(() => long.enqueue({ id: 3 }))
    t.equal(await orders.run(() => task.result()), 'cities 3 task')
    const once = () => orders.run(() => long.enqueue({ id: 3 }, { key: 'once' }))
    t.equal((await once()).task_id, (await once()).task_id)
    t.equal(await call(() => long({ id: 4 })), 'cities 4 call')
    t.match(await failure(call(() => hidden())), {
      code: 'REMOTE_INVALID',
      message: /expose: false/,
    })
  }
})

t.test('it is cached where it is performed, and refreshed there by those that sign', async (t) => {
  const { cities, orders } = await startBoth(
    t,
    {},
    {
      auth: true,
      modules: {
        cities: defineModule({ prefix: '/cities', auth: 'optional', resources: { retrieve } }),
        orders: defineModule({ prefix: '/orders', auth: 'public', resources: { order } }),
      },
      plugins: [signature({ secrets: { shop: SECRET } })],
      remotes: { auth: { signature: { app: 'shop', secret: SECRET } } },
    },
  )
  const here = (fn: () => Promise<unknown>) => orders.run(fn)
  const first = await here(() => retrieve({ id: 21 }))
  t.strictSame(await here(() => retrieve({ id: 21 })), first)
  t.strictSame(await cities.run(() => retrieve({ id: 21 })), first)
  const fresh = await here(() => retrieve.refresh({ id: 21 }))
  t.notSame(fresh, first)
  t.strictSame(await cities.run(() => retrieve({ id: 21 })), fresh)
  t.notSame(await here(() => retrieve.cacheless({ id: 21 })), fresh)
  t.strictSame(await here(() => retrieve({ id: 21 })), fresh)
})

t.test('a module may say it itself, and what is around it for it', async (t) => {
  const cities = await start(t, 'cities', { PLINTH_MODULES: 'geo' }, { modules: nested() })
  const url = await cities.listen({ host: '127.0.0.1', port: 0 })
  const app = await start(t, 'orders', {}, { modules: nested(url) })
  t.match(await app.run(() => retrieve({ id: 31 })), { id: 31, by: 'cities' })

  function nested(remote?: string) {
    const cities = defineModule({ prefix: '/cities', resources: { retrieve } })
    return { geo: defineModule({ prefix: '/geo', modules: { cities }, ...(remote && { remote }) }) }
  }
})

t.test('a process that is not there is told as such, in time', async (t) => {
  const app = await start(t, 'orders', { PLINTH_REMOTES: 'cities=http://127.0.0.1:1' })
  const answer = await app.inject('/orders/1')
  t.equal(answer.statusCode, 503)
  t.match(answer.json(), { code: 'UPSTREAM_UNAVAILABLE', message: /The system cities/ })
  const silent = await serveUpstream(t, () => {})
  const late = await start(t, 'orders', {
    PLINTH_REMOTES: `cities=${silent.url}`,
    REQUEST_TIMEOUT: '3000',
  })
  t.match((await late.inject('/orders/1')).json(), { code: 'DEADLINE_EXCEEDED' })
  t.equal(Number(silent.got[0]?.headers['x-timeout-ms']) <= 3000, true)
})

t.test('what cannot be is refused at boot', async (t) => {
  const boot = (PLINTH_REMOTES: string) => failure(start(t, 'x', { PLINTH_REMOTES }))
  t.match(await boot('towns=http://a'), {
    code: 'PLUGIN_OPTION_INVALID',
    message: /cities, orders/,
  })
  for (const wrong of ['cities', 'cities=ftp://a', 'cities=http://a b'])
    t.match(await boot(wrong), { code: 'CONFIG_INVALID' }, wrong)
})
