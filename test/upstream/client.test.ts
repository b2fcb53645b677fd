import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { UpstreamClient, type UpstreamClientOptions } from '../../src/upstream/client.ts'
import { UpstreamError } from '../../src/upstream/upstream-error.ts'
import { createGate } from '../helpers/app.ts'
import { poll } from '../helpers/network.ts'
import { passTime } from '../helpers/pass-time.ts'
import { noteUnheard } from '../helpers/unheard.ts'
import { answerJson, serveBytes, serveTls, serveUpstream } from '../helpers/upstream.ts'
import { freePort } from '../servers/ready.ts'

const RETRY = { attempts: 3, delay: 1, maxDelay: 5 }
const SEND = {
  timeout: 10_000,
  idempotent: true,
  maxBytes: 1000,
  operation: 'users.get',
  retry: RETRY,
} as const
const GET = { method: 'GET', path: '/users/1?token=secret' }
const POST = { method: 'POST', path: '/users', body: '{}' }

function createClient(
  t: Test,
  origin: string | undefined,
  options: Partial<UpstreamClientOptions> = {},
): UpstreamClient {
  const client = new UpstreamClient({
    name: 'billing',
    origin,
    retryBudget: 0.1,
    breaker: false,
    limit: { connections: 5, waiting: 10 },
    connectTimeout: 10_000,
    tls: {},
    addresses: 'any',
    ...options,
  })
  t.teardown(() => client.close())
  return client
}

/** Of the error that `promise` rejects with. */
async function problem(promise: Promise<unknown>) {
  const error = await promise.then(
    () => Promise.reject(new Error('expected a failure, got an answer')),
    (reason: unknown) => reason,
  )
  if (!UpstreamError.is(error)) throw error
  const { code, statusCode, message, upstream } = error
  return { code, statusCode, message, ...upstream, text: upstream.problem }
}

t.test('sends a request and gives the answer, whatever its status', async (t) => {
  const { url, got } = await serveUpstream(t, (response, { url }) => {
    answerJson(response, { url }, 404)
  })
  const client = createClient(t, url)
  const request = { ...POST, headers: { 'x-a': '1' }, body: '{"name":"Ünal"}' }
  const { status, headers, body, attempts } = await client.send(request, SEND)
  t.strictSame(
    [status, headers['content-type'], `${body}`, attempts],
    [404, 'application/json', '{"url":"/users"}', 1],
  )
  const [one] = got
  t.strictSame([one?.method, one?.headers['x-a'], `${one?.body}`], ['POST', '1', request.body])
})

t.test('connections are used again', async (t) => {
  const ports = new Set<number | undefined>()
  const { url } = await serveUpstream(t, (response) => {
    ports.add(response.req.socket.remotePort)
    response.end()
  })
  const client = createClient(t, url)
  for (let i = 0; i < 9; i++) await client.send(GET, SEND)
  // Of a pool: one is not free yet when the next call begins.
  t.ok(ports.size <= 2)
})

t.test('what cannot be reached is told', async (t) => {
  const port = await freePort()
  const client = createClient(t, `http://127.0.0.1:${port}`)
  t.match(await problem(client.send(GET, SEND)), {
    code: 'UPSTREAM_UNAVAILABLE',
    statusCode: 503,
    message: 'The system billing, which this needs, cannot be used right now; try again later',
    api: 'billing',
    operation: 'users.get',
    method: 'GET',
    url: `http://127.0.0.1:${port}/users/1`,
    attempts: 3,
    text: /ECONNREFUSED/,
  })
  const nowhere = createClient(t, 'http://nowhere.invalid')
  t.match(await problem(nowhere.send(POST, { ...SEND, idempotent: false })), {
    code: 'UPSTREAM_UNAVAILABLE',
    attempts: 1,
    text: /nowhere\.invalid/,
  })
})

t.test('a connection that is lost is tried again, where that may be', async (t) => {
  let connections = 0
  const url = await serveBytes(t, (socket) => {
    connections++
    socket.once('data', () => socket.resetAndDestroy())
  })
  const client = createClient(t, url)
  t.match(await problem(client.send(GET, SEND)), { code: 'UPSTREAM_UNAVAILABLE', attempts: 3 })
  t.equal(connections, 3)
  t.match(await problem(client.send(POST, { ...SEND, idempotent: false })), {
    code: 'UPSTREAM_UNAVAILABLE',
    attempts: 1,
  })
  t.equal(connections, 4, 'what may have been done is not done again')
})

