import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { type Habit, Load, makeRequest } from '../../src/process/load-clients.ts'
import { block } from '../helpers/block.ts'
import { occupy } from '../helpers/network.ts'

const HABITS: readonly Habit[] = ['kept', 'fresh', 'slow']

async function serve(t: Test, answer: RequestListener): Promise<string> {
  const server = createServer(answer)
  t.teardown(() => server.closeAllConnections())
  return `http://127.0.0.1:${await occupy(t, server)}/things?x=1`
}

t.test('a client of each habit sends what it is given, and takes what is answered', async (t) => {
  const seen: unknown[] = []
  const url = await serve(t, async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const { method, url, headers } = request
    seen.push({ method, url, body, token: headers['x-token'] })
    if (body === '') response.end()
    else response.end('y'.repeat(100_000))
  })
  const body = 'x'.repeat(100_000)
  for (const habit of HABITS) {
    t.match(await makeRequest({ url }, habit), { habit, problem: undefined })
    const sent = { url, method: 'PUT', body, headers: { 'x-token': 'mine' } }
    t.match(await makeRequest(sent, habit), { request: sent, problem: undefined })
  }
  const [get, put] = [
    { method: 'GET', url: '/things?x=1', body: '', token: undefined },
    { method: 'PUT', url: '/things?x=1', body, token: 'mine' },
  ]
  t.strictSame(seen, [get, put, get, put, get, put])
})

t.test('what is no success is told', async (t) => {
  const cases: [RequestListener, RegExp][] = [
    [(_, response) => response.writeHead(503).end('{"message":"Too much"}'), /^503 Too much$/],
    [(_, response) => response.writeHead(302).end(), /^302$/],
    [({ socket }) => socket.destroy(), /ECONNRESET|closed without an answer|socket hang up/],
    [
      (_, response) => {
        response.writeHead(200, { 'content-length': '10' }).write('12345')
        setImmediate(() => response.destroy())
      },
      /ECONNRESET|aborted|cut off/,
    ],
    [
      (_, response) => {
        response.write('a chunk')
        setImmediate(() => response.destroy())
      },
      /ECONNRESET|aborted|cut off/,
    ],
  ]
  for (const [answer, problem] of cases) {
    const url = await serve(t, answer)
    for (const habit of HABITS) t.match((await makeRequest({ url }, habit)).problem, problem, habit)
  }
  t.match((await makeRequest({ url: 'http://127.0.0.1:1/' }, 'fresh')).problem, 'ECONNREFUSED')
  t.match((await makeRequest({ url: 'http://127.0.0.1:1/' }, 'slow')).problem, 'ECONNREFUSED')
})

t.test('clients that keep their connection use it again, others make one each time', async (t) => {
  for (const [habit, isKept] of [
    ['kept', true],
    ['fresh', false],
  ] as const) {
    let connections = 0
    // However long this process stands still between two requests.
    const server = createServer({ keepAliveTimeout: 60_000 }, (_, response) => response.end('yes'))
    server.on('connection', () => connections++)
    const url = `http://127.0.0.1:${await occupy(t, server)}`
    const enough = Promise.withResolvers<void>()
    const load = new Load({
      clients: { [habit]: 2 },
      next: () => ({ url }),
      onAnswer: () => (load.requests < 20 ? undefined : enough.resolve()),
    })
    await enough.promise
    await load.stop()
    t.strictSame(load.failures, [])
    t.equal(connections, isKept ? 2 : load.requests)
  }
})

/** Counts in `closed` the connections that it has closed: each when it has answered, without a word of that. */
const CLOSING = `
const { createServer } = require('node:http')
const { parentPort, workerData: closed } = require('node:worker_threads')
const server = createServer((_, response) => {
  const { socket } = response
  socket.once('close', () => {
    Atomics.add(closed, 0, 1)
    Atomics.notify(closed, 0)
  })
  response.end(() => socket.destroy())
})
server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))`

t.test('what was closed while the process stood still is not asked on', async (t) => {
  const closed = new Int32Array(new SharedArrayBuffer(4))
  const server = new Worker(CLOSING, { eval: true, workerData: closed })
  t.teardown(() => server.terminate())
  const [port] = await once(server, 'message')
  const enough = Promise.withResolvers<void>()
  const load = new Load({
    clients: { kept: 1 },
    next: () => ({ url: `http://127.0.0.1:${port}` }),
    onAnswer({ problem }) {
      if (problem || load.requests === 20) return enough.resolve()
      // While it waits to make the next one, which is due then.
      setImmediate(() => {
        Atomics.wait(closed, 0, load.requests - 1, 60_000)
        block(20)
      })
    },
  })
  await enough.promise
  await load.stop()
  t.strictSame(load.failures, [])
})
