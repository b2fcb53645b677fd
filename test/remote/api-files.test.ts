import { createReadStream, openAsBlob, readdirSync } from 'node:fs'
import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t from 'tap'
import { Type } from 'typebox'
import { defineApi, defineResource, errors, file, stream } from '../../src/index.ts'
import { createGate, createService, failure, serveThings } from '../helpers/app.ts'
import { poll } from '../helpers/network.ts'
import { noteUnheard } from '../helpers/unheard.ts'
import { answerJson, type Got, serveUpstream } from '../helpers/upstream.ts'

const Id = Type.Object({ id: Type.Integer() })

t.test('a form, a multipart body with files, and a file alone', async (t) => {
  const { url, got } = await serveUpstream(t, (response) => answerJson(response, null))
  const api = defineApi({ name: 'files', baseUrl: url })
  const method = 'POST'
  const login = api.resource({
    summary: 'Log in',
    method,
    path: '/login',
    body: 'form',
    request: Type.Object({ user: Type.String(), roles: Type.Array(Type.String()) }),
  })
  const upload = api.resource({
    summary: 'Upload',
    method,
    path: '/folders/{folder}',
    request: Type.Object({
      folder: Type.String(),
      note: Type.String(),
      tags: Type.Object({ a: Type.Integer() }),
      files: Type.Array(file()),
    }),
  })
  const put = api.resource({
    summary: 'Put',
    method: 'PUT',
    path: '/files/{name}',
    body: 'file',
    request: Type.Object({ name: Type.String(), content: file() }),
  })
  const { app } = await createService(t, { login, upload, put })
  await app.run(async () => {
    await login({ user: 'a&b', roles: ['x', 'y'] })
    const web = new Blob(['web']).stream() as never
    await upload({
      folder: 'f',
      note: 'Ä',
      tags: { a: 1 },
      files: [
        new File(['one'], 'a"\r\nb.txt', { type: 'text/plain' }),
        Buffer.from('two'),
        { stream: Readable.from(['th', 'ree']), name: 'c.bin', size: 5 },
      ],
    })
    await upload({ folder: 'f', note: '', tags: { a: 1 }, files: [web] })
    await put({ name: 'x', content: new Blob(['abc'], { type: 'text/css' }) })
    t.match(await failure(put({ name: 'x', content: 'text' as never })), {
      code: 'INVALID_REQUEST',
      errors: [{ path: '/content', message: 'must be a file' }],
    })
    t.match(await failure(put.enqueue({ name: 'x', content: new Blob(['abc']) })), {
      code: 'TASK_INVALID',
      message: /has a file, which no task can keep/,
    })
  })
  const [form, multipart, streamed, alone] = got
  t.equal(form?.headers['content-type'], 'application/x-www-form-urlencoded')
  t.equal(`${form?.body}`, 'user=a%26b&roles=x&roles=y')
  const read = async ({ headers, body }: Got) => {
    const type = headers['content-type'] ?? ''
    return await new Response(new Uint8Array(body), {
      headers: { 'content-type': type },
    }).formData()
  }
  const fields = await read(multipart as Got)
  t.equal(multipart?.url, '/folders/f')
  t.equal(multipart?.headers['content-length'], `${multipart?.body.length}`)
  t.strictSame(
    [fields.get('note'), [...fields.keys()]],
    ['Ä', ['note', 'tags', 'files', 'files', 'files']],
  )
  const files = fields.getAll('files') as File[]
  t.strictSame(
    await Promise.all(files.map(async (one) => [one.name, one.type, await one.text()])),
    [
      ['a"\r\nb.txt', 'text/plain', 'one'],
      ['files', 'application/octet-stream', 'two'],
      ['c.bin', 'application/octet-stream', 'three'],
    ],
  )
  t.equal(streamed?.headers['transfer-encoding'], 'chunked', 'whose length is not known')
  t.equal(await ((await read(streamed as Got)).get('files') as File).text(), 'web')
  t.strictSame(
    [alone?.headers['content-type'], alone?.headers['content-length'], `${alone?.body}`],
    ['text/css', '3', 'abc'],
  )
})

