import Fastify from 'fastify'
import t from 'tap'
import { Type } from 'typebox'
import database from '../../plugins/database.ts'
import loadShedding from '../../plugins/load-shedding.ts'
import { readConfig } from '../../src/config/read.ts'
import type { KitConfig } from '../../src/config/schema.ts'
import { kitOwners } from '../../src/kit.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createGate, createService, type LogLine } from '../helpers/app.ts'
import { block } from '../helpers/block.ts'
import { databaseDrivers } from '../helpers/drivers.ts'
import { passTime } from '../helpers/pass-time.ts'
import { type Answer, ask, listen, open, parse } from '../helpers/wire.ts'

const LIMIT = 400
/** Milliseconds for which no machine stands still by itself. */
const AGE = 60_000

/** Keeps the event loop from turning, once; what was due meanwhile has run when this resolves. */
async function stall(): Promise<void> {
  block(2 * LIMIT)
  await new Promise((resolve) => setTimeout(resolve))
}

/** Asks again and again until it is refused, or no longer refused. */
async function until(isRefused: boolean, port: number, path: string): Promise<Answer> {
  for (;;) {
    const answer = await ask(port, `GET ${path}`)
    if ((answer.status === 503) === isRefused) return answer
  }
}

t.test('a service refuses what is new while it is late, and recovers', async (t) => {
  const gate = createGate()
  let served = 0
  const slow = defineResource({
    summary: 'Waits',
    response: Type.String(),
    async perform() {
      served++
      await gate.opened
      return 'done'
    },
  })
  const { app, logs } = await createService(
    t,
    { slow },
    { variables: { LOAD_SHEDDING: 'true', MAX_EVENT_LOOP_DELAY: `${LIMIT}` } },
  )
  const port = await listen(app)
  const begun = await open(port)
  const over = new Promise((resolve) => begun.socket.once('end', resolve))
  begun.socket.write('GET /things HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  while (served === 0) await new Promise((resolve) => setImmediate(resolve))

  await stall()
  await stall()
  const refused = await ask(port, 'GET /things', { 'x-request-id': 'one' })
  t.equal(refused.status, 503)
  t.equal(refused.headers['retry-after'], '1')
  t.equal(refused.headers['x-request-id'], 'one')
  t.match(refused.json(), { code: 'OVERLOADED', data: null })
  await stall()
  t.match((await ask(port, 'GET /none')).json(), { code: 'OVERLOADED' }, 'what nobody answers, too')
  await stall()
  const chinese = await ask(port, 'GET /things', { 'accept-language': 'zh-CN' })
  t.match(chinese.json(), { code: 'OVERLOADED', message: /请稍后重试/ })
  for (const path of ['/ping', '/healthz', '/readyz', '/openapi.json']) {
    await stall()
    t.equal((await ask(port, `GET ${path}`)).status, 200, path)
  }
  t.equal(served, 1, 'nothing else has begun')

  gate.open()
  await over
  t.match(parse(begun.received()), { status: 200 })
  t.match(parse(begun.received()).json(), { data: 'done' }, 'what had begun is finished')

  t.match((await until(false, port, '/things')).json(), { data: 'done' })
  t.match(
    logs.find(({ code }) => code === 'OVERLOADED'),
    { level: 30, msg: 'request', status: 503, code: 'OVERLOADED' },
    'a refusal is no error of the service',
  )
  const told = logs.filter(({ msg }) => /^requests are /.test(msg))
  t.match(told, [
    { level: 40, msg: 'requests are refused: the event loop is late' },
    { level: 30, msg: 'requests are served again' },
  ])
  t.equal(told.length, 2)
})

t.test('in a plain Fastify app: one late moment is not load, two are', async (t) => {
  const pass = passTime(t)
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(loadShedding, { maxEventLoopDelay: AGE })
  app.get('/', async () => 'done')
  const port = await listen(app)
  pass(2 * AGE)
  await stall()
  t.equal((await ask(port, 'GET /')).body, 'done')
  pass(2 * AGE)
  await stall()
  const refused = await ask(port, 'GET /')
  t.equal(refused.status, 503)
  t.equal(refused.headers['retry-after'], '1')
  t.match(refused.json(), { code: 'OVERLOADED' })
  t.equal((await until(false, port, '/')).body, 'done')
})

for (const { name, url } of databaseDrivers) {
  t.test(`connections of ${name} that are long waited for are load, too`, async (t) => {
    const logs: LogLine[] = []
    const write = (line: string) => logs.push(JSON.parse(line))
    const app = Fastify({
      logger: { level: 'info', stream: { write } },
      disableRequestLogging: true,
    })
    t.teardown(() => app.close())
    await app.register(loadShedding, { maxEventLoopDelay: AGE })
    await app.register(database, { url: await url(t), poolSize: 1, acquireTimeout: 20_000 })
    app.get('/rows', async () => (await app.db.introspection.getTables()).length)
    app.get('/', async () => 'done')
    const port = await listen(app)
    const gate = createGate()
    const holder = app.db.transaction().execute(() => gate.opened)
    const waiting = ask(port, 'GET /rows')
    t.match((await until(true, port, '/')).json(), { code: 'OVERLOADED' })
    gate.open()
    await holder
    t.equal((await waiting).body, '0', 'who waited is served')
    t.equal((await until(false, port, '/')).body, 'done')
    t.match(
      logs.filter(({ msg }) => /^requests are /.test(msg)).map(({ msg }) => msg),
      ['requests are refused: database is waited for', 'requests are served again'],
    )
  })
}

t.test('it is on in production, and off elsewhere, unless a variable says otherwise', async (t) => {
  const isOn = (env: NodeJS.ProcessEnv) =>
    readConfig<KitConfig>(kitOwners, { env, dotenv: false }).values.LOAD_SHEDDING
  t.equal(isOn({ NODE_ENV: 'production' }), true)
  t.equal(isOn({ NODE_ENV: 'production', LOAD_SHEDDING: 'false' }), false)
  t.equal(isOn({ NODE_ENV: 'test' }), false)
  t.equal(isOn({ NODE_ENV: 'development' }), false)
  t.equal(isOn({ NODE_ENV: 'test', LOAD_SHEDDING: 'true' }), true)
})
