import t from 'tap'
import { type Answer, ask, open, parse, request, send } from '../helpers/wire.ts'
import { assertAlive, listenWithThings } from './service.ts'

const json = { 'Content-Type': 'application/json' }

/** What of a failure says what went wrong. */
function told({ status, headers, json }: Answer) {
  const { result, code, data, message } = json()
  return { status, type: headers['content-type'], result, code, data, message }
}

const failed = (status: number, code: string, message: string) => ({
  status,
  type: 'application/json; charset=utf-8',
  result: false,
  code,
  data: null,
  message,
})

const unread = (why: string) => failed(400, 'BAD_REQUEST', `The request cannot be read: ${why}`)
const misfit = (name: string) =>
  failed(400, 'INVALID_REQUEST', `The request to things.${name} is not valid; see errors`)

t.test('bodies that are no JSON', async (t) => {
  const { port } = await listenWithThings(t)
  const notJson = 'the body is not valid JSON'
  for (const body of ['{', '{"name":}', "{'name':1}", 'name=x', '{"name":"x"}}', '[1,', '\x01']) {
    t.strictSame(told(await ask(port, 'POST /things', json, body)), unread(notJson), body)
  }
  await assertAlive(t, port)
})

t.test('bodies with keys that reach for a prototype', async (t) => {
  const { port } = await listenWithThings(t)
  for (const body of [
    '{"name":"x","__proto__":{"admin":true}}',
    '{"name":"x","constructor":{"prototype":{"admin":true}}}',
    '{"name":"x","\\u005f_proto__":{"admin":true}}',
  ]) {
    const answer = await ask(port, 'POST /things', json, body)
    t.match([answer.status, answer.json().code], [400, 'BAD_REQUEST'], body)
  }
  t.equal(({} as { admin?: unknown }).admin, undefined)
  await assertAlive(t, port)
})

t.test('bodies of bytes that are no text, and of text that cannot be kept', async (t) => {
  const { port } = await listenWithThings(t)
  for (const name of ['\xff\xfe', '\xc3\x28', '\xed\xa0\x80', '\xc0\x80', 'x\xe2\x82']) {
    const answer = await ask(port, 'POST /things', json, `{"name":"${name}"}`)
    t.strictSame(told(answer), unread('the body is not UTF-8'))
  }
  const unstorable = 'the body has a NUL character or half a surrogate pair'
  for (const name of [
    '\\u0000',
    'a\\u0000b',
    '\\ud800',
    '\\udc00\\ud800',
    '\\\\\\uD800',
    '\\ud83dx',
  ]) {
    const answer = await ask(port, 'POST /things', json, `{"name":"${name}"}`)
    t.strictSame(told(answer), unread(unstorable), name)
  }
  const key = await ask(port, 'POST /things', json, '{"name":"x","\\u0000":1}')
  t.strictSame(told(key), unread(unstorable))
  for (const [name, kept] of [
    ['\\ud83d\\ude00', '😀'],
    ['\\\\u0000', '\\u0000'],
    ['\\\\ud800', '\\ud800'],
    ['\xc3\xa9', 'é'],
  ]) {
    const answer = await ask(port, 'POST /things', json, `{"name":"${name}"}`)
    t.strictSame(answer.json().data, { id: 1, name: kept })
  }
  await assertAlive(t, port)
})

t.test('content types: JSON in every spelling, and nothing else', async (t) => {
  const { port } = await listenWithThings(t)
  const body = '{"name":1}'
  for (const type of [
    'application/json',
    'APPLICATION/JSON',
    'Application/Json; Charset=UTF-8',
    'application/json;charset=utf-8',
    'application/json ; charset=utf-8',
    'application/json\t; charset=utf-8',
    'application/json;',
  ]) {
    const answer = await ask(port, 'POST /things', { 'Content-Type': type }, body)
    t.strictSame(told(answer), misfit('create'), `${type} is validated`)
  }
  for (const type of [
    'text/plain',
    'text/json',
    'application/x-www-form-urlencoded',
    'application/jsonx',
    'application/json/x',
    'application/json x',
    'multipart/form-data; boundary=x',
    'json',
    ',',
    ' ',
  ]) {
    const answer = await ask(port, 'POST /things', { 'Content-Type': type }, body)
    t.match([answer.status, answer.json().code], [415, 'UNSUPPORTED_MEDIA_TYPE'], type)
  }
  const none = await ask(port, 'POST /things', {}, body)
  t.strictSame(
    told(none),
    failed(
      415,
      'UNSUPPORTED_MEDIA_TYPE',
      'The content type (none) is not read here; send application/json',
    ),
  )
  await assertAlive(t, port)
})

