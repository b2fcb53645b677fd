import Fastify, { type FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { commands } from '../commands/_table.ts'
import { KIT_COMMANDS } from '../commands/plugins.ts'
import cache from '../plugins/cache.ts'
import database from '../plugins/database.ts'
import docs from '../plugins/docs.ts'
import health from '../plugins/health.ts'
import queues from '../plugins/queues.ts'
import redis from '../plugins/redis.ts'
import tasks from '../plugins/tasks.ts'
import { checkService } from '../src/check/check-service.ts'
import { secret } from '../src/config/secret.ts'
import { kitPlugins, modulesOf } from '../src/kit.ts'
import { definePlugin, type PluginUse } from '../src/plugin.ts'
import { measurePlugins } from '../src/plugin-metrics.ts'
import { inOrder } from '../src/plugin-order.ts'
import { defineModule } from '../src/resource/module.ts'
import { defineResource } from '../src/resource/resource.ts'
import { createApp, planPlugins, readServiceConfig } from '../src/service.ts'
import { failure } from './helpers/app.ts'
import { PATIENT_HEALTH, redisUrl } from './helpers/drivers.ts'

interface SmsOptions {
  from: string
}

/** What it decorates: who sends from where, and what it has sent. */
interface Sms {
  from: string
  url: string
  sent: string[]
}

const sms = definePlugin({
  name: 'sms',
  env: Type.Object({ SMS_URL: secret(Type.String({ format: 'uri' })) }),
  readiness: {
    sms: async (app, _signal, { name }) => {
      if (!app.getDecorator<Sms>(name).url.includes('up')) throw new Error('down')
    },
  },
  modules: ({ name }) => ({
    messages: defineModule({
      prefix: '/messages',
      resources: {
        send: defineResource({
          summary: 'Send a message',
          method: 'POST',
          request: Type.Object({ text: Type.String() }),
          response: Type.String(),
          perform({ text }, { app }) {
            const { from, sent } = app.getDecorator<Sms>(name)
            sent.push(text)
            return `${name} from ${from}: ${text}`
          },
        }),
      },
    }),
  }),
  checks: [
    (_, { env }) => [{ level: 'warning', message: `sends to ${new URL(env.SMS_URL).host}` }],
  ],
  metrics: [
    {
      name: 'sent_total',
      help: 'Messages sent',
      type: 'counter',
      collect: (app, { name }) => app.getDecorator<Sms>(name).sent.length,
    },
  ],
  register(app, { from }: SmsOptions, { name, env }) {
    app.decorate(name, { from, url: env.SMS_URL, sent: [] })
  },
})

const ENV = {
  NODE_ENV: 'test',
  DATABASE_URL: 'sqlite::memory:',
  SMS_URL: 'http://up.example',
  ALERTS_SMS_URL: 'http://alerts.up.example',
}

async function create(
  t: Test,
  plugins: readonly unknown[],
  env: NodeJS.ProcessEnv = ENV,
  settings: { auth?: true; rateLimits?: [] } = {},
) {
  const service = { name: 'shop', modules: {}, plugins: plugins as never, ...settings }
  const app = await createApp(service, { root: t.testdir(), env, logger: false })
  t.teardown(() => app.close())
  await app.ready()
  return app as unknown as FastifyInstance
}

t.test(
  'a plugin brings variables, routes, readiness, checks and metrics, twice under two names',
  async (t) => {
    const app = await create(t, [sms({ from: '+49' }), sms({ from: '+41', name: 'alerts' })])
    const send = async (url: string) => {
      const answer = await app.inject({ method: 'POST', url, payload: { text: 'hi' } })
      return answer.json().data
    }
    t.equal(await send('/messages'), 'sms from +49: hi')
    t.equal(await send('/alerts/messages'), 'alerts from +41: hi')
    t.equal(await send('/alerts/messages'), 'alerts from +41: hi')
    t.equal(app.getDecorator<Sms>('alerts').url, 'http://alerts.up.example')
    const { checks } = (await app.inject('/readyz')).json().data
    t.match(checks, { sms: { ok: true }, alerts: { ok: true }, database: { ok: true } })
    const own = (await measurePlugins(app, 1000)).filter(({ name }) => name.endsWith('_sent_total'))
    t.strictSame(own, [
      {
        name: 'sms_sent_total',
        help: 'Messages sent',
        type: 'counter',
        values: [{ labels: {}, value: 1 }],
      },
      {
        name: 'alerts_sent_total',
        help: 'Messages sent',
        type: 'counter',
        values: [{ labels: {}, value: 2 }],
      },
    ])
  },
)

t.test('the service says where the modules of a plugin are, and whether', async (t) => {
  const paths = (use: PluginUse) =>
    Object.entries(
      modulesOf({ name: 'shop', modules: {}, plugins: [sms({ from: '', ...use })] }),
    ).map(([name, { prefix }]) => `${name} ${prefix}`)
  t.strictSame(paths({}), ['messages /messages'])
  t.strictSame(paths({ modules: false }), [])
  t.strictSame(paths({ modules: { messages: false } }), [])
  t.strictSame(paths({ modules: { messages: { prefix: '/sms' } } }), ['messages /sms'])
  const messages = defineModule({ prefix: '/mine', resources: {} })
  t.throws(() => modulesOf({ name: 'shop', modules: { messages }, plugins: [sms({ from: '' })] }), {
    code: 'PLUGIN_INVALID',
    message: /there is a module messages already/,
  })
})

t.test('all of its variables are validated with those of the service', async (t) => {
  const service = {
    name: 'shop',
    env: Type.Object({ SITE: Type.String() }),
    modules: {},
    plugins: [sms({ from: '' }), sms({ from: '', name: 'alerts' })],
  }
  t.throws(() => readServiceConfig(service, { root: t.testdir(), env: { SMS_URL: 'no' } }), {
    code: 'CONFIG_INVALID',
    errors: [{ path: '/SMS_URL' }, { path: '/ALERTS_SMS_URL' }, { path: '/SITE' }],
  })
  const { variables } = readServiceConfig(service, {
    root: t.testdir(),
    env: { ...ENV, SITE: 'x' },
  })
  t.match(
    variables.filter(({ name }) => name.endsWith('SMS_URL')),
    [
      { name: 'SMS_URL', owner: 'sms', value: '***' },
      { name: 'ALERTS_SMS_URL', owner: 'alerts', value: '***' },
    ],
  )
})

t.test('manage check asks it, and readiness fails where it is not ready', async (t) => {
  const { NODE_ENV, DATABASE_URL, SMS_URL } = process.env
  t.teardown(() => {
    for (const [name, value] of Object.entries({ NODE_ENV, DATABASE_URL, SMS_URL })) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  })
  Object.assign(process.env, ENV, { SMS_URL: 'http://down.example' })
  const service = { name: 'shop', modules: {}, plugins: [sms({ from: '' })] }
  const findings = await checkService({ root: t.testdir(), service })
  t.match(
    findings.filter(({ check, message }) => check === 'sms' || message.startsWith('sms')),
    [
      { check: 'attached', level: 'error', message: /^sms: / },
      { check: 'sms', level: 'warning', message: 'sends to down.example' },
    ],
  )
})

t.test('it is a plugin of any Fastify app, in a context of its own, too', async (t) => {
  const { SMS_URL } = process.env
  process.env.SMS_URL = ENV.SMS_URL
  process.env.ALERTS_SMS_URL = ENV.ALERTS_SMS_URL
  t.teardown(() => {
    if (SMS_URL === undefined) delete process.env.SMS_URL
    delete process.env.ALERTS_SMS_URL
  })
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(sms, { from: 'a' })
  t.equal(app.getDecorator<Sms>('sms').url, ENV.SMS_URL)
  app.register(async (scope) => {
    await scope.register(sms({ from: 'b', name: 'alerts' }))
    t.equal(scope.getDecorator<Sms>('alerts').url, ENV.ALERTS_SMS_URL)
  })
  await app.ready()
  t.notOk(app.hasDecorator('alerts'))
  await t.rejects(async () => await app.register(sms, { from: 'c' }))
  const bare = Fastify()
  t.teardown(() => bare.close())
  delete process.env.SMS_URL
  t.match(await failure(Promise.resolve(bare.register(sms, { from: 'a' }))), {
    code: 'CONFIG_INVALID',
    message: /SMS_URL: not set/,
  })
})

t.test(
  'it says what its variables are in dev, stag and prod, and the service has the last word',
  async (t) => {
    const mail = definePlugin({
      name: 'mail',
      env: Type.Object({ MAIL_URL: Type.String(), MAIL_FROM: Type.String() }),
      defaults: { dev: { MAIL_URL: 'file:mail', MAIL_FROM: 'plugin' } },
    })
    const service = {
      name: 'shop',
      modules: {},
      plugins: [mail, mail({ name: 'bulk' })],
      defaults: { dev: { BULK_MAIL_FROM: 'service' } },
    }
    const read = (env: NodeJS.ProcessEnv) => readServiceConfig(service, { root: t.testdir(), env })
    t.match(read({}).values, {
      MAIL_URL: 'file:mail',
      MAIL_FROM: 'plugin',
      BULK_MAIL_URL: 'file:mail',
      BULK_MAIL_FROM: 'service',
    })
    t.throws(() => read({ NODE_ENV: 'production' }), { code: 'CONFIG_INVALID' })
  },
)

const order: string[] = []
const noting = (name: string, place: { needs?: string[]; after?: string[] } = {}) =>
  definePlugin({ name, ...place, register: () => void order.push(name) })

t.test('plugins come in the order of what they need, and say which is missing', async (t) => {
  const first = fp(async () => void order.push('first'), { name: 'first' })
  const last = noting('last', { needs: ['middle', 'database'] })
  const middle = noting('middle', { needs: ['first'], after: ['cache', 'nothing'] })
  await create(t, [last, middle, first, noting('other')])
  t.strictSame(order, ['first', 'middle', 'last', 'other'])
  const told = async (...plugins: unknown[]) =>
    (await failure(create(t, plugins, { NODE_ENV: 'production' }))).message
  t.equal(
    await told(noting('a', { needs: ['database'] })),
    'The plugin a needs the plugin database, which is not there: set DATABASE_URL',
  )
  t.equal(
    await told(noting('a', { needs: ['b'] })),
    'The plugin a needs the plugin b, which is not there: add it to plugins of the service',
  )
  t.equal(
    await told(noting('a', { after: ['b'] }), noting('b', { needs: ['a'] })),
    'The plugins a, b, resources wait for one another: take a name out of needs or after of one of them'.replace(
      ', resources',
      '',
    ),
  )
  t.match(await told(noting('a'), noting('a')), /the service has two of the name a/)
  const app = Fastify()
  t.teardown(() => app.close())
  t.equal(
    (await failure(Promise.resolve(app.register(middle)))).message,
    'The plugin middle needs the plugin first, which is not there: register it first',
  )
})

t.test('what a plugin is said to be is looked at', async (t) => {
  for (const [definition, told] of [
    [{ name: 'Sms' }, 'its name is "Sms", expected lower case words joined by -'],
    [{}, 'its name is undefined, expected lower case words joined by -'],
    [
      { name: 'sms', migrations: './migrations' },
      "its migrations is no URL of a folder; write new URL('./migrations/', import.meta.url)",
    ],
  ] as const) {
    t.throws(() => definePlugin(definition as never), {
      code: 'PLUGIN_INVALID',
      message: RegExp(told.replaceAll(/[.()]/g, '.')),
    })
  }
  t.throws(() => sms({ from: '', name: 'a b' }), { code: 'PLUGIN_INVALID' })
})

t.test('the order of the list of the kit does not matter', async (t) => {
  const names = (list: readonly { name: string }[]) => inOrder(list).map(({ name }) => name)
  const kit = kitPlugins.map(({ definition }) => definition)
  const sorted = names(kit)
  for (let shift = 1; shift < kit.length; shift++) {
    const turned = [...kit.slice(shift), ...kit.slice(0, shift)]
    for (const list of [turned, turned.toReversed()]) {
      const found = names(list)
      for (const { name, needs = [], after = [] } of kit) {
        for (const before of [...needs, ...after])
          t.ok(found.indexOf(before) < found.indexOf(name), `${before} before ${name}`)
      }
      t.strictSame(found.toSorted(), sorted.toSorted())
    }
  }
})

t.test(
  'plugins of the kit are attached again under other names, by variables of their own',
  async (t) => {
    const plugins = [
      database({ name: 'archive' }),
      redis({ name: 'sessions' }),
      cache({ name: 'pages' }),
      tasks({ name: 'mails' }),
      health(PATIENT_HEALTH),
    ]
    const urls = {
      ARCHIVE_DATABASE_URL: 'sqlite::memory:',
      SESSIONS_REDIS_HOST: new URL(redisUrl()).hostname,
      SESSIONS_REDIS_PORT: new URL(redisUrl()).port,
      SESSIONS_REDIS_DB: '3',
      SESSIONS_REDIS_TIMEOUT: '10000',
    }
    const app = await create(t, plugins, { ...ENV, ...urls })
    const archive = app.getDecorator<typeof app.db>('archive')
    await archive.schema.createTable('old').addColumn('id', 'integer').execute()
    t.match(await archive.introspection.getTables(), [{ name: 'old' }])
    t.strictSame(await app.db.introspection.getTables(), [])
    const sessions = app.getDecorator<typeof app.redis>('sessions')
    t.equal(sessions.options.db, 3)
    t.equal(await sessions.ping(), 'PONG')
    t.notOk(app.hasDecorator('redis'))
    const pages = app.getDecorator<typeof app.cache>('pages')
    await pages.set('key', 'page', { ttl: 60_000 })
    t.equal(await app.cache.get('key'), undefined)
    t.equal(await pages.get('key'), 'page')
    t.not(app.getDecorator('mails'), app.tasks)
    t.equal((await app.inject('/mails/none')).json().code, 'TASK_NOT_FOUND')
    t.match((await app.inject('/readyz')).json().data.checks, {
      database: { ok: true },
      archive: { ok: true },
      sessions: { ok: true, optional: true },
    })
  },
)

t.test(
  'without its variables such a one is not attached, and its parts have to be whole',
  async (t) => {
    const plugins = [
      database({ name: 'archive' }),
      redis({ name: 'sessions' }),
      queues({ name: 'jobs' }),
    ]
    const service = { name: 'shop', modules: {}, plugins }
    const root = t.testdir()
    const plan = (env: NodeJS.ProcessEnv) => {
      const planned = planPlugins(service, readServiceConfig(service, { root, env }), root)
      return Object.fromEntries(planned.map(({ instance, absent }) => [instance.name, absent]))
    }
    t.match(plan(ENV), {
      database: undefined,
      redis: 'set REDIS_URL',
      archive: 'set ARCHIVE_DATABASE_URL',
      sessions: 'set SESSIONS_REDIS_URL',
      jobs: 'set REDIS_URL, and JOBS_QUEUES=true',
    })
    t.throws(() => plan({ ...ENV, ARCHIVE_MYSQL_HOST: 'db', ARCHIVE_MYSQL_NAME: 'old' }), {
      errors: [{ path: '/ARCHIVE_MYSQL_USER' }, { path: '/ARCHIVE_MYSQL_PASSWORD' }],
      message: /because ARCHIVE_MYSQL_HOST is set and ARCHIVE_DATABASE_URL is not/,
    })
  },
)

t.test('a service gives a plugin of the kit options by listing it', async (t) => {
  const app = await create(t, [docs({ title: 'All ships' })])
  t.match((await app.inject('/openapi.json')).json().info, { title: 'All ships', version: '0.0.0' })
  t.equal((await failure(create(t, [definePlugin({ name: 'docs' })]))).code, 'PLUGIN_INVALID')
})

t.test('what manage plugins says of the kit is so', async (t) => {
  const words = new Set(Object.keys(commands).map((id) => id.split(':')[0]))
  for (const [name, own] of Object.entries(KIT_COMMANDS)) {
    t.ok(
      kitPlugins.some((one) => one.name === name),
      name,
    )
    t.strictSame(
      own.filter((word) => !words.has(word)),
      [],
    )
  }
  const variables = { ...ENV, REDIS_URL: redisUrl(), LOAD_SHEDDING: 'true', METRICS: 'true' }
  const app = await create(t, [], variables, { auth: true, rateLimits: [] })
  const added = kitPlugins.flatMap(({ definition }) => definition.decorators ?? [])
  t.strictSame(
    added.filter((name) => !app.hasDecorator(name)),
    [],
  )
  const none = Fastify()
  t.teardown(() => none.close())
  t.strictSame(
    added.filter((name) => none.hasDecorator(name)),
    [],
  )
})

t.test('an app has only what it is asked for, and what that needs', async (t) => {
  const needy = noting('needy', { needs: ['database'] })
  const service = { name: 'shop', modules: {}, plugins: [needy, sms({ from: '' })] }
  const build = async (only: string[]) => {
    const app = await createApp(service, { root: t.testdir(), env: ENV, logger: false, only })
    t.teardown(() => app.close())
    return ['db', 'cache', 'resources', 'sms', 'config'].filter((name) => app.hasDecorator(name))
  }
  t.strictSame(await build(['database']), ['db', 'config'])
  t.strictSame(await build(['needy']), ['db', 'config'])
  t.strictSame(await build(['sms']), ['sms', 'config'])
  t.strictSame(await build([]), ['config'])
  t.match(await failure(build(['nothing'])), { code: 'PLUGIN_MISSING' })
})

t.test('a plugin has a minute to start', async (t) => {
  const service = { name: 'shop', modules: {} }
  const app = await createApp(service, { root: t.testdir(), env: ENV, logger: false, only: [] })
  t.teardown(() => app.close())
  t.equal(app.initialConfig.pluginTimeout, 60_000)
})
