import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs, {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import type { Context } from '../../src/resource/context.ts'
import { defineModule } from '../../src/resource/module.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { file, stream } from '../../src/resource/stream.ts'
import {
  type DiskFile,
  type FileValue,
  fileAt,
  openFile,
  saveFile,
} from '../../src/upstream/body.ts'
import { createBareApp, createGate, createService, failure } from '../helpers/app.ts'
import { poll } from '../helpers/network.ts'
import { listen, open, parse, send } from '../helpers/wire.ts'

const PNG = Buffer.from('\x89PNG\r\n\x1a\n and more', 'latin1')

interface Form {
  note?: string
  files: FileValue[]
}

/** A service whose form has files in a folder that is there to be looked into. */
async function serve(
  t: Test,
  perform: (form: Form, context: Context, folder: string) => unknown = ({ files }) => files.length,
  more: object = {},
  root = ownFolder(t),
) {
  const [folder, kept] = [join(root, 'incoming'), join(root, 'kept')]
  for (const one of [folder, kept]) mkdirSync(one, { recursive: true })
  const form = defineResource({
    summary: 'Files in a form',
    method: 'POST',
    path: '/form',
    request: Type.Object({
      note: Type.Optional(Type.String()),
      files: Type.Array(file({ maxBytes: 100_000, types: ['text/*', 'image/png'] }), {
        maxItems: 2,
      }),
    }),
    response: Type.Unknown(),
    upload: { folder },
    perform: (input, context) => perform(input, context, kept),
    ...more,
  })
  const alone = defineResource({
    summary: 'A file alone',
    method: 'PUT',
    path: '/alone',
    request: Type.Object({
      content: file({ maxBytes: 300_000, types: ['text/plain', 'image/png'] }),
    }),
    response: Type.Integer(),
    perform: ({ content }) => saveFile(content, join(kept, 'alone')),
  })
  const { app, logs } = await createService(
    t,
    { form, alone },
    { variables: { BODY_LIMIT: '20000' } },
  )
  const port = await listen(app)
  const ask = async (path: string, init: RequestInit) => {
    const answer = await fetch(`http://127.0.0.1:${port}/things${path}`, init)
    const body = (await answer.json()) as Record<string, unknown>
    return { ...body, status: answer.status }
  }
  return {
    ...{ app, logs, port, folder, kept },
    post: (...parts: Part[]) => ask('/form', { method: 'POST', body: formOf(parts) }),
    put: (body: RequestInit['body'], type = 'text/plain') =>
      ask('/alone', {
        method: 'PUT',
        body: body ?? null,
        headers: { 'content-type': type },
        ...{ duplex: 'half' },
      } as RequestInit),
    isEmpty: () => poll(async () => readdirSync(folder).length === 0),
  }
}

function ownFolder(t: Test): string {
  const root = mkdtempSync(join(tmpdir(), 'plinth-test-'))
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  return root
}

type Part = [name: string, value: string | File]

function formOf(parts: readonly Part[]): FormData {
  const body = new FormData()
  for (const [name, value] of parts) body.append(name, value)
  return body
}

const textFile = (text: string, name = 'a.txt', type = 'text/plain') =>
  new File([text], name, { type })

t.test('files of a form are on the disk while it is performed, and no longer', async (t) => {
  const seen: string[] = []
  const { post, folder, isEmpty } = await serve(t, ({ files }) =>
    files.map((one) => {
      const { path, name, type, size } = one as DiskFile
      seen.push(path)
      return {
        name,
        type,
        size,
        text: readFileSync(path, 'utf8'),
        mode: statSync(path).mode & 0o777,
      }
    }),
  )
  const long = 'x'.repeat(99_000)
  const answer = await post(
    ['files', textFile('one', 'Ä "1".txt')],
    ['note', 'n'],
    ['files', textFile(long, '../../b', 'text/csv')],
  )
  t.match(answer, {
    status: 200,
    data: [
      { name: 'Ä "1".txt', type: 'text/plain', size: 3, text: 'one', mode: 0o600 },
      { name: 'b', type: 'text/csv', size: 99_000, text: long },
    ],
  })
  t.ok(seen.length === 2 && seen.every((path) => path.startsWith(`${folder}/plinth-upload-`)))
  await isEmpty()
})

t.test(
  "who keeps one has it moved; of a file that is not the request's it is a copy",
  async (t) => {
    let before = 0
    const { post, kept, isEmpty, app } = await serve(t, async ({ files }, _, kept) => {
      const [one] = files as [DiskFile]
      before = statSync(one.path).ino
      return await saveFile(one, join(kept, 'moved'))
    })
    t.match(await post(['files', textFile('some text')]), { status: 200, data: 9 })
    t.equal(readFileSync(join(kept, 'moved'), 'utf8'), 'some text')
    t.equal(statSync(join(kept, 'moved')).ino, before, 'the same file')
    await isEmpty()
    const source = await fileAt(join(kept, 'moved'), { type: 'text/plain' })
    await app.run(() => app.resources.things?.form?.({ files: [source] }))
    t.strictSame(readdirSync(kept), ['moved'])
    t.equal(await saveFile(source, join(kept, 'copy')), 9)
    t.strictSame(readdirSync(kept), ['copy', 'moved'])
    t.equal(
      await saveFile(Readable.from(['ab', 'c']), join(kept, 'copy')),
      3,
      'in place of what was there',
    )
    t.equal(readFileSync(join(kept, 'copy'), 'utf8'), 'abc')
  },
)

t.test('an answer may read them to its end', async (t) => {
  const { port, isEmpty } = await serve(
    t,
    ({ files: [one] }) => openFile(one as FileValue).stream,
    { response: stream() },
  )
  const text = 'x'.repeat(90_000)
  const answer = await fetch(`http://127.0.0.1:${port}/things/form`, {
    method: 'POST',
    body: formOf([['files', textFile(text)]]),
  })
  t.equal(await answer.text(), text)
  await isEmpty()
})

t.test('what is not as it has to be is refused, and leaves nothing', async (t) => {
  const { post, port, isEmpty } = await serve(t)
  const invalid = (path: string, message: string | RegExp) => ({
    status: 400,
    code: 'INVALID_REQUEST',
    errors: [{ path, message }],
  })
  const fine = textFile('fine')
  const refused: [parts: Part[], answer: object][] = [
    [[['files', textFile('x'.repeat(100_001))]], { status: 413, code: 'PAYLOAD_TOO_LARGE' }],
    [
      [
        ['note', 'x'.repeat(20_001)],
        ['files', fine],
      ],
      { status: 413, code: 'PAYLOAD_TOO_LARGE' },
    ],
    [
      [
        ['files', fine],
        ['files', textFile('<p>', 'a.html', 'application/xhtml+xml')],
      ],
      invalid('/files/1', 'is application/xhtml+xml, expected text/* or image/png'),
    ],
    [
      [['files', new File(['<script>'], 'a.png', { type: 'image/png' })]],
      invalid('/files/0', 'says it is image/png, and does not begin as one'),
    ],
    [
      [['files', new File([], 'a.png', { type: 'image/png' })]],
      invalid('/files/0', 'says it is image/png, and does not begin as one'),
    ],
    [
      [
        ['files', fine],
        ['files', fine],
        ['files', fine],
      ],
      invalid('/files/2', 'is more than the 2 that there may be'),
    ],
    [
      [
        ['files', fine],
        ['more', fine],
      ],
      invalid('/more', 'is not known here'),
    ],
    [
      [
        ['files', fine],
        ['note', fine],
      ],
      invalid('/note', 'must be string'),
    ],
    [[['files', 'text']], invalid('/files/0', 'must be a file')],
    [[['note', 'x']], invalid('/files', 'is required')],
    [
      Array.from({ length: 1100 }, (): Part => ['note', '']),
      { status: 400, code: 'BAD_REQUEST', message: /more than 1002 parts/ },
    ],
  ]
  for (const [parts, answer] of refused) {
    t.match(await post(...parts), answer, JSON.stringify(answer))
    await isEmpty()
  }
  t.match(await post(['files', new File([PNG], 'a', { type: 'image/png' })]), { data: 1 })
  const chosen = await fetch(`http://127.0.0.1:${port}/things/form`, {
    method: 'POST',
    headers: { 'content-type': 'multipart/form-data; boundary=b' },
    body: [
      '--b\r\ncontent-disposition: form-data; name="files"; filename=""',
      'content-type: application/octet-stream\r\n\r\n',
      '--b\r\ncontent-disposition: form-data; name="files"; filename="a"',
      'content-type: text/plain\r\n\r\nx\r\n--b--\r\n',
    ].join('\r\n'),
  })
  t.match(
    await chosen.json(),
    { data: 1 },
    'an input of a page in which nothing was chosen is none',
  )
  await isEmpty()
})

t.test('all of a request together has a bound of its own', async (t) => {
  const { post, port, isEmpty, folder } = await serve(t, undefined, {
    upload: { folder: tmpdir(), maxBytes: 50_000 },
  })
  const long = textFile('x'.repeat(30_000))
  t.match(await post(['files', long]), { status: 200 })
  t.match(await post(['files', long], ['files', long]), { status: 413, message: /50000 bytes/ })
  // Nobody tells how long it is.
  const head = 'POST /things/form HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n'
  const part =
    '--b\r\ncontent-disposition: form-data; name="files"; filename="a"\r\ncontent-type: text/plain\r\n\r\n'
  const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`
  const body = chunk(part) + chunk('x'.repeat(25_000)).repeat(3)
  const type = 'Content-Type: multipart/form-data; boundary=b\r\n\r\n'
  t.match(parse(await send(port, head + type + body)), { status: 413 })
  t.strictSame(readdirSync(folder), [])
  await isEmpty()
})

const HEAD = (length: number) =>
  `POST /things/form HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n`
const BEGUN =
  '--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\nContent-Type: text/plain\r\n\r\nsome'
const END = '\r\n--b--\r\n'

t.test('a form that is longer or shorter than it says is refused', async (t) => {
  const { port, isEmpty } = await serve(t)
  const whole = BEGUN + END
  t.match(parse(await send(port, HEAD(whole.length) + whole)), { status: 200 })
  const short = parse(await send(port, HEAD(BEGUN.length) + whole))
  t.match([short.status, short.json().code], [400, 'BAD_REQUEST'])
  await isEmpty()
  const { socket } = await open(port)
  socket.write(HEAD(whole.length + 1) + whole)
  socket.end()
  await isEmpty()
  t.match(parse(await send(port, HEAD(whole.length) + whole)), { status: 200 })
})

t.test('a client that leaves in the middle leaves nothing behind', async (t) => {
  const { port, folder, isEmpty, kept, logs } = await serve(t)
  const form = await open(port)
  form.socket.write(HEAD(50_000) + BEGUN)
  await poll(async () => readdirSync(folder).length > 0)
  form.socket.destroy()
  await isEmpty()
  const alone = await open(port)
  alone.socket.write(
    'PUT /things/alone HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nsome more than twelve',
  )
  await poll(async () => readdirSync(kept).length > 0)
  t.match(readdirSync(kept), [/^alone\..*\.part$/])
  alone.socket.destroy()
  await poll(async () => readdirSync(kept).length === 0)
  await poll(async () => logs.filter(({ msg }) => msg === 'request').length === 2)
  t.notOk(logs.some(({ level }) => Number(level) > 30))
  t.equal((await fetch(`http://127.0.0.1:${port}/ping`)).status, 200)
})

t.test('one that is too late is answered, and leaves nothing behind', async (t) => {
  const { port, folder, isEmpty, logs } = await serve(t, undefined, { timeout: 5000 })
  const { socket, received } = await open(port)
  socket.write(HEAD(50_000) + BEGUN)
  await poll(async () => readdirSync(folder).length > 0)
  await poll(async () => received().includes('REQUEST_TIMEOUT'))
  await isEmpty()
  socket.destroy()
  t.strictSame(
    logs.filter(({ level }) => Number(level) > 30),
    [],
  )
})

t.test('who still works with the files has them, though the client has left', async (t) => {
  const begun = createGate()
  const goOn = createGate()
  const found = createGate<string>()
  const { port, folder, isEmpty } = await serve(t, async ({ files: [one] }, { signal }) => {
    begun.open()
    signal.addEventListener('abort', () => goOn.open())
    await goOn.opened
    await new Promise(setImmediate)
    found.open(readFileSync((one as DiskFile).path, 'utf8'))
    return null
  })
  const { socket } = await open(port)
  const whole = BEGUN + END
  socket.write(HEAD(whole.length) + whole)
  await begun.opened
  t.equal(readdirSync(folder).length, 1)
  socket.destroy()
  t.equal(await found.opened, 'some')
  await isEmpty()
})

t.test('a full disk is told as that, and nothing of the file is kept', async (t) => {
  const { post, put, kept, isEmpty, logs } = await serve(t)
  let room = 50_000
  const full = Object.assign(new Error('ENOSPC: no space left on device, write'), {
    code: 'ENOSPC',
  })
  const { write } = fs
  t.intercept(fs, 'write', {
    value: (fd: number, buffer: Buffer, ...rest: unknown[]) => {
      room -= buffer.length
      if (room < 0) (rest.at(-1) as (error: Error) => void)(full)
      else (write as unknown as (...all: unknown[]) => void)(fd, buffer, ...rest)
    },
  })
  t.intercept(fs, 'writev', {
    value: (_: number, __: Buffer[], ...rest: unknown[]) =>
      (rest.at(-1) as (error: Error) => void)(full),
  })
  const stored = { status: 507, code: 'STORAGE_FULL' }
  t.match(await post(['files', textFile('x'.repeat(90_000))]), stored)
  await isEmpty()
  room = 50_000
  t.match(await put('x'.repeat(200_000)), stored)
  t.strictSame(readdirSync(kept), [])
  room = 50_000
  t.match(await put('x'.repeat(20_000)), { status: 200, data: 20_000 }, 'there is room again')
  t.match(
    logs.filter(({ code }) => code === 'STORAGE_FULL'),
    [{ level: 50, status: 507 }, { level: 50 }],
  )
})

t.test('a file alone is what it says, or refused', async (t) => {
  const { put, kept } = await serve(t)
  t.match(await put(PNG, 'image/png'), { status: 200, data: PNG.length })
  t.strictSame(readFileSync(join(kept, 'alone')), PNG)
  const refused = (message: string) => ({
    status: 400,
    code: 'INVALID_REQUEST',
    errors: [{ path: '/content', message }],
  })
  const lie = 'says it is image/png, and does not begin as one'
  t.match(await put('<script>alert(1)</script>', 'image/png'), refused(lie))
  t.match(await put('\x89', 'image/png'), refused(lie))
  t.match(
    await put('{}', 'application/json'),
    refused('is application/json, expected text/plain or image/png'),
  )
  const slowly = async function* () {
    for (const byte of PNG) yield Uint8Array.of(byte)
  }
  t.match(await put(Readable.toWeb(Readable.from(slowly())) as never, 'image/png'), { status: 200 })
  t.strictSame(readFileSync(join(kept, 'alone')), PNG)
  t.match(await put('x'.repeat(300_001)), { status: 413 })
  t.strictSame(readdirSync(kept), ['alone'])
})

t.test('types count in process, too', async (t) => {
  const { app } = await serve(t)
  const call = (one: FileValue) =>
    app.run(async () => await app.resources.things?.form?.({ files: [one] }))
  t.equal(await call(textFile('x')), 1)
  t.match(await failure(call(Buffer.from('x'))), {
    code: 'INVALID_REQUEST',
    errors: [{ path: '/files/0', message: /^is application\/octet-stream, expected text/ }],
  })
})

t.test('what cannot be is refused at boot', async (t) => {
  const boot = (request: object, upload: object) =>
    createBareApp(t, {
      files: defineModule({
        prefix: '/files',
        resources: {
          put: defineResource({
            summary: 'x',
            method: 'PUT',
            request: Type.Object(request as never),
            upload,
            perform: () => null,
          }),
        },
      }),
    })
  t.match(await failure(boot({ a: Type.String() }, {})), {
    code: 'RESOURCE_INVALID',
    message: /it has upload, and no file\(\) in its request/,
  })
  t.match(await failure(boot({ a: file() }, { maxBytes: 0.5 })), {
    message: /upload.maxBytes is 0.5; expected an integer from 1/,
  })
})

t.test('the API document tells the types of files', async (t) => {
  const { app } = await serve(t)
  const { app: documented } = await createService(
    t,
    {},
    {
      modules: {
        things: defineModule({
          prefix: '/things',
          resources: Object.fromEntries(
            [...app.registry].map(({ name, resource }) => [name.replace('things.', ''), resource]),
          ) as never,
        }),
      },
      variables: { DOCS: 'true' },
    },
  )
  const { paths } = (await documented.inject('/openapi.json')).json()
  const { content } = paths['/things/form'].post.requestBody
  t.strictSame(content['multipart/form-data'].encoding, {
    files: { contentType: 'text/*, image/png' },
  })
  t.match(paths['/things/form'].post.responses[507], { $ref: /InsufficientStorage$/ })
  t.strictSame(Object.keys(paths['/things/alone'].put.requestBody.content), [
    'text/plain',
    'image/png',
    'multipart/form-data',
  ])
})

/** A process that has a file in `folder`: what kills it. */
async function startHolder(t: Test, folder: string): Promise<() => Promise<void>> {
  const path = fileURLToPath(new URL('./received-files-child.ts', import.meta.url))
  const child = spawn(process.execPath, [...process.execArgv, path, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  return async () => {
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
}

t.test(
  'what a killed process has left is taken away at the next start, and nothing else',
  async (t) => {
    const root = ownFolder(t)
    const folder = join(root, 'incoming')
    mkdirSync(folder)
    const kill = await startHolder(t, folder)
    const [left = ''] = readdirSync(folder)
    await startHolder(t, folder)
    const held = readdirSync(folder).filter((name) => name !== left)
    await kill()
    const [, host = '', pid] = /^plinth-upload-(\w+)-(\d+)-/.exec(left) ?? []
    // Of a process that had the number of this one, of another machine, of who knows whom.
    const old = `plinth-upload-${host}-${process.pid}-1-x`
    const others = [`plinth-upload-${host.replaceAll(/\w/g, '0')}-${pid}-1-x`, 'plinth-upload-x']
    for (const name of [old, ...others]) {
      mkdirSync(join(folder, name))
      writeFileSync(join(folder, name, '0'), 'text')
    }
    t.equal(readFileSync(join(folder, left, '0'), 'utf8'), 'text')

    const { post } = await serve(t, undefined, {}, root)
    t.strictSame(readdirSync(folder).sort(), [...held, ...others].sort())
    t.match(await post(['files', textFile('one')]), { status: 200, data: 1 })
  },
)
