import { once } from 'node:events'
import { request as requestHttp } from 'node:http'
import { join } from 'node:path'
import { constants, PerformanceObserver } from 'node:perf_hooks'
import { Readable } from 'node:stream'
import { buffer, json as parsed, text } from 'node:stream/consumers'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { file, stream } from '../../src/resource/stream.ts'
import { openFile, saveFile } from '../../src/upstream/body.ts'
import { createBareApp, createGate, createService, failure } from '../helpers/app.ts'

const Told = Type.Object({
  name: Type.Union([Type.String(), Type.Null()]),
  type: Type.String(),
  size: Type.Union([Type.Integer(), Type.Null()]),
  text: Type.String(),
})

async function tell(given: Parameters<typeof openFile>[0]) {
  const { name = null, type, size = null, stream } = openFile(given)
  return { name, type, size, text: await text(stream) }
}

/** What else of a request there is, beside files. */
const form = defineResource({
  summary: 'Files in a form',
  method: 'POST',
  path: '/form/:folder',
  request: Type.Object({
    folder: Type.String(),
    dry: Type.Optional(Type.Boolean()),
    count: Type.Integer({ maximum: 9 }),
    note: Type.Union([Type.String({ minLength: 1 }), Type.Null()]),
    tags: Type.Optional(Type.Array(Type.String())),
    files: Type.Array(file({ maxBytes: 10_000 }), { maxItems: 3 }),
  }),
  query: ['dry'],
  response: Type.Object({ rest: Type.Unknown(), files: Type.Array(Told) }),
  perform: async ({ files, ...rest }) => ({ rest, files: await Promise.all(files.map(tell)) }),
})
const alone = defineResource({
  summary: 'A file alone',
  method: 'PUT',
  path: '/alone/:name',
  request: Type.Object({
    name: Type.String(),
    content: Type.Optional(file({ maxBytes: 200_000 })),
  }),
  response: Type.Union([Told, Type.Null()]),
  perform: ({ content }) => (content === undefined ? null : tell(content)),
})
const short = defineResource({
  summary: 'A short file alone',
  method: 'PUT',
  path: '/short',
  request: Type.Object({ content: file() }),
  response: Told,
  perform: ({ content }) => tell(content),
})
const json = defineResource({
  summary: 'No file',
  method: 'POST',
  path: '/json',
  request: Type.Object({ note: Type.String() }),
  response: Type.String(),
  perform: ({ note }) => note,
})
const download = defineResource({
  summary: 'Bytes',
  path: '/download',
  response: stream(),
  perform: () => Readable.from(['a']),
})

async function serve(t: Test) {
  const { app } = await createService(
    t,
    { form, alone, short, json, download },
    { async: true, variables: { BODY_LIMIT: '20000', DOCS: 'true' } },
  )
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const send = async (path: string, init: RequestInit) => {
    const answer = await fetch(`${url}/things${path}`, init)
    const { code, data, errors, message } = (await answer.json()) as Record<string, unknown>
    return { status: answer.status, code, data, errors, message }
  }
  return { app, url, send }
}

const formOf = (...parts: [name: string, value: string | File][]) => {
  const body = new FormData()
  for (const [name, value] of parts) body.append(name, value)
  return { method: 'POST', body }
}
const one = new File(['one'], 'Ä 1.txt', { type: 'text/plain' })
const two = new File([new Uint8Array([0xff, 0])], 'two')

