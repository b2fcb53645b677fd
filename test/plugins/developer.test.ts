import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import developer from '../../plugins/developer.ts'
import { secret } from '../../src/config/secret.ts'
import { sql } from '../../src/database/sql.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import type { Watcher } from '../../src/resource/steps.ts'
import { watchers } from '../../src/trace.ts'
import { createService, failure, type ServiceOptions } from '../helpers/app.ts'
import { visit } from '../helpers/browser.ts'

const SECRET = 'tops3cret'

const City = Type.Object({ id: Type.Integer(), name: Type.String() })

const retrieve = defineResource({
  summary: 'One city',
  path: '/:id',
  request: Type.Object({ id: Type.Integer({ minimum: 1, description: 'Its number' }) }),
  response: City,
  cache: { ttl: 60_000 },
  async perform({ id }, { db }) {
    await sql`select ${id}, ${SECRET}, 'tops3cret'`.execute(db)
    return { id, name: 'Paris' }
  },
})

const add = defineResource({
  summary: 'Add a city',
  method: 'POST',
  request: Type.Object({
    name: Type.String(),
    token: secret(Type.String()),
    tags: Type.Optional(Type.Array(Type.String())),
  }),
  response: City,
  cache: { ttl: 60_000 },
  perform: ({ name }) => ({ id: 2, name }),
})

const many = defineResource({
  summary: 'Many statements',
  path: '/many/:count',
  request: Type.Object({ count: Type.Integer() }),
  async perform({ count }, { db }) {
    for (let i = 0; i < count; i += 1) await sql`select ${i}`.execute(db)
    return null
  },
})

const ask = defineResource({
  summary: 'Ask another system',
  path: '/ask/:port',
  request: Type.Object({ port: Type.Integer() }),
  async perform({ port }) {
    await fetch(`http://127.0.0.1:${port}/there?key=${SECRET}`)
    return null
  },
})

const fail = defineResource({
  summary: 'Fail',
  path: '/fail',
  perform() {
    throw new Error(SECRET)
  },
})

const reset = defineResource({
  summary: 'Reset',
  path: '/reset/:token',
  request: Type.Object({ token: secret(Type.String()) }),
  perform: () => null,
})

const resources = { retrieve, add, many, ask, fail, reset }

async function create(t: Test, options: ServiceOptions = {}): Promise<FastifyInstance> {
  const { app } = await createService(t, resources, {
    ...options,
    variables: {
      NODE_ENV: 'development',
      DATABASE_URL: 'sqlite::memory:',
      BKPAAS_APP_SECRET: SECRET,
      ...options.variables,
    },
  })
  return app
}

/** What the page is told of what was done. */
async function recent(app: FastifyInstance, after = 0) {
  return (await app.inject(`/_/developer/recent?after=${after}`)).json()
}

/** In a process of its own, as others load the page in this one: what is answered where it is asked for, and whether its code is loaded. */
const LOADS = `
import { registerHooks } from 'node:module'
const loaded = []
registerHooks({
  load(url, context, next) {
    if (url.includes('/src/developer/')) loaded.push(url)
    return next(url, context)
  },
})
const { default: Fastify } = await import('fastify')
const { createApp } = await import('plinth')
const { default: developer } = await import('plinth/plugins/developer')
const tell = async (what, app, ...urls) => {
  const statuses = []
  for (const url of urls) statuses.push((await app.inject(url)).statusCode)
  console.log(what, ...statuses, loaded.length > 0)
  await app.close()
}
const create = (NODE_ENV, more) =>
  createApp(
    { name: 'shop', modules: {} },
    { env: { NODE_ENV, DATABASE_URL: 'sqlite::memory:', ...more }, root: process.cwd(), logger: false },
  )
await tell('production', await create('production', { DEVELOPER: 'true' }), '/_/', '/', '/_/developer/recent')
process.env.NODE_ENV = 'production'
const plain = Fastify()
await plain.register(developer)
await tell('plain', plain, '/_/')
delete process.env.NODE_ENV
await tell('test', await create('test'), '/_/')
await tell('development', await create('development'), '/_/')
`

