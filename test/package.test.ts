import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { kit } from '../src/process/kit.ts'
import { loadedBy } from './helpers/loaded.ts'
import { logLines, manage, startServe } from './helpers/manage.ts'
import { CONSUMER_OPTIONS, pack, run } from './helpers/pack.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

const FILES = {
  'package.json': JSON.stringify({
    name: 'shop',
    private: true,
    type: 'module',
    dependencies: { plinth: '*' },
  }),
  'tsconfig.json': JSON.stringify({
    compilerOptions: CONSUMER_OPTIONS,
    include: ['src', 'migrations', 'commands'],
  }),
  'src/service.ts': `
import { defineModule, defineResource, defineService, notFound, Type } from 'plinth'

declare module 'plinth' {
  interface DatabaseTables {
    thing: { id: number; name: string }
  }
}

const Thing = Type.Object({ id: Type.Integer({ minimum: 1 }), name: Type.String() })

export const retrieve = defineResource({
  summary: 'One thing',
  path: '/:id',
  request: Type.Object({ id: Thing.properties.id }),
  response: Thing,
  async perform({ id }, { db, log }) {
    log.debug('a look')
    const found = await db.selectFrom('thing').selectAll().where('id', '=', id).executeTakeFirst()
    return found ?? notFound('thing', id)
  },
})

export const fail = defineResource({
  summary: 'Fails',
  path: '/fail',
  perform() {
    throw new Error('it broke')
  },
})

const env = Type.Object({ SITE: Type.String({ format: 'uri', default: 'http://shop.test' }) })
const things = defineModule({ prefix: '/things', resources: { retrieve, fail } })
export default defineService({ name: 'shop', env, modules: { things } })
`,
  'src/types.ts': `
import Fastify from 'fastify'
import { createApp, PlinthError } from 'plinth'
import database from 'plinth/plugins/database'
import health from 'plinth/plugins/health'
import service, { retrieve } from './service.ts'

export async function use(): Promise<string> {
  const app = await createApp(service)
  const { id, name } = await app.resources.things.retrieve({ id: 1 })
  // @ts-expect-error the id is a number
  await retrieve({ id: 'x' })
  // @ts-expect-error there is no such module
  app.resources.nothing
  // @ts-expect-error a thing has no size
  const { size } = await retrieve({ id })
  const alone = Fastify()
  await alone.register(health)
  await alone.register(database, { url: 'sqlite::memory:' })
  // @ts-expect-error there is no such table
  alone.db.selectFrom('nothing')
  return PlinthError.is(size) ? size.code : name
}
`,
  'migrations/0001_thing.ts': `
import { createTable, defineMigration } from 'plinth/migration'

export default defineMigration([
  createTable('thing', {
    columns: { id: { type: 'integer' }, name: { type: 'varchar(120)' } },
    primaryKey: ['id'],
  }),
])
`,
  'commands/add.ts': `
import { BaseCommand } from 'plinth/command'

export default class Add extends BaseCommand {
  static override summary = 'Add a thing'

  async run(): Promise<void> {
    await this.parse(Add)
    await this.withApp(async ({ db }) => {
      await db.insertInto('thing').values({ id: 1, name: 'one' }).execute()
    })
    this.log('added')
  }
}
`,
}

/** Where no file of the repository is in reach. */
const folder = mkdtempSync(join(tmpdir(), 'plinth-package-'))
t.teardown(() => rmSync(folder, { recursive: true }))
const project = join(folder, 'shop')
const installed = join(project, 'node_modules/plinth')
const command = { cwd: project, env: { NODE_OPTIONS: undefined } }
const program = [join(project, 'node_modules/.bin/manage')]

/** Packs the kit, and unpacks it where npm would. */
async function install(): Promise<string[]> {
  const tarball = await pack(folder)
  mkdirSync(installed, { recursive: true })
  await run('tar', ['-xzf', tarball, '--strip-components=1', '-C', installed])
  return (await run('tar', ['-tzf', tarball])).stdout.trim().split('\n')
}

/** What a service on SQLite and Redis installs beside it, and no page of its queues. */
const PEERS = [
  'fastify',
  '@fastify/swagger',
  '@scalar/fastify-api-reference',
  '@types/node',
  '@fastify/redis',
  'ioredis',
  'bullmq',
]
const REDIS_URL = process.env.TEST_REDIS_URL

/** Links what npm would install, and nothing more. */
function linkDependencies(): void {
  const { dependencies } = kit() as unknown as { dependencies: Record<string, string> }
  for (const name of [...Object.keys(dependencies), ...PEERS]) {
    const link = join(project, 'node_modules', name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules', name), link)
  }
  mkdirSync(join(project, 'node_modules/.bin'))
  symlinkSync('../plinth/bin/manage', join(project, 'node_modules/.bin/manage'))
}

function writeProject(): void {
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(dirname(join(project, path)), { recursive: true })
    writeFileSync(join(project, path), text)
  }
}

