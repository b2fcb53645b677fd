import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import signature from '../../plugins/signature.ts'
import { defineService, type ServiceDefinition } from '../../src/define-service.ts'
import { type ClientOptions, createClient } from '../../src/remote/client.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { file, stream } from '../../src/resource/stream.ts'
import { openFile } from '../../src/upstream/body.ts'
import { createService, failure } from '../helpers/app.ts'

const SECRET = 's'.repeat(32)

const add = defineResource({
  summary: 'Files in a form',
  method: 'POST',
  path: '/:folder',
  request: Type.Object({
    folder: Type.String(),
    note: Type.Union([Type.String({ minLength: 1 }), Type.Null()]),
    files: Type.Array(file(), { minItems: 1 }),
  }),
  response: Type.Array(Type.String()),
  perform: ({ folder, note, files }) =>
    Promise.all(
      files.map(async (one) => {
        const { name = 'no name', type, stream } = openFile(one)
        return `${folder} ${note} ${name} ${type} ${await text(stream)}`
      }),
    ),
})
const put = defineResource({
  summary: 'A file alone',
  method: 'PUT',
  path: '/:name',
  request: Type.Object({ name: Type.String(), content: file({ maxBytes: 100_000_000 }) }),
  response: Type.Object({ size: Type.Integer(), sha256: Type.String() }),
  async perform({ content }) {
    const hash = createHash('sha256')
    let size = 0
    for await (const chunk of openFile(content).stream) {
      hash.update(chunk)
      size += (chunk as Buffer).length
    }
    return { size, sha256: hash.digest('hex') }
  },
})
const echo = defineResource({
  summary: 'What comes goes back as it comes',
  method: 'POST',
  path: '/echo',
  request: Type.Object({ content: file() }),
  response: stream(),
  perform: ({ content }) => openFile(content).stream,
})
const old = defineResource({
  summary: 'Reads its body itself',
  method: 'POST',
  path: '/old/:id',
  request: Type.Object({ id: Type.Integer() }),
  consumes: { 'application/octet-stream': Type.Unsafe<Buffer>({}) },
  perform: () => null,
})
const resources = { add, put, echo, old }
const service = {
  name: 'files',
  modules: { files: defineModule({ prefix: '/files', resources }) },
} satisfies ServiceDefinition
const files = defineService(service)

async function serve(t: Test, options: Partial<ClientOptions> = {}, more: object = {}) {
  const { app: there } = await createService(t, {}, { ...service, ...more } as never)
  const url = await there.listen({ host: '127.0.0.1', port: 0 })
  const { app } = await createService(t, {}, { name: 'orders' })
  const client = createClient<typeof files>({ url, retry: false, ...options })
  return { there, url, client, run: <T>(fn: () => T) => app.run(fn) }
}

t.test('files of any kind, as in process', async (t) => {
  const { there, client, run } = await serve(t)
  const web = new Blob(['web']).stream() as ReadableStream<Uint8Array>
  const given = () => ({
    folder: 'ä b',
    note: null,
    files: [
      new File(['one'], 'ö.txt', { type: 'text/plain' }),
      { stream: Readable.from(['tw', 'o']), name: 'two', type: 'text/csv' },
    ],
  })
  const inProcess = await there.run(() => add(given()))
  t.strictSame(inProcess, ['ä b null ö.txt text/plain one', 'ä b null two text/csv two'])
  t.strictSame(await run(() => client.files.add(given())), inProcess)
  const more = { folder: 'f', note: 'x', files: [Buffer.from('bytes'), web] }
  t.strictSame(await run(() => client.files.add(more)), [
    'f x files application/octet-stream bytes',
    'f x files application/octet-stream web',
  ])
  t.match(await failure(run(() => client.files.add({ ...given(), files: [] }))), {
    code: 'INVALID_REQUEST',
    errors: [{ path: '/files' }],
  })
  t.match(await failure(run(() => client.files.put({ name: 'a', content: 'text' as never }))), {
    code: 'INVALID_REQUEST',
    errors: [{ path: '/content', message: 'must be a file' }],
  })
})

t.test('a file alone goes there, and back, as it comes', async (t) => {
  const { client, run } = await serve(t)
  const chunk = Buffer.alloc(2 ** 16, 'x')
  const hash = createHash('sha256')
  for (let i = 0; i < 300; i++) hash.update(chunk)
  const content = () => Readable.from(Array(300).fill(chunk), { objectMode: false })
  t.strictSame(await run(() => client.files.put({ name: 'long', content: content() })), {
    size: 300 * 2 ** 16,
    sha256: hash.digest('hex'),
  })
  // The second chunk goes when the first has come back.
  const upwards = new Readable({ read() {} })
  upwards.push('first')
  const back = await run(() => client.files.echo({ content: upwards }))
  const got: string[] = []
  for await (const one of back) {
    got.push(String(one))
    if (got.length === 1) upwards.push('second')
    if (got.length === 2) upwards.push(null)
  }
  t.strictSame(got, ['first', 'second'])
})

t.test('a file that breaks fails its call, and nothing else', async (t) => {
  const { client, run } = await serve(t)
  const breaking = Readable.from(
    (async function* () {
      yield 'some'
      throw new Error('the disk is gone')
    })(),
    { objectMode: false },
  )
  t.match(await failure(run(() => client.files.put({ name: 'a', content: breaking }))), {
    message: 'the disk is gone',
  })
  t.match(await run(() => client.files.put({ name: 'a', content: Buffer.from('ab') })), { size: 2 })
})

t.test('bytes can be signed, what streams cannot', async (t) => {
  const signed = { signature: { app: 'orders', secret: SECRET } }
  const { client, run } = await serve(
    t,
    { auth: signed },
    {
      auth: true,
      modules: { files: defineModule({ prefix: '/files', auth: 'required', resources }) },
      plugins: [signature({ secrets: { orders: SECRET } })],
    },
  )
  t.match(await run(() => client.files.put({ name: 'a', content: Buffer.from('abc') })), {
    size: 3,
  })
  t.match(await failure(run(() => client.files.put({ name: 'a', content: new Blob(['abc']) }))), {
    message: /a stream cannot be signed/,
  })
})

t.test('a module in another process takes files, too', async (t) => {
  const { url } = await serve(t)
  const { app } = await createService(t, {}, {
    ...service,
    variables: { PLINTH_REMOTES: `files=${url}` },
  } as never)
  const given = { folder: 'f', note: 'n', files: [new File(['x'], 'x.txt')] }
  t.strictSame(await app.run(() => add(given)), ['f n x.txt application/octet-stream x'])
  t.match(await app.run(() => put({ name: 'a', content: Readable.from(['ab', 'c']) })), { size: 3 })
})

t.test('what reads its body itself says so', async (t) => {
  const { client, run } = await serve(t)
  t.match(await failure(run(() => client.files.old({ id: 1 }))), {
    code: 'REMOTE_INVALID',
    message: /it reads its body itself \(consumes\)/,
  })
})
