import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { inspect, promisify } from 'node:util'
import Fastify from 'fastify'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import database from '../../plugins/database.ts'
import { readinessOf } from '../../src/process/readiness.ts'
import { databaseDrivers } from '../helpers/drivers.ts'
import { freePort } from '../servers/ready.ts'

for (const { name, url } of databaseDrivers) {
  t.test(`works alone in a Fastify app on ${name}`, async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    app.register(database, { url: await url(t) })
    app.get('/', async () => (await sql`select 6 * 7 as answer`.execute(app.db)).rows)
    t.strictSame((await app.inject('/')).json(), [{ answer: 42 }])
    t.equal(app.hasDecorator('mysql'), name === 'mysql')
  })

  t.test(`reports whether ${name} is ready`, async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(database, { url: await url(t), poolSize: 1, queueLimit: 1 })
    const readiness = readinessOf(app)
    t.strictSame([...readiness.keys()], ['database'])
    const check = readiness.get('database') as () => Promise<void>
    t.equal(await check(), undefined)
    const other = await app.db.startTransaction().execute()
    const queued = sql`select 1`.execute(app.db)
    await t.rejects(sql`select 1`.execute(app.db), { code: 'DATABASE_BUSY' })
    const checks = Array.from({ length: 20 }, check)
    t.strictSame(await Promise.all(checks), Array(20), 'one that is busy is there')
    await other.rollback().execute()
    await queued
    await app.close()
    await t.rejects(check(), { code: 'DATABASE_UNAVAILABLE' })
  })
}

t.test('starts paths of SQLite from a root', async (t) => {
  const root = t.testdir()
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(database, { url: 'sqlite:./data/test.db', root })
  const { rows } = await sql`pragma database_list`.execute(app.db)
  t.match(rows, [{ name: 'main', file: join(root, 'data', 'test.db') }])
})

t.test('runs db and mysql on the same pool', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(database, { url: await mysqlUrl(t), poolSize: 1 })
  const { rows } = await sql`select connection_id() as id`.execute(app.db)
  const query = promisify<string, unknown>((text, done) =>
    app.mysql?.pool.query(text, done as never),
  )
  t.strictSame(await query('select connection_id() as id'), rows)
})

t.test('says where and why a database cannot be used, and no password', async (t) => {
  const good = await mysqlUrl(t)
  const { hostname, port } = new URL(good)
  const free = await freePort()
  const variant = (change: Partial<URL>) =>
    Object.assign(new URL(good), { password: 's3cret' }, change).href
  const right = new URL(good).password
  const cases: [string, string, RegExp][] = [
    [variant({}), `MySQL at ${hostname}:${port}: `, /Access denied for user/],
    [
      variant({ password: right, pathname: '/no_such' }),
      `MySQL at ${hostname}:${port}: `,
      /no_such/,
    ],
    [variant({ port: String(free) }), `MySQL at ${hostname}:${free}: `, /ECONNREFUSED/],
    [
      variant({ hostname: 'nowhere.invalid' }),
      `MySQL at nowhere.invalid:${port}: `,
      /nowhere\.invalid/,
    ],
    [
      variant({ search: '?ssl-mode=VERIFY_IDENTITY' }),
      `MySQL at ${hostname}:${port}: `,
      /secure connection|certificate/,
    ],
  ]
  for (const [url, place, reason] of cases) {
    const app = Fastify()
    app.register(database, { url })
    const error = await app.ready().then(
      () => null,
      (error) => error,
    )
    t.match(error, { code: 'DATABASE_UNAVAILABLE', statusCode: 503, message: reason, cause: Error })
    t.ok(error.message.startsWith(`The database cannot be used right now: ${place}`), error.message)
    t.notMatch(inspect(error, { depth: 5 }), right || 's3cret')
    t.notMatch(inspect(error, { depth: 5 }), 's3cret')
    await app.close()
  }
})

t.test('lets a process end that could not get a database', async (t) => {
  // A server that takes connections and never says a word.
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  const { port } = silent.address() as { port: number }
  for (const url of [
    `mysql://me:s3cret@127.0.0.1:${port}/n`,
    (await mysqlUrl(t)).replace('//', '//nobody'),
    'sqlite:/',
  ]) {
    const outcome = await runAlone(url, 200)
    t.match(outcome, { code: 0, stdout: 'DATABASE_UNAVAILABLE\n', stderr: '' }, url)
  }
  t.strictSame(await runAlone(await mysqlUrl(t)), { code: 0, stdout: 'ready\n', stderr: '' })
  t.strictSame(await runAlone('sqlite::memory:'), { code: 0, stdout: 'ready\n', stderr: '' })
})

/** A process that attaches a database, closes the app if it could, and has nothing else to do. */
async function runAlone(url: string, connectTimeout = 20_000) {
  const plugin = new URL('../../plugins/database.ts', import.meta.url).href
  const script = `
    import Fastify from 'fastify'
    import database from '${plugin}'
    const app = Fastify().register(database, {
      url: process.argv[1],
      connectTimeout: ${connectTimeout},
    })
    const said = await app.ready().then(() => app.close()).then(() => 'ready', ({ code }) => code)
    console.log(said)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, url])
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ])
  return { code, stdout, stderr }
}

async function mysqlUrl(t: Test): Promise<string> {
  const driver = databaseDrivers.find(({ name }) => name === 'mysql')
  if (!driver) throw new Error('there is a driver for MySQL')
  return await driver.url(t)
}
