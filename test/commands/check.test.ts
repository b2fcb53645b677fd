import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { ServiceDefinition } from '../../src/define-service.ts'
import { createApp } from '../../src/service.ts'
import { PATIENT_ENV } from '../helpers/drivers.ts'
import { manage } from '../helpers/manage.ts'
import { BARE, THINGS, writeService } from '../helpers/service.ts'
import { task } from '../suites/task-fixture.ts'
import { createJobs } from './task-service.ts'

const MIGRATION = `
import { createTable, defineMigration } from 'plinth/migration'
export default defineMigration([
  createTable('thing', { columns: { id: { type: 'integer' } }, primaryKey: ['id'] }),
])
`
const MIGRATIONS = { 'migrations/0001_one.ts': MIGRATION }

const OK = {
  configuration: { check: 'configuration', level: 'ok', message: 'every variable is valid' },
  app: { check: 'app', level: 'ok', message: '4 resources can be served' },
  database: { check: 'attached', level: 'ok', message: /^database answers in [\d.]+ ms$/ },
}

t.test('a service that is fit: exit code 0', async (t) => {
  const service = writeService(t, MIGRATIONS)
  t.match(await manage(t, ['migrate'], { service }), { code: 0 })
  const text = await manage(t, ['check'], { service })
  t.same({ code: text.code, stderr: text.stderr }, { code: 0, stderr: '' })
  const lines = text.stdout.split('\n')
  t.strictSame(lines.slice(0, 2), [
    'ok      configuration: every variable is valid',
    'ok      app: 4 resources can be served',
  ])
  t.match(lines[2], /^ok {6}attached: database answers in [\d.]+ ms$/)
  t.strictSame(lines.slice(3), [
    'ok      tasks: queues: default',
    'ok      migrations: every migration is applied',
    '',
  ])

  const json = await manage(t, ['check', '--json'], { service })
  t.same({ code: json.code, stderr: json.stderr }, { code: 0, stderr: '' })
  const findings = JSON.parse(json.stdout)
  t.equal(findings.length, 5)
  t.match(findings, [
    OK.configuration,
    OK.app,
    OK.database,
    { check: 'tasks', level: 'ok', message: 'queues: default' },
    { check: 'migrations', level: 'ok', message: 'every migration is applied' },
  ])
})

t.test('migrations that are not applied: exit code 1, and nothing is changed', async (t) => {
  const service = writeService(t, { ...MIGRATIONS, 'migrations/0002_two.ts': MIGRATION })
  for (const _ of ['once', 'twice']) {
    const { code, stdout, stderr } = await manage(t, ['check', '--json'], { service })
    t.same({ code, stderr }, { code: 1, stderr: '' })
    t.match(JSON.parse(stdout)[4], {
      check: 'migrations',
      level: 'error',
      message: 'not applied: 0001_one, 0002_two',
    })
  }
})

/** A service with a plugin that has models and migrations of its own. */
function writeWithPlugin(t: Test) {
  const columns = (more: string) => `{ id: Type.Integer()${more} }`
  const plugin = `
import { defineModel, definePlugin, Type } from 'plinth'
const Message = defineModel('sms_message', { columns: ${columns(', body: Type.String({ maxLength: 9 })')} })
export const sms = definePlugin({
  name: 'sms', models: [Message], migrations: new URL('./sms/', import.meta.url),
})`
  const service = `
import { defineModel, defineService, Type } from 'plinth'
import { sms } from './sms.ts'
const Thing = defineModel('thing', { columns: ${columns(', size: Type.Integer()')} })
export default defineService({ name: 'shop', modules: {}, models: [Thing], plugins: [sms()] })`
  const made = (table: string) => `
import { createTable, defineMigration } from 'plinth/migration'
export default defineMigration([
  createTable('${table}', { columns: { id: { type: 'bigint' } }, primaryKey: ['id'] }),
])`
  return writeService(t, {
    'src/service.ts': service,
    'src/sms.ts': plugin,
    'src/sms/0001_one.ts': made('sms_message'),
    'migrations/0001_one.ts': made('thing'),
  })
}

