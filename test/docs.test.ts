import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { askSamples } from '../src/auth/sample-decisions.ts'
import { createMigrator } from '../src/database/migration/migrator.ts'
import { createSeeder } from '../src/database/seed/seeder.ts'
import type { ServiceDefinition } from '../src/define-service.ts'
import { createApp } from '../src/service.ts'
import { onEveryDatabase, tablesOf } from './database/fixture.ts'
import { createTables } from './database/model/fixture.ts'
import { writeExamples } from './helpers/documents.ts'

/** A folder with the examples of each document in a folder of its own, next to the packages that they import. */
function write(t: Test, folder = t.testdir()): string {
  writeExamples(folder)
  return folder
}

t.test('the examples of errors run', async (t) => {
  const folder = join(write(t), 'docs/errors.md')
  const { findOpen } = await import(pathToFileURL(join(folder, 'example-0.ts')).href)
  const cities = new Map([[1, { name: 'Ys', open: false }]])
  t.throws(() => findOpen(cities, 1), { code: 'CITY_CLOSED', message: 'The city of Ys is closed' })
  t.throws(() => findOpen(cities, 2), { code: 'NOT_FOUND' })
})

/** The service of a document, ready. */
async function serve(t: Test, folder: string): Promise<FastifyInstance> {
  const { default: service } = await import(pathToFileURL(join(folder, 'src/service.ts')).href)
  const options = { root: folder, env: { NODE_ENV: 'test' }, logger: false as const }
  const app = (await createApp(service, options)) as unknown as FastifyInstance
  t.teardown(() => app.close())
  await app.ready()
  return app
}

t.test('the examples of the cache run', async (t) => {
  const folder = join(write(t), 'docs/cache.md')
  const load = (path: string) => import(pathToFileURL(join(folder, path)).href)
  const app = await serve(t, folder)
  const { prices } = await load('src/service.ts')
  const price = async () => (await app.inject('/prices/tea')).json().data.cents
  t.equal(await price(), 250)
  prices.set('tea', 1)
  t.equal(await price(), 250, 'from the cache')
  await app.inject({ method: 'PUT', url: '/prices/tea', payload: { cents: 300 } })
  t.equal(await price(), 300, 'its tag was invalidated')
  const { modes } = await load('modes.ts')
  const tea = { item: 'tea', cents: 300 }
  t.strictSame(await app.run(modes), [tea, tea, tea])
  const { lists } = await load('lists.ts')
  t.strictSame(await lists(app), [['tea', 'milk'], { text: 'Hello' }, undefined])
  const { once } = await load('lock.ts')
  const fences: number[] = []
  for (let i = 0; i < 2; i++) await once(app, async (fence: number) => void fences.push(fence))
  t.ok((fences[0] as number) < (fences[1] as number))
})

t.test('the examples of tests run', async (t) => {
  const folder = join(write(t), 'docs/testing.md')
  const load = (path: string) => import(pathToFileURL(join(folder, path)).href)
  t.equal(await (await load('test/stub.ts')).withStub(), 8)
  t.strictSame(await (await load('test/bank.ts')).ask(), {
    euro: { currency: 'EUR', rate: 1.5 },
    pound: { currency: 'GBP', rate: 2 },
    unknown: 'UPSTREAM_REFUSED',
    paths: ['/rates/EUR', '/rates/GBP', '/rates/XXX'],
  })
  const ran = spawnSync(process.execPath, ['--test', join(folder, 'test/tickets.test.ts')], {
    env: { ...process.env, TEST_DATABASE_URL: '' },
    cwd: folder,
    encoding: 'utf8',
  })
  t.equal(ran.status, 0, ran.stdout)
  t.match(ran.stdout, /pass 2/)
})

t.test('the examples of tasks run', async (t) => {
  const folder = join(write(t), 'docs/tasks.md')
  const load = (path: string) => import(pathToFileURL(join(folder, path)).href)
  const app = await serve(t, folder)
  const { flows, sent } = await load('src/service.ts')
  t.strictSame(await app.run(flows), [7, 3])
  const welcome = { method: 'POST', url: '/mail', payload: { to: 'dan' } } as const
  const ids = [await app.inject(welcome), await app.inject(welcome)].map(
    (response) => response.json().data.task_id,
  )
  t.equal(ids[0], ids[1], 'one task, by its key')
  t.strictSame(await app.tasks.result(ids[0]), { length: 5 })
  const { default: known, sendFor, users } = await load('users.ts')
  const options = { root: folder, env: { NODE_ENV: 'test' }, logger: false } as const
  const other = (await createApp(known, options)) as unknown as FastifyInstance
  t.teardown(() => other.close())
  await other.ready()
  const sendAs = async (user: string | null) => (await other.run(() => sendFor(user))).result()
  t.strictSame(await sendAs('ann'), { length: 3 })
  t.strictSame(await sendAs(null), { length: 3 })
  users.clear()
  await t.rejects(sendAs('ann'), { code: 'TASK_FAILED', message: /loadUser knows none/ })
  sent.length = 4
  const { order } = await load('order.ts')
  const within = (fail: boolean) => app.run(() => order({ db: app.db }, fail))
  await t.rejects(within(true), { message: 'out of stock' })
  await within(false)
  while (!sent.includes('shop')) await new Promise(setImmediate)
  t.strictSame(sent, ['ann', 'bob', 'cid', 'dan', 'shop'])
})