t.test('the packed package, installed in a project', async (t) => {
  const packed = await install()
  linkDependencies()
  writeProject()

  await t.test('it holds what is needed to run, and no sources', async (t) => {
    const top = new Set(packed.map((path) => path.split('/')[1]))
    t.strictSame([...top].sort(), [
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'bin',
      'dist',
      'docs',
      'package.json',
      'templates',
    ])
    t.strictSame(
      packed.filter((path) => /(?<!\.d)\.ts$/.test(path) && !path.startsWith('package/templates/')),
      [],
    )
    for (const name of ['admin', 'developer'])
      t.ok(packed.includes(`package/dist/src/${name}/page.html`))
    t.strictSame(
      packed.filter((path) => path.includes('tsbuildinfo')),
      [],
    )
  })

  await t.test('its types resolve, and refuse what is wrong', async (t) => {
    const tsc = join(ROOT, 'node_modules/.bin/tsc')
    // Several checkers would each check most of the packages' types.
    const args = ['-p', '.', '--checkers', '1']
    const told = await run(tsc, args, { cwd: project }).catch((error) => error)
    t.equal(told.stdout, '')
    t.notOk(told instanceof Error)
  })

  await t.test('its commands work', async (t) => {
    const ok = { code: 0, signal: null, stderr: '' }
    const of = (...args: string[]) => manage(t, args, { ...command, program })
    t.strictSame(await of('resources'), {
      ...ok,
      stdout: [
        'things.retrieve  GET  /things/:id   One thing',
        'things.fail      GET  /things/fail  Fails\n',
      ].join('\n'),
    })
    t.match(await of('--help'), { ...ok, stdout: /^ {2}add {2}Add a thing$/m })
    t.match(await of('check'), { ...ok, code: 1, stdout: 'not applied: 0001_thing' })
    t.match(await of('migrate'), { ...ok, stderr: String })
    const env = { NODE_OPTIONS: '', NODE_ENV: 'production', DATABASE_URL: 'sqlite:./data/dev.db' }
    // Of the packages what tells Fastify of a plugin, and nothing that serves or validates.
    t.strictSame(
      await loadedBy(t, ['migrate', 'status'], { ...command, program, env }).then((all) =>
        all.filter((name) => !name.startsWith('node:')),
      ),
      ['plinth', 'fastify-plugin'],
    )
    t.match(await of('check'), { ...ok, stdout: 'ok      migrations' })
    t.strictSame(await of('add'), { ...ok, stdout: 'added\n' })
    t.match(await of('call', 'things.retrieve', '{"id": 1}'), { ...ok, stdout: '"name": "one"' })
    t.match(await of('routes'), { ...ok, stdout: /^GET +\/things\/:id +things\.retrieve$/m })
    t.match(await of('config'), { ...ok, stdout: /^SITE +http:\/\/shop\.test +default$/m })
  })

  await t.test('it serves', async (t) => {
    const {
      url,
      process: child,
      ended,
    } = await startServe(t, {
      ...command,
      env: { ...command.env, REDIS_URL },
      program: [...program],
    })
    const get = async (path: string) => (await fetch(url + path)).json()
    t.match(await get('/things/1'), { result: true, data: { id: 1, name: 'one' } })
    t.match(await get('/things/2'), { result: false, code: 'NOT_FOUND' })
    t.match(await get('/openapi.json'), { openapi: /^3\.1/, paths: { '/things/{id}': {} } })
    t.match(await (await fetch(`${url}/docs`)).text(), '<html')
    const script = await fetch(`${url}/docs/scalar.js`)
    t.equal(script.status, 200)
    // A server waits for answers that are on their way.
    await script.text()
    t.match(await get('/things/fail'), { result: false, code: 'INTERNAL' })
    child.kill('SIGTERM')
    const log = logLines((await ended).stdout)
    const { err } = log.find(({ err }) => err) as { err: { stack: string } }
    // Of the service as it is written, and of the kit as it was before it was built.
    t.match(err.stack, /at .*perform \(file:\/\/.*\/shop\/src\/service\.ts:28:11\)/)
    const places = [...err.stack.matchAll(/plinth\/(src\/resource\/[\w-]+\.ts):(\d+):\d+/g)]
    t.not(places.length, 0)
    for (const [, path = '', line] of places) {
      const lines = readFileSync(join(ROOT, path), 'utf8').split('\n')
      t.match(lines[Number(line) - 1], /\(/, `${path}:${line}`)
    }
    // Nobody has asked for the page of the queues: it is told, and no more.
    const lacking = 'npm install @bull-board/api @bull-board/fastify'
    const told = new RegExp(`"plugin":"queues",.*started without it: .*${lacking}`)
    t.match(await ended, { code: 0, stderr: '', stdout: told })
    const env = { ...command.env, REDIS_URL, QUEUES: 'true' }
    t.match(await manage(t, ['routes'], { ...command, env, program }), { code: 1, stderr: lacking })
  })
})