t.test('bodies over the limit, told and untold', async (t) => {
  const { port } = await listenWithThings(t, { variables: { BODY_LIMIT: '100' } })
  const tooLarge = failed(
    413,
    'PAYLOAD_TOO_LARGE',
    'The request body is over the limit of 100 bytes',
  )
  const body = `{"name":"${'x'.repeat(100)}"}`
  const long = await ask(port, 'POST /things', json, body)
  t.strictSame(told(long), tooLarge)
  t.equal(long.headers.connection, 'close')
  const chunked = { ...json, 'Transfer-Encoding': 'chunked' }
  const chunks = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
  t.strictSame(told(parse(await send(port, request('POST /things', chunked) + chunks))), tooLarge)
  // Announced, and never sent: the answer does not wait for it.
  const announced = request('POST /things', { ...json, 'Content-Length': '101' })
  t.strictSame(told(parse(await send(port, announced))), tooLarge)
  const exact = `{"name":"${'x'.repeat(89)}"}`
  t.equal(exact.length, 100)
  t.equal((await ask(port, 'POST /things', json, exact)).status, 201)
  await assertAlive(t, port)
})

t.test('a body of many wrong items is answered with few details', async (t) => {
  const { port } = await listenWithThings(t)
  const keys = Array.from({ length: 50_000 }, (_, i) => `"k${i}":1`)
  const answer = await ask(port, 'POST /things', json, `{"name":"x",${keys.join(',')}}`)
  t.strictSame(told(answer), misfit('create'))
  t.equal((answer.json().errors as unknown[]).length, 100)
  await assertAlive(t, port)
})

t.test('garbage in chunks', async (t) => {
  const { port } = await listenWithThings(t)
  const head = request('POST /things', { ...json, 'Transfer-Encoding': 'chunked' })
  for (const chunks of [
    'zz\r\n{}\r\n',
    '5\r\n{}\r\n\r\n',
    '-1\r\n',
    '1'.repeat(20),
    '2\r\n{}garbage',
  ]) {
    t.strictSame(told(parse(await send(port, head + chunks))), unread('it is not HTTP'), chunks)
  }
  await assertAlive(t, port)
})

t.test('two lengths, or a length and chunks: nobody shall read them differently', async (t) => {
  const { port } = await listenWithThings(t)
  for (const headers of [
    { 'Content-Length': '2', 'content-length': '3' },
    { 'Content-Length': '2', 'Transfer-Encoding': 'chunked' },
    { 'Content-Length': '-1' },
    { 'Content-Length': '1x' },
    { 'Transfer-Encoding': 'chunked, identity' },
  ]) {
    const answer = parse(await send(port, `${request('POST /things', { ...json, ...headers })}{}`))
    t.match([answer.status, answer.json().code], [400, 'BAD_REQUEST'], JSON.stringify(headers))
  }
  await assertAlive(t, port)
})

t.test('ids that are none', async (t) => {
  const { port } = await listenWithThings(t)
  const ids = [
    'abc',
    '1.5',
    '-1',
    '0',
    '1e400',
    '9223372036854775808',
    '%20',
    '1%2F2',
    'null',
    '{}',
  ]
  for (const id of ids) {
    t.strictSame(told(await ask(port, `GET /things/${id}`)), misfit('retrieve'), id)
  }
  await assertAlive(t, port)
})

t.test('a part of the path is as long as its schema says', async (t) => {
  const { port, logs } = await listenWithThings(t)
  t.strictSame(told(await ask(port, `GET /things/${'1'.repeat(15_000)}`)), misfit('retrieve'))
  for (const [id, status, code] of [
    ['x'.repeat(101), 404, 'TASK_NOT_FOUND'],
    ['x'.repeat(200), 404, 'TASK_NOT_FOUND'],
    // In characters: of UTF-16 units these have twice as many, of bytes in the URL twelve times.
    [encodeURIComponent('😀'.repeat(200)), 404, 'TASK_NOT_FOUND'],
    ['x'.repeat(201), 400, 'INVALID_REQUEST'],
    [encodeURIComponent('😀'.repeat(201)), 400, 'INVALID_REQUEST'],
  ] as const) {
    for (const method of ['GET', 'DELETE']) {
      const answer = await ask(port, `${method} /tasks/${id}`)
      t.match([answer.status, answer.json().code], [status, code], id.length.toString())
      if (status === 400)
        t.strictSame(answer.json().errors, [
          { path: '/id', message: 'must NOT have more than 200 characters' },
        ])
    }
  }
  t.strictSame(
    logs.filter(({ msg }) => msg.includes('the router takes')),
    [],
  )
  await assertAlive(t, port)
})