t.test(
  'in production there is no page, whatever is set, and nothing of it is loaded',
  async (t) => {
    const args = ['--conditions=plinth-source', '--input-type=module', '-e', LOADS]
    const cwd = fileURLToPath(new URL('../..', import.meta.url))
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd })
    t.strictSame(stdout.trim().split('\n'), [
      'production 404 404 404 false',
      'plain 404 false',
      'test 404 false',
      'development 200 true',
    ])
  },
)

t.test('/ leads there, unless the service has its own', async (t) => {
  const app = await create(t)
  t.match(await app.inject('/'), { statusCode: 302, headers: { location: '/_/' } })
  t.equal((await app.inject('/none')).statusCode, 404)
  t.equal((await app.inject({ url: '/', method: 'POST' })).statusCode, 404)
  const start = defineResource({ summary: 'Start', response: Type.String(), perform: () => 'own' })
  const modules = { start: defineModule({ prefix: '', resources: { start } }) }
  const other = await create(t, { modules })
  t.equal((await other.inject('/')).json().data, 'own')
  t.equal((await other.inject('/_/')).statusCode, 200)
  const off = await create(t, { variables: { DEVELOPER: 'false' } })
  t.equal((await off.inject('/_/')).statusCode, 404)
})

t.test('it is for pages of its own, on this machine', async (t) => {
  const app = await create(t)
  const urls = ['/_/', '/_/developer/about', '/_/developer/recent', '/_/developer/schema?name=x']
  const refused = async (url: string, headers: object, remoteAddress = '127.0.0.1') => {
    const { statusCode, body } = await app.inject({ url, headers: { ...headers }, remoteAddress })
    return statusCode === 403 && !body.includes('retrieve')
  }
  for (const url of urls) {
    t.ok(await refused(url, { host: 'evil.example' }), `${url} by another name`)
    t.ok(await refused(url, { host: '127.0.0.1.evil.example:8000' }), `${url} by a similar name`)
    t.ok(await refused(url, { host: 'localhost:8000' }, '192.0.2.1'), `${url} from elsewhere`)
    const headers = { host: 'localhost', 'x-forwarded-for': '127.0.0.1' }
    t.ok(await refused(url, headers, '192.0.2.1'), `${url} with a header of a proxy`)
  }
  for (const url of urls.slice(1)) {
    t.ok(await refused(url, { host: 'localhost', origin: 'http://evil.example' }), `${url} origin`)
    t.ok(await refused(url, { host: 'localhost:8000', origin: 'http://localhost:3000' }), 'port')
    t.ok(await refused(url, { host: 'localhost', 'sec-fetch-site': 'cross-site' }), 'a script')
  }
  for (const host of ['localhost:8000', '127.0.0.1', '[::1]:8000'])
    t.equal((await app.inject({ url: '/_/', headers: { host } })).statusCode, 200, host)
  t.equal((await app.inject({ url: '/', headers: { host: 'evil.example' } })).statusCode, 404)

  const plugins = [developer({ hosts: ['dev.internal'] })]
  const open = await create(t, { plugins })
  const headers = { host: 'dev.internal:8000' }
  const from = { remoteAddress: '192.0.2.1', headers }
  t.equal((await open.inject({ url: '/_/', ...from })).statusCode, 200)
  t.equal((await open.inject({ url: '/_/', headers: { host: 'other' } })).statusCode, 403)
})