t.test('what a client uploads goes on to a storage as it comes', async (t) => {
  const { url, got } = await serveUpstream(t, (response) => void response.writeHead(200).end())
  const storage = defineApi({ name: 'storage', baseUrl: url })
  const put = storage.resource({
    summary: 'Keep an object',
    method: 'PUT',
    path: '/photos/{name}',
    body: 'file',
    request: Type.Object({ name: Type.String(), content: file() }),
  })
  const photo = defineResource({
    summary: 'Upload a photo',
    method: 'PUT',
    path: '/:name',
    request: Type.Object({
      name: Type.String(),
      content: file({ maxBytes: 2e6, types: ['image/*'] }),
    }),
    perform: (input) => put(input),
  })
  const form = defineResource({
    summary: 'Upload photos',
    method: 'POST',
    path: '/form',
    upload: { folder: t.testdir() },
    request: Type.Object({ note: Type.String(), content: file({ maxBytes: 2e6 }) }),
    perform: ({ note, content }) => put({ name: note, content }),
  })
  const { app } = await createService(t, { put, photo, form })
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  const bytes = Buffer.alloc(1_500_000, 7)
  const headers = { 'content-type': 'image/webm' }
  const alone = await fetch(`${address}/things/a`, { method: 'PUT', headers, body: bytes })
  t.equal(alone.status, 200)
  const body = new FormData()
  body.append('note', 'b')
  body.append('content', new File([bytes], 'b.bin', { type: 'image/webm' }))
  t.equal((await fetch(`${address}/things/form`, { method: 'POST', body })).status, 200)
  t.strictSame(
    got.map(({ method, url, headers, body }) => [
      method,
      url,
      headers['content-type'],
      headers['content-length'],
      body.equals(bytes),
    ]),
    ['a', 'b'].map((name) => ['PUT', `/photos/${name}`, 'image/webm', `${bytes.length}`, true]),
  )
  await poll(async () => readdirSync(t.testdirName).length === 0)

  const more = Buffer.alloc(2_100_000)
  const long = await fetch(`${address}/things/c`, { method: 'PUT', headers, body: more })
  t.equal(long.status, 413)
})

t.test('what may be anything may be a file', async (t) => {
  const { url, got } = await serveUpstream(t, (response) => answerJson(response, null))
  const api = defineApi({ name: 'files', baseUrl: url })
  const post = api.resource({
    summary: 'Post',
    method: 'POST',
    path: '/',
    request: Type.Object({ note: Type.String(), more: Type.Unknown() }),
  })
  const { app } = await createService(t, { post })
  await app.run(() => post({ note: 'a', more: { b: 1 } }))
  await app.run(() => post({ note: 'a', more: new File(['c'], 'c.txt') }))
  const [json, form] = got
  t.equal(`${json?.body}`, '{"note":"a","more":{"b":1}}')
  t.match(form?.headers['content-type'], /^multipart\/form-data/)
  t.match(`${form?.body}`, /filename="c.txt"/)
})

t.test('a file that changes while it is sent fails its call, and nothing else', async (t) => {
  const { url } = await serveUpstream(t, (response) => answerJson(response, null))
  const api = defineApi({ name: 'files', baseUrl: url })
  const put = api.resource({
    summary: 'Put',
    method: 'PUT',
    path: '/',
    request: Type.Object({ content: file() }),
  })
  const { app } = await createService(t, { put })
  const path = join(t.testdirName, 'a.bin')
  await writeFile(path, Buffer.alloc(4_000_000))
  const content = await openAsBlob(path)
  await truncate(path, 10)
  t.match(await failure(app.run(() => put({ content }))), { message: /could not be read/ })
  t.equal(await app.run(() => put({ content: new Blob(['abc']) })), null)
})

