import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { download } from '../../src/resource/download.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { type ByteAnswer, stream } from '../../src/resource/stream.ts'
import { fileAt } from '../../src/upstream/body.ts'
import { createGate, createService } from '../helpers/app.ts'
import { ask, listen } from '../helpers/wire.ts'

const TEXT = '0123456789'
const folder = mkdtempSync(join(tmpdir(), 'plinth-test-'))
t.teardown(() => rmSync(folder, { recursive: true }))
const path = join(folder, 'digits.txt')
writeFileSync(path, TEXT)

const define = (path: string, perform: () => Promise<ByteAnswer> | ByteAnswer, more: object = {}) =>
  defineResource({
    summary: path,
    path,
    response: stream('text/plain', { ranges: true }),
    perform,
    ...more,
  })

async function serve(t: Test, resources: Parameters<typeof createService>[1]) {
  const { app, logs } = await createService(t, resources, { variables: { DOCS: 'true' } })
  const port = await listen(app)
  const get = async (path: string, headers: Record<string, string> = {}, method = 'GET') => {
    const answer = await fetch(`http://127.0.0.1:${port}/things${path}`, { method, headers })
    return { status: answer.status, headers: answer.headers, body: await answer.text() }
  }
  return { app, logs, port, get }
}

const sources = {
  blob: define('/blob', () => download('a.txt', new Blob([TEXT], { type: 'text/plain' }))),
  bytes: define('/bytes', () => download('a.txt', Buffer.from(TEXT))),
  disk: define('/disk', async () => download('a.txt', await fileAt(path))),
}

const RANGES: [range: string, status: number, body: string, contentRange?: string][] = [
  ['bytes=0-3', 206, '0123', 'bytes 0-3/10'],
  ['bytes=4-', 206, '456789', 'bytes 4-9/10'],
  ['bytes=-3', 206, '789', 'bytes 7-9/10'],
  ['bytes=-30', 206, TEXT, 'bytes 0-9/10'],
  ['bytes=5-100', 206, '56789', 'bytes 5-9/10'],
  ['Bytes=0-0', 206, '0', 'bytes 0-0/10'],
  [`bytes=9-${'9'.repeat(400)}`, 206, '9', 'bytes 9-9/10'],
  // What is none, or is more than one, is answered with all of it.
  ...['bytes=5-3', 'bytes=a-b', 'bytes=0-1,3-4', 'lines=0-1', 'bytes=-', 'bytes=', '1'].map(
    (range): [string, number, string] => [range, 200, TEXT],
  ),
]

t.test('a part is answered with 206, what is no range with all of it', async (t) => {
  const { get } = await serve(t, sources)
  for (const name of Object.keys(sources)) {
    const whole = await get(`/${name}`)
    t.match([whole.status, whole.body], [200, TEXT], name)
    t.equal(whole.headers.get('accept-ranges'), 'bytes')
    t.equal(whole.headers.get('content-length'), '10')
    t.equal(whole.headers.get('content-type'), 'text/plain; charset=utf-8')
    for (const [range, status, body, contentRange = null] of RANGES) {
      const part = await get(`/${name}`, { range })
      t.strictSame([part.status, part.body], [status, body], `${name} ${range.slice(0, 20)}`)
      t.equal(part.headers.get('content-range'), contentRange)
      t.equal(part.headers.get('content-length'), String(body.length))
    }
  }
})

t.test('a range past the end is 416, and tells how much there is', async (t) => {
  const { get } = await serve(t, sources)
  for (const name of Object.keys(sources))
    for (const range of ['bytes=10-', 'bytes=11-12', 'bytes=-0', `bytes=${'9'.repeat(400)}-`]) {
      const { status, headers, body } = await get(`/${name}`, { range })
      t.equal(status, 416)
      t.equal(headers.get('content-range'), 'bytes */10')
      t.equal(headers.get('content-disposition'), null)
      t.match(JSON.parse(body), { code: 'RANGE_NOT_SATISFIABLE', data: { size: 10 } })
    }
  t.equal((await get('/disk')).body, TEXT, 'nothing is left behind')
})