t.test('an answer that ends in the middle is a lost connection', async (t) => {
  for (const head of ['content-length: 100', 'transfer-encoding: chunked']) {
    const url = await serveBytes(t, (socket) => {
      socket.once('data', () => socket.end(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n5\r\n{"a":`))
    })
    const sent = createClient(t, url).send(GET, { ...SEND, retry: false })
    t.match(await problem(sent), { code: 'UPSTREAM_UNAVAILABLE', status: 200 }, head)
  }
})

t.test('what is no HTTP is not an answer', async (t) => {
  const url = await serveBytes(t, (socket) => {
    socket.once('data', () => socket.end('220 mail.test ESMTP\r\n'))
  })
  t.match(await problem(createClient(t, url).send(GET, SEND)), {
    code: 'UPSTREAM_INVALID',
    statusCode: 502,
    attempts: 1,
    text: 'its answer is no HTTP',
  })
})

t.test('503 is tried again until there is another answer, or no try is left', async (t) => {
  const { url, got } = await serveUpstream(t, (response, { url }, count) => {
    response.statusCode = url === '/down' || count < 3 ? 503 : 200
    response.end()
  })
  const client = createClient(t, url)
  const answer = await client.send(GET, SEND)
  t.strictSame([answer.status, answer.attempts], [200, 3])
  got.length = 0
  const last = await client.send({ ...GET, path: '/down' }, SEND)
  t.strictSame([last.status, last.attempts, got.length], [503, 3, 3])
  got.length = 0
  const posted = await client.send({ ...POST, path: '/down' }, { ...SEND, idempotent: false })
  t.strictSame([posted.status, posted.attempts, got.length], [503, 1, 1])
  const never = await client.send({ ...GET, path: '/down' }, { ...SEND, retry: false })
  t.equal(never.attempts, 1)
})

t.test('who asks to be left alone for longer than there is time is not asked again', async (t) => {
  const { url, got } = await serveUpstream(t, (response) => {
    response.writeHead(429, { 'retry-after': '3600' }).end()
  })
  const { status, attempts } = await createClient(t, url).send(GET, SEND)
  t.strictSame([status, attempts, got.length], [429, 1, 1])
})

t.test('Retry-After is waited for', async (t) => {
  const { url, got } = await serveUpstream(t, (response, _, count) => {
    response.writeHead(count === 1 ? 503 : 200, { 'retry-after': '1' }).end()
  })
  const began = performance.now()
  const { status } = await createClient(t, url).send(GET, SEND)
  t.strictSame([status, got.length], [200, 2])
  t.ok(performance.now() - began >= 990, 'which was a second')
})

t.test('the retries of all calls together have a budget', async (t) => {
  const { url, got } = await serveUpstream(t, (response) => response.writeHead(503).end())
  const client = createClient(t, url, { retryBudget: 0.1 })
  for (let i = 0; i < 50; i++) await client.send(GET, { ...SEND, retry: { ...RETRY, attempts: 9 } })
  t.ok(got.length <= 50 + 10 + 5, `${got.length} requests for 50 calls`)
})

t.test('a call ends with its time, its signal, and before either has begun', async (t) => {
  const arrived = createGate()
  const { url } = await serveUpstream(t, () => arrived.open())
  const client = createClient(t, url)
  t.match(await problem(client.send(GET, { ...SEND, timeout: 30 })), {
    code: 'UPSTREAM_TIMEOUT',
    statusCode: 504,
    text: 'there was no whole answer within 30 ms',
  })
  const end = new AbortController()
  const sent = client.send(GET, { ...SEND, signal: end.signal })
  await arrived.opened
  const reason = new Error('gone')
  end.abort(reason)
  await t.rejects(sent, reason)
  await t.rejects(client.send(GET, { ...SEND, signal: end.signal }), reason)
})

t.test('an answer that drips is ended with the time of the call', async (t) => {
  const url = await serveBytes(t, (socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n')
      const timer = setInterval(() => socket.write('x'), 5)
      socket.once('close', () => clearInterval(timer))
    })
  })
  const sent = createClient(t, url).send(GET, { ...SEND, timeout: 5000 })
  t.match(await problem(sent), { code: 'UPSTREAM_TIMEOUT', status: 200 })
})

t.test('an answer without end is given up at its limit', async (t) => {
  let written = 0
  const closed = createGate()
  const url = await serveBytes(t, (socket) => {
    const chunk = Buffer.alloc(65_536, 120)
    const more = () => {
      while (!socket.destroyed && socket.write(chunk)) written += chunk.length
    }
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      more()
    })
    socket.on('drain', more).once('close', () => closed.open())
  })
  t.match(await problem(createClient(t, url).send(GET, SEND)), {
    code: 'UPSTREAM_INVALID',
    attempts: 1,
    text: 'its answer is longer than 1000 bytes',
  })
  await closed.opened
  t.ok(written < 10 * 2 ** 20, 'its connection is closed then')
  const { url: announced } = await serveUpstream(t, (response) => {
    response.writeHead(200, { 'content-length': '10000000000' }).flushHeaders()
  })
  t.match(await problem(createClient(t, announced).send(GET, SEND)), { code: 'UPSTREAM_INVALID' })
})

t.test('an answer is decompressed, to its limit', async (t) => {
  const bodies: Record<string, [encoding: string, body: Buffer]> = {
    '/good': ['gzip', gzipSync('x'.repeat(900))],
    '/bomb': ['gzip', gzipSync(Buffer.alloc(900_000))],
    '/cut': ['gzip', gzipSync('x'.repeat(900)).subarray(0, 20)],
    '/strange': ['lzma', Buffer.from('x')],
  }
  const { url } = await serveUpstream(t, (response, { url }) => {
    const [encoding, body] = bodies[url] as [string, Buffer]
    response.writeHead(200, { 'content-encoding': encoding }).end(body)
  })
  const client = createClient(t, url)
  const get = (path: string) => client.send({ ...GET, path }, SEND)
  t.equal(`${(await get('/good')).body}`, 'x'.repeat(900))
  t.match(await problem(get('/bomb')), {
    code: 'UPSTREAM_INVALID',
    text: 'its answer is longer than 1000 bytes when it is decompressed',
  })
  t.match(await problem(get('/cut')), { text: 'its answer is no valid gzip' })
  t.match(await problem(get('/strange')), {
    text: 'its answer has the content encoding lzma, which is not read here',
  })
})

t.test('so many calls at once, so many wait, and each ends with its own signal', async (t) => {
  const waiting: (() => void)[] = []
  const arrived = createGate()
  const { url, got } = await serveUpstream(t, (response, _, count) => {
    if (count <= 2) waiting.push(() => response.end())
    else response.end()
    if (count === 2) arrived.open()
  })
  const client = createClient(t, url, { limit: { connections: 2, waiting: 2 } })
  const end = new AbortController()
  const under = [client.send(GET, SEND), client.send(GET, SEND)]
  await arrived.opened
  const third = client.send(GET, { ...SEND, signal: end.signal })
  const fourth = client.send(GET, SEND)
  t.match(await problem(client.send(GET, SEND)), {
    code: 'UPSTREAM_UNAVAILABLE',
    text: 'too many calls of it wait already (limit.waiting)',
  })
  end.abort(new Error('gone'))
  await t.rejects(third, new Error('gone'))
  t.equal(got.length, 2, 'nothing that waits has been sent')
  const fifth = client.send(GET, SEND)
  for (const answer of waiting) answer()
  await Promise.all([...under, fourth, fifth])
  t.equal(got.length, 4, 'who has left the queue is not sent')
})

t.test('a late call gives its place to the next', async (t) => {
  const { url, got } = await serveUpstream(t, (response, { url }) => {
    if (url !== '/hang') response.end()
  })
  const client = createClient(t, url, { limit: { connections: 1, waiting: 5 } })
  const late = client.send({ ...GET, path: '/hang' }, { ...SEND, timeout: 1000 })
  const next = client.send({ ...GET, path: '/next' }, SEND)
  t.match(await problem(late), { code: 'UPSTREAM_TIMEOUT' })
  t.equal((await next).status, 200)
  t.strictSame(
    got.map(({ url }) => url),
    ['/hang', '/next'],
  )
})

t.test('an upstream that fails is not asked for a while, then by one call', async (t) => {
  const pass = passTime(t)
  const changes: boolean[] = []
  let isDown = true
  const { url, got } = await serveUpstream(t, (response) => {
    response.writeHead(isDown ? 500 : 200).end()
  })
  const client = createClient(t, url, {
    breaker: { failures: 0.5, window: 10_000, minimum: 4, pause: 60_000 },
    onBreaker: (isOpen) => changes.push(isOpen),
  })
  for (let i = 0; i < 4; i++) t.equal((await client.send(GET, SEND)).status, 500)
  t.strictSame(changes, [true])
  t.match(await problem(client.send(GET, SEND)), {
    code: 'UPSTREAM_UNAVAILABLE',
    text: 'it has failed too often, and is not asked for a while (breaker)',
  })
  t.equal(got.length, 4)
  isDown = false
  pass(61_000)
  t.equal((await client.send(GET, SEND)).status, 200)
  t.strictSame(changes, [true, false])
  t.equal(got.length, 5)
})

t.test('how long it is not asked does not depend on the clock being set', async (t) => {
  const set = passTime(t, [Date])
  const pass = passTime(t)
  const { url, got } = await serveUpstream(t, (response) => response.writeHead(500).end())
  const client = createClient(t, url, {
    breaker: { failures: 0.5, window: 10_000, minimum: 4, pause: 60_000 },
  })
  for (let i = 0; i < 4; i++) await client.send(GET, SEND)
  set(3_600_000)
  t.match(await problem(client.send(GET, SEND)), { code: 'UPSTREAM_UNAVAILABLE' })
  set(-7_200_000)
  pass(61_000)
  t.equal((await client.send(GET, SEND)).status, 500)
  t.equal(got.length, 5)
})

t.test('failures of this service are its own', async (t) => {
  const { url, got } = await serveUpstream(t, (response) => response.end())
  const client = createClient(t, url)
  const bad = client.send({ ...GET, headers: { 'x-a': 'a\nb' } }, SEND)
  await t.rejects(bad, { name: 'InvalidArgumentError' })
  t.equal((await client.send(GET, SEND)).status, 200, 'and hold no place')
  t.equal(got.length, 1)
})

t.test('a client that is closed ends what is under way', async (t) => {
  const arrived = createGate()
  const { url } = await serveUpstream(t, () => arrived.open())
  const client = createClient(t, url)
  const sent = problem(client.send(GET, SEND))
  await arrived.opened
  await client.close()
  t.match(await sent, { code: 'UPSTREAM_UNAVAILABLE', attempts: 1 })
})

t.test('an address that is not public is not connected to, however it is written', async (t) => {
  let connections = 0
  const url = await serveBytes(t, (socket) => {
    connections++
    socket.destroy()
  })
  const { port } = new URL(url)
  const client = createClient(t, undefined, { addresses: 'public' })
  for (const host of [
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f.1',
    '0177.0.0.1',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::127.0.0.1]',
    '0.0.0.0',
    'localhost',
  ]) {
    const { origin } = new URL(`http://${host}:${port}`)
    t.match(
      await problem(client.send({ ...GET, origin }, SEND)),
      { code: 'UPSTREAM_UNAVAILABLE', attempts: 1, text: /which is no address of the internet/ },
      host,
    )
  }
  t.equal(connections, 0)
})

t.test('a client without an origin of its own calls where each request says', async (t) => {
  const one = await serveUpstream(t, (response) => response.end('1'))
  const two = await serveUpstream(t, (response) => response.end('2'))
  const client = createClient(t, undefined)
  for (const [{ url: origin }, body] of [
    [one, '1'],
    [two, '2'],
  ] as const)
    t.equal(`${(await client.send({ ...GET, origin }, SEND)).body}`, body)
})

t.test('TLS that cannot be trusted is told', async (t) => {
  const { url, ca } = await serveTls(t)
  t.match(await problem(createClient(t, url).send(GET, SEND)), {
    code: 'UPSTREAM_UNAVAILABLE',
    attempts: 1,
    text: /self-signed certificate/,
  })
  t.equal((await createClient(t, url, { tls: { ca } }).send(GET, SEND)).status, 200)
  const plain = await serveBytes(t, (socket) => void socket.end('HTTP/1.1 400 Bad\r\n\r\n'))
  const wrong = createClient(t, plain.replace('http:', 'https:'))
  t.match(await problem(wrong.send(GET, SEND)), { code: 'UPSTREAM_UNAVAILABLE' })
  const other = createClient(t, url.replace('localhost', '127.0.0.1'), { tls: { ca } })
  t.match(await problem(other.send(GET, SEND)), { text: /127\.0\.0\.1.*is not in the cert/ })
})

t.test('a body may be a stream, which is sent once and ended with the call', async (t) => {
  const { url, got } = await serveUpstream(t, (response, { url }) => {
    response.writeHead(url === '/down' ? 503 : 200).end()
  })
  const client = createClient(t, url)
  const put = (path: string, body: Readable) => client.send({ method: 'PUT', path, body }, SEND)
  t.equal((await put('/up', Readable.from(['a', 'b']))).status, 200)
  t.equal(`${got[0]?.body}`, 'ab')
  const down = Readable.from(['a'])
  t.match(await put('/down', down), { status: 503, attempts: 1 })
  t.ok(down.destroyed)
  const broken = Readable.from(
    (async function* () {
      yield 'a'
      throw new Error('the file is gone')
    })(),
  )
  await t.rejects(put('/up', broken), new Error('the file is gone'))
  const unsent = Readable.from(['a'])
  const signal = AbortSignal.abort(new Error('gone'))
  await t.rejects(client.send({ ...POST, body: unsent }, { ...SEND, signal }), new Error('gone'))
  t.ok(unsent.destroyed, 'also where nothing is sent')
})

t.test('a body that breaks while it waits for its turn is the end of its call alone', async (t) => {
  const answers: (() => void)[] = []
  const arrived = createGate()
  const { url, got } = await serveUpstream(t, (response) => {
    answers.push(() => response.end())
    arrived.open()
  })
  const client = createClient(t, url, { limit: { connections: 1, waiting: 5 } })
  const first = client.send(GET, SEND)
  await arrived.opened
  const body = new Readable({ read() {} })
  const second = client.send({ ...POST, body }, SEND)
  body.destroy(new Error('the client has gone'))
  await t.rejects(second, new Error('the client has gone'))
  answers[0]?.()
  t.equal((await first).status, 200)
  t.equal(got.length, 1)
})

t.test('an answer may be a stream, with an end in time', async (t) => {
  const { url } = await serveUpstream(t, (response, { url }) => {
    if (url === '/fail') response.writeHead(404).end('no such file')
    else if (url === '/big') response.end(Buffer.alloc(1_000_000, 1))
    else response.write('begun')
  })
  const client = createClient(t, url)
  const get = (path: string, options = {}) =>
    client.send({ ...GET, path }, { ...SEND, streams: true, ...options })
  const { stream: big } = await get('/big')
  let size = 0
  for await (const chunk of big as Readable) size += chunk.length
  t.equal(size, 1_000_000, 'of any length')
  const failed = await get('/fail')
  t.strictSame([failed.status, `${failed.body}`, failed.stream], [404, 'no such file', undefined])
  const { stream: late } = await get('/drip', { timeout: 5000 })
  await t.rejects((late as Readable).toArray(), { code: 'UPSTREAM_TIMEOUT' })
  const end = new AbortController()
  const { stream: left } = await get('/drip', { signal: end.signal })
  const read = (left as Readable).toArray()
  end.abort(new Error('gone'))
  await t.rejects(read, new Error('gone'))
})

t.test('a stream that nobody reads on gives its connection back', async (t) => {
  const closed = createGate()
  const { url } = await serveUpstream(t, (response, { url }) => {
    if (url === '/next') response.end()
    else response.once('close', () => closed.open()).write('begun')
  })
  const client = createClient(t, url, { limit: { connections: 1, waiting: 5 } })
  const { stream } = await client.send(GET, { ...SEND, streams: true })
  const next = client.send({ ...GET, path: '/next' }, SEND)
  stream?.destroy()
  await closed.opened
  t.equal((await next).status, 200)
})

t.test('a stream that is cut off ends with an error', async (t) => {
  const url = await serveBytes(t, (socket) => {
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc'))
  })
  const { stream } = await createClient(t, url).send(GET, { ...SEND, streams: true })
  await t.rejects((stream as Readable).toArray(), { code: 'UPSTREAM_UNAVAILABLE' })
})

t.test('a stream that breaks before anybody reads it says so to who reads it later', async (t) => {
  const uncaught = noteUnheard(t, 'uncaughtException')
  const stop = new AbortController()
  const gone = new Error('gone')
  const cases: [then: string, options: object, end: () => void, problem: object][] = [
    ['ZZ\r\n', {}, () => {}, { code: 'UPSTREAM_INVALID' }],
    ['', { timeout: 5000 }, () => {}, { code: 'UPSTREAM_TIMEOUT' }],
    ['', { signal: stop.signal }, () => stop.abort(gone), gone],
  ]
  for (const [then, options, end, problem] of cases) {
    const url = await serveBytes(t, (socket) => {
      const head = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'
      socket.once('data', () => socket.write(head + then))
    })
    const client = createClient(t, url)
    const { stream } = await client.send(GET, { ...SEND, streams: true, ...options })
    end()
    await poll(async () => stream?.errored != null)
    // What nobody handles is told before the event loop goes on.
    await new Promise(setImmediate)
    const failed = await (stream as Readable).toArray().catch((error: unknown) => error)
    t.match(failed, problem)
  }
  t.strictSame(uncaught, [])
})

t.test('a body that has broken before it is sent is not sent', async (t) => {
  const { url, got } = await serveUpstream(t, (response) => response.end())
  const body = new Readable({ read() {} }).on('error', () => {})
  body.destroy(new Error('the file is gone'))
  await new Promise(setImmediate)
  const sent = createClient(t, url).send({ ...POST, body }, SEND)
  await t.rejects(sent, new Error('the file is gone'))
  t.strictSame(got, [])
})
