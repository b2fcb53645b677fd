import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { kit } from '../src/process/kit.ts'
import { writeExamples } from './helpers/documents.ts'
import { CONSUMER_OPTIONS, npmEnv, PNPM, pack, run } from './helpers/pack.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const TYPESCRIPT_7 = join(ROOT, 'node_modules/typescript')

const { peerDependencies: peers } = kit() as unknown as { peerDependencies: Record<string, string> }

/** A project that has these optional packages. */
const manifestWith = (names: readonly string[]) => ({
  name: 'consumer',
  private: true,
  type: 'module',
  dependencies: {
    fastify: peers.fastify,
    plinth: 'file:../plinth.tgz',
    ...Object.fromEntries(names.map((name) => [name, peers[name]])),
  },
  devDependencies: { '@types/node': '^22.20.5' },
})

const WITHOUT_BULLMQ = Object.keys(peers).filter((name) => !/^bullmq$|^@bull-board/.test(name))
const manifest = manifestWith(WITHOUT_BULLMQ)

/** What a project has to say, for a service with tasks in Redis; docs/tasks.md tells users. */
const told = (fence: string): string => {
  const text = readFileSync(join(ROOT, 'docs/tasks.md'), 'utf8')
  return new RegExp(`^\`\`\`${fence}\n([^\`]*msgpackr-extract[^\`]*)^\`\`\``, 'm').exec(
    text,
  )?.[1] as string
}