t.test('If-Range has all of it where it is another one', async (t) => {
  const { get } = await serve(t, {
    ...sources,
    tagged: define('/tagged', () => download('a.txt', Buffer.from(TEXT)), { etag: () => 'v1' }),
  })
  const { headers } = await get('/disk')
  const etag = headers.get('etag') as string
  const modified = headers.get('last-modified') as string
  t.equal(modified, new Date(Math.floor(statSync(path).mtimeMs)).toUTCString())
  const part = async (condition: string, path = '/disk') =>
    (await get(path, { range: 'bytes=0-3', 'if-range': condition })).body
  t.equal(await part(etag), '0123')
  t.equal(await part(modified), '0123')
  t.equal(await part(`W/${etag}`), TEXT, 'a weak tag')
  t.equal(await part('"other"'), TEXT)
  t.equal(await part(new Date(0).toUTCString()), TEXT)
  t.equal(await part('"v1"', '/tagged'), '0123')
  t.equal(await part('"v2"', '/tagged'), TEXT)
  t.equal(await part('"v1"', '/bytes'), TEXT, 'of what has no tag')
  const unchanged = await get('/tagged', { 'if-none-match': '"v1"', range: 'bytes=0-3' })
  t.equal(unchanged.status, 304)
})

t.test('without ranges, or of what has no size, all is answered', async (t) => {
  const { get } = await serve(t, {
    plain: define('/plain', () => download('a', Buffer.from(TEXT)), { response: stream() }),
    streamed: define('/streamed', () => download('a', Readable.from([TEXT]))),
    created: define('/created', () => download('a', Buffer.from(TEXT)), { status: 201 }),
    empty: define('/empty', () => download('a', Buffer.alloc(0))),
  })
  for (const [path, status] of [
    ['/plain', 200],
    ['/streamed', 200],
    ['/created', 201],
  ] as const) {
    const { headers, ...answer } = await get(path, { range: 'bytes=0-3' })
    t.strictSame(answer, { status, body: TEXT }, path)
    t.equal(headers.get('accept-ranges'), null)
  }
  t.equal((await get('/empty')).headers.get('content-length'), '0')
  t.equal((await get('/empty', { range: 'bytes=0-' })).status, 416)
})

t.test('to HEAD it is told what there is, and nothing is read', async (t) => {
  const closed = createGate()
  let read = 0
  const counted = () =>
    new Readable({
      read() {
        read++
        this.push(null)
      },
      destroy(error, done) {
        closed.open()
        done(error)
      },
    })
  const { get } = await serve(t, { ...sources, counted: define('/counted', counted) })
  const { status, headers, body } = await get('/disk', { range: 'bytes=0-3' }, 'HEAD')
  t.strictSame([status, body], [200, ''])
  t.equal(headers.get('content-length'), '10')
  t.equal(headers.get('accept-ranges'), 'bytes')
  t.equal((await get('/counted', {}, 'HEAD')).status, 200)
  await closed.opened
  t.equal(read, 0)
})

t.test('a file that has become shorter is cut off, and nobody waits for the rest', async (t) => {
  const path = join(folder, 'shrinking')
  const shrinking = define('/shrinking', async () => {
    writeFileSync(path, TEXT)
    const file = await fileAt(path)
    truncateSync(path, 4)
    return download('a', file)
  })
  const { logs, port } = await serve(t, { shrinking })
  const { headers, body } = await ask(port, 'GET /things/shrinking')
  t.equal(headers['content-length'], '10')
  t.equal(body, '0123', 'the connection is closed')
  const line = logs.find(({ msg }) => msg === 'request')
  t.match(line, { status: 200, reason: /it has changed while it was sent: 6 bytes are missing/ })
})

t.test('a client that leaves closes what it reads', async (t) => {
  const closed = createGate()
  const endless = define('/endless', () => {
    const source = new Readable({ read: () => void source.push(Buffer.alloc(65_536)) })
    source.once('close', closed.open)
    return download('a', source)
  })
  const { port, get } = await serve(t, { ...sources, endless })
  const leaving = new AbortController()
  const answer = await fetch(`http://127.0.0.1:${port}/things/endless`, { signal: leaving.signal })
  t.equal(answer.status, 200)
  leaving.abort()
  await closed.opened
  t.equal((await get('/disk')).body, TEXT)
})

