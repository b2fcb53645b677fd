import {
  cpSync,
  existsSync,
  globSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { createSigner } from 'fast-jwt'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { defineModel } from '../src/database/model/define.ts'
import { column, decimal, timestamp } from '../src/database/model/schemas.ts'
import type { ServiceDefinition } from '../src/define-service.ts'
import { createApp } from '../src/service.ts'
import { onEveryDatabase, onMysql, open } from './database/fixture.ts'
import { createTables } from './database/model/fixture.ts'
import { examplesOf, toPattern } from './helpers/console.ts'
import { writeExamples } from './helpers/documents.ts'
import { databaseDrivers } from './helpers/drivers.ts'
import { manage, startServe } from './helpers/manage.ts'
import { blocksOf, walk } from './helpers/walk.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')

t.test('the example of the original is moved by the steps of its page', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'plinth-moving-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const page = read('docs/moving-from-django.md')
  const heading = 'The example service of bk_resource, in eight steps'
  t.equal(page.match(/^### Step \d+:/gm)?.length, 8, 'as many as it says')
  t.equal(read('docs/zh/moving-from-django.md').match(/^### 第 \d+ 步：/gm)?.length, 8)
  const blocks = blocksOf(page, heading).filter(({ language }) => language !== 'python')
  await walk(t, blocks, { folder })
})

t.test('pages in Chinese have the code of the English ones', async (t) => {
  const pages = globSync('docs/zh/*.md', { cwd: ROOT })
  t.not(pages.length, 0)
  for (const page of pages)
    t.strictSame(blocksOf(read(page)), blocksOf(read(page.replace('zh/', ''))), page)
  t.strictSame(blocksOf(read('README.zh-CN.md')), blocksOf(read('README.md')))
})

t.test(
  'each of the twelve factors names what it is done by, and tests that are there',
  async (t) => {
    const sections = read('docs/twelve-factors.md').split(/^## /m).slice(1)
    t.strictSame(
      sections.map((one) => Number.parseInt(one, 10)),
      Array.from({ length: 12 }, (_, index) => index + 1),
    )
    for (const section of sections) {
      const tests = [...section.matchAll(/\]\(\.\.\/(test\/[\w/.-]+\.test\.ts)\)/g)]
      t.not(tests.length, 0, section)
      for (const [, path = ''] of tests) t.ok(existsSync(join(ROOT, path)), path)
    }
  },
)

/** The examples of all pages, next to the packages that they import; `t.testdir()` may be a database's. */
function examples(t: Test) {
  const folder = `${t.testdirName}-docs`
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  writeExamples(folder)
  return {
    folder,
    load: (page: string, path: string) =>
      import(pathToFileURL(join(folder, 'docs', page, path)).href),
  }
}

onEveryDatabase(
  t,
  'what docs/transactions.md sells is sold as a whole, or not',
  async (t, { db, url }) => {
    const { folder, load } = examples(t)
    await db.schema
      .createTable('stock_item')
      .addColumn('id', 'integer', (one) => one.primaryKey())
      .addColumn('left_over', 'integer')
      .execute()
    await db.schema
      .createTable('sale')
      .addColumn('item', 'integer')
      .addColumn('count', 'integer')
      .addColumn('customer', 'varchar(64)')
      .execute()
    await db
      .insertInto('stock_item')
      .values([1, 2].map((id) => ({ id, left_over: 3 })))
      .execute()
    const { sales, confirm } = await load('transactions.md', 'src/sales.ts')
    const told: string[] = []
    confirm.definition.perform = ({ customer }: { customer: string }) => {
      told.push(customer)
      return null
    }
    const service = { name: 'sales', modules: { sales } } satisfies ServiceDefinition
    const env = { NODE_ENV: 'test', DATABASE_URL: url }
    const app = await createApp(service, { root: folder, env, logger: false })
    t.teardown(() => app.close())
    await app.tasks.work({ queues: ['default'], concurrency: 1, schedules: false })
    const sell = (customer: string, ...items: number[]) =>
      app.inject({
        method: 'POST',
        url: '/sales',
        payload: { customer, lines: items.map((item) => ({ item, count: 2 })) },
      })
    const left = async () => {
      const rows = await db.selectFrom('stock_item').select('left_over').orderBy('id').execute()
      return rows.map((row) => row.left_over)
    }
    t.equal((await sell('ann', 1, 2, 1)).json().code, 'SOLD_OUT')
    t.strictSame(await left(), [3, 3])
    t.strictSame(await db.selectFrom('sale').selectAll().execute(), [])
    t.equal((await sell('bob', 1, 2)).statusCode, 200)
    t.strictSame(await left(), [1, 1])
    t.equal((await db.selectFrom('sale').selectAll().execute()).length, 2)
    while (told.length === 0) await new Promise(setImmediate)
    t.strictSame(told, ['bob'], 'one task, of what was committed')
  },
)

onMysql(
  t,
  'the command of docs/embedded-database.md takes rows to MySQL',
  async (t, { driver, url, db }) => {
    const { folder } = examples(t)
    const Thing = defineModel('thing', {
      columns: {
        id: Type.Integer(),
        name: Type.String({ maxLength: 40 }),
        price: decimal(10, 2),
        on: column(Type.Boolean(), {}),
        tags: Type.Optional(Type.Array(Type.String())),
        seen_at: Type.Optional(timestamp()),
      },
      generated: ['id'],
    })
    const service = join(folder, 'moving')
    cpSync(join(folder, 'docs/embedded-database.md'), service, { recursive: true })
    const write = (path: string, text: string) => {
      cpSync(join(folder, 'docs/embedded-database.md/commands'), join(service, dirname(path)), {
        recursive: true,
      })
      writeFileSync(join(service, path), text)
    }
    writeFileSync(
      join(service, 'package.json'),
      '{ "name": "moving", "type": "module", "dependencies": { "plinth": "*" } }',
    )
    write('src/service.ts', "export default { name: 'moving', modules: {} }\n")
    const [sqlite] = databaseDrivers
    const file = join(service, 'old.db')
    const old = await open(t, `sqlite:${file}`)
    if (sqlite) await createTables(old, sqlite, [Thing])
    await createTables(db, driver, [Thing])
    const rows = [
      { name: 'one', price: '12.50', on: true, tags: ['a', 'b'], seen_at: new Date(0) },
      { name: '2026-01-01', price: '0.10', on: false, tags: null, seen_at: null },
    ]
    for (const row of rows)
      await old
        .insertInto('thing')
        .values({ ...row, tags: row.tags && JSON.stringify(row.tags) })
        .execute()
    const moved = await manage(t, ['move', file, 'thing'], { service, env: { DATABASE_URL: url } })
    t.match(moved, { code: 0, stdout: '2 rows\n' }, moved.stderr)
    const all = (one: typeof db) => one.selectFrom('thing').selectAll().orderBy('id').execute()
    t.strictSame(await all(db), await all(old))
  },
)

t.test('the app of docs/moving-from-fastify.md answers, and asks who it is', async (t) => {
  const { folder, load } = examples(t)
  const key = 'a secret of this test, 32 bytes or more'
  process.env.JWT_KEY = key
  const here = process.cwd()
  process.chdir(folder)
  t.teardown(() => {
    process.chdir(here)
    delete process.env.JWT_KEY
  })
  const { build } = await load('moving-from-fastify.md', 'app.ts')
  const app = (await build()) as FastifyInstance
  t.teardown(() => app.close())
  const token = createSigner({ key, aud: 'cities', expiresIn: 60_000 })({ sub: 'ann' })
  const headers = { authorization: `Bearer ${token}` }
  t.strictSame((await app.inject('/old')).json(), { stays: 'as it is' })
  t.equal((await app.inject('/cities/1')).statusCode, 401)
  t.match((await app.inject({ url: '/cities/1', headers })).json(), { data: { name: 'Paris' } })
  t.equal((await app.inject({ url: '/cities/2', headers })).statusCode, 404)
})

t.test('the service of docs/two-databases.md reads the second one', async (t) => {
  const { folder, load } = examples(t)
  const url = `sqlite:${join(folder, 'archive.db')}`
  const archive = await open(t, url)
  await archive.schema
    .createTable('old_order')
    .addColumn('id', 'integer')
    .addColumn('title', 'text')
    .execute()
  await archive.insertInto('old_order').values({ id: 1, title: 'A chair' }).execute()
  const { default: service } = await load('two-databases.md', 'src/archive.ts')
  const env = { NODE_ENV: 'test', ARCHIVE_DATABASE_URL: url, ARCHIVE_DATABASE_POOL_SIZE: '2' }
  const app = await createApp(service as ServiceDefinition, {
    root: folder,
    env,
    logger: false,
  })
  t.teardown(() => app.close())
  t.strictSame((await app.inject('/archive/1')).json().data, { id: 1, title: 'A chair' })
  t.match((await app.inject('/readyz')).json().data.checks, { archive: { ok: true } })
})

t.test('the screen of README.md is a true one', async (t) => {
  const folder = t.testdir()
  const options = {
    service: join(ROOT, 'examples/atlas'),
    env: { DATABASE_URL: `sqlite:${join(folder, 'atlas.db')}` },
  }
  const cities = ['call', 'cities.importAll', '{"country": "FR"}']
  for (const args of [['migrate'], ['seed', 'countries'], cities])
    t.match(await manage(t, args, options), { code: 0 })
  const { url } = await startServe(t, options)
  const screens = examplesOf(read('README.md'))
  t.equal(screens.length, 2)
  for (const { line, output = '' } of screens) {
    const [, path] = /^curl -s 'http:\/\/127\.0\.0\.1:8000(.*)'$/.exec(line) ?? []
    const answer = await (await fetch(`${url}${path}`)).text()
    // When a city was added, and ids of requests.
    const told = output.replace(/"(\d{4}-[\d:.TZ-]+|[\da-f-]{36})"/g, '"…"')
    t.match(answer, toPattern(told), line)
  }
})

t.test('what pages say of the files of a new service is in its template', async (t) => {
  const template = (path: string) => JSON.parse(read(`templates/service/${path}.in`))
  const [settings] = blocksOf(read('docs/typescript.md')).filter((one) => one.language === 'json')
  t.match(template('tsconfig.json'), JSON.parse(settings?.text ?? ''))
  const [scripts] = blocksOf(read('docs/processes.md')).filter((one) => one.language === 'json')
  t.match(template('package.json'), JSON.parse(`{${scripts?.text}}`))
})
