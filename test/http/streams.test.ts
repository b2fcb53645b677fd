import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { setInterval as every } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { watchConnections } from '../../src/process/connections.ts'
import { closeGracefully } from '../../src/process/shutdown.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { events, file } from '../../src/resource/stream.ts'
import { createGate, createService, type LogLine, serveThings } from '../helpers/app.ts'
import { block } from '../helpers/block.ts'
import { poll } from '../helpers/network.ts'
import { ask, listen, open, parse, request, send } from '../helpers/wire.ts'

const Stream = Type.Unsafe<Readable>(Type.Unknown())

/** A listening service, and what ends it as a signal does. */
async function serve(
  t: Test,
  resources: Parameters<typeof createService>[1],
  options: Parameters<typeof createService>[2] = {},
) {
  const { app, logs } = await createService(t, resources, options)
  const connections = watchConnections(app.server)
  const port = await listen(app)
  return { app, port, logs, close: () => closeGracefully(app, connections, 0) }
}

/** The line of the request, which follows the end of its connection. */
async function lineOf(logs: readonly LogLine[]): Promise<LogLine | undefined> {
  const find = () => logs.find(({ msg }) => msg === 'request')
  await poll(async () => find() !== undefined)
  return find()
}

async function receive(port: number, path: string) {
  const { socket, received } = await open(port)
  const ended = Promise.race([once(socket, 'end'), once(socket, 'close')])
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
  while (!received().includes('data: ')) await once(socket, 'data')
  return { received, ended, socket }
}

/** An event stream of these lines, told when it shall end. */
function createEvents(tell: (signal: AbortSignal) => AsyncIterable<string>) {
  return defineResource({
    summary: 'Events',
    response: Stream,
    perform(_, { signal, reply }) {
      reply?.type('text/event-stream')
      return Readable.from(tell(signal))
    },
  })
}

t.test(
  'the signal of an event stream aborts when the process ends, and it may say goodbye',
  async (t) => {
    const events = createEvents(async function* (signal) {
      yield 'data: first\n\n'
      await once(signal, 'abort')
      yield `data: ${(signal.reason as Error).message}\n\n`
    })
    const { port, close, logs } = await serve(t, { events })
    const { received, ended } = await receive(port, '/things')
    const began = performance.now()
    await close()
    await ended
    t.ok(performance.now() - began < 30_000)
    t.match(received(), /data: The process ends\n\n\r\n0\r\n\r\n$/, 'it ends as a whole')
    t.match(await lineOf(logs), { level: 30, status: 200, path: '/things' })
  },
)

t.test('it may also where the process has stood still meanwhile', async (t) => {
  const events = createEvents(async function* (signal) {
    yield 'data: first\n\n'
    await once(signal, 'abort')
    await stat('.')
    yield 'data: goodbye\n\n'
  })
  const { port, close } = await serve(t, { events })
  const { received, ended } = await receive(port, '/things')
  const closed = close()
  await new Promise(setImmediate)
  block(1100)
  await Promise.all([closed, ended])
  t.match(received(), /data: goodbye\n\n\r\n0\r\n\r\n$/)
})

t.test('one that throws then is no error of ours', async (t) => {
  const events = createEvents(async function* (signal) {
    for await (const _ of every(5, null, { signal })) yield 'data: tick\n\n'
  })
  const { port, close, logs } = await serve(t, { events })
  const { ended } = await receive(port, '/things')
  await close()
  await ended
  t.match(await lineOf(logs), { level: 30, status: 200, reason: /^the answer was cut off: / })
})

