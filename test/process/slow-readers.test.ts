import { once } from 'node:events'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import requestLog from '../../plugins/request-log.ts'
import { endSlowReaders } from '../../src/process/slow-readers.ts'
import type { LogLine } from '../helpers/app.ts'
import { block } from '../helpers/block.ts'
import { ask, listen, open } from '../helpers/wire.ts'

const SIZE = 32 * 1024 * 1024

async function serve(t: Test, plugin?: typeof requestLog, patience = 1000) {
  const logs: LogLine[] = []
  const write = (line: string) => logs.push(JSON.parse(line))
  const app = Fastify({
    disableRequestLogging: true,
    logger: { level: 'debug', stream: { write } },
  })
  t.teardown(() => app.close())
  if (plugin) app.register(plugin)
  app.get('/large', async () => 'x'.repeat(SIZE))
  app.get('/small', async () => 'small')
  const port = await listen(app)
  endSlowReaders(app, patience)
  const connections = () =>
    new Promise<number>((resolve) => app.server.getConnections((_, count) => resolve(count)))
  return { app, logs, port, connections }
}

/** What of the log is about what is large. */
const aboutLarge = (logs: LogLine[]) =>
  logs.filter(({ msg, path }) => path === '/large' || /^cut off/.test(msg))

const GET = 'GET /large HTTP/1.1\r\nHost: x\r\n\r\n'

for (const [title, plugin] of [
  ['a service', requestLog],
  ['an app that logs no requests', undefined],
] as const) {
  t.test(`clients of ${title} that read nothing lose their connections`, async (t) => {
    const { app, logs, port, connections } = await serve(t, plugin)
    const closed: Promise<unknown>[] = []
    app.server.on('connection', (socket) => closed.push(once(socket, 'close')))
    const clients = await Promise.all(Array.from({ length: 5 }, () => open(port)))
    for (const { socket } of clients) {
      socket.pause()
      socket.write(GET)
    }
    t.equal((await ask(port, 'GET /small')).body, 'small', 'others are served')
    await Promise.all(closed)
    t.equal(await connections(), 0)
    const reason = 'cut off: the client has read nothing of the answer for 1000 ms'
    const line = plugin
      ? { level: 30, msg: 'request', status: 200, reason }
      : { level: 20, msg: reason, address: '127.0.0.1' }
    t.match(
      aboutLarge(logs),
      clients.map(() => line),
    )
    t.equal(aboutLarge(logs).length, clients.length)
    for (const { socket } of clients) socket.destroy()
  })
}

t.test('a client that reads slowly gets all of it', async (t) => {
  const { logs, port } = await serve(t, requestLog, 3000)
  const looked = () => new Promise((resolve) => setTimeout(resolve, 600))
  const client = await open(port)
  const { socket } = client
  let received = 0
  socket.removeAllListeners('data')
  socket.pause()
  socket.write(GET)
  for (let pause = 0; pause < 6; pause++) {
    await looked()
    for (let read = 0; read < 64; read++) {
      const chunk: Buffer | null = socket.read()
      if (chunk) received += chunk.length
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const over = new Promise<void>((resolve) => {
    socket.on('data', (chunk) => {
      received += chunk.length
      if (received > SIZE) resolve()
    })
  })
  socket.resume()
  await over
  socket.destroy()
  t.ok(received > SIZE, 'the answer and its head')
  t.notOk(aboutLarge(logs).find(({ reason }) => /read nothing/.test(String(reason))))
})

t.test('so does one whose server has stood still', async (t) => {
  const { port } = await serve(t, requestLog, 3000)
  const { socket } = await open(port)
  let received = 0
  socket.removeAllListeners('data').pause()
  socket.write(GET)
  await new Promise((resolve) => setTimeout(resolve, 1000))
  block(4000)
  const over = new Promise<unknown>((resolve) => {
    socket.on('data', (chunk) => {
      received += chunk.length
      if (received > SIZE) resolve('all')
    })
    for (const end of ['end', 'error', 'close']) socket.once(end, resolve)
  })
  socket.resume()
  await over
  socket.destroy()
  t.ok(received > SIZE, 'the answer and its head')
})