t.test('its policy lets run only what it has itself', async (t) => {
  const { headers, body } = await (await create(t)).inject('/_/')
  const policy = String(headers['content-security-policy'])
  t.match(policy, /^default-src 'none'; script-src 'sha256-[\w+/=]+'; style-src 'sha256-/)
  t.match(policy, "frame-ancestors 'none'")
  t.notMatch(policy, 'unsafe')
  t.notMatch(body, /https?:/)
  t.equal(headers['cache-control'], 'no-store')
})

t.test(
  'it records from the first visit on: requests, tasks and what is done for them',
  async (t) => {
    const app = await create(t)
    await app.inject('/things/1')
    t.strictSame((await recent(app)).records, [], 'nobody has looked')
    await app.inject('/things/1')
    await app.inject('/things/2')
    await app.inject('/ping')
    const { records, changes } = await recent(app)
    t.match(records, [
      { kind: 'request', name: 'GET /things/:id', path: '/things/1', status: 200 },
      { kind: 'request', name: 'GET /things/:id', path: '/things/2', status: 200 },
    ])
    const names = ({ spans }: { spans: { name: string }[] }) => spans.map(({ name }) => name)
    t.strictSame(names(records[0]), ['things.retrieve', 'cache'], 'from the cache')
    t.strictSame(names(records[1]), ['things.retrieve', 'cache', 'perform', 'SELECT'])
    const [call, cache, perform, select] = records[1].spans
    t.strictSame([call.parent, cache.parent, perform.parent, select.parent], [-1, 0, 1, 2])
    t.equal(call.detail, '{"id":2}')
    t.match(cache.detail, /^things\.retrieve:-:.*2/)
    t.equal(select.detail, 'select ?, ?, ?')
    t.ok(records[1].spans.every(({ took }: { took: number }) => took >= 0))
    t.strictSame((await recent(app, changes)).records, [], 'what is known is not told again')

    await app.inject('/things/fail')
    t.match((await recent(app, changes)).records, [{ status: 500, spans: [{ error: 'Error' }] }])

    const task = await app.run(() => retrieve.enqueue({ id: 5 }))
    const { changes: then } = await recent(app)
    await task.result()
    const tries = (await recent(app, then - 100)).records.filter(
      ({ kind }: { kind: string }) => kind === 'task',
    )
    t.match(tries, [{ name: 'things.retrieve', path: task.task_id, spans: [{ kind: 'call' }] }])
  },
)

t.test('calls to other systems, without their queries', async (t) => {
  const server = createServer((_request, response) => response.writeHead(404).end())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const app = await create(t)
  await recent(app)
  await app.inject(`/things/ask/${port}`)
  const [record] = (await recent(app)).records
  const span = record.spans.find(({ kind }: { kind: string }) => kind === 'upstream')
  t.match(span, { name: 'GET', detail: `http://127.0.0.1:${port}/there`, status: 404 })
  t.notMatch(JSON.stringify(record), SECRET)
})

t.test('nothing of it is secret', async (t) => {
  const app = await create(t)
  await recent(app)
  await app.inject('/things/3?key=tops3cret')
  await app.inject('/things/fail')
  t.equal((await app.inject('/things/reset/tops3cret')).statusCode, 200)
  const payload = { name: 'Rome', token: SECRET }
  t.equal((await app.inject({ url: '/things', method: 'POST', payload })).statusCode, 200)
  const about = await app.inject('/_/developer/about')
  const text = JSON.stringify(await recent(app)) + about.body
  t.notMatch(text, SECRET)
  t.match(text, 'Rome')
  t.match(text, 'things.add:[redacted]')
  const secrets = about
    .json()
    .variables.filter(({ name }: { name: string }) => /SECRET$/.test(name))
  t.match(secrets[0], { name: 'BKPAAS_APP_SECRET', value: '***', origin: 'environment' })
})

t.test('of those that come faster than they are recorded the rest are counted', async (t) => {
  const app = await create(t)
  const pass = standStill(t)
  await recent(app)
  for (let i = 0; i < 250; i += 1) await app.inject(`/things/${i + 1}`)
  const { records, left } = await recent(app)
  t.equal(records.length, 200)
  t.equal(records.at(-1).path, '/things/200')
  t.equal(left, 50)
  t.notOk(watchers.has(app.watcher as Watcher), 'and nobody looks on as the rest is done')
  pass(1000)
  await app.inject('/things/251')
  const later = await recent(app)
  const [call] = later.records.at(-1).spans
  t.match(later.records.at(-1), { path: '/things/251', status: 200 })
  t.match(call, { name: 'things.retrieve', detail: '{"id":251}' })
  t.equal(later.left, 50)
})

/** Time stands still for the recorder until it is told how many milliseconds pass. */
function standStill(t: Test): (ms: number) => void {
  const { now } = performance
  let time = now.call(performance)
  performance.now = () => time
  t.teardown(() => {
    performance.now = now
  })
  return (ms) => {
    time += ms
  }
}

t.test('what is kept is bounded', async (t) => {
  const app = await create(t)
  await recent(app)
  await app.inject('/things/many/400')
  const [record] = (await recent(app)).records
  t.equal(record.spans.length, 300)
  t.ok(record.lost >= 100)
  const pass = standStill(t)
  for (let i = 0; i < 205; i += 1) {
    if (i % 100 === 0) pass(1000)
    await app.inject('/things/none/x/y')
  }
  pass(1000)
  const { records, oldest } = await recent(app)
  t.equal(records.length, 200)
  t.equal(oldest, records[0].id)

  const long = { name: 'x'.repeat(100_000), token: SECRET }
  await app.inject({ url: '/things', method: 'POST', payload: long })
  const { records: after } = await recent(app)
  t.ok(JSON.stringify(after.at(-1)).length < 10_000, 'texts are cut')
  for (let i = 0; i < 150; i += 1) await app.inject('/things/many/299')
  const { records: rest } = await recent(app)
  t.ok(rest.length < 150, 'so many bytes are not kept')
  t.ok(rest.length > 10)
})

t.test('in an app of its own, which may have none of the rest', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(developer, { title: 'Ships' })
  app.get('/ships', () => [])
  await app.ready()
  await recent(app)
  await app.inject('/ships')
  t.match((await recent(app)).records, [{ name: 'GET /ships', status: 200, spans: [] }])
  const about = (await app.inject('/_/developer/about')).json()
  t.match(about, { title: 'Ships', resources: [], variables: [], tasks: null, cache: null })
  t.match(about.routes.at(-1), { method: 'GET', url: '/ships' })
  const bad = Fastify()
  t.teardown(() => bad.close())
  t.match(await failure(Promise.resolve(bad.register(developer, { hosts: 'x' as never }))), {
    code: 'PLUGIN_OPTION_INVALID',
  })
})