const FILES = {
  'tsconfig.json': JSON.stringify({
    compilerOptions: { ...CONSUMER_OPTIONS, rootDirs: ['README.md', 'docs/models.md'] },
    include: ['src', 'commands', 'docs', 'README.md'],
  }),
  // Nothing but `plinth` is imported, and everything that it attaches has a type.
  'src/service.ts': `
import { defineService } from 'plinth'

export default defineService({ name: 'shop', modules: {} })
`,
  'commands/greet.ts': `
import { Args, BaseCommand, Flags } from 'plinth/command'
import { sql } from 'plinth/sql'

export default class Greet extends BaseCommand {
  static override summary = 'Greet somebody'
  static override args = { name: Args.string({ required: true }) }
  static override flags = { loud: Flags.boolean() }

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Greet)
    await this.withApp(async ({ db }) => {
      const { rows } = await sql<{ name: string }>\`select \${args.name} as name\`.execute(db)
      this.log(flags.loud ? 'HELLO %s' : 'Hello %s', rows[0]?.name)
    })
  }
}
`,
  // Every plugin: its options, what has to be there before it, and what of the options of a second one is another.
  'uses.cjs': `
const { generateKeyPairSync } = require('node:crypto')

const secret = 'a secret of more than 32 bytes, for tests'
const publicKeyEncoding = { type: 'spki', format: 'pem' }
const privateKeyEncoding = { type: 'pkcs8', format: 'pem' }
const keys = () =>
  generateKeyPairSync('rsa', { modulusLength: 2048, publicKeyEncoding, privateKeyEncoding }).publicKey

exports.uses = {
  admin: [{ models: [] }],
  auth: [{}],
  bearer: [{ key: secret, audience: false }],
  'bk-gateway': [{ keys: keys() }],
  'bk-login': [{ url: 'https://paas.example.com/login' }],
  cache: [{}],
  config: [{ env: {}, dotenv: false }],
  contract: [{ service: 'ships' }, [], { path: '/other.json' }],
  cors: [{ origins: ['https://ui.example.com'] }],
  database: [{ url: 'sqlite::memory:' }],
  deadline: [{ timeout: 1000 }],
  decompress: [{}],
  developer: [{}],
  docs: [{ title: 'ships', version: '1.0.0' }, [], { document: '/other.json', page: '/other' }],
  envelope: [{}],
  health: [{}],
  idempotency: [{}],
  languages: [{}],
  'load-shedding': [{}],
  oidc: [{ issuer: 'https://login.example.com', clientId: 'ships' }, ['session'], { prefix: '/other' }],
  queues: [{ protected: false }, ['redis', 'tasks'], { path: '/other' }],
  'rate-limit': [{}],
  redis: [{ url: 'redis://127.0.0.1:1' }],
  'request-log': [{}],
  resources: [{ modules: {} }],
  'security-headers': [{}],
  session: [{ secret }],
  signature: [{ secrets: { billing: secret } }],
  tasks: [{}],
  telemetry: [{}],
  upstream: [{}],
  users: [{}, ['database']],
}

const load = (name) => (process.argv[2] === 'import' ? import(name) : require(name))
const plugin = async (name) => (await load(\`plinth/plugins/\${name}\`)).default
const withNeeds = (name) => [...(exports.uses[name][1] ?? []), name]

/** Registers it, and before it what it needs. */
async function register(app, name) {
  for (const one of withNeeds(name)) await app.register(await plugin(one), exports.uses[one][0])
}

/** Whether an app with it gets ready. */
async function outcome(prepare) {
  const app = require('fastify')()
  app.register(prepare)
  const told = await app.ready().then(() => 'ready', ({ code, message }) => \`\${code} \${message}\`)
  await app.close()
  return told
}

Object.assign(exports, { load, plugin, withNeeds, register, outcome })
`,
  // In a context of its own, which keeps it, and in two beside each other under two names.
  'contexts.cjs': `
const Fastify = require('fastify')
const { load, plugin, register, uses } = require('./uses.cjs')

const at = async (app, url) => (await app.inject(url)).json()

async function inContext(name) {
  const app = Fastify()
  const { decorators = [] } = (await plugin(name)).definition
  let inside
  app.get('/outside', async () => 'answered')
  app.register(async (scope) => {
    await register(scope, name)
    inside = decorators.every((one) => scope.hasDecorator(one))
  }, { prefix: '/scope' })
  await app.ready()
  const { statusCode, headers } = await app.inject('/outside')
  const isAnother = decorators.some((one) => app.hasDecorator(one)) || statusCode !== 200
  console.log(name, inside, isAnother || Object.keys(headers).join() !== 'content-type,content-length,date,connection')
  await app.close()
}

async function twice() {
  const { defineModule, defineResource, Type } = await load('plinth')
  const [database, cache, resources] = [await plugin('database'), await plugin('cache'), await plugin('resources')]
  const app = Fastify()
  for (const name of ['shop', 'archive']) {
    const read = defineResource({
      summary: 'Read',
      response: Type.Object({ rows: Type.Array(Type.String()), cached: Type.String() }),
      async perform(_, { db }) {
        const rows = await db.selectFrom('thing').select('name').execute()
        return { rows: rows.map((row) => row.name), cached: await app[name].cache.get('name') }
      },
    })
    app.register(async (scope) => {
      await scope.register(database, { url: 'sqlite::memory:', name, decorator: 'db' })
      await scope.register(cache, { prefix: name })
      await scope.register(resources, { modules: { things: defineModule({ prefix: '/things', resources: { read } }) } })
      await scope.db.schema.createTable('thing').addColumn('name', 'text').execute()
      await scope.db.insertInto('thing').values({ name }).execute()
      await scope.cache.set('name', name, { ttl: 60_000 })
      app[name] = scope
    }, { prefix: '/' + name })
  }
  await app.ready()
  for (const name of ['shop', 'archive']) console.log(name, JSON.stringify((await at(app, \`/\${name}/things\`)).data))
  await app.close()
}

async function main() {
  for (const name of Object.keys(uses)) await inContext(name)
  await twice()
  await effects()
}

// Those that decorate nothing: what they do is so for the routes of their context alone.
async function effects() {
  const lines = []
  const stream = { write: (line) => lines.push(JSON.parse(line)) }
  const { RequestLogController } = await load('plinth/log-controller')
  const app = Fastify({ logger: { stream }, logController: new RequestLogController() })
  const gzip = require('node:zlib').gzipSync('{"a":1}')
  const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
  const post = (url) => app.inject({ method: 'POST', url, headers, payload: gzip })
  app.register(async (scope) => {
    await scope.register(await plugin('request-log'))
    await scope.register(await plugin('decompress'))
    await scope.register(await plugin('docs'), { title: 'Ships', version: '1.0.0' })
    await scope.register(await plugin('deadline'), { timeout: 10000 })
    scope.get('/never', { config: { deadline: 50 } }, () => new Promise(() => {}))
    scope.post('/echo', async ({ body }) => body)
  }, { prefix: '/scope' })
  app.get('/outside', async () => 'answered')
  app.post('/outside', async ({ body }) => body)
  const status = async (request) => (await request).statusCode
  console.log('deadline', await status(app.inject('/scope/never')), await status(app.inject('/outside')))
  console.log('decompress', (await post('/scope/echo')).body, await status(post('/outside')))
  const document = await app.inject('/scope/openapi.json')
  console.log('docs', Object.keys(document.json().paths).join(' '), await status(app.inject('/openapi.json')))
  console.log('request-log', lines.filter(({ status }) => status).map(({ path }) => path).join(' '))
  await app.close()
}

main()
`,
  // Two of each in one context, under two names, or else in two beside each other.
  'names.cjs': `
const Fastify = require('fastify')
const { load, outcome, plugin, register, uses, withNeeds } = require('./uses.cjs')

async function two(name) {
  const [options, , more] = uses[name]
  const second = { ...options, ...more, name: 'other' }
  const named = await outcome(async (app) => {
    await register(app, name)
    await app.register(await plugin(name), second)
  })
  if (named === 'ready') return 'two names'
  const apart = await outcome(async (app) => {
    for (const one of withNeeds(name).slice(0, -1)) await app.register(await plugin(one), uses[one][0])
    for (const prefix of ['/one', '/other'])
      app.register(async (scope) => scope.register(await plugin(name), options), { prefix })
  })
  return \`\${named.split(' ')[0]}, two contexts \${apart}\`
}

const PATIENT = { commandTimeout: 5000 }
const redisAt = (database) => ({ url: process.env.REDIS_URL + '/' + database, ...PATIENT })

async function main() {
  const app = Fastify()
  const { defineModule, defineResource, Type } = await load('plinth')
  const use = async (name, options) => app.register((await load('plinth/plugins/' + name)).default, options)
  const prefix = 'consumer-' + process.pid
  await use('database', { url: 'sqlite::memory:' })
  await use('database', { url: 'sqlite::memory:', name: 'archive' })
  await use('redis', redisAt(4))
  await use('redis', { ...redisAt(5), name: 'sessions' })
  await use('cache', { prefix, ...PATIENT })
  await use('cache', { prefix: prefix + ':pages', name: 'pages', ...PATIENT })
  await use('tasks', { prefix: '{' + prefix + '}:tasks' })
  await use('tasks', { prefix: '{' + prefix + '}:mails', name: 'mails' })
  await use('queues', { prefix: '{' + prefix + '}:tasks', protected: false })
  await use('health')
  const count = defineResource({
    summary: 'Count',
    method: 'POST',
    task: {},
    request: Type.Object({}),
    response: Type.Integer(),
    perform: async () => 1,
  })
  await use('resources', { modules: { things: defineModule({ prefix: '/things', resources: { count } }) } })
  await app.ready()
  await app.archive.schema.createTable('old').addColumn('id', 'integer').execute()
  const tables = async (db) => (await db.introspection.getTables()).map(({ name }) => name).join()
  console.log('databases', await tables(app.db), await tables(app.archive))
  const key = prefix + ':key'
  await app.sessions.set(key, 'session', 'EX', 60)
  console.log('redis', await app.redis.get(key), await app.sessions.get(key))
  await app.pages.set('key', 'page', { ttl: 60_000 })
  console.log('caches', await app.cache.get('key'), await app.pages.get('key'))
  const { task_id: id } = await app.run(() => app.resources.things.count.enqueue({}))
  const found = async (path) => (await app.inject(path + '/' + id)).statusCode
  console.log('tasks', await found('/tasks'), await found('/mails'))
  const page = await app.inject('/_/queues')
  console.log('page', page.statusCode, page.headers['content-type'])
  console.log('readyz', Object.keys((await app.inject('/readyz')).json().data.checks).join(' '))
  await app.tasks.cancel(id)
  await app.close()
  for (const name of Object.keys(uses)) console.log(name, await two(name))
}

main()
`,
  // As tsc does, but for the types of TypeBox by themselves, which take two thirds of the time: these tsc 7 checks.
  'compile.cjs': `
const ts = require(process.argv[2])

const { config, error } = ts.readConfigFile('tsconfig.json', ts.sys.readFile)
const { options, fileNames, errors } = ts.parseJsonConfigFileContent(config ?? {}, ts.sys, '.')
const program = ts.createProgram(fileNames, options)
const files = program.getSourceFiles().filter(({ fileName }) => !fileName.includes('/node_modules/typebox/'))
const found = [
  ...(error ? [error] : []),
  ...errors,
  ...program.getOptionsDiagnostics(),
  ...program.getGlobalDiagnostics(),
  ...files.flatMap((file) => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)]),
]
const host = { getCurrentDirectory: () => process.cwd(), getCanonicalFileName: (name) => name, getNewLine: () => '\\n' }
process.stdout.write(ts.formatDiagnostics(found, host))
process.exitCode = found.length > 0 ? 1 : 0
`,
  // Each plugin alone, with what it needs and without.
  'plugins.cjs': `
const { load, outcome, register, uses } = require('./uses.cjs')

async function main() {
  for (const name of Object.keys(uses))
    console.log(\`\${name}: \${await outcome((app) => register(app, name))}\`)
  for (const name of ['database', 'deadline', 'docs', 'queues', 'redis', 'resources'])
    console.log(\`\${name}: \${await outcome(async (app) => app.register(load(\`plinth/plugins/\${name}\`)))}\`)
}

main()
`,
  'src/app.ts': `
import { type App, createApp } from 'plinth'
import service from './service.ts'

const app: App = await createApp(service)
const port: number = app.config.PORT
const name: string | undefined = await app.run(() => app.cache.get<string>('name'))
await app.redis.ping()
await app.tasks.find('id')
await app.db.selectFrom('port').select('name').execute()
app.readiness.set('mail', async () => {})
app.addHook('onRequest', async (request) => {
  const { resource, deadline } = request.routeOptions.config
  const text: string | undefined = resource
  const milliseconds: string | number | undefined = deadline
  request.log.info({ port, name, text, milliseconds, since: app.draining.since, mysql: app.mysql?.pool })
})
// @ts-expect-error there is no such table
app.db.selectFrom('nothing')
// @ts-expect-error the port is a number
const wrong: string = app.config.PORT
app.log.info(wrong)
`,
}

