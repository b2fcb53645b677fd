import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import decompress from '../../plugins/decompress.ts'
import { type Answer, listen, parse, request, send } from '../helpers/wire.ts'
import { assertAlive, listenWithThings } from './service.ts'

const plain = Buffer.from('{"name":"x"}')
const type = { 'Content-Type': 'application/json' }

async function post(port: number, path: string, encoding: string, body: Buffer): Promise<Answer> {
  const headers = { ...type, 'Content-Encoding': encoding, 'Content-Length': String(body.length) }
  return parse(
    await send(port, Buffer.concat([Buffer.from(request(`POST ${path}`, headers)), body])),
  )
}

const mine = async (app: FastifyInstance) => {
  app.post('/mine', async ({ body }) => body)
}

t.test('an encoded body is 415 that names the encoding, and says what is read', async (t) => {
  const { port } = await listenWithThings(t, { plugins: [mine] })
  for (const path of ['/things', '/mine']) {
    for (const [encoding, body] of [
      ['gzip', gzipSync(plain)],
      ['br', plain],
      ['deflate', deflateSync(plain)],
      ['GZIP', gzipSync(plain)],
      ['gzip, br', plain],
      ['identity, gzip', plain],
      ['nonsense', plain],
    ] as const) {
      const answer = await post(port, path, encoding, body)
      t.equal(answer.status, 415, `${path} ${encoding}`)
      t.equal(answer.headers['accept-encoding'], 'identity')
      t.match(answer.json(), {
        code: 'UNSUPPORTED_ENCODING',
        message: `The content encoding ${encoding} is not read here; send the body in one that Accept-Encoding of this answer names`,
      })
    }
    for (const encoding of ['identity', 'Identity', '']) {
      t.ok((await post(port, path, encoding, plain)).status < 300, `${path} "${encoding}"`)
    }
  }
  await assertAlive(t, port)
})

t.test('a service may read them, its plain routes too', async (t) => {
  const { port } = await listenWithThings(t, { decompress: true, plugins: [mine] })
  for (const [encoding, body] of [
    ['gzip', gzipSync(plain)],
    ['X-Gzip', gzipSync(plain)],
    ['deflate', deflateSync(plain)],
    ['br', brotliCompressSync(plain)],
    ['identity', plain],
  ] as const) {
    const created = await post(port, '/things', encoding, body)
    t.strictSame([created.status, created.json().data], [201, { id: 1, name: 'x' }], encoding)
    t.strictSame((await post(port, '/mine', encoding, body)).json(), { name: 'x' }, encoding)
  }
  for (const encoding of ['zstd', 'gzip, br']) {
    const answer = await post(port, '/things', encoding, plain)
    t.match(answer, { status: 415, headers: { 'accept-encoding': 'gzip, deflate, br' } })
    t.match(answer.json(), { code: 'UNSUPPORTED_ENCODING' })
  }
  const some = await listenWithThings(t, { decompress: ['br'] })
  t.equal((await post(some.port, '/things', 'br', brotliCompressSync(plain))).status, 201)
  const refused = await post(some.port, '/things', 'gzip', gzipSync(plain))
  t.match(refused, { status: 415, headers: { 'accept-encoding': 'br' } })
})

t.test('what is no such encoding, or ends early, is 400', async (t) => {
  const { port } = await listenWithThings(t, { decompress: true })
  for (const [encoding, body] of [
    ['gzip', plain],
    ['gzip', gzipSync(plain).subarray(0, -4)],
    ['br', plain],
    ['deflate', plain],
  ] as const) {
    const answer = await post(port, '/things', encoding, body)
    t.equal(answer.status, 400, encoding)
    t.match(answer.json(), {
      code: 'BAD_REQUEST',
      message: `The request cannot be read: the body is no valid ${encoding}`,
    })
  }
  await assertAlive(t, port)
})

t.test('a bomb is 413 as soon as it is over the limit', async (t) => {
  const { port } = await listenWithThings(t, {
    decompress: true,
    variables: { BODY_LIMIT: '100000' },
  })
  const zeros = Buffer.alloc(256 * 1024 * 1024)
  const bomb = gzipSync(zeros, { level: 9 })
  const before = process.memoryUsage().rss
  for (const [encoding, body] of [
    ['gzip', gzipSync(zeros.subarray(0, 90_000_000), { level: 9 })],
    ['gzip', bomb],
    ['br', brotliCompressSync(zeros.subarray(0, 50_000_000))],
  ] as const) {
    const answer = await post(port, '/things', encoding, body)
    t.match([answer.status, answer.json().code], [413, 'PAYLOAD_TOO_LARGE'], encoding)
  }
  t.ok(process.memoryUsage().rss - before < 150 * 1024 * 1024)
  await assertAlive(t, port)
})

t.test('works alone, and leaves routes without a body be', async (t: Test) => {
  const app = Fastify({ bodyLimit: 1000 })
  t.teardown(() => app.close())
  await app.register(decompress)
  app.post('/', async ({ body }) => body)
  app.get('/', async () => 'so')
  const port = await listen(app as unknown as FastifyInstance)
  t.strictSame((await post(port, '/', 'gzip', gzipSync(plain))).json(), { name: 'x' })
  t.equal((await post(port, '/', 'gzip', gzipSync(Buffer.alloc(100_000)))).status, 413)
  const get = await send(port, request('GET /', { 'Content-Encoding': 'nonsense' }))
  t.equal(parse(get).status, 200)
})