t.test('models that the migrations do not lead to are a warning, until they do', async (t) => {
  const service = writeWithPlugin(t)
  const run = (...argv: string[]) => manage(t, argv, { service })
  const told = async () => {
    const findings: { check: string }[] = JSON.parse((await run('check', '--json')).stdout)
    return findings.filter(({ check }) => check === 'models')
  }
  t.match(await told(), [
    {
      level: 'warning',
      code: 'models-drifted',
      message: /^the models and the migrations differ: .*thing.*size.*; run manage makemigrations$/,
    },
    {
      level: 'warning',
      code: 'models-drifted',
      message:
        /^the models of the plugin sms and the migrations differ: .*sms_message.*body.*; run manage makemigrations --plugin sms$/,
    },
  ])
  t.match(await run('makemigrations', '--plugin', 'sms', '--rebuild'), { code: 0 })
  const made = await run('makemigrations', '--plugin', 'sms', '--name', 'add_body')
  t.match(made, { code: 0, stdout: /^wrote sms\/0002_add_body\.ts$/m })
  t.match(await told(), [{ message: /^the models and the migrations differ/ }])
  const folder = join(service, 'src', 'sms')
  t.match(readFileSync(join(folder, '0002_add_body.ts'), 'utf8'), /'sms_message', .*body/s)
  t.match(JSON.parse(readFileSync(join(folder, 'schema.json'), 'utf8')), {
    migration: '0002_add_body',
    tables: { sms_message: { columns: { body: { type: 'varchar(9)' } } } },
  })
  t.notOk(existsSync(join(service, 'migrations', '0002_add_body.ts')))
  t.match(await run('makemigrations', '--plugin', 'sms', '--check'), {
    code: 0,
    stdout: 'no changes\n',
  })
  t.match(await run('makemigrations', '--plugin', 'mail'), {
    code: 2,
    stderr: /the service has no plugin mail with a folder of migrations/,
  })
})

const PLACES = `
import { defineModel, defineModule, defineService, modelResources, Type } from 'plinth'
const Place = defineModel('place', {
  columns: { id: Type.Integer(), size: Type.Integer(), name: Type.String({ maxLength: 20 }) },
  indexes: [['size']],
})
const resources = modelResources(Place, { only: ['list'], list: { order: ['id', 'size', 'name'] } })
const places = defineModule({ prefix: '/places', resources })
export default defineService({ name: 'shop', modules: { places }, models: [Place] })`

const UNSERVED = /^places\.list: no index serves the order by name; add one, .*USE TEMP B-TREE/

t.test(
  'orders of long lists that no index serves: a warning, in development of the server, too',
  async (t) => {
    const service = writeService(t, { 'src/service.ts': PLACES })
    const file = join(service, 'places.db')
    const DATABASE_URL = `sqlite:${file}`
    const db = new DatabaseSync(file)
    db.exec(`create table place (id integer primary key, size integer, name text);
    create index place_size on place (size);
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 12000)
    insert into place select i, i % 1000, 'place ' || i from n`)
    db.close()
    const { code, stdout } = await manage(t, ['check', '--json'], {
      service,
      env: { DATABASE_URL },
    })
    t.equal(code, 0)
    const lists = JSON.parse(stdout).filter(({ check }: { check: string }) => check === 'lists')
    t.match(lists, [{ level: 'warning', code: 'list-unserved', message: UNSERVED }])
    t.equal(lists.length, 1, 'of the orders that have an index nothing is told')
    const text = await manage(t, ['check'], { service, env: { DATABASE_URL } })
    t.match(text.stdout, /^warning lists: places\.list: no index serves the order by name;/m)

    const { default: definition } = await import(join(service, 'src', 'service.ts'))
    const warned = async (NODE_ENV: string) => {
      const lines: string[] = []
      const over = Promise.withResolvers<void>()
      // Its hook is the last one: they run one after the other.
      const plugins = [
        async (app: FastifyInstance) => void app.addHook('onListen', async () => over.resolve()),
      ]
      const app = (await createApp(
        { ...(definition as ServiceDefinition), plugins },
        {
          root: service,
          env: { NODE_ENV, DATABASE_URL },
          logger: { level: 'warn', stream: { write: (line: string) => lines.push(line) } },
        },
      )) as unknown as FastifyInstance
      await app.listen({ host: '127.0.0.1', port: 0 })
      await over.promise
      await app.close()
      return lines.map((line) => JSON.parse(line).msg).filter((text) => UNSERVED.test(text))
    }
    t.equal((await warned('development')).length, 1)
    t.equal((await warned('test')).length, 0)
  },
)

t.test('a service without a database or migrations', async (t) => {
  const service = writeService(t)
  const env = { NODE_ENV: 'production' }
  const { code, stdout } = await manage(t, ['check', '--json'], { service, env })
  t.equal(code, 0)
  t.strictSame(JSON.parse(stdout), [OK.configuration, OK.app])
})

t.test('what a client may make the service work on for long is a warning', async (t) => {
  const tags = 'tags: Type.Optional(Type.Array(Type.String(), { uniqueItems: true })), token:'
  const service = writeService(t, { 'src/things.ts': THINGS.replace('token:', tags) })
  const { code, stdout } = await manage(t, ['check'], { service })
  t.equal(code, 0)
  t.match(
    stdout.split('\n')[2],
    'warning requests: things.retrieve: /tags: any number of items is compared (uniqueItems); give it maxItems',
  )
  t.match(await manage(t, ['check', '--strict'], { service }), { code: 1 })
})