t.test('a stream is handed on to a client, with what tells what it is', async (t) => {
  const { url } = await serveUpstream(t, (response, { url }) => {
    if (url !== '/files/1') return void answerJson(response, { code: 'GONE' }, 404)
    response.writeHead(200, {
      'content-type': 'image/png',
      'content-length': '5',
      'set-cookie': 'a=secret',
    })
    return void response.end('bytes')
  })
  const api = defineApi({ name: 'files', baseUrl: url })
  const get = api.resource({
    summary: 'A file',
    path: '/files/{id}',
    request: Id,
    response: stream(),
    errors: { 404: ({ input }) => errors.NOT_FOUND('file', (input as { id: number }).id) },
  })
  const show = defineResource({
    summary: 'Show a file',
    path: '/:id',
    request: Id,
    response: stream(),
    async perform({ id }, { reply }) {
      const found = await get({ id })
      reply?.headers(found.headers ?? {})
      return found
    },
  })
  const { app } = await createService(t, { get, show })
  const { body, headers } = await app.inject('/things/1')
  t.equal(body, 'bytes')
  t.match(headers, { 'content-type': 'image/png', 'content-length': '5' })
  t.notOk('set-cookie' in headers)
  t.match((await app.inject('/things/2')).json(), { code: 'NOT_FOUND' })
  const task = await app.run(() => get.enqueue({ id: 1 }))
  await t.rejects(
    app.run(() => task.result()),
    { code: 'TASK_FAILED', message: /does not fit its response schema/ },
  )
  t.throws(
    () => api.resource({ summary: 'x', path: '/', response: stream(), cache: { ttl: 1000 } }),
    {
      code: 'API_INVALID',
      message: /which no cache or task can keep/,
    },
  )
})

t.test('a stream that breaks before it is sent fails its call, and nothing else', async (t) => {
  const uncaught = noteUnheard(t, 'uncaughtException')
  const arrived = createGate()
  const answer = createGate()
  const { url, got } = await serveUpstream(t, (response, { method }) => {
    if (method === 'PUT') return answerJson(response, null)
    arrived.open()
    void answer.opened.then(() => answerJson(response, null))
  })
  const signed = createGate()
  const limit = { connections: 1, waiting: 5 }
  const api = defineApi({ name: 'files', baseUrl: url, limit })
  const slow = defineApi({ name: 'signed', baseUrl: url, auth: async () => await signed.opened })
  const hold = api.resource({ summary: 'Hold', path: '/' })
  const request = Type.Object({ content: file() })
  const one = { summary: 'Put', method: 'PUT', path: '/', body: 'file', request } as const
  const put = api.resource(one)
  const sign = slow.resource(one)
  const both = api.resource({
    summary: 'Put both',
    method: 'PUT',
    path: '/both',
    request: Type.Object({ files: Type.Array(file()) }),
  })
  const { app } = await createService(t, { hold, put, sign, both })
  const createStalled = () => new Readable({ read() {} })
  await app.run(async () => {
    const held = hold()
    await arrived.opened
    const waiting = createStalled()
    const late = put({ content: waiting })
    waiting.destroy(new Error('x'))
    await t.rejects(late, new Error('x'), 'while it waits for a connection')
    const missing = createReadStream(join(t.testdirName, 'missing'))
    await t.rejects(put({ content: missing }), { code: 'ENOENT' })
    answer.open()
    await held

    const unsigned = createStalled()
    const early = sign({ content: unsigned })
    unsigned.destroy(new Error('y'))
    // What nobody handles is told before the event loop goes on.
    await new Promise(setImmediate)
    signed.open()
    await t.rejects(early, new Error('y'), 'before its request is whole')

    const reading = createGate()
    const first = new Readable({ read: () => reading.open() })
    const second = createStalled()
    const sent = both({ files: [first, second] })
    await reading.opened
    second.destroy(new Error('z'))
    await t.rejects(sent, new Error('z'), 'while another one is sent')
    t.ok(first.destroyed)
  })
  t.notOk(got.some(({ method, url }) => method === 'PUT' && url === '/'))
  t.strictSame(uncaught, [])
})

t.test('a stream that breaks while a hook is waited for fails its answer', async (t) => {
  const uncaught = noteUnheard(t, 'uncaughtException')
  const show = defineResource({
    summary: 'Show a file',
    path: '/',
    response: stream(),
    perform: () => createReadStream(join(t.testdirName, 'missing')),
  })
  const wait = async (_request: unknown, _reply: unknown, payload: unknown) => {
    if (payload instanceof Readable) await poll(async () => payload.errored !== null)
    return payload
  }
  const app = await serveThings(t, { show }, { plugin: (app) => void app.addHook('onSend', wait) })
  t.equal((await app.inject('/things')).statusCode, 500)
  t.strictSame(uncaught, [])
})
