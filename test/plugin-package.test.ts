import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import type { ServiceDefinition } from '../src/define-service.ts'
import { createApp } from '../src/service.ts'
import { databaseDrivers, PATIENT_HEALTH } from './helpers/drivers.ts'
import { manage } from './helpers/manage.ts'
import { run } from './helpers/pack.ts'
import { writeService } from './helpers/service.ts'

/** A package as somebody publishes it: JavaScript, as Node.js strips no types in node_modules. */
const PACKAGE = {
  'package.json': JSON.stringify({
    name: 'sms-plugin',
    version: '1.0.0',
    type: 'module',
    exports: './index.js',
    files: ['index.js', 'migrations', 'seeds', 'commands'],
  }),
  'index.js': `
import { defineModel, defineModule, definePlugin, defineResource, Type } from 'plinth'

export const Message = defineModel('sms_message', {
  columns: { id: Type.Integer(), sender: Type.String({ maxLength: 20 }), body: Type.String({ maxLength: 100 }) },
  generated: ['id'],
})

export default definePlugin({
  name: 'sms',
  env: Type.Object({ SMS_SENDER: Type.String() }),
  needs: ['database'],
  models: [Message],
  migrations: new URL('./migrations/', import.meta.url),
  seeds: new URL('./seeds/', import.meta.url),
  commands: new URL('./commands/', import.meta.url),
  readiness: { sms: async (app) => { await app.db.selectFrom('sms_message').selectAll().execute() } },
  modules: ({ name }) => ({
    messages: defineModule({
      prefix: '/messages',
      resources: {
        send: defineResource({
          summary: 'Send a message',
          method: 'POST',
          request: Type.Object({ body: Type.String() }),
          response: Type.String(),
          async perform({ body }, { app, db }) {
            const { sender } = app[name]
            await db.insertInto('sms_message').values({ sender, body }).execute()
            return sender
          },
        }),
      },
    }),
  }),
  register(app, options, { name, env }) {
    app.decorate(name, { sender: env.SMS_SENDER })
  },
})
`,
  'migrations/0001_create_message.js': `
import { createTable, defineMigration } from 'plinth/migration'
export default defineMigration([
  createTable('sms_message', {
    columns: {
      id: { type: 'bigint', generated: true },
      sender: { type: 'varchar(20)' },
      body: { type: 'varchar(100)' },
    },
    primaryKey: ['id'],
  }),
])`,
  'seeds/01_hello.js': `
import { defineSeed } from 'plinth'
export default defineSeed({
  summary: 'A message',
  async run({ db, progress }) {
    await db.insertInto('sms_message').values({ sender: 'seed', body: 'hello' }).execute()
    await progress(1, 1)
  },
})`,
  'commands/db/anonymize.js': `
import { BaseCommand } from 'plinth/command'
export default class Anonymize extends BaseCommand {
  static summary = 'Forget who has sent what'
  async run() {
    await this.parse(Anonymize)
    await this.withDatabase(async ({ db }) => {
      await db.updateTable('sms_message').set({ sender: 'nobody' }).execute()
    })
    this.log('anonymized')
  }
}`,
  'commands/sms/count.js': `
import { Args, BaseCommand } from 'plinth/command'
export default class Count extends BaseCommand {
  static summary = 'Count messages'
  static args = { sender: Args.string() }
  async run() {
    const { args } = await this.parse(Count)
    await this.withApp(async ({ db }) => {
      const rows = await db.selectFrom('sms_message').select('sender').execute()
      this.log(String(rows.filter(({ sender }) => sender === (args.sender ?? sender)).length))
    })
  }
}`,
}

const ONCE = `
import { defineModel, defineService, Type } from 'plinth'
import sms from 'sms-plugin'

export const Receipt = defineModel('receipt', {
  columns: { id: Type.Integer(), message: Type.Integer() },
  generated: ['id'],
  foreignKeys: [{ columns: ['message'], references: 'sms_message.id' }],
})

export default defineService({ name: 'shop', modules: {}, models: [Receipt], plugins: [sms()] })
`

const TWICE = `
import { defineService } from 'plinth'
import sms from 'sms-plugin'

export default defineService({ name: 'bank', modules: {}, plugins: [sms(), sms({ name: 'alerts' })] })
`