/** A project of its own, with the examples of all documents, where no file of the repository is in reach. */
function createProject(name: string, files: Record<string, string>): string {
  const project = join(folder, name)
  for (const [path, text] of Object.entries({ ...FILES, ...files })) {
    mkdirSync(dirname(join(project, path)), { recursive: true })
    writeFileSync(join(project, path), text)
  }
  writeExamples(project)
  return project
}

/** Of which each has to say in `uses` how it is used. */
const names = readdirSync(join(ROOT, 'plugins'))
  .map((file) => file.slice(0, -'.ts'.length))
  .sort()
const missing = (plugin: string, packages: string) =>
  `PACKAGE_MISSING plinth/plugins/${plugin} needs what is not installed here: npm install ${packages}`
const READY = names
  .map((name) => `${name}: ${name === 'queues' ? missing('tasks', 'bullmq') : 'ready'}\n`)
  .join('')
const needed = {
  database: 'url',
  deadline: 'timeout',
  docs: 'title',
  redis: 'url',
  resources: 'modules',
}
const expected = {
  url: 'a text',
  title: 'a text',
  timeout: "milliseconds, or a text like '30s' (ms, s, m, h, d), from 0, 2147483647 ms at most",
  modules: 'an object',
}
const lacking: Record<string, string> = {
  bearer: 'fast-jwt',
  'bk-gateway': 'fast-jwt',
  cors: '@fastify/cors',
  docs: '@fastify/swagger @scalar/fastify-api-reference',
  oidc: 'openid-client',
  redis: '@fastify/redis ioredis',
  'security-headers': '@fastify/helmet',
  signature: 'http-message-signatures',
}
const LACKING = names
  .map((name) => {
    // It needs that.
    const first = name === 'queues' ? 'redis' : name
    return `${name}: ${lacking[first] ? missing(first, lacking[first]) : 'ready'}\n`
  })
  .join('')