t.test('the parts of a form are the properties of a request', async (t) => {
  const { app, send } = await serve(t)
  const sent = await send(
    '/form/in?dry=true',
    formOf(['files', one], ['count', '3'], ['note', ''], ['tags', 'a'], ['files', two]),
  )
  t.match(sent, {
    status: 200,
    data: {
      rest: { folder: 'in', dry: true, count: 3, note: null, tags: ['a'] },
      files: [
        { name: 'Ä 1.txt', type: 'text/plain', size: 3, text: 'one' },
        { name: 'two', type: 'application/octet-stream', size: 2 },
      ],
    },
  })
  const single = await send('/form/in', formOf(['count', '3'], ['note', 'x'], ['files', one]))
  t.match(single.data, { files: [{ text: 'one' }] }, 'a list of one')
  const inProcess = await app.run(() =>
    form({ folder: 'in', count: 3, note: null, files: [one, Buffer.from('two'), new Blob(['3'])] }),
  )
  t.strictSame(
    inProcess.files.map((found) => [found.name, found.size, found.text]),
    [
      ['Ä 1.txt', 3, 'one'],
      [null, 3, 'two'],
      [null, 1, '3'],
    ],
  )
})

t.test('what does not fit is told place by place', async (t) => {
  const { app, send } = await serve(t)
  const problems = async (...parts: Parameters<typeof formOf>) => {
    const { status, code, errors } = await send('/form/in', formOf(...parts))
    return [status, code, errors]
  }
  const refused = (errors: object[]) => [400, 'INVALID_REQUEST', errors]
  t.strictSame(
    await problems(['count', '10'], ['note', 'x'], ['files', 'text'], ['more', 'x']),
    refused([
      { path: '/more', message: 'is not known here' },
      { path: '/count', message: 'must be <= 9' },
      { path: '/files/0', message: 'must be a file' },
    ]),
  )
  t.strictSame(
    await problems(['count', '0x1'], ['note', one], ['files', one]),
    refused([
      { path: '/count', message: 'must be integer' },
      { path: '/note', message: 'must be string' },
      { path: '/note', message: 'must be null' },
      { path: '/note', message: 'must match a schema in anyOf' },
    ]),
  )
  const nothing = await send('/form/in', { method: 'POST' })
  t.match(nothing, { status: 400, errors: [{ path: '/count', message: 'is required' }] })
  t.match(
    await failure(
      app.run(() => form({ folder: 'x', count: 1, note: null, files: ['x'] as never })),
    ),
    { code: 'INVALID_REQUEST', errors: [{ path: '/files/0', message: 'must be a file' }] },
    'as in process',
  )
})

t.test('a file that is all there is may be the body itself', async (t) => {
  const { app, send } = await serve(t)
  const put = async (body: RequestInit['body'], headers: Record<string, string> = {}) =>
    await send('/alone/a', { method: 'PUT', body, headers, ...{ duplex: 'half' } } as RequestInit)
  t.match(await put('{"a":1}', { 'content-type': 'application/json' }), {
    data: { name: null, type: 'application/json', size: 7, text: '{"a":1}' },
  })
  const long = 'x'.repeat(100_000)
  const streamed = await put(Readable.toWeb(Readable.from([long, 'y'])) as ReadableStream)
  t.match(streamed.data, { type: 'application/octet-stream', size: null, text: `${long}y` })
  t.match((await put(formOf(['content', one]).body)).data, { name: 'Ä 1.txt', text: 'one' })
  t.strictSame((await put(null)).data, null)
  t.match(await app.run(() => alone({ name: 'a', content: Readable.from(['a', 'b']) })), {
    text: 'ab',
  })
  const compressed = await put('x', { 'content-encoding': 'gzip' })
  t.match(compressed, { status: 415, code: 'UNSUPPORTED_ENCODING' })
})