const EMPTY = `
import { defineService } from 'plinth'

export default defineService({ name: 'author', modules: {} })
`

const MADE_ONCE = EMPTY.replace('modules: {}', 'modules: {}, plugins: [smsGate()]')
const MADE_TWICE = EMPTY.replace(
  'modules: {}',
  "modules: {}, plugins: [smsGate(), smsGate({ name: 'alerts' })]",
)

const folder = t.testdir()
let tarball = ''
let madeTarball = ''

t.before(async () => {
  for (const [path, text] of Object.entries(PACKAGE)) {
    mkdirSync(dirname(join(folder, 'source', path)), { recursive: true })
    writeFileSync(join(folder, 'source', path), text)
  }
  tarball = await packOf(join(folder, 'source'), 'sms-plugin-1.0.0.tgz')
  const author = join(folder, 'author')
  mkdirSync(join(author, 'src'), { recursive: true })
  writeFileSync(join(author, 'src/service.ts'), EMPTY)
  const made = await manage(t, ['make', 'plugin', 'sms-gate', '--package'], { service: author })
  t.equal(made.code, 0, made.stderr)
  madeTarball = await packOf(join(author, 'packages/sms-gate'), 'sms-gate-0.1.0.tgz')
})

async function packOf(source: string, file: string): Promise<string> {
  await run('npm', ['pack', '--pack-destination', folder], { cwd: source })
  return join(folder, file)
}

/** A service with a packed plugin among its packages. */
async function createShop(t: Test, text: string, url: string, packed = tarball) {
  const service = writeService(t, { 'src/service.ts': text })
  const modules = join(service, 'node_modules')
  const plugin = join(modules, basename(packed).replace(/-[\d.]+tgz$/, ''))
  mkdirSync(plugin, { recursive: true })
  await run('tar', ['-xzf', packed, '-C', plugin, '--strip-components=1'])
  const env = {
    DATABASE_URL: url,
    SMS_SENDER: 'us',
    ALERTS_SMS_SENDER: 'alarm',
    SMS_GATE_SOURCE: 'shop',
    ALERTS_SMS_GATE_SOURCE: 'alarm',
    NODE_ENV: 'test',
  }
  return { service, env, run: (...args: string[]) => manage(t, args, { service, env }) }
}

