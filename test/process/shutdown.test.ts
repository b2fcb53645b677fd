import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { watchConnections } from '../../src/process/connections.ts'
import { closeGracefully } from '../../src/process/shutdown.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createGate, createService } from '../helpers/app.ts'
import { block } from '../helpers/block.ts'
import { ask, listen, open, parse } from '../helpers/wire.ts'

/** A service with a resource that answers when it is let; `steps` is what happened in which order. */
async function createWaiting(t: Test) {
  const begun = createGate()
  const gate = createGate()
  const steps: string[] = []
  const wait = defineResource({
    summary: 'Wait',
    async perform() {
      begun.open()
      await gate.opened
      steps.push('performed')
      return null
    },
  })
  const { app } = await createService(
    t,
    { wait },
    {
      plugins: [
        async (scope: FastifyInstance) => {
          scope.addHook('onClose', async () => {
            steps.push('pools closed')
          })
        },
      ],
    },
  )
  const connections = watchConnections(app.server)
  const port = await listen(app)
  const close = (drainDelay = 0, linger?: () => number) =>
    closeGracefully(app, connections, drainDelay, linger)
  return { port, begun: begun.opened, gate, steps, close }
}

t.test('requests in flight finish, then the pools close', async (t) => {
  const { close, port, begun, gate, steps } = await createWaiting(t)
  const { socket, received } = await open(port)
  const ended = once(socket, 'end')
  socket.write('GET /things HTTP/1.1\r\nHost: x\r\n\r\n')
  await begun
  const closed = close().then(() => steps.push('closed'))
  // What a server does when it closes takes turns of the loop: it is not to have closed anything by then.
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
  t.strictSame(steps, [])
  gate.open()
  await ended
  await closed
  t.equal(parse(received()).status, 200)
  t.equal(parse(received()).headers.connection, 'close', 'and the client is told')
  t.strictSame(steps, ['performed', 'pools closed', 'closed'])
})

t.test('an answer that is on its way arrives whole', async (t) => {
  // More than the system takes at once from a server whose client does not read.
  const text = 'x'.repeat(32 * 1024 * 1024)
  const { app } = await createService(t, {
    large: defineResource({ summary: 'Large', response: Type.String(), perform: () => text }),
  })
  const connections = watchConnections(app.server)
  const { socket, received } = await open(await listen(app))
  const ended = once(socket, 'end')
  socket.pause()
  const asked = once(app.server, 'request')
  socket.write('GET /things HTTP/1.1\r\nHost: x\r\n\r\n')
  const [, response] = (await asked) as [unknown, ServerResponse]
  while (!response.writableEnded) await new Promise(setImmediate)
  t.notOk(response.writableFinished)
  const closed = closeGracefully(app, connections, 0)
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
  socket.resume()
  await ended
  await closed
  t.ok(received().includes(text))
})

t.test('connections that are kept alive are closed, new ones refused', async (t) => {
  const { close, port } = await createWaiting(t)
  const { socket, received } = await open(port)
  socket.write('GET /ping HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(socket, 'data')
  t.notOk(parse(received()).headers.connection === 'close')
  const ended = once(socket, 'end')
  await close()
  await ended
  await t.rejects(open(port), { code: 'ECONNREFUSED' })
})

t.test('they are waited for as long as others accept connections on the port', async (t) => {
  const { close, port } = await createWaiting(t)
  const { socket, received } = await open(port)
  socket.write('GET /ping HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(socket, 'data')
  const ended = once(socket, 'end')
  let linger = 600_000
  const closed = close(0, () => linger)
  await t.rejects(open(port), { code: 'ECONNREFUSED' })
  t.notOk(received().includes('onnection: close'), 'nothing has been taken from it')
  linger = 0
  await Promise.all([closed, ended])
})

t.test('connections that say nothing do not hold it up', async (t) => {
  const { close, port, begun, gate } = await createWaiting(t)
  const idle = await open(port)
  idle.socket.once('end', () => idle.socket.end())
  const busy = await open(port)
  const [idleEnded, busyEnded] = [once(idle.socket, 'close'), once(busy.socket, 'end')]
  busy.socket.write('GET /things HTTP/1.1\r\nHost: x\r\n\r\n')
  await begun
  const closed = close()
  gate.open()
  await Promise.all([closed, idleEnded, busyEnded])
  t.equal(parse(busy.received()).status, 200)
  t.equal(idle.received(), '')
})

t.test('while it drains it serves, and says that it is not ready', async (t) => {
  const { close, port } = await createWaiting(t)
  const closed = close(10_000)
  const ready = await ask(port, 'GET /readyz')
  t.equal(ready.status, 503)
  t.match(ready.json().data, { ready: false, draining: true })
  const { socket, received } = await open(port)
  const ended = once(socket, 'end')
  socket.write('GET /ping HTTP/1.1\r\nHost: x\r\n\r\n')
  await ended
  t.match(parse(received()), { status: 200, headers: { connection: 'close' } })
  await closed
  await t.rejects(open(port), { code: 'ECONNREFUSED' })
})

t.test('what has come while the process stood still until the end of it is served', async (t) => {
  const { close, port } = await createWaiting(t)
  const { socket, received } = await open(port)
  socket.write('GET /ping HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(socket, 'data')
  const ended = once(socket, 'close')
  const closed = close(50)
  socket.write('GET /ping HTTP/1.1\r\nHost: x\r\n\r\n')
  socket.end()
  block(100)
  await Promise.all([closed, ended])
  t.equal(received().match(/HTTP\/1\.1 200/g)?.length, 2)
})
