import { once } from 'node:events'
import { connect as connectHttp2, constants } from 'node:http2'
import { Readable } from 'node:stream'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import requestLog from '../../plugins/request-log.ts'
import { RequestLogController } from '../../src/process/log-controller.ts'
import { type Context, currentContext } from '../../src/resource/context.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createGate, createService, type LogLine } from '../helpers/app.ts'
import { block } from '../helpers/block.ts'
import { poll } from '../helpers/network.ts'
import { ask, listen, open, parse, request, send } from '../helpers/wire.ts'

const Stream = Type.Unsafe<Readable>(Type.Unknown())

/** A stream of one chunk that goes on when `gate` opens. */
const streamUntil = (gate: Promise<unknown>) =>
  Readable.from(
    (async function* () {
      yield 'first,'
      await gate
      yield 'last'
    })(),
  )

const broken = defineResource({
  summary: 'A stream that fails midway',
  path: '/broken',
  response: Stream,
  perform: () => streamUntil(Promise.reject(new Error('the disk is gone'))),
})

const take = defineResource({
  summary: 'Take',
  method: 'POST',
  request: Type.Object({ name: Type.String() }),
  perform: () => null,
})

/** A request whose body lacks its end. */
const unfinished = (path: string) =>
  `${request(`POST ${path}`, { 'Content-Type': 'application/json', 'Content-Length': '20' })}{"name":`

/** A listening service; `lines` waits until there are so many lines of requests, and returns what tells them apart. */
async function serve(t: Test, resources: Parameters<typeof createService>[1] = {}, options = {}) {
  const { app, logs } = await createService(t, resources, options)
  const port = await listen(app)
  logs.length = 0
  const lines = async (count: number) => {
    await poll(async () => logs.length >= count)
    // What would be one line too many is written in turns that follow.
    for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate)
    return logs.map(tell)
  }
  return { app, port, logs, lines }
}

function tell({ level, msg, path, status, reason, code }: LogLine) {
  return { level, msg, path, status, reason, code }
}

const told = (path: string | undefined, status: number | undefined, more: object = {}) => ({
  level: 30,
  msg: 'request',
  path,
  status,
  reason: undefined,
  code: undefined,
  ...more,
})

const ABORTED = { reason: 'aborted by the client' }

t.test('one line with the bytes that were sent, also where requests come in a row', async (t) => {
  const { port, lines, logs } = await serve(t)
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
  const received = await send(port, `${get('/ping')}${get('/nope')}${request('HEAD /ping')}`)
  const sent = received.split(/(?=HTTP\/1\.1)/).map((text) => text.length)
  t.strictSame(await lines(3), [
    told('/ping', 200),
    told('/nope', 404, { reason: 'Nothing answers GET /nope', code: 'ROUTE_NOT_FOUND' }),
    told('/ping', 200),
  ])
  t.strictSame(
    logs.map(({ bytes }) => bytes),
    sent,
  )
  t.ok(logs.every(({ request_id }) => received.includes(`x-request-id: ${request_id}`)))
})

t.test('a stream that fails midway is told with its error, and the client sees it', async (t) => {
  const { port, lines, logs } = await serve(t, { broken })
  const answer = await send(port, request('GET /things/broken'))
  t.match(answer, /^HTTP\/1\.1 200 (.|\r|\n)*first,\r\n$/, 'the last chunk is missing')
  const reason = 'the answer was cut off: the disk is gone'
  t.strictSame(await lines(1), [told('/things/broken', 200, { level: 50, reason })])
  t.match(logs[0], { err: { message: 'the disk is gone', stack: String }, bytes: answer.length })
})

t.test('a web stream that fails midway is told with its error', async (t) => {
  const web = defineResource({
    summary: 'Web',
    response: Type.Unknown(),
    perform: (_, { reply }) =>
      reply?.send(Readable.toWeb(broken.definition.perform({}, {} as never) as Readable)),
  })
  const { port, lines } = await serve(t, { web })
  await send(port, request('GET /things'))
  const reason = 'the answer was cut off: the disk is gone'
  t.strictSame(await lines(1), [told('/things', 200, { level: 50, reason })])
})

t.test('over HTTP/1.0 the end of a stream that fails is a reset', async (t) => {
  const whole = defineResource({
    summary: 'Whole',
    path: '/whole',
    response: Stream,
    perform: () => streamUntil(Promise.resolve()),
  })
  const { port, lines } = await serve(t, { broken, whole })
  const endOf = async (path: string) => {
    const { socket } = await open(port)
    const end = Promise.race([
      once(socket, 'end').then(() => 'end'),
      new Promise((resolve) =>
        socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code)),
      ),
    ])
    socket.write(`GET ${path} HTTP/1.0\r\n\r\n`)
    const how = await end
    socket.destroy()
    return how
  }
  t.equal(await endOf('/things/broken'), 'ECONNRESET')
  t.equal(await endOf('/things/whole'), 'end')
  t.match(await lines(2), [{ level: 50 }, { level: 30, status: 200 }])
})