t.test('the examples of resources run', async (t) => {
  const folder = join(write(t), 'docs/resources.md')
  const load = (path: string) => import(pathToFileURL(join(folder, path)).href)

  const { default: service } = (await load('src/service.ts')) as { default: ServiceDefinition }
  const app = (await createApp(service, {
    root: folder,
    env: { NODE_ENV: 'test' },
    logger: false,
  })) as unknown as FastifyInstance
  t.teardown(() => app.close())
  const response = await app.inject({
    method: 'PUT',
    url: '/cities/1?dry_run=true',
    payload: { name: 'Paris', population: 2 },
  })
  t.strictSame(response.json().data, { id: 1, name: 'Paris', population: 2 })

  const paris = { id: 1, name: 'Paris', population: 2_138_551 }
  const { callAll } = await load('calls.ts')
  t.strictSame(await callAll(), { paris, again: paris, many: [paris, null] })

  const { createPlain } = await load('plain.ts')
  const plain = (await createPlain()) as FastifyInstance
  t.teardown(() => plain.close())
  t.strictSame((await plain.inject('/cities/1')).json().data, paris)
  t.equal((await plain.inject({ method: 'POST', url: '/cities/1' })).statusCode, 405)

  const { default: tenants } = await load('src/tenants.ts')
  const user = { sub: 'ann', tenant: 'a', role: 'admin' }
  const prepare = (one: FastifyInstance) =>
    one.addHook('onRequest', async (request) => Object.assign(request, { user }))
  const options = { root: folder, env: { NODE_ENV: 'test' }, logger: false, prepare } as const
  const many = (await createApp(tenants, options)) as unknown as FastifyInstance
  t.teardown(() => many.close())
  t.strictSame((await many.inject('/me')).json().data, { id: 'a/ann', role: 'admin' })

  const { read } = await load('src/cities/conditional.ts')
  t.equal(await app.run(() => read.definition.etag({ id: 1 })), 'population-2138551')
  const { list } = await load('src/towns.ts')
  t.match(list.definition.request.properties, { name: {}, min_population: {}, page_size: {} })
})

onEveryDatabase(
  t,
  'a service gets from nobody to users as docs/auth.md says',
  async (t, { driver, db, url }) => {
    // `t.testdir()` is the database's.
    const files = `${t.testdirName}-docs`
    t.teardown(() => rmSync(files, { recursive: true, force: true }))
    const folder = join(write(t, files), 'docs/auth.md')
    const load = (path: string) => import(pathToFileURL(join(folder, path)).href)
    const JWT_KEY = 'a secret of this test, 32 bytes or more'
    const env = { NODE_ENV: 'test', DATABASE_URL: url, JWT_KEY, JWT_AUDIENCE: 'notes' }
    const start = async (path: string) => {
      const { default: service, Note } = await load(path)
      await createTables(db, driver, [Note])
      const app = await createApp(service as ServiceDefinition, {
        root: folder,
        env,
        logger: false,
      })
      t.teardown(() => app.close())
      return app as unknown as FastifyInstance
    }
    const open = await start('src/open.ts')
    const note = { method: 'POST', url: '/notes', payload: { text: 'Hello' } } as const
    t.equal((await open.inject(note)).statusCode, 201)
    await db.schema.dropTable('note').execute()

    const app = await start('src/service.ts')
    t.equal((await app.inject(note)).statusCode, 401)
    process.env.JWT_KEY = JWT_KEY
    t.teardown(() => delete process.env.JWT_KEY)
    const { sign } = await load('sign.ts')
    const { statuses } = await load('test/access.ts')
    const all = (status: number) => ({ nobody: status, ann: status, bob: status })
    const users = (status: number) => ({ ...all(status), nobody: 401 })
    const owner = { nobody: 401, ann: 200, bob: 404 }
    t.strictSame(await statuses(app, { ann: sign('ann'), bob: sign('bob') }), {
      'notes.list': all(200),
      'notes.retrieve': all(200),
      'notes.create': users(201),
      'notes.createMany': users(201),
      'notes.replace': owner,
      'notes.update': owner,
      'notes.remove': owner,
    })

    const rows = await db.selectFrom('note').selectAll().execute()
    t.equal(rows.length, 1)
    const { default: samples } = await load('access.ts')
    const asked = await askSamples(app, samples)
    t.strictSame(
      asked.flatMap(({ problems }) => problems),
      [],
    )
    t.strictSame(asked.find(({ operation }) => operation === 'notes.remove')?.gets, {
      nobody: 401,
      ann: 'yes',
      bob: 404,
    })
    t.strictSame(await db.selectFrom('note').selectAll().execute(), rows, 'it is undone')
  },
)

onEveryDatabase(t, 'the examples of migrations and seeds run', async (t, { db }) => {
  // `t.testdir()` is the database's.
  const files = `${t.testdirName}-docs`
  t.teardown(() => rmSync(files, { recursive: true, force: true }))
  const folder = join(write(t, files), 'docs/migrations.md')
  const migrator = createMigrator({ db, directory: join(folder, 'migrations') })
  t.match(await migrator.migrate(), { length: 3 })
  const seeder = createSeeder({ db, migrator, directory: join(folder, 'seeds') })
  t.match(await seeder.seed(), [{ added: 2 }, { added: 25_000 }])
  t.match(await migrator.rollback({ steps: 3 }), { length: 3 })
  t.strictSame(await tablesOf(db), [])
})