t.test('its name is told in a way that every client understands', async (t) => {
  const told = (name: string, inline = false) =>
    download(name, Buffer.alloc(1), { inline }).headers?.['content-disposition']
  t.equal(told('report 1.pdf'), 'attachment; filename="report 1.pdf"')
  t.equal(told('a.png', true), 'inline; filename="a.png"')
  t.equal(
    told("Ä €'s 100%.pdf"),
    `attachment; filename="_ _'s 100_.pdf"; filename*=UTF-8''%C3%84%20%E2%82%AC%27s%20100%25.pdf`,
  )
  t.equal(
    told('a"b\r\nx: y/../..\\c'),
    `attachment; filename="a_b__x: y_.._.._c"; filename*=UTF-8''a%22b__x%3A%20y_.._.._c`,
  )
  t.match(told('\ud800'), /^attachment; filename="_"; filename\*=UTF-8''%EF%BF%BD$/)
})

t.test('what it is says the content, else the schema, unless perform does', async (t) => {
  const csv = (perform: Parameters<typeof define>[1], path: string) =>
    define(path, perform, { response: stream(['text/csv', 'application/json']) })
  const { get } = await serve(t, {
    first: csv(() => Readable.from(['a']), '/first'),
    content: csv(() => download('a', new Blob(['{}'], { type: 'application/json' })), '/content'),
    option: csv(() => download('a', new Blob(['x']), { type: 'image/png' }), '/option'),
    own: defineResource({
      summary: 'own',
      path: '/own',
      response: stream('text/csv'),
      perform(_, { reply }) {
        reply?.type('application/x-own')
        return Readable.from(['a'])
      },
    }),
  })
  const typeOf = async (path: string) => (await get(path)).headers.get('content-type')
  t.equal(await typeOf('/first'), 'text/csv; charset=utf-8')
  t.equal(await typeOf('/content'), 'application/json')
  t.equal(await typeOf('/option'), 'image/png')
  t.equal(await typeOf('/own'), 'application/x-own')
  t.equal((await get('/option')).headers.get('x-content-type-options'), 'nosniff')
})

t.test(
  'in process it is a stream with its headers, which a route hands on with its parts',
  async (t) => {
    const inner = define('/inner', async () => download('a.txt', await fileAt(path)))
    const outer = define('/outer', () => inner())
    const { app, get } = await serve(t, { inner, outer })
    const found = await app.run(() => inner())
    t.match(found.headers, { 'content-disposition': 'attachment; filename="a.txt"' })
    t.equal(await text(found), TEXT)
    t.equal((await get('/outer', { range: 'bytes=2-3' })).body, '23')
  },
)

t.test('the API document tells of types and parts', async (t) => {
  const exports = defineResource({
    summary: 'Export',
    path: '/export',
    response: stream(['text/csv', 'application/x-ndjson']),
    perform: () => Readable.from([]),
  })
  const { app } = await createService(
    t,
    {},
    {
      modules: { things: defineModule({ prefix: '/things', resources: { ...sources, exports } }) },
      variables: { DOCS: 'true' },
    },
  )
  const { paths } = (await app.inject('/openapi.json')).json()
  const binary = { schema: { type: 'string', format: 'binary' } }
  t.strictSame(paths['/things/export'].get.responses[200].content, {
    'text/csv': binary,
    'application/x-ndjson': binary,
  })
  t.notOk(paths['/things/export'].get.responses[206])
  const { parameters, responses } = paths['/things/disk'].get
  t.match(responses[200], { content: { 'text/plain': binary }, headers: { 'Accept-Ranges': {} } })
  t.match(responses[206], { content: { 'text/plain': binary }, headers: { 'Content-Range': {} } })
  t.match(responses[416], { $ref: '#/components/responses/RangeNotSatisfiable' })
  t.strictSame(
    parameters.map(({ name }: { name: string }) => name),
    ['Range', 'If-Range'],
  )
})
