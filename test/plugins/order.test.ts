import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import admin from '../../plugins/admin.ts'
import cache from '../../plugins/cache.ts'
import config from '../../plugins/config.ts'
import cors from '../../plugins/cors.ts'
import database from '../../plugins/database.ts'
import deadline from '../../plugins/deadline.ts'
import developer from '../../plugins/developer.ts'
import docs from '../../plugins/docs.ts'
import envelope from '../../plugins/envelope.ts'
import health from '../../plugins/health.ts'
import loadShedding from '../../plugins/load-shedding.ts'
import redis from '../../plugins/redis.ts'
import requestLog from '../../plugins/request-log.ts'
import resources from '../../plugins/resources.ts'
import tasks from '../../plugins/tasks.ts'
import telemetry from '../../plugins/telemetry.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { databaseDrivers, PATIENT, PATIENT_HEALTH, redisUrl } from '../helpers/drivers.ts'

const MEMORY = { url: 'sqlite::memory:' }

function create(t: Test): FastifyInstance {
  const app = Fastify()
  t.teardown(() => app.close())
  return app
}

/** What `/readyz` tells: which checks there are, and which of them succeed. */
async function checksOf(app: FastifyInstance): Promise<Record<string, boolean>> {
  const { checks } = (await app.inject('/readyz')).json().data
  const all = Object.entries<{ ok: boolean }>(checks)
  return Object.fromEntries(all.map(([name, { ok }]) => [name, ok]))
}

for (const { name, url } of databaseDrivers) {
  t.test(`what is attached before health is in /readyz, too: ${name}`, async (t) => {
    const app = create(t)
    await app.register(database, { url: await url(t) })
    await app.register(redis, { url: redisUrl(), ...PATIENT })
    await app.register(health, PATIENT_HEALTH)
    t.strictSame(await checksOf(app), { database: true, redis: true })
  })

  t.test(`two databases have two names, one in a context of the other: ${name}`, async (t) => {
    const app = create(t)
    const [first, second] = [await url(t), name === 'mysql' ? await url(t) : MEMORY.url]
    await app.register(database, { url: first })
    await app.db.schema.createTable('one').addColumn('id', 'integer').execute()
    await app.register(async (scope) => {
      await scope.register(database, { url: second, name: 'archive', decorator: 'db' })
      t.equal(scope.hasDecorator('mysql'), name === 'mysql')
      t.not(scope.db, app.db)
      t.strictSame(await scope.db.introspection.getTables(), [])
      if (name === 'mysql') t.not(scope.mysql?.pool, app.mysql?.pool)
    })
    await app.register(health, PATIENT_HEALTH)
    t.strictSame(await checksOf(app), { database: true, archive: true })
    t.match(await app.db.introspection.getTables(), [{ name: 'one' }])
  })
}

t.test('what is attached within a context counts for the app', async (t) => {
  const app = create(t)
  app.register(async (scope) => void scope.register(database, MEMORY))
  app.register(async (scope) => {
    await scope.register(health)
  })
  t.strictSame(await checksOf(app), { database: true })
})

t.test('two Redis have two names, one in a context of the other', async (t) => {
  const app = create(t)
  await app.register(redis, { url: redisUrl(), ...PATIENT })
  await app.register(async (scope) => {
    await scope.register(redis, {
      url: Object.assign(new URL(redisUrl()), { pathname: '/1' }).href,
      name: 'spare',
      decorator: 'redis',
      ...PATIENT,
    })
    t.equal(scope.redis.options.db, 1)
    t.equal(await scope.redis.ping(), 'PONG')
  })
  t.not(app.redis.options.db, 1)
  await app.register(health, PATIENT_HEALTH)
  t.strictSame(await checksOf(app), { redis: true, spare: true })
})

t.test('two of one name are refused', async (t) => {
  for (const [name, plugin, options] of [
    ['database', database, MEMORY],
    ['redis', redis, { url: redisUrl() }],
  ] as const) {
    const app = create(t)
    const register = async (scope: FastifyInstance) => {
      await scope.register(plugin as never, options as never)
    }
    await app.register(register)
    await t.rejects(Promise.resolve(app.register(register)), {
      code: 'PLUGIN_NAME_TAKEN',
      message: `The plugin ${name} cannot be registered as ${name}, because the app has a readiness check of that name; give this one another with its option name`,
    })
  }
})

