import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { logLines, startServe } from '../helpers/manage.ts'
import { BARE, THINGS, writeService } from '../helpers/service.ts'

/** A server, and what lets its request `/things/wait` go on. */
async function start(
  t: Test,
  variables: Record<string, string> = {},
  files: Record<string, string> = {},
) {
  const service = writeService(t, files)
  const gate = join(service, 'gate')
  const serving = await startServe(t, { service, env: { ...BARE, GATE: gate, ...variables } })
  return { ...serving, child: serving.process, open: () => writeFileSync(gate, '') }
}

t.test('SIGTERM during a request: it is answered, then exit code 0', async (t) => {
  const { url, child, until, ended, open } = await start(t)
  const answer = fetch(`${url}/things/wait`)
  await until('stdout', /"msg":"waiting"/)
  child.kill('SIGTERM')
  await until('stdout', /"msg":"the process ends"/)
  open()
  t.match(await (await answer).json(), { data: 'waited' })
  const { code, signal, stdout, stderr } = await ended
  t.same({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
  t.match(
    logLines(stdout).at(-1),
    { path: '/things/wait', status: 200 },
    'nothing is said after it',
  )
})

t.test('connections that are kept alive do not hold it up', async (t) => {
  const { url, child, ended } = await start(t, { SHUTDOWN_TIMEOUT: '20000' })
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.write('GET /ping HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(socket, 'data')
  const began = performance.now()
  child.kill('SIGTERM')
  t.match(await ended, { code: 0 })
  t.ok(performance.now() - began < 10_000)
  socket.destroy()
})

/** What the log says of a request that was not answered; its query may hold what is secret. */
const LEFT = { connections: 1, requests: 1, tasks: 0, names: ['GET /things/wait'] }

t.test('requests that are not answered within SHUTDOWN_TIMEOUT: exit code 1', async (t) => {
  const taking = "path: '/wait', request: Type.Object({ token: Type.String() }),"
  const { url, child, until, ended } = await start(
    t,
    { SHUTDOWN_TIMEOUT: '300' },
    {
      'src/things.ts': THINGS.replace("path: '/wait',", taking),
    },
  )
  const answer = fetch(`${url}/things/wait?token=s3cret`).catch((error) => error.cause.code)
  await until('stdout', /"msg":"waiting"/)
  child.kill('SIGTERM')
  const { code, stdout } = await ended
  t.equal(code, 1)
  t.match(logLines(stdout).at(-1), { level: 'error', msg: 'killed by timeout (300ms)', left: LEFT })
  t.equal(await answer, 'UND_ERR_SOCKET')
})

t.test('a second signal ends it at once: exit code 1', async (t) => {
  const { url, child, until, ended } = await start(t)
  const answer = fetch(`${url}/things/wait`).catch(() => 'cut off')
  await until('stdout', /"msg":"waiting"/)
  child.kill('SIGINT')
  await until('stdout', /"msg":"the process ends"/)
  child.kill('SIGINT')
  const { code, stdout } = await ended
  t.equal(code, 1)
  t.match(logLines(stdout).at(-1), { level: 'error', msg: 'second SIGINT, exiting', left: LEFT })
  t.equal(await answer, 'cut off')
})

t.test('an error that nobody catches: it is logged, exit code 1', async (t) => {
  const files = {
    'src/service.ts': `
      async function bad(app) {
        app.get('/bad', async () => { setTimeout(() => { throw new Error('nobody') }); return 'x' })
      }
      export default { name: 'shop', modules: {}, plugins: [bad] }`,
  }
  const { url, ended } = await start(t, {}, files)
  await fetch(`${url}/bad`).catch(() => {})
  const { code, stdout } = await ended
  t.equal(code, 1)
  const fatal = logLines(stdout).find(({ level }) => level === 'fatal')
  t.match(fatal, { err: { message: 'nobody' } })
})

t.test('during DRAIN_DELAY /readyz fails while others are served', async (t) => {
  const { url, child, until, ended } = await start(t, { DRAIN_DELAY: '10000' })
  t.equal((await fetch(`${url}/readyz`)).status, 200)
  child.kill('SIGTERM')
  await until('stdout', /"msg":"the process ends"/)
  const ready = await fetch(`${url}/readyz`)
  t.equal(ready.status, 503)
  t.match(await ready.json(), { data: { ready: false, draining: true } })
  const other = await fetch(`${url}/things`)
  t.equal(other.status, 200)
  t.match(await ended, { code: 0 })
})

const POLL = `
import { EventEmitter, once } from 'node:events'
import { defineModule, defineResource, Type } from 'plinth'

const feed = new EventEmitter()

const news = defineResource({
  summary: 'What is new, as soon as there is something',
  path: '/news',
  response: Type.Array(Type.String()),
  async perform(_, { app, log, signal }) {
    log.info('waiting')
    return await app.draining.whileServing(signal, (stop) =>
      once(feed, 'news', { signal: stop }).catch(() => []))
  },
})

export const things = defineModule({ prefix: '/things', resources: { news } })`

t.test('a long poll is told at once, and answers', async (t) => {
  // Nothing else would end it by then.
  const { url, child, until, ended } = await start(
    t,
    { DRAIN_DELAY: '600000', REQUEST_TIMEOUT: '600000' },
    { 'src/things.ts': POLL },
  )
  const answer = fetch(`${url}/things/news`)
  await until('stdout', /"msg":"waiting"/)
  child.kill('SIGTERM')
  const told = await answer
  t.strictSame([told.status, told.headers.get('connection')], [200, 'close'])
  t.match(await told.json(), { data: [] })
  child.kill('SIGKILL')
  await ended
})

const EVENTS = `
async function events(app) {
  app.get('/events', (_, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'Content-Type': 'text/event-stream' })
    reply.raw.write('data: first\\n\\n')
  })
}
export default { name: 'shop', modules: {}, plugins: [events] }`

t.test('an event stream does not hold it up: exit code 0', async (t) => {
  const { url, child, ended } = await start(
    t,
    { SHUTDOWN_TIMEOUT: '20000' },
    { 'src/service.ts': EVENTS },
  )
  const { body } = await fetch(`${url}/events`)
  const reader = (body as ReadableStream).getReader()
  await reader.read()
  const began = performance.now()
  child.kill('SIGTERM')
  t.match(await ended, { code: 0, signal: null })
  t.ok(performance.now() - began < 10_000)
  await reader.read().catch(() => {})
})