t.test('other bodies, broken ones and long forms are refused', async (t) => {
  const { url, send } = await serve(t)
  const post = (body: RequestInit['body'], type: string, path = '/form/in') =>
    send(path, { method: 'POST', body, headers: { 'content-type': type } } as RequestInit)
  t.match(await post('{"count":1}', 'application/json'), {
    status: 415,
    code: 'UNSUPPORTED_MEDIA_TYPE',
  })
  for (const [body, type] of [
    ['--x\r\ncontent-disposition: form-data; name="a"\r\n\r\nb', 'multipart/form-data; boundary=x'],
    ['--x--', 'multipart/form-data'],
    ['', 'multipart/form-data; boundary=x'],
  ] as const)
    t.match(await post(body, type), { status: 400, code: 'BAD_REQUEST', message: /the form/ })
  const file = (size: number) => new File([new Uint8Array(size)], 'a')
  const tooLong = { status: 413, code: 'PAYLOAD_TOO_LARGE' }
  const rest = [['count', '1'] as [string, string], ['note', 'x'] as [string, string]]
  t.match(await send('/form/in', formOf(...rest, ['files', file(10_001)])), tooLong)
  const three = Array<[string, File]>(3).fill(['files', file(9900)])
  t.match(await send('/form/in', formOf(...rest, ...three)), { status: 200 })
  t.match(await send('/form/in', formOf(...rest, ['note', 'x'.repeat(51_000)])), tooLong)
  t.match(await send('/json', formOf(['note', 'x'])), { status: 415 }, 'not by others')
  const many = await send('/form/in', formOf(...Array(100).fill(['a', ''])))
  t.equal(many.status, 400)
  t.match(JSON.stringify(many.errors), '"/a","message":"is not known here"')
  const asTask = await fetch(`${url}/things/form/in`, {
    ...formOf(['count', '1'], ['note', 'x'], ['files', one]),
    headers: { 'x-async-task': '1' },
  })
  t.match(await asTask.json(), { code: 'TASK_REFUSED' })
})

t.test('a file is no longer than it may be', async (t) => {
  const { send } = await serve(t)
  const put = (path: string, body: unknown) =>
    send(path, { method: 'PUT', body, ...{ duplex: 'half' } } as RequestInit)
  const streamed = (size: number) => Readable.toWeb(Readable.from([Buffer.alloc(size)]))
  const tooLong = { status: 413, code: 'PAYLOAD_TOO_LARGE' }
  t.match(await put('/short', 'x'.repeat(20_000)), { status: 200 })
  t.match(await put('/short', 'x'.repeat(20_001)), tooLong, 'BODY_LIMIT')
  t.match(await put('/short', streamed(20_001)), tooLong, 'whose length nobody has told')
  t.match(await put('/alone/a', 'x'.repeat(200_000)), { status: 200 })
  t.match(await put('/alone/a', streamed(200_001)), tooLong)
})

t.test(
  'what has been read of files is taken away, without a look at all of the memory',
  async (t) => {
    const folder = t.testdir()
    const store = defineResource({
      summary: 'Stores a file',
      method: 'PUT',
      timeout: 0,
      request: Type.Object({ content: file({ maxBytes: 1e9 }) }),
      response: Type.Integer(),
      perform: ({ content }) => saveFile(content, join(folder, 'stored')),
    })
    const { app } = await createService(t, { store })
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    const kinds = watchCollections(t)
    const chunk = Buffer.alloc(2 ** 16)
    const size = 2 ** 27
    const sending = requestHttp(`${url}/things`, { method: 'PUT' })
    const answered = once(sending, 'response')
    for (let sent = 0; sent < size; sent += chunk.length)
      if (!sending.write(chunk)) await once(sending, 'drain')
    sending.end()
    const [response] = await answered
    t.match(await parsed(response), { data: size })
    // What is seen is told on another turn.
    await turn()
    const [young, all] = [kinds(NODE_PERFORMANCE_GC_MINOR), kinds(NODE_PERFORMANCE_GC_MAJOR)]
    // About one for every four megabytes; without our own there would be none.
    t.ok(young >= 24 && all < 3, `${young} of the young generation, ${all} of all`)
  },
)

const { NODE_PERFORMANCE_GC_MINOR, NODE_PERFORMANCE_GC_MAJOR } = constants