const twice = {
  admin: [admin, { models: [] }],
  cache: [cache, {}],
  config: [config, { env: {}, dotenv: false }],
  cors: [cors, { origins: ['https://ui.example'] }],
  database: [database, MEMORY],
  deadline: [deadline, { timeout: 10 }],
  developer: [developer, {}],
  docs: [docs, { title: 'ships', version: '1.0.0' }],
  envelope: [envelope, {}],
  health: [health, {}],
  'load-shedding': [loadShedding, {}],
  redis: [redis, { url: redisUrl() }],
  'request-log': [requestLog, {}],
  resources: [resources, { modules: {} }],
  tasks: [tasks, {}],
  telemetry: [telemetry, {}],
} as const

for (const [name, [plugin, options]] of Object.entries(twice)) {
  t.test(`${name} is registered once in a context`, async (t) => {
    const app = create(t)
    await app.register(plugin as never, options as never)
    await t.rejects(Promise.resolve(app.register(plugin as never, options as never)), {
      code: 'PLUGIN_TWICE',
      message: `The plugin ${name} cannot be registered here, because it, or what it adds, is there already; register a second one in a context of its own: app.register(async (scope) => …), or, where what it adds has its name, under another: { name: '…' }`,
    })
  })
}

t.test('nor under another name, where what it adds has none', async (t) => {
  for (const name of ['admin', 'cors', 'developer', 'request-log'] as const) {
    const [plugin, options] = twice[name]
    const app = create(t)
    await app.register(plugin as never, options as never)
    const second = { ...options, name: 'other' }
    await t.rejects(Promise.resolve(app.register(plugin as never, second as never)), {
      code: 'PLUGIN_TWICE',
      message: `The plugin ${name} cannot be registered here`,
    })
    if (name !== 'admin')
      await t.rejects(
        Promise.resolve(
          app.register(async (scope) => scope.register(plugin as never, second as never)),
        ),
        { code: 'PLUGIN_TWICE' },
        `${name} goes for the contexts within its own`,
      )
  }
})

t.test('what another has added in the place of a plugin is named, too', async (t) => {
  const app = create(t)
  app.decorate('db', {} as never)
  await t.rejects(Promise.resolve(app.register(database, MEMORY)), { code: 'PLUGIN_TWICE' })
})

const one = defineResource({
  summary: 'How many tables there are',
  response: Type.Integer(),
  perform: async (_, { db }) => (await db.introspection.getTables()).length,
})
const modules = { rows: defineModule({ prefix: '/rows', resources: { one } }) }

t.test('resources may come before the database, and twice in contexts of their own', async (t) => {
  const app = create(t)
  app.register(resources, { modules })
  app.register(async (scope) => {
    scope.register(resources, {
      modules: { rows: defineModule({ prefix: '/others', resources: { one } }) },
    })
  })
  app.register(database, MEMORY)
  t.equal((await app.inject('/rows')).json().data, 0)
  t.equal((await app.inject('/others')).json().data, 0)
})

t.test('what would go on without what comes later is refused', async (t) => {
  for (const [name, plugin, later, options] of [
    ['cache', cache, 'redis', { url: redisUrl() }],
    ['tasks', tasks, 'redis', { url: redisUrl() }],
    ['tasks', tasks, 'database', MEMORY],
    ['tasks', tasks, 'envelope', {}],
    ['health', health, 'envelope', {}],
    ['resources', resources, 'envelope', {}],
  ] as const) {
    const app = create(t)
    app.register(plugin as never, (name === 'resources' ? { modules } : {}) as never)
    app.register({ redis, database, envelope }[later] as never, options as never)
    await t.rejects(Promise.resolve(app.ready()), {
      code: 'PLUGIN_ORDER',
      message: `plinth/plugins/${name} is registered before plinth/plugins/${later} and would not use it; register ${later} first`,
    })
  }
})