t.test('queries', async (t) => {
  const { port } = await listenWithThings(t)
  const errorsOf = async (query: string) => (await ask(port, `GET /things?${query}`)).json().errors
  t.strictSame(await errorsOf('page_size=100000'), [
    { path: '/page_size', message: 'must be <= 1000' },
  ])
  t.strictSame(await errorsOf('page=1&page=2'), [
    { path: '/page', message: 'is given more than once' },
  ])
  t.strictSame(await errorsOf('page=0&page_size=-1&nope=1'), [
    { path: '/nope', message: 'is not known here' },
    { path: '/page', message: 'must be >= 1' },
    { path: '/page_size', message: 'must be >= 1' },
  ])
  for (const key of [
    '__proto__',
    'constructor',
    '__proto__%5Badmin%5D',
    'constructor.prototype.admin',
  ]) {
    const path = `/${decodeURIComponent(key)}`
    t.strictSame(await errorsOf(`${key}=1`), [{ path, message: 'is not known here' }])
  }
  t.equal(({} as { admin?: unknown }).admin, undefined)
  await assertAlive(t, port)
})

t.test('URLs that cannot be read', async (t) => {
  const { port } = await listenWithThings(t)
  const encoding = unread('the URL is not properly percent-encoded')
  for (const path of ['/things/%', '/things/%zz', '/things/%ff', '/things/%ED%A0%80', '/%C0%AF']) {
    t.strictSame(told(await ask(port, `GET ${path}`)), encoding, path)
  }
  for (const query of ['name=%ED%A0%80', 'name=%ff', 'name=100%', '%ff=1&name=x']) {
    const answer = await ask(port, `GET /things?${query}`)
    t.match([answer.status, answer.json().result], [400, false], query)
  }
  const nul = unread('the URL has a NUL character')
  t.strictSame(told(await ask(port, 'GET /things?name=a%00b')), nul)
  t.match(told(await ask(port, 'GET /things/1%00')), { status: 400, result: false })
  await assertAlive(t, port)
})

t.test('nothing there, and the wrong method', async (t) => {
  const { port } = await listenWithThings(t)
  for (const path of ['/nope', '/things/1/2', '/', '/..%2f..%2fetc%2fpasswd']) {
    const message = `Nothing answers GET ${path}`
    t.strictSame(told(await ask(port, `GET ${path}`)), failed(404, 'ROUTE_NOT_FOUND', message))
  }
  for (const path of ['/things', '/things/']) {
    const answer = await ask(port, `DELETE ${path}`)
    t.equal(answer.headers.allow, 'GET, HEAD, POST')
    t.strictSame(
      told(answer),
      failed(
        405,
        'METHOD_NOT_ALLOWED',
        `DELETE is not possible on ${path}; possible: GET, HEAD, POST`,
      ),
    )
  }
  t.equal((await ask(port, 'PROPFIND /things/1')).headers.allow, 'GET, HEAD')
  await assertAlive(t, port)
})

t.test('URLs and headers that are too large', async (t) => {
  const { port } = await listenWithThings(t)
  const tooLarge = failed(
    431,
    'HEADERS_TOO_LARGE',
    'The request line and headers are too large; shorten the URL, headers or cookies',
  )
  const line = `GET /things?name=${'x'.repeat(20_000)}`
  t.strictSame(told(await ask(port, line)), tooLarge)
  t.strictSame(told(await ask(port, 'GET /things', { Cookie: 'x'.repeat(20_000) })), tooLarge)
  const flood = Array.from({ length: 3000 }, (_, i) => [`X-${i}`, 'y'])
  t.strictSame(told(await ask(port, 'GET /things', Object.fromEntries(flood))), tooLarge)
  await assertAlive(t, port)
})

t.test('a URL of 10 MB', async (t) => {
  const { port } = await listenWithThings(t)
  const { socket, received } = await open(port)
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.write('GET /things?name=')
  const chunk = Buffer.alloc(64 * 1024, 'x')
  for (let sent = 0; sent < 10 * 1024 * 1024 && !socket.destroyed; sent += chunk.length) {
    socket.write(chunk)
  }
  socket.end()
  await closed
  // The server hangs up while the client still sends: its answer may be lost on the way.
  if (received()) t.equal(parse(received()).status, 431)
  await assertAlive(t, port)
})
