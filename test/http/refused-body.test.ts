import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import t from 'tap'
import { errors } from '../../src/errors.ts'
import { watchConnections } from '../../src/process/connections.ts'
import { closeGracefully } from '../../src/process/shutdown.ts'
import { open, parse, request } from '../helpers/wire.ts'
import { assertAlive, listenWithThings } from './service.ts'

const MEGABYTE = Buffer.alloc(1024 * 1024, 'x')

/** Writes `head` and so many megabytes, and only then reads, as most clients do that are no browsers. */
async function writeThenRead(port: number, head: string, megabytes: number, chunked = false) {
  const { socket, received } = await open(port)
  socket.pause()
  const ended = Promise.race([once(socket, 'end'), once(socket, 'close')])
  const write = (bytes: string | Buffer) =>
    new Promise<void>((resolve, reject) =>
      socket.write(bytes, (error) => (error ? reject(error) : resolve())),
    )
  await write(head)
  for (let sent = 0; sent < megabytes; sent++) {
    if (chunked) await write(`${MEGABYTE.length.toString(16)}\r\n`)
    await write(MEGABYTE)
    if (chunked) await write('\r\n')
  }
  socket.resume()
  await ended
  socket.destroy()
  return parse(received())
}

/** A service with routes that refuse strangers in a hook, by an error and by an answer of their own. */
const guards = async (app: FastifyInstance) => {
  const refuse = (request: FastifyRequest) => request.headers.authorization === undefined
  app.register(async (scope) => {
    scope.addHook('onRequest', async (request, reply) => {
      if (refuse(request)) return reply.code(401).send({ mine: true })
    })
    scope.post('/answered', async () => null)
  })
  app.register(async (scope) => {
    scope.addHook('onRequest', async (request) => {
      if (refuse(request)) throw errors.UNAUTHENTICATED()
    })
    scope.post('/thrown', async () => null)
  })
  app.register(async (scope) => {
    scope.addContentTypeParser('application/octet-stream', (_request, _payload, done) => done(null))
    scope.put('/bytes', async ({ raw }) => {
      let size = 0
      for await (const chunk of raw.iterator({ destroyOnReturn: false })) {
        size += chunk.length
        if (size > MEGABYTE.length) throw errors.PAYLOAD_TOO_LARGE(MEGABYTE.length)
      }
      return size
    })
  })
}

const MEGABYTES = 16
const length = { 'Content-Length': String(MEGABYTES * MEGABYTE.length) }
const json = { 'Content-Type': 'application/json' }

t.test('a client that is still writing its body reads why it is refused', async (t) => {
  const { port } = await listenWithThings(t, { plugins: [guards] })
  for (const [line, headers, status] of [
    ['POST /things', { ...json, ...length }, 413],
    ['POST /things', { ...json, 'Transfer-Encoding': 'chunked' }, 413],
    ['POST /things', { 'Content-Type': 'text/csv', ...length }, 415],
    ['POST /things', { 'Content-Type': ';', ...length }, 415],
    ['DELETE /things', length, 405],
    ['POST /nope', { 'Content-Type': 'text/csv', ...length }, 404],
    ['POST /things/%ff', { ...json, ...length }, 400],
    ['POST /answered', { ...json, ...length }, 401],
    ['POST /thrown', { ...json, ...length }, 401],
    ['PUT /bytes', { 'Content-Type': 'application/octet-stream', ...length }, 413],
  ] as const) {
    const chunked = 'Transfer-Encoding' in headers
    const answer = await writeThenRead(port, request(line, headers), MEGABYTES, chunked)
    t.equal(answer.status, status, `${line} ${status}`)
    t.equal(answer.headers.connection, 'close')
  }
  await assertAlive(t, port)
})

t.test('headers over the limit, too', async (t) => {
  const { port } = await listenWithThings(t)
  const answer = await writeThenRead(port, 'GET /things HTTP/1.1\r\nHost: x\r\nCookie: ', 4)
  t.equal(answer.status, 431)
  await assertAlive(t, port)
})

t.test(
  'a connection that is kept goes on with the next request after a body that nobody wanted',
  async (t) => {
    const { port } = await listenWithThings(t, { plugins: [guards] })
    const { socket, received } = await open(port)
    const ended = once(socket, 'end')
    socket.write('POST /answered HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n')
    socket.write(MEGABYTE)
    socket.write(request('GET /ping'))
    await ended
    const statuses = Array.from(received().matchAll(/HTTP\/1\.1 (\d+)/g), ([, status]) => status)
    t.strictSame(statuses, ['401', '200'])
  },
)

t.test('who never stops is cut off', async (t) => {
  const { app, port } = await listenWithThings(t)
  const accepted = once(app.server, 'connection') as Promise<[Socket]>
  const { socket } = await open(port)
  const [server] = await accepted
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.write(request('POST /things', { ...json, 'Content-Length': String(2 ** 40) }))
  const more = () => {
    while (!socket.destroyed && socket.write(MEGABYTE));
  }
  socket.on('drain', more)
  more()
  await closed
  t.ok(server.bytesRead > 64 * MEGABYTE.length)
  await assertAlive(t, port)
})

t.test('who sends nothing more and does not hang up is cut off, too', async (t) => {
  const { app, port } = await listenWithThings(t)
  const accepted = once(app.server, 'connection') as Promise<[Socket]>
  const { socket, received } = await open(port)
  t.teardown(() => socket.destroy())
  const [server] = await accepted
  const closed = once(server, 'close')
  const asked = performance.now()
  socket.write(request('POST /things', { ...json, ...length }))
  await once(socket, 'end')
  t.equal(parse(received()).status, 413)
  await closed
  t.ok(performance.now() - asked > 4900, 'it had five seconds')
})

t.test('it does not hold up the end of the process', async (t) => {
  const { app, port } = await listenWithThings(t)
  const connections = watchConnections(app.server)
  const { socket, received } = await open(port)
  socket.write(request('POST /things', { ...json, ...length }))
  await once(socket, 'end')
  t.equal(parse(received()).status, 413)
  const began = performance.now()
  await closeGracefully(app, connections, 0)
  t.ok(performance.now() - began < 4000)
  socket.destroy()
})