t.test('in a browser', async (t) => {
  const { page, asked, said, origin } = await openPage(t)

  await t.test('a request is there with what was done for it, as soon as it is made', async (t) => {
    await fetch(`${origin}/things/7`)
    await page.getByRole('button', { name: 'GET /things/:id' }).click()
    await page.getByText('select ?, ?, ?').waitFor()
    await page.getByText('{"id":7}', { exact: true }).waitFor()
    const widths = await page
      .locator('.fall .bar i')
      .evaluateAll((bars) =>
        bars.map((bar) =>
          Number.parseFloat((bar as unknown as { style: { width: string } }).style.width),
        ),
      )
    t.equal(widths.length, 4)
    t.ok(widths.every((width) => width > 0 && width <= 100))
  })

  await t.test('a resource is tried out', async (t) => {
    await page.getByRole('tab', { name: 'Resources' }).click()
    const row = page.getByRole('row').filter({ hasText: 'things.add' })
    await row.getByRole('button', { name: 'Try' }).click()
    await page.locator('input[name=name]').fill('<b>Rome</b>')
    await page.locator('input[name=token]').fill(SECRET)
    t.equal(await page.locator('input[name=token]').getAttribute('type'), 'password')
    await page.locator('textarea[name=tags]').fill('["old"]')
    await page.getByRole('button', { name: 'Send' }).click()
    await page.getByText('POST /things → 200').waitFor()
    t.match(await page.locator('pre').textContent(), '"name": "<b>Rome</b>"')
    t.equal(await page.locator('pre b').count(), 0)
  })

  await t.test('each of its parts is there', async (t) => {
    for (const [tab, text] of [
      ['Routes', '/things/ask/:port'],
      ['SQL', 'select ?, ?, ?'],
      ['Cache', 'things.retrieve:-:'],
      ['Tasks', 'default'],
      ['Upstream', 'Status'],
      ['Configuration', 'BKPAAS_APP_SECRET'],
    ] as const) {
      await page.getByRole('tab', { name: tab }).click()
      await page.locator('main').getByText(text).first().waitFor()
      t.notMatch(await page.locator('main').textContent(), '[object', tab)
    }
    t.notMatch(await page.content(), SECRET)
    t.strictSame(
      asked.filter((url) => !url.startsWith(`${origin}/`)),
      [],
    )
    t.strictSame(said, [])
  })
})

/** The page of a service, with each URL that the browser asked for and all that it had to say. */
async function openPage(t: Test) {
  const app = await create(t)
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  const visited = await visit(t, `${origin}/`)
  await visited.page.getByText('Nothing yet').waitFor()
  return { ...visited, origin }
}