t.test('a client that leaves is told, at each stage, and is no error of ours', async (t) => {
  const begun = createGate()
  const gate = createGate()
  const wait = defineResource({
    summary: 'Wait',
    path: '/wait',
    async perform(_, { signal }) {
      begun.open()
      await once(signal, 'abort')
      signal.throwIfAborted()
      return null
    },
  })
  const stream = defineResource({
    summary: 'Stream',
    path: '/stream',
    response: Stream,
    perform: () => streamUntil(gate.opened),
  })
  const take = defineResource({
    summary: 'Take',
    path: '/take',
    method: 'POST',
    request: Type.Object({ name: Type.String() }),
    perform: () => null,
  })
  const { port, lines } = await serve(t, { wait, stream, take })

  const waiting = await open(port)
  waiting.socket.write(request('GET /things/wait'))
  await begun.opened
  waiting.socket.destroy()
  t.strictSame(await lines(1), [told('/things/wait', undefined, ABORTED)], 'before the answer')

  const reading = await open(port)
  reading.socket.write(request('GET /things/stream'))
  await once(reading.socket, 'data')
  reading.socket.resetAndDestroy()
  t.strictSame((await lines(2))[1], told('/things/stream', 200, ABORTED), 'within the answer')
  gate.open()

  const sending = await open(port)
  sending.socket.write(unfinished('/things/take'))
  await new Promise<void>((resolve) => sending.socket.end(resolve))
  sending.socket.destroy()
  const line = (await lines(3))[2]
  t.match(line, { level: 30, msg: 'request', path: '/things/take' }, 'within its body')
})

t.test(
  'a client that leaves while its later requests wait in a row leaves a line for each',
  async (t) => {
    const begun = createGate()
    const gate = createGate()
    const wait = defineResource({
      summary: 'Wait',
      async perform() {
        begun.open()
        await gate.opened
        return null
      },
    })
    const { port, lines } = await serve(t, { wait })
    const { socket } = await open(port)
    socket.write('GET /things HTTP/1.1\r\nHost: x\r\n\r\nGET /ping HTTP/1.1\r\nHost: x\r\n\r\n')
    await begun.opened
    await new Promise(setImmediate)
    socket.destroy()
    const aborted = [told('/things', undefined, ABORTED), told('/ping', undefined, ABORTED)]
    t.strictSame(await lines(2), aborted)
    gate.open()
    t.strictSame(await lines(2), aborted, 'and the work that went on adds none')
  },
)

t.test('what fails after its client has left is told all the same', async (t) => {
  const begun = createGate()
  const gate = createGate()
  const fail = defineResource({
    summary: 'Fail',
    async perform() {
      begun.open()
      await gate.opened
      throw new TypeError('a bug')
    },
  })
  const { port, lines, logs } = await serve(t, { fail })
  const { socket } = await open(port)
  socket.write(request('GET /things'))
  await begun.opened
  socket.destroy()
  t.strictSame(await lines(1), [told('/things', undefined, ABORTED)])
  gate.open()
  t.match((await lines(2))[1], { level: 50, code: 'INTERNAL' })
  t.match(logs[1], { err: { message: 'a bug' }, request_id: logs[0]?.request_id })
})

t.test('a request that is never finished has one line, with the id of the answer', async (t) => {
  const { port, lines, logs } = await serve(t, { take }, { variables: { REQUEST_TIMEOUT: '200' } })
  const answer = parse(await send(port, unfinished('/things')))
  t.equal(answer.status, 408)
  t.match(await lines(1), [
    { level: 30, msg: 'request', path: '/things', status: 408, code: 'REQUEST_TIMEOUT' },
  ])
  t.equal(logs[0]?.request_id, answer.headers['x-request-id'])
  t.equal(logs.length, 1)
})

t.test('one that Node.js finds to be late before its deadline does is answered once', async (t) => {
  const variables = { REQUEST_TIMEOUT: '500' }
  const { app, port, lines, logs } = await serve(t, { take }, { variables })
  const asked = once(app.server, 'request')
  const received = send(port, unfinished('/things'))
  await asked
  // Longer than Node.js' interval: it looks in the next turn, the deadline after all that has come until then.
  block(1500)
  const answer = parse(await received)
  t.equal(answer.status, 408)
  await lines(1)
  t.strictSame(
    logs.map(({ status, code, request_id }) => ({ status, code, request_id })),
    [{ status: 408, code: 'REQUEST_TIMEOUT', request_id: answer.headers['x-request-id'] }],
  )
})

t.test('what is no HTTP, and a URL that cannot be read, have one line', async (t) => {
  const { port, lines, logs } = await serve(t)
  const nonsense = await send(port, 'nonsense\r\n\r\n')
  const reason = 'The request cannot be read: it is not HTTP (HPE_INVALID_METHOD)'
  t.strictSame(await lines(1), [told(undefined, 400, { code: 'BAD_REQUEST', reason })])
  t.match(logs[0], { bytes: nonsense.length, request_id: parse(nonsense).headers['x-request-id'] })
  const unreadable = await send(port, request('GET /things/%ff?token=hunter2'))
  t.match((await lines(2))[1], {
    msg: 'request',
    path: '/things/%ff',
    status: 400,
    code: 'BAD_REQUEST',
  })
  t.match(logs[1], { bytes: unreadable.length })
})