// Without metrics and traces `telemetry` adds nothing.
const KEPT = names.map((name) => `${name} ${name !== 'telemetry'} false\n`).join('')
const CONTEXTS = `${KEPT}shop {"rows":["shop"],"cached":"shop"}
archive {"rows":["archive"],"cached":"archive"}
deadline 504 200
decompress {"a":1} 400
docs /scope/never /scope/echo 404
request-log /scope/never /scope/echo /scope/openapi.json
`
const NAMES = `databases  old
redis null session
caches undefined page
tasks 200 404
page 200 text/html; charset=utf-8
readyz database archive redis sessions outbox mails-outbox
`
/** Of what these add there is one in a context, whatever they are called. */
const ONCE =
  'admin config cors developer envelope health idempotency languages load-shedding rate-limit request-log resources session upstream users'.split(
    ' ',
  )
const TWO = names
  .map((name) => {
    const told = name === 'users' ? 'PLUGIN_INVALID' : 'PLUGIN_TWICE'
    return `${name} ${ONCE.includes(name) ? `${told}, two contexts ready` : 'two names'}\n`
  })
  .join('')

/** What has no optional package has all types but those of what these attach. */
const ALONE = `
import Fastify from 'fastify'
import { createApp } from 'plinth'
import cache from 'plinth/plugins/cache'
import database from 'plinth/plugins/database'
import tasks from 'plinth/plugins/tasks'
import service from './service.ts'

const app = await createApp(service)
const port: number = app.config.PORT
await app.cache.get<string>('name')
await app.tasks.find('id')
const inTransaction: boolean = app.db.isTransaction
const alone = Fastify()
await alone.register(cache)
await alone.register(database, { url: 'sqlite::memory:' })
await alone.register(tasks)
alone.log.info({ port, inTransaction })
`
const CALLING = `
import { createApp, createClient, defineApi, defineModule } from 'plinth'

const get = defineApi({ name: 'a', baseUrl: 'http://a' }).resource({ summary: 'Get', path: '/' })
const modules = { a: defineModule({ resources: { get } }) }
const env = { ...process.env, DATABASE_URL: 'sqlite::memory:', DOCS: 'false' }
const app = await createApp({ name: 'calling', modules }, { env, logger: false })
await app.ready().catch((error) => console.log(error.message))
await app.close()
for (const auth of [undefined, { signature: { app: 'a', secret: 'b' } }]) {
  try {
    createClient({ url: 'http://a', auth })
  } catch ({ code, message }) {
    console.log(code, message)
  }
}
`
const UNDICI =
  'plinth/plugins/upstream needs what is not installed here: npm install undici cockatiel'
