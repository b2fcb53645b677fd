import t from 'tap'
import { logLines, startManage, startServe } from '../helpers/manage.ts'
import { poll } from '../helpers/network.ts'
import { BARE, writeService } from '../helpers/service.ts'
import { freePort } from '../servers/ready.ts'

t.test('the log: one JSON object a line, without query and secrets', async (t) => {
  const service = writeService(t)
  const {
    url,
    process: child,
    ended,
  } = await startServe(t, {
    service,
    env: { ...BARE, BKPAAS_APP_SECRET: 'hunter2' },
  })
  const get = (path: string, headers = {}) => fetch(`${url}${path}`, { headers })
  await get('/things/1?token=hunter2', { 'x-request-id': 'mine', authorization: 'hunter2' })
  await get('/things/2?token=hunter2', { 'x-request-id': 'failed' })
  await get('/nothing?token=hunter2', { 'x-request-id': 'nowhere' })
  child.kill('SIGTERM')
  const { stdout, stderr } = await ended
  t.equal(stderr, '')
  t.notMatch(stdout, 'hunter2')
  const lines = logLines(stdout)
  for (const line of lines) {
    t.match(line, { name: 'shop', level: String, pid: child.pid, msg: String })
    t.match(line.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  }
  const of = (id: string) => lines.filter(({ request_id }) => request_id === id)
  t.match(of('mine'), [
    { level: 'warn', msg: 'looked for 1' },
    { msg: 'request', method: 'GET', path: '/things/1', resource: 'things.retrieve', status: 200 },
  ])
  t.match(of('failed').at(-1), { msg: 'request', path: '/things/2', status: 404 })
  t.match(of('nowhere').at(-1), { msg: 'request', path: '/nothing', status: 404 })
})

t.test('its fields may be called as BlueKing calls them', async (t) => {
  const service = writeService(t)
  const env = {
    ...BARE,
    LOG_FORMAT: 'bk',
    BKPAAS_APP_ID: 'shop-app',
    BKPAAS_APP_MODULE_NAME: 'web',
    BKPAAS_ENVIRONMENT: 'stag',
    DRAIN_DELAY: '0',
    QUEUES: 'false',
    LOAD_SHEDDING: 'false',
  }
  const { url, process: child, ended } = await startServe(t, { service, env })
  await fetch(`${url}/things/1`, { headers: { 'x-request-id': 'mine' } })
  child.kill('SIGTERM')
  const lines = logLines((await ended).stdout)
  for (const line of lines) {
    t.match(line, {
      logger: 'shop',
      levelname: /^(INFO|WARNING)$/,
      process: child.pid,
      message: String,
      bk_app_code: 'shop-app',
      bk_app_module: 'web',
      bk_run_mode: 'stag',
      asctime: /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}$/,
    })
    for (const name of ['msg', 'level', 'time', 'pid', 'name']) t.notOk(name in line, name)
  }
  t.match(
    lines.filter(({ request_id }) => request_id === 'mine'),
    [
      { levelname: 'WARNING', message: 'looked for 1' },
      { levelname: 'INFO', message: 'request', path: '/things/1' },
    ],
  )
})

// The log is written by a thread of Node.js' pool, and here there is only one.
const BUSY = `
import { pbkdf2 } from 'node:crypto'
import { defineModule, defineResource, Type } from 'plinth'

const occupy = defineResource({
  summary: 'Occupy the only thread',
  path: '/occupy',
  response: Type.String(),
  perform(_, { log }) {
    pbkdf2('', '', 150_000, 64, 'sha512', () => {})
    log.info('occupied')
    return 'occupied'
  },
})

export const things = defineModule({ prefix: '/things', resources: { occupy } })
`

t.test('what was logged last is written, and in its order', async (t) => {
  const service = writeService(t, { 'src/things.ts': BUSY })
  const env = { ...BARE, UV_THREADPOOL_SIZE: '1' }
  const { url, process: child, ended } = await startServe(t, { service, env })
  await fetch(`${url}/things/occupy`)
  child.kill('SIGTERM')
  const { code, stdout } = await ended
  t.equal(code, 0)
  t.strictSame(
    logLines(stdout).map(({ msg }) => msg),
    [`Server listening at ${url}`, 'occupied', 'request', 'the process ends'],
  )
})

const LEAVE = `
import { defineModule, defineResource } from 'plinth'

const leave = defineResource({
  summary: 'End the process',
  path: '/leave',
  perform(_, { log }) {
    for (const text of ['one', 'two', 'three']) log.info(text)
    process.exit(3)
  },
})

export const things = defineModule({ prefix: '/things', resources: { leave } })
`

t.test('lines that are gathered are written where the process ends at once', async (t) => {
  const service = writeService(t, { 'src/things.ts': LEAVE })
  const { url, ended } = await startServe(t, { service, env: BARE })
  await fetch(`${url}/things/leave`).catch(() => {})
  const { code, stdout } = await ended
  t.equal(code, 3)
  const [start, ...rest] = logLines(stdout).map(({ msg }) => `${msg}`)
  t.equal(start, `Server listening at ${url}`)
  // A thread may have the first in hand while the others are written: see `logWritten`.
  t.strictSame(new Set(rest), new Set(['one', 'two', 'three']))
  t.equal(rest.length, 3)
})

t.test('a log that nobody reads any more does not keep the process', async (t) => {
  const {
    url,
    process: child,
    ended,
  } = await startServe(t, { service: writeService(t), env: BARE })
  child.stdout.destroy()
  t.ok((await fetch(`${url}/things/1`)).ok)
  child.kill('SIGTERM')
  t.match(await ended, { code: 0, stderr: '' })
})

t.test('LOG_LEVEL leaves out what is below it', async (t) => {
  const service = writeService(t)
  const port = await freePort()
  const running = startManage(t, ['serve', '--port', String(port)], {
    service,
    env: { ...BARE, LOG_LEVEL: 'warn' },
  })
  await poll(async () => (await fetch(`http://127.0.0.1:${port}/things/1`)).ok)
  running.process.kill('SIGTERM')
  const { code, stdout } = await running.ended
  t.equal(code, 0)
  t.strictSame(
    logLines(stdout).map(({ level, msg }) => [level, msg]),
    [['warn', 'looked for 1']],
  )
})
