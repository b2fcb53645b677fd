import { once } from 'node:events'
import http2 from 'node:http2'
import { Readable } from 'node:stream'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import resourcesPlugin from '../../plugins/resources.ts'
import { defineModule, type ResourceTable } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createGate, failure, serveThings } from '../helpers/app.ts'

const Any = Type.Unsafe<unknown>(Type.Unknown())
const define = (path: string, perform: () => unknown, more: object = {}) =>
  defineResource({ summary: path, path, response: Any, perform, ...more })

const bytes = () => new Blob(['one,', 'two']).stream()
const made = () =>
  new Response(bytes(), { status: 203, headers: { 'content-type': 'text/csv', 'x-own': 'yes' } })
async function* words() {
  yield 'one'
}

t.test('streams and responses of the web are sent as what they are', async (t) => {
  const app = await serveThings(t, {
    web: define('/web', bytes),
    node: define('/node', () => Readable.from(['one,', 'two']), { status: 201, method: 'POST' }),
    created: define('/created', bytes, { status: 201, method: 'POST' }),
    response: define('/response', made, { status: 201, method: 'POST' }),
    empty: define('/empty', () => new Response(null, { status: 204 })),
  })
  const get = async (url: string, method: 'GET' | 'POST' = 'GET') => {
    const { statusCode, body } = await app.inject({ method, url: `/things${url}` })
    return [statusCode, body]
  }
  t.strictSame(await get('/web'), [200, 'one,two'])
  t.strictSame(await get('/node', 'POST'), [201, 'one,two'])
  t.strictSame(await get('/created', 'POST'), [201, 'one,two'])
  t.strictSame(await get('/response', 'POST'), [203, 'one,two'])
  t.strictSame(await get('/empty'), [204, ''])
  const { headers } = await app.inject({ method: 'POST', url: '/things/response' })
  t.match(headers, { 'content-type': 'text/csv', 'x-own': 'yes' })
})

for (const strict of [true, false]) {
  t.test(`an async iterable is refused, and told what to do, strict ${strict}`, async (t) => {
    const app = await serveThings(t, { words: define('/words', words) }, { strict })
    for (let time = 0; time < 3; time++) {
      const response = await app.inject('/things/words')
      t.match([response.statusCode, response.json()], [500, { code: 'INVALID_RESPONSE' }])
    }
    t.match(await failure(app.run(async () => await app.resources.things?.words?.({}))), {
      errors: [{ message: 'is an async iterable: return a list, or Readable.from() of its bytes' }],
    })
  })
}

t.test('in process none of them is a result, and what nobody reads is ended', async (t) => {
  const cancelled: unknown[] = []
  const web = () => new ReadableStream({ cancel: () => void cancelled.push('cancelled') })
  const app = await serveThings(t, {
    web: define('/web', web),
    response: define('/response', () => new Response(web())),
  })
  for (const name of ['web', 'response']) {
    t.match(await failure(app.run(async () => await app.resources.things?.[name]?.({}))), {
      code: 'INVALID_RESPONSE',
      errors: [
        {
          message: 'is a stream, which only a route can answer with, and no cache or task can keep',
        },
      ],
    })
  }
  t.strictSame(cancelled, ['cancelled', 'cancelled'])
})

/** A server of HTTP/2, and a client of it. */
async function serveHttp2(t: Test, resources: ResourceTable, timeout = 0) {
  const app = Fastify({ http2: true }) as unknown as FastifyInstance
  t.teardown(() => app.close())
  const things = defineModule({ prefix: '/things', resources })
  await app.register(resourcesPlugin, { modules: { things }, timeout })
  const client = http2.connect(await app.listen({ host: '127.0.0.1', port: 0 }))
  t.teardown(() => client.destroy())
  return client
}

async function answer(stream: http2.ClientHttp2Stream) {
  const [headers] = await once(stream, 'response')
  const chunks = await stream.toArray()
  return { status: headers[':status'], body: Buffer.concat(chunks).toString() }
}

t.test('over HTTP/2 who is late is the service, and its signal aborts', async (t) => {
  const reasons: unknown[] = []
  const wait = async (_: unknown, { signal }: { signal: AbortSignal }) => {
    await once(signal, 'abort')
    reasons.push((signal.reason as Error & { code: unknown }).code)
  }
  const options = { response: Type.Null() }
  const client = await serveHttp2(
    t,
    {
      get: define('/get', wait as never, options),
      post: define('/post', wait as never, {
        ...options,
        method: 'POST',
        request: Type.Object({ a: Type.Integer() }),
      }),
    },
    50,
  )
  const got = await answer(client.request({ ':path': '/things/get' }))
  t.match([got.status, JSON.parse(got.body)], [504, { code: 'DEADLINE_EXCEEDED' }])
  const posting = client.request({
    ':method': 'POST',
    ':path': '/things/post',
    'content-type': 'application/json',
  })
  posting.end('{"a":1}')
  const posted = await answer(posting)
  t.match([posted.status, JSON.parse(posted.body)], [504, { code: 'DEADLINE_EXCEEDED' }])
  t.strictSame(reasons, ['DEADLINE_EXCEEDED', 'DEADLINE_EXCEEDED'])
})

t.test('over HTTP/2 the signal aborts when the client gives its request up', async (t) => {
  const begun = createGate()
  const ended = createGate()
  let reason: unknown
  const wait = async (_: unknown, { signal }: { signal: AbortSignal }) => {
    begun.open()
    if (!signal.aborted) await once(signal, 'abort')
    reason = (signal.reason as Error).message
    ended.open()
  }
  const client = await serveHttp2(t, { get: define('/', wait as never, { response: Type.Null() }) })
  const stream = client.request({ ':path': '/things' })
  stream.on('error', () => {})
  await begun.opened
  stream.close(http2.constants.NGHTTP2_CANCEL)
  await ended.opened
  t.equal(reason, 'The client has gone')
})
