import { once } from 'node:events'
import { Readable } from 'node:stream'
import t from 'tap'
import { Type } from 'typebox'
import { defineResource } from '../../src/resource/resource.ts'
import { createGate, createService } from '../helpers/app.ts'
import { block } from '../helpers/block.ts'
import { ask, listen, open, parse, request, send } from '../helpers/wire.ts'
import { assertAlive, listenWithThings } from './service.ts'

t.test('what is no HTTP is answered in the envelope, and logged under its id', async (t) => {
  const { port, logs } = await listenWithThings(t)
  logs.length = 0
  for (const bytes of [
    'nonsense\r\n\r\n',
    'GET\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    'get / HTTP/1.1\r\n\r\n',
    'FOO / HTTP/1.1\r\nHost: x\r\n\r\n',
    'GET / HTTP/1.1\r\nHost x\r\n\r\n',
    'GET /a b HTTP/1.1\r\nHost: x\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n',
    '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  ]) {
    const answer = parse(await send(port, bytes))
    const { request_id, ...rest } = answer.json()
    t.equal(answer.status, 400, bytes)
    t.strictSame(rest, {
      result: false,
      code: 'BAD_REQUEST',
      data: null,
      message: 'The request cannot be read: it is not HTTP',
      errors: null,
      trace_id: null,
    })
    t.match(request_id, /^[\da-f-]{36}$/)
    t.match(answer.headers, {
      'content-type': 'application/json; charset=utf-8',
      'x-request-id': request_id,
      connection: 'close',
    })
    t.match(logs.at(-1), { msg: 'request', status: 400, code: 'BAD_REQUEST', request_id })
  }
  await assertAlive(t, port)
})

t.test('such answers are problems where the service answers with problems', async (t) => {
  const { port } = await listenWithThings(t, { envelope: 'problem' })
  const answer = parse(await send(port, 'nonsense\r\n\r\n'))
  t.equal(answer.headers['content-type'], 'application/problem+json; charset=utf-8')
  t.match(answer.json(), { title: 'BAD_REQUEST', status: 400, request_id: String })
})

t.test(
  'one that was there before a process stood still is answered, one that lacks its end is 408',
  async (t) => {
    const { app, port } = await listenWithThings(t, { variables: { REQUEST_TIMEOUT: '1000' } })
    for (const [bytes, status] of [
      [request('GET /ping'), 200],
      ['GET /ping HTTP/1.1\r\nHost: x\r\n', 408],
    ] as const) {
      const accepted = once(app.server, 'connection')
      const { socket, received } = await open(port)
      await accepted
      socket.write(bytes)
      // Longer than the deadline, and than the interval at which Node.js looks, which it does before it reads.
      block(2100)
      await once(socket, 'end')
      socket.destroy()
      t.equal(parse(received()).status, status)
    }
  },
)

t.test('a request that is never finished is 408, headers and body alike', async (t) => {
  const { port } = await listenWithThings(t, { variables: { REQUEST_TIMEOUT: '200' } })
  const unfinished = request('POST /things', {
    'Content-Type': 'application/json',
    'Content-Length': '50',
  })
  const answers = await Promise.all(
    ['GET /ping HTTP/1.1\r\nHost: x\r\n', `${unfinished}{"name":`].map(async (bytes) =>
      parse(await send(port, bytes)),
    ),
  )
  for (const { status, headers, json } of answers) {
    t.equal(status, 408)
    t.equal(headers.connection, 'close')
    t.match(json(), {
      result: false,
      code: 'REQUEST_TIMEOUT',
      message: 'The request was not sent completely in time; send it again',
      request_id: headers['x-request-id'],
    })
  }
  await assertAlive(t, port)
})

t.test('a client that closes its side at once gets its answer', async (t) => {
  const { port } = await listenWithThings(t)
  const { socket, received } = await open(port)
  const ended = once(socket, 'end')
  socket.end('GET /ping HTTP/1.1\r\nHost: x\r\n\r\n')
  await ended
  t.equal(parse(received()).status, 200)
  const half = await open(port)
  const over = once(half.socket, 'end')
  half.socket.end('GET /ping HTT')
  await over
  t.match(half.received(), /^(HTTP\/1\.1 400 |$)/)
  await assertAlive(t, port)
})

t.test('Expect: 100-continue', async (t) => {
  const { port } = await listenWithThings(t)
  const body = '{"name":"x"}'
  const head = request('POST /things', {
    'Content-Type': 'application/json',
    'Content-Length': String(body.length),
    Expect: '100-continue',
  })
  const { socket, received } = await open(port)
  const ended = once(socket, 'end')
  socket.write(head)
  await once(socket, 'data')
  t.equal(received(), 'HTTP/1.1 100 Continue\r\n\r\n')
  socket.write(body)
  await ended
  t.equal(parse(received().slice(received().indexOf('\r\n\r\n') + 4)).status, 201)
  await assertAlive(t, port)
})

t.test('HTTP/1.0', async (t) => {
  const { port } = await listenWithThings(t)
  const answer = parse(await send(port, 'GET /ping HTTP/1.0\r\n\r\n'))
  t.equal(answer.status, 200)
  t.equal(answer.json().data, 'pong')
  t.equal(answer.headers.connection, 'close')
})

t.test(
  'requests in a row on one connection are answered in order, a bad one ends it',
  async (t) => {
    const { port } = await listenWithThings(t)
    const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
    const received = await send(
      port,
      `${get('/things/1')}${get('/things/x')}${get('/nope')}${request('GET /ping')}`,
    )
    const statuses = Array.from(received.matchAll(/HTTP\/1\.1 (\d+)/g), ([, status]) => status)
    t.strictSame(statuses, ['200', '400', '404', '200'])
    await assertAlive(t, port)
  },
)

t.test('an answer on its way is not mixed with the answer to garbage behind it', async (t) => {
  const begun = createGate()
  const gate = createGate()
  const stream = defineResource({
    summary: 'Stream',
    response: Type.Unsafe<Readable>(Type.Unknown()),
    perform: () =>
      Readable.from(
        (async function* () {
          yield 'first,'
          begun.open()
          await gate.opened
        })(),
      ),
  })
  const { app } = await createService(t, { stream })
  const port = await listen(app)
  const { socket, received } = await open(port)
  const closed = once(socket, 'close')
  socket.write('GET /things HTTP/1.1\r\nHost: x\r\n\r\n')
  await begun.opened
  await once(socket, 'data')
  socket.write('garbage\r\n\r\n')
  socket.end()
  await closed
  gate.open()
  t.match(received(), /^HTTP\/1\.1 200 OK\r\n/)
  t.notMatch(received(), 'BAD_REQUEST')
  await assertAlive(t, port)
})

/** A resource that never answers, and the signal of its first call. */
function createSilent(method: 'GET' | 'POST', timeout?: number) {
  const begun = createGate<AbortSignal>()
  const silent = defineResource({
    summary: 'Silent',
    method,
    request: Type.Object({ name: Type.Optional(Type.String()) }),
    ...(timeout !== undefined && { timeout }),
    perform(_, { signal }) {
      begun.open(signal)
      return new Promise<null>((_, reject) => {
        signal.addEventListener('abort', () => reject(new Error('stopped')))
      })
    },
  })
  return { silent, begun: begun.opened }
}

const late = (milliseconds: number) => ({
  result: false,
  code: 'DEADLINE_EXCEEDED',
  data: null,
  message: `There was no answer within the deadline of ${milliseconds} ms`,
})

// With a body: when it has been read the request looks closed, though its client is there.
const body = '{"name":"x"}'
const json = { 'Content-Type': 'application/json' }

for (const method of ['GET', 'POST'] as const) {
  const given: [Record<string, string>?, string?] = method === 'POST' ? [json, body] : []

  t.test(`a ${method} that is never answered is 504 after the deadline`, async (t) => {
    const { silent, begun } = createSilent(method)
    const { app } = await createService(t, { silent }, { variables: { REQUEST_TIMEOUT: '150' } })
    const port = await listen(app)
    const answer = await ask(port, `${method} /things`, ...given)
    t.equal(answer.status, 504)
    t.match(answer.json(), late(150))
    t.ok((await begun).aborted)
    await assertAlive(t, port)
  })

  t.test(`a resource with ${method} may have a deadline of its own`, async (t) => {
    const { silent } = createSilent(method, 20)
    const { app } = await createService(t, { silent })
    const port = await listen(app)
    t.match((await ask(port, `${method} /things`, ...given)).json(), late(20))
  })

  t.test(`a client of a ${method} that goes away aborts the signal`, async (t) => {
    const { silent, begun } = createSilent(method)
    const { app } = await createService(t, { silent })
    const port = await listen(app)
    const { socket } = await open(port)
    socket.write(request(`${method} /things`, ...given))
    const signal = await begun
    await new Promise(setImmediate)
    t.equal(signal.aborted, false)
    const aborted = once(signal, 'abort')
    socket.destroy()
    await aborted
    await assertAlive(t, port)
  })

  t.test(`the signal of a ${method} that was answered in time is not aborted`, async (t) => {
    const signals: AbortSignal[] = []
    const quick = defineResource({
      summary: 'Quick',
      method,
      request: Type.Object({ name: Type.Optional(Type.String()) }),
      async perform(_, { signal }) {
        for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
        signals.push(signal)
        signal.throwIfAborted()
        return null
      },
    })
    const { app } = await createService(t, { quick })
    const port = await listen(app)
    t.equal((await ask(port, `${method} /things`, ...given)).status, 200)
    t.strictSame(
      signals.map(({ aborted }) => aborted),
      [false],
    )
  })
}