/** Tells how many collections of a kind there have been. */
function watchCollections(t: Test): (kind: number) => number {
  const seen: number[] = []
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries())
      seen.push((entry as unknown as { detail: { kind: number } }).detail.kind)
  })
  observer.observe({ entryTypes: ['gc'] })
  t.teardown(() => observer.disconnect())
  return (kind) => seen.filter((one) => one === kind).length
}

t.test('a client that leaves while it sends ends the file, and nothing else', async (t) => {
  const begun = createGate()
  const ended = createGate<unknown>()
  const slow = defineResource({
    summary: 'Slow',
    method: 'PUT',
    request: Type.Object({ content: file() }),
    async perform({ content }) {
      const { stream } = openFile(content)
      stream.once('data', () => begun.open())
      await buffer(stream).catch((error: unknown) => ended.open(error))
      return null
    },
  })
  const { app } = await createService(t, { slow })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const sending = requestHttp(`${url}/things`, { method: 'PUT' })
  sending.on('error', () => {})
  sending.write('some')
  await begun.opened
  sending.destroy()
  t.match(await ended.opened, { code: 'ECONNRESET' })
  t.equal((await fetch(`${url}/ping`)).status, 200)
})

t.test('what stops to read a file answers', async (t) => {
  const first = defineResource({
    summary: 'Reads the beginning',
    method: 'PUT',
    request: Type.Object({ content: file() }),
    response: Type.Integer(),
    async perform({ content }) {
      for await (const chunk of openFile(content).stream) return (chunk as Buffer).length
      return 0
    },
  })
  const { app } = await createService(t, { first })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const sending = requestHttp(`${url}/things`, { method: 'PUT' })
  sending.write('some')
  const [answer] = await once(sending, 'response')
  t.match(JSON.parse(await text(answer)), { data: 4 })
  sending.end()
})

t.test('what cannot be served is refused at boot', async (t) => {
  const define = (request: Parameters<typeof Type.Object>[0], more: object = {}) =>
    createBareApp(t, {
      files: defineModule({
        prefix: '/files',
        resources: {
          put: defineResource({
            summary: 'x',
            method: 'PUT',
            path: '/:id',
            request: Type.Object({ id: Type.String(), ...request }),
            perform: () => null,
            ...more,
          }),
        },
      }),
    })
  const content = file()
  for (const [app, problem] of [
    [define({ content }, { cache: { ttl: 5000, perUser: false } }), /no cache or task can keep/],
    [define({ content }, { async: true }), /no cache or task can keep/],
    [define({ content }, { method: 'GET' }), /a path or query cannot hold/],
    [define({ content }, { query: ['content'] }), /a path or query cannot hold/],
    [define({ inner: Type.Object({ content }) }), /not a part of inner/],
    [define({ content, more: Type.Object({}) }), /more is an object, which a form cannot hold/],
    [define({ content: file({ maxBytes: 0 }) }), /maxBytes of content is 0/],
  ] as const)
    t.match(await failure(app), { code: 'RESOURCE_INVALID', message: problem })
})

t.test('the API document tells how files come and go', async (t) => {
  const { url } = await serve(t)
  const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, { requestBody: object; responses: object }>>
  }
  const binary = { type: 'string', format: 'binary' }
  t.strictSame(paths['/things/alone/{name}']?.put?.requestBody, {
    required: false,
    content: {
      'application/octet-stream': { schema: binary },
      'multipart/form-data': {
        schema: {
          type: 'object',
          properties: { content: binary },
          required: [],
          additionalProperties: false,
        },
      },
    },
  })
  const inForm = paths['/things/form/{folder}']?.post
  t.match(inForm?.requestBody, {
    required: true,
    content: {
      'multipart/form-data': {
        schema: { properties: { files: { type: 'array', items: binary }, count: {} } },
      },
    },
  })
  t.notOk(JSON.stringify(inForm).includes('X-Async-Task'), 'no task keeps it')
  t.match(paths['/things/download']?.get?.responses, {
    200: { content: { 'application/octet-stream': { schema: binary } } },
  })
})