const NEEDY =
  'queues: PLUGIN_MISSING The plugin queues needs the plugin redis, which is not there: register it first\n'
const MISSING = Object.entries(needed)
  .map(
    ([name, option]) =>
      `${name === 'redis' ? NEEDY : ''}${name}: PLUGIN_OPTION_INVALID plinth/plugins/${name} cannot be registered: its option ${option} is missing, expected ${expected[option as keyof typeof expected]}\n`,
  )
  .join('')

const folder = mkdtempSync(join(tmpdir(), 'plinth-consumer-'))
t.teardown(() => rmSync(folder, { recursive: true }))

/** Runs a program in a project: what it has printed on either stream, and whether it failed. */
async function outcome(program: string, args: readonly string[], cwd: string, more = {}) {
  const {
    stdout,
    stderr,
    code = 0,
  } = await run(program, args, { cwd, env: { ...npmEnv(), ...more } }).catch((error) => error)
  return { stdout, stderr, code }
}

const SILENT = { stdout: '', stderr: '', code: 0 }

async function compiles(t: Test, project: string): Promise<void> {
  // Several checkers would each check most of the packages' types.
  const args = [join(TYPESCRIPT_7, 'bin/tsc'), '-p', '.', '--checkers', '1']
  t.strictSame(await outcome(process.execPath, args, project), SILENT)
}