t.test('304, 204, an injected request, and an answer past Fastify', async (t) => {
  const tagged = defineResource({ summary: 'Tagged', etag: () => 'a', perform: () => null })
  const plugins = [
    async (app: FastifyInstance) => {
      app.get('/empty', (_, reply) => reply.code(204).send())
      app.get('/raw', (_, reply) => {
        reply.hijack()
        reply.raw.writeHead(202).end('mine')
      })
    },
  ]
  const { app, port, lines, logs } = await serve(t, { tagged }, { plugins })
  t.equal((await ask(port, 'GET /things', { 'If-None-Match': '"a"' })).status, 304)
  t.equal((await ask(port, 'GET /empty')).status, 204)
  t.equal((await ask(port, 'GET /raw')).status, 202)
  t.equal((await app.inject('/ping')).statusCode, 200)
  t.strictSame(await lines(4), [
    told('/things', 304),
    told('/empty', 204),
    told('/raw', 202),
    told('/ping', 200),
  ])
  t.strictSame(
    logs.map(({ bytes }) => typeof bytes),
    ['number', 'number', 'number', 'undefined'],
  )
})

/** A Fastify app with the plugin and nothing else of the kit. */
async function createAlone(t: Test, options: object = {}) {
  const logs: LogLine[] = []
  const stream = { write: (line: string) => void logs.push(JSON.parse(line)) }
  const logController = new RequestLogController()
  const app = Fastify({
    logger: { level: 'info', stream },
    logController,
    ...options,
  }) as unknown as FastifyInstance
  t.teardown(() => app.close())
  await app.register(requestLog)
  app.get('/', async () => 'so')
  app.get('/broken', async (_, reply) => {
    return reply.send(streamUntil(Promise.reject(new Error('the disk is gone'))))
  })
  app.get('/failed', async (_, reply) => {
    reply.failure = { reason: 'no luck', code: 'MINE' }
    return reply.code(409).send()
  })
  return { app, logs }
}

t.test('works alone', async (t) => {
  const { app, logs } = await createAlone(t)
  const port = await listen(app)
  logs.length = 0
  await ask(port, 'GET /')
  await ask(port, 'GET /failed')
  await send(port, request('GET /broken'))
  await poll(async () => logs.length >= 3)
  t.strictSame(logs.map(tell), [
    told('/', 200),
    told('/failed', 409, { code: 'MINE', reason: 'no luck' }),
    told('/broken', 200, { level: 50, reason: 'the answer was cut off: the disk is gone' }),
  ])
})

t.test('over HTTP/2, too', async (t) => {
  const { app, logs } = await createAlone(t, { http2: true })
  const gate = createGate()
  app.get('/stream', (_, reply) => {
    reply.send(streamUntil(gate.opened))
  })
  const port = await listen(app)
  logs.length = 0
  const session = connectHttp2(`http://127.0.0.1:${port}`)
  t.teardown(() => session.destroy())
  const whole = session.request({ ':path': '/' })
  whole.resume()
  await once(whole, 'close')
  const left = session.request({ ':path': '/stream' })
  await once(left, 'data')
  left.close(constants.NGHTTP2_CANCEL)
  await once(left, 'close')
  await poll(async () => logs.length >= 2)
  gate.open()
  t.strictSame(logs.map(tell), [told('/', 200), told('/stream', 200, ABORTED)])
})

for (const by of ['a resource', 'a route'] as const) {
  t.test(
    `work of ${by} that ends as its signal tells it to after a 504 leaves no line of its own`,
    async (t) => {
      const ended = createGate<unknown>()
      const wait = async (signal: AbortSignal, fail: (signal: AbortSignal) => unknown) => {
        await once(signal, 'abort')
        ended.open(null)
        throw fail(signal)
      }
      const own = (signal: AbortSignal) => signal.reason
      const other = () => new Error('a fault of its own')
      const slow = (path: string, fail: (signal: AbortSignal) => unknown) =>
        defineResource({
          summary: 'Slow',
          path,
          timeout: 5,
          perform: (_, { signal }) => wait(signal, fail),
        })
      const resources = { slow: slow('/slow', own), failing: slow('/failing', other) }
      const plain = async (app: FastifyInstance) => {
        const config = { deadline: 5 }
        const signal = () => (currentContext() as Context).signal
        app.get('/plain/slow', { config }, () => wait(signal(), own))
        app.get('/plain/failing', { config }, () => wait(signal(), other))
      }
      const { port, lines, logs } = await serve(t, resources, { plugins: [plain] })
      const place = by === 'a route' ? '/plain' : '/things'
      t.equal((await ask(port, `GET ${place}/slow`)).status, 504)
      await ended.opened
      t.strictSame((await lines(1)).length, 1)
      t.equal((await ask(port, `GET ${place}/failing`)).status, 504)
      await lines(3)
      t.match(
        logs.find(({ msg }) => msg !== 'request'),
        { err: { message: 'a fault of its own' } },
      )
    },
  )
}