for (const { name, url } of databaseDrivers) {
  t.test(`a service has all that a plugin brings: ${name}`, async (t) => {
    const where = name === 'sqlite' ? `sqlite:${join(t.testdir(), 'shop.db')}` : await url(t)
    const { service, run } = await createShop(t, ONCE, where)
    t.match(await run('makemigrations'), {
      code: 0,
      stderr: '',
      stdout: /wrote migrations\/0001_create_receipt\.ts\n$/,
    })
    const schema = JSON.parse(readFileSync(join(service, 'migrations/schema.json'), 'utf8'))
    t.strictSame(Object.keys(schema.tables), ['receipt'], 'its tables are its own')
    t.match(await run('makemigrations', '--check'), { code: 0, stdout: 'no changes\n' })
    t.match(await run('check'), {
      code: 1,
      stdout: /not applied: sms\/0001_create_message, 0001_create_receipt/,
    })
    t.match(await run('migrate'), {
      code: 0,
      stderr: '',
      stdout: /^applied sms\/0001_create_message .*\napplied 0001_create_receipt .*\n$/,
    })
    t.match(await run('migrate'), { code: 0, stdout: 'nothing to apply\n' })
    t.match(JSON.parse((await run('migrate', 'status', '--json')).stdout), [
      { name: 'sms/0001_create_message', state: 'applied' },
      { name: '0001_create_receipt', state: 'applied' },
    ])
    t.match(await run('check'), {
      code: 0,
      stdout: /^ok +migrations: every migration is applied$/m,
    })
    t.match(await run('seed'), { code: 0, stdout: /^sms\/01_hello: 1 rows, 1 of them new/ })
    t.match(await run('sms', 'count', 'seed'), { code: 0, stdout: '1\n' })
    t.match(await run('db', 'anonymize'), { code: 0, stdout: 'anonymized\n', stderr: '' })
    t.match(await run('sms', 'count', 'seed'), { code: 0, stdout: '0\n' })
    t.match(await run('db', '--help'), { code: 0, stdout: /anonymize[\s\S]*create/ })
    t.match(await run('plugins'), { code: 0, stdout: /^sms\n {2}variables +SMS_SENDER\n/m })
    const listed: { name: string }[] = JSON.parse((await run('plugins', '--json')).stdout)
    t.match(
      listed.filter(({ name }) => name === 'sms'),
      [
        {
          name: 'sms',
          plugin: 'sms',
          attached: true,
          absent: null,
          variables: ['SMS_SENDER'],
          needs: ['database'],
          models: ['sms_message'],
          migrations: ['0001_create_message'],
          seeds: ['01_hello'],
          modules: ['messages'],
          commands: ['db anonymize', 'sms count'],
          readiness: ['sms'],
        },
      ],
    )
    t.match(await run('migrate', 'rollback', '--steps', '2', '--yes'), {
      code: 0,
      stdout: /^took back 0001_create_receipt .*\ntook back sms\/0001_create_message /,
    })
  })

  t.test(`another one attaches it twice: ${name}`, async (t) => {
    const where = name === 'sqlite' ? `sqlite:${join(t.testdir(), 'bank.db')}` : await url(t)
    const { service, env, run } = await createShop(t, TWICE, where)
    t.match(await run('migrate'), { code: 0, stdout: /^applied sms\/0001_create_message .*\n$/ })
    const module: { default: ServiceDefinition } = await import(join(service, 'src/service.ts'))
    const app = await createApp(module.default, {
      root: service,
      env,
      logger: false,
      override: { health: PATIENT_HEALTH },
    })
    t.teardown(() => app.close())
    const send = async (at: string) => {
      const answer = await app.inject({ method: 'POST', url: at, payload: { body: 'hi' } })
      return answer.json().data
    }
    t.equal(await send('/messages'), 'us')
    t.equal(await send('/alerts/messages'), 'alarm')
    t.match((await app.inject('/readyz')).json().data.checks, {
      sms: { ok: true },
      alerts: { ok: true },
    })
    t.match(await run('sms', 'count'), { code: 0, stdout: '2\n' })
    t.match(await run('config', '--json'), { code: 0, stdout: /"ALERTS_SMS_SENDER"/ })
  })

  t.test(`what manage make plugin --package makes is used by two services: ${name}`, async (t) => {
    for (const text of [MADE_ONCE, MADE_TWICE]) {
      await t.test(text === MADE_ONCE ? 'once' : 'twice', async (t) => {
        const where = name === 'sqlite' ? `sqlite:${join(t.testdir(), 'shop.db')}` : await url(t)
        const { service, env, run } = await createShop(
          t,
          `import { smsGate } from 'sms-gate'\n${text}`,
          where,
          madeTarball,
        )
        t.match(await run('makemigrations', '--plugin', 'sms-gate', '--check'), {
          code: 0,
          stdout: 'no changes\n',
        })
        t.match(await run('migrate'), { code: 0, stdout: /^applied sms-gate\/0001_create_entry / })
        t.match(await run('seed'), {
          code: 0,
          stdout: /^sms-gate\/01_entries: 1 rows, 1 of them new/,
        })
        const module: { default: ServiceDefinition } = await import(join(service, 'src/service.ts'))
        const app = await createApp(module.default, {
          root: service,
          env: { ...env, METRICS: 'true' },
          logger: false,
          override: { health: PATIENT_HEALTH },
        })
        t.teardown(() => app.close())
        const add = async (at: string) => {
          const answer = await app.inject({ method: 'POST', url: at, payload: { text: 'hi' } })
          t.equal(answer.statusCode, 201, answer.body)
          return answer.json().data.source
        }
        t.equal(await add('/sms-gate'), 'shop')
        const { checks } = (await app.inject('/readyz')).json().data
        const metrics = (await app.inject('/metrics')).body
        t.match(checks, { 'sms-gate': { ok: true } })
        t.match(metrics, /^sms_gate_added_total 1$/m)
        if (text === MADE_TWICE) {
          t.equal(await add('/alerts/sms-gate'), 'alarm')
          t.match(checks, { alerts: { ok: true } })
          t.match(metrics, /^alerts_added_total 0$/m)
        }
        t.match(await run('sms-gate', 'count', '--json'), {
          code: 0,
          stdout: `{\n  "entries": ${text === MADE_TWICE ? 3 : 2}\n}\n`,
        })
      })
    }
  })
}