t.test('production: what is unwise is a warning, exit code 0', async (t) => {
  const service = writeService(t)
  const env = { ...BARE, NODE_ENV: 'production', DOCS: 'true', LOG_LEVEL: 'debug' }
  const { code, stdout, stderr } = await manage(t, ['check'], { service, env })
  t.same({ code, stderr }, { code: 0, stderr: '' })
  t.strictSame(stdout.trimEnd().split('\n').slice(3), [
    'warning docs: DOCS is on: anybody can read the API document',
    'warning database: it is a SQLite file, not shared between machines',
    'warning production: LOG_LEVEL is debug: logs will be large',
  ])
})

t.test(
  'production: without a Redis for what is cached, and with one that may lose tasks, there is a warning',
  async (t) => {
    const cached = THINGS.replace(
      "summary: 'Every thing',",
      "summary: 'Every thing', cache: { ttl: 1000 },",
    )
    const service = writeService(t, { 'src/things.ts': cached })
    const check = async (url: string | undefined) => {
      const env = { NODE_ENV: 'production', REDIS_URL: url, ...PATIENT_ENV }
      const { code, stdout } = await manage(t, ['check'], { service, env })
      t.equal(code, 0)
      return stdout.split('\n').filter((line) => /redis/i.test(line))
    }
    t.match(await check(undefined), [
      /^warning +tasks: REDIS_URL is not set: cached results are in the memory of each process$/,
    ])
    t.match(await check(process.env.TEST_REDIS_URL), [
      /^ok +attached: redis answers in [\d.]+ ms$/,
      /^warning +tasks: Redis keeps no append-only file \(appendonly yes\): a restart may lose tasks$/,
    ])
    t.match(await check('redis://127.0.0.1:1'), [/^warning +attached: redis: /])
  },
)

t.test('tasks in a queue that nobody works on are a warning', async (t) => {
  const jobs = await createJobs(t)
  const told = async () => {
    const { stdout } = await jobs.run('check', '--json')
    return JSON.parse(stdout).filter(({ check }: { check: string }) => check === 'tasks')
  }
  t.strictSame(await told(), [
    { check: 'tasks', level: 'ok', message: 'queues: default, mail, news' },
  ])
  await jobs.enqueue('print', { text: 'a' }, { queue: 'mail' })
  const driver = await jobs.app.tasks.driver()
  const [waiting, delayed] = [task({ queue: 'gone' }), task({ queue: 'gone', delay: 60_000 })]
  await driver.add([waiting, delayed])
  t.match(await told(), [
    {
      level: 'warning',
      code: 'tasks-orphaned',
      subject: 'gone',
      message: /^2 tasks wait in the queue gone, which/,
    },
  ])
  for (const { id } of [waiting, delayed]) await driver.cancel(id)
  t.match(await told(), [{ level: 'ok' }], 'those that have ended harm nobody')
})

t.test('what is wrong is the last thing that is told: exit code 1', async (t) => {
  const throwing = `
    async function bad() { throw new Error('no') }
    export default { name: 'shop', modules: {}, plugins: [bad] }`
  const wrong: [Record<string, string>, Record<string, string>, object][] = [
    [
      { PORT: 'x', LOG_LEVEL: 'loud' },
      {},
      {
        check: 'configuration',
        level: 'error',
        message: /^CONFIG_INVALID: .*\n {2}PORT: .*\n {2}LOG_LEVEL: .*$/,
      },
    ],
    [BARE, { 'src/service.ts': throwing }, { check: 'app', level: 'error', message: /^no$/ }],
    [
      { DATABASE_URL: 'mysql://joe:hunter2@127.0.0.1:1/x' },
      {},
      { check: 'app', level: 'error', message: /^DATABASE_UNAVAILABLE: .*127\.0\.0\.1:1/ },
    ],
  ]
  for (const [env, files, finding] of wrong) {
    const service = writeService(t, files)
    const { code, stdout, stderr } = await manage(t, ['check', '--json'], { service, env })
    t.same({ code, stderr }, { code: 1, stderr: '' })
    const findings = JSON.parse(stdout)
    t.equal(findings.length, 1)
    t.match(findings[0], finding)
    t.notMatch(stdout, 'hunter2')
    const text = await manage(t, ['check'], { service, env })
    t.equal(text.code, 1)
    t.match(text.stdout, /^error {3}\w+: /)
  }
})

t.test('an attached resource that does not answer: it is named, exit code 1', async (t) => {
  const service = writeService(t, {
    'src/service.ts': `
      async function attach(app) {
        app.readiness.set('mail', async () => { throw new Error('hunter2') })
      }
      export default { name: 'shop', modules: {}, plugins: [attach] }`,
  })
  const { code, stdout } = await manage(t, ['check', '--json'], { service, env: BARE })
  t.equal(code, 1)
  t.match(
    JSON.parse(stdout).find(({ level }: { level: string }) => level === 'error'),
    { check: 'attached', message: /^mail: / },
  )
  t.notMatch(stdout, 'hunter2')
})