t.test('a project that installs the packed package', async (t) => {
  await run('mv', [await pack(folder), join(folder, 'plinth.tgz')])

  await t.test('with npm', async (t) => {
    const project = createProject('npm', {
      'package.json': JSON.stringify({
        ...manifest,
        devDependencies: {
          ...manifest.devDependencies,
          'typescript-5': 'npm:typescript@5.9.3',
          'typescript-6': 'npm:typescript@6.0.3',
        },
      }),
    })
    const npm = (...args: string[]) => outcome('npm', [...args, '--prefer-offline'], project)
    t.match(await npm('install', '--package-lock-only'), { stderr: /^$/, code: 0 })
    t.match(await npm('ci'), { stderr: /^$/, code: 0 })
    for (const version of ['typescript-5', 'typescript-6']) {
      await t.test(`${version} takes its types and the examples of the docs`, async (t) => {
        const told = await outcome(process.execPath, ['compile.cjs', version], project)
        t.strictSame(told, SILENT)
      })
    }
    await t.test('typescript 7 too, and those of all packages', (t) => compiles(t, project))
    await t.test('the examples are little work for it', async (t) => {
      const args = '-p . --skipLibCheck --checkers 1 --extendedDiagnostics'.split(' ')
      const { stdout } = await outcome(
        process.execPath,
        [join(TYPESCRIPT_7, 'bin/tsc'), ...args],
        project,
      )
      const [, count = 'none'] = /^Instantiations: +(\d+)$/m.exec(stdout) ?? []
      // 340,836 at first. It takes a million more to compare two types of whatever schemas: see src/schema/value.ts.
      t.ok(Number(count) < 700_000, count)
    })
    for (const way of ['import', 'require']) {
      await t.test(`each plugin works alone, by ${way}`, async (t) => {
        const told = await outcome(process.execPath, ['plugins.cjs', way], project)
        t.strictSame(told, { stdout: `${READY}${MISSING}`, stderr: '', code: 0 })
      })
    }
    await t.test('without BullMQ it asks for it where there is a Redis', async (t) => {
      const inRedis = { REDIS_URL: 'redis://127.0.0.1:1' }
      const manage = (more?: object) =>
        outcome('node_modules/.bin/manage', ['routes'], project, more)
      t.match(await manage(), { stdout: '/ping', stderr: /^$/, code: 0 })
      t.match(await manage(inRedis), {
        stderr: 'plinth/plugins/tasks needs what is not installed here: npm install bullmq',
        code: 1,
      })
    })
  })

  await t.test('with npm, and no optional package', async (t) => {
    const project = createProject('bare', { 'package.json': JSON.stringify(manifestWith([])) })
    for (const path of ['docs', 'README.md', 'src/app.ts'])
      rmSync(join(project, path), { recursive: true })
    writeFileSync(join(project, 'src/alone.ts'), ALONE)
    const npm = (...args: string[]) => outcome('npm', [...args, '--prefer-offline'], project)
    t.match(await npm('install', '--omit=dev'), { stderr: /^$/, code: 0 })
    t.strictSame(
      Object.keys(peers).filter((name) => existsSync(join(project, 'node_modules', name))),
      ['fastify'],
    )
    for (const way of ['import', 'require']) {
      const told = await outcome(process.execPath, ['plugins.cjs', way], project)
      t.strictSame(told, { stdout: `${LACKING}${MISSING}`, stderr: '', code: 0 }, way)
    }
    const onMysql = { DATABASE_URL: 'mysql://u:p@127.0.0.1:1/x', DOCS: 'false' }
    const main = 'node_modules/.bin/manage'
    const lines = async (DOCS?: string) => {
      const { stdout, code } = await outcome(main, ['routes'], project, { ...(DOCS && { DOCS }) })
      return { stdout, code }
    }
    t.match(await lines(), { stdout: '/ping', code: 0 }, 'nobody has asked for DOCS')
    t.match(await lines('true'), { stdout: '', code: 1 })
    t.match(await outcome(main, ['plugins'], project), {
      stdout: `docs, not attached: plinth/plugins/docs needs what is not installed here: npm install ${lacking.docs}\n`,
    })
    for (const command of ['routes', 'db:create']) {
      t.match(await outcome('node_modules/.bin/manage', command.split(':'), project, onMysql), {
        stderr:
          'plinth/plugins/database needs what is not installed here: npm install @fastify/mysql mysql2',
        code: 1,
      })
    }
    t.strictSame(await outcome(process.execPath, ['--input-type=module', '-e', CALLING], project), {
      stdout: `${UNDICI}\nPACKAGE_MISSING ${UNDICI}\nPACKAGE_MISSING ${UNDICI} http-message-signatures\n`,
      stderr: '',
      code: 0,
    })
    t.match(await npm('install'), { code: 0 })
    // What others take of its types is seen above.
    await compiles(t, project)
  })

  await t.test('with pnpm, and with BullMQ', async (t) => {
    const project = createProject('pnpm', {
      'package.json': JSON.stringify(manifestWith(Object.keys(peers))),
      'pnpm-workspace.yaml': told('yaml'),
    })
    const pnpm = (...args: string[]) => outcome(process.execPath, [PNPM, ...args], project)
    t.match(await pnpm('install', '--prefer-offline'), { code: 0 })
    t.match(await pnpm('install', '--frozen-lockfile'), { code: 0 })
    await compiles(t, project)
    const inRedis = { REDIS_URL: process.env.TEST_REDIS_URL as string }
    const manage = (...args: string[]) =>
      outcome('node_modules/.bin/manage', args, project, inRedis)
    const greeted = { stdout: 'HELLO you\n', stderr: '', code: 0 }
    t.strictSame(await manage('greet', 'you', '--loud'), greeted)
    t.match(await manage('tasks', 'stats', '--json'), { stderr: '', code: 0 })
    for (const way of ['import', 'require']) {
      await t.test(`a context keeps its plugins, by ${way}`, async (t) => {
        const told = await outcome(process.execPath, ['contexts.cjs', way], project)
        t.strictSame(told, { stdout: CONTEXTS, stderr: '', code: 0 })
      })
      await t.test(`two of each under two names, or beside each other, by ${way}`, async (t) => {
        const told = await outcome(process.execPath, ['names.cjs', way], project, inRedis)
        t.strictSame(told, { stdout: NAMES + TWO, stderr: '', code: 0 })
      })
    }
  })

  await t.test('with npm, and with BullMQ', async (t) => {
    const project = createProject('bullmq', {
      'package.json': JSON.stringify({ ...manifest, ...JSON.parse(`{${told('json')}}`) }),
    })
    const npm = (...args: string[]) => outcome('npm', [...args, '--prefer-offline'], project)
    const install = ['install', 'bullmq@^6.7.0', '--package-lock-only']
    t.match(await npm(...install), { stderr: /^$/, code: 0 })
    t.match(await npm('ci'), { stderr: /^$/, code: 0 })
  })
})