t.test('an event stream that hears no signal is cut off', async (t) => {
  const gone = createGate()
  const plain = async (app: FastifyInstance) => {
    app.get('/events', (_, reply) => {
      reply.hijack()
      reply.raw.writeHead(200, { 'Content-Type': 'text/event-stream' })
      const timer = setInterval(() => reply.raw.write('data: tick\n\n'), 5)
      reply.raw.once('close', () => {
        clearInterval(timer)
        gone.open()
      })
    })
  }
  const deaf = defineResource({
    summary: 'Deaf',
    response: Stream,
    perform(_, { signal, reply }) {
      signal.throwIfAborted()
      reply?.type('text/event-stream')
      return Readable.from(
        (async function* () {
          yield 'data: first\n\n'
          await new Promise(() => {})
        })(),
      )
    },
  })
  for (const path of ['/events', '/things']) {
    const { port, close, logs } = await serve(t, { deaf }, { plugins: [plain] })
    const { ended } = await receive(port, path)
    await close()
    await ended
    if (path === '/events') await gone.opened
    t.match(await lineOf(logs), { level: 30, status: 200, reason: 'cut off by the server' })
  }
})

t.test('a download goes on to its end', async (t) => {
  const gate = createGate()
  const download = defineResource({
    summary: 'Download',
    response: Stream,
    perform: (_, { signal }) =>
      Readable.from(
        (async function* () {
          yield 'data: first,'
          await gate.opened
          signal.throwIfAborted()
          yield 'last'
        })(),
      ),
  })
  const { port, close } = await serve(t, { download })
  const { received, ended, socket } = await receive(port, '/things')
  const closed = close()
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
  gate.open()
  await Promise.all([closed, ended])
  t.match(received(), /last\r\n0\r\n\r\n$/)
  socket.destroy()
})

const Body = Type.Object({ name: Type.String() })
const json = { 'Content-Type': 'application/json' }

function createUpload(path: string, timeout?: number) {
  return defineResource({
    summary: `Upload ${path}`,
    path,
    method: 'POST',
    request: Body,
    response: Type.String(),
    ...(timeout !== undefined && { timeout }),
    perform: ({ name }) => name,
  })
}

for (const patience of [20_000, 0]) {
  t.test(
    `an upload may take the time of its resource, ${patience}; others have theirs`,
    async (t) => {
      const resources = { slow: createUpload('/slow', patience), quick: createUpload('/quick') }
      const { port } = await serve(t, resources, { variables: { REQUEST_TIMEOUT: '300' } })
      const head = (path: string) => request(`POST ${path}`, { ...json, 'Content-Length': '12' })
      const { socket, received } = await open(port)
      const ended = once(socket, 'end')
      socket.write(`${head('/things/slow')}{"name":`)
      // It has begun later, and is late when the first would be, too.
      const late = parse(await send(port, `${head('/things/quick')}{"name":`))
      t.match([late.status, late.json().code], [408, 'REQUEST_TIMEOUT'])
      t.equal((await ask(port, 'POST /things/quick', json, '{"name":"x"}')).status, 200)
      socket.write('"x"}')
      await ended
      t.match([parse(received()).status, parse(received()).json().data], [200, 'x'])
    },
  )
}

t.test('an upload has less time where its resource says so', async (t) => {
  const { port } = await serve(t, { short: createUpload('/short', 100) })
  const head = request('POST /things/short', { ...json, 'Content-Length': '12' })
  t.equal(parse(await send(port, `${head}{"name":`)).status, 408)
})

t.test('what a failing hook keeps from being sent is ended', async (t) => {
  const bytes = new Readable({ read() {} })
  const ticks = (async function* () {
    yield { data: 1 }
  })()
  const left = createGate()
  const { return: leave } = ticks
  ticks.return = async (value) => {
    left.open()
    return await leave.call(ticks, value)
  }
  const resources = {
    bytes: defineResource({
      summary: 'Bytes',
      path: '/bytes',
      response: file(),
      perform: () => bytes,
    }),
    ticks: defineResource({
      summary: 'Ticks',
      path: '/ticks',
      response: events(Type.Integer()),
      perform: () => ticks,
    }),
  }
  const plugin = (app: FastifyInstance) =>
    app.addHook('onSend', async () => {
      throw new Error('no')
    })
  const app = await serveThings(t, resources, { plugin })
  const port = await listen(app)
  const closed = once(bytes, 'close')
  for (const path of ['bytes', 'ticks'])
    t.equal((await ask(port, `GET /things/${path}`)).status, 500)
  await closed
  await left.opened
})
