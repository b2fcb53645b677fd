import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import {
  defineModule,
  defineResource,
  defineService,
  events,
  type Resource,
  stream,
  Type,
} from '../../src/index.ts'
import { readDocument } from '../../src/openapi/client/document.ts'
import { findOperations } from '../../src/openapi/client/find-operations.ts'
import { generateClient } from '../../src/openapi/client/generate.ts'
import { createApp } from '../../src/service.ts'
import { KIT } from '../helpers/manage.ts'
import { DocumentServer } from '../helpers/openapi-calls.ts'
import { CONSUMER_OPTIONS } from '../helpers/pack.ts'

const ROOT = join(import.meta.dirname, '../..')

/** Writes the client of a document; its folder. */
async function write(
  t: Test,
  document: string,
): Promise<{ folder: string; root: Record<string, unknown> }> {
  const folder = t.testdir({ node_modules: {} })
  symlinkSync(ROOT, join(folder, 'node_modules/plinth'))
  symlinkSync(join(ROOT, 'node_modules/@types'), join(folder, 'node_modules/@types'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  const read = await readDocument(document)
  for (const { name, text } of generateClient(read, findOperations(read, []), 'traps').files)
    writeFileSync(join(folder, name), text)
  return { folder, root: read.root }
}

async function load(folder: string) {
  return (await import(pathToFileURL(join(folder, 'index.ts')).href)) as {
    traps: Record<string, Resource>
    trapsEnv: Record<string, ReturnType<typeof Type.String>>
  }
}

const TRAPS = join(import.meta.dirname, '../fixtures/openapi/traps.yaml')

/** A service that calls what is at `url`. */
async function serve(t: Test, folder: string, url: string) {
  const { traps, trapsEnv } = await load(folder)
  const service = defineService({
    name: 'caller',
    env: Type.Object(trapsEnv),
    modules: { api: defineModule({ resources: traps as never }) },
  })
  const env = Object.fromEntries(Object.keys(trapsEnv).map((name) => [name, url]))
  const app = await createApp(service, { root: folder, env, logger: false })
  t.teardown(() => app.close())
  await app.ready()
  return (app.resources as unknown as { api: Record<string, Resource> }).api
}

t.test(
  'each operation of a document full of traps arrives as it should, and so does its answer',
  async (t) => {
    const { folder, root } = await write(t, TRAPS)
    const { operations } = JSON.parse(readFileSync(join(folder, 'operations.json'), 'utf8'))
    const server = new DocumentServer(root, operations)
    const url = await server.listen()
    t.teardown(() => server.close())
    const api = await serve(t, folder, url)
    const called: string[] = []
    const wrong = await server.tryAll((name, input) => {
      called.push(name)
      return (api[name] as Resource)(input as never)
    })
    t.strictSame(Object.fromEntries(wrong), {})
    t.equal(called.length, 16)
  },
)

t.test(
  'answers are held to their schemas: what they lack is a failure, what they have more is left out',
  async (t) => {
    const { folder } = await write(t, TRAPS)
    let answer: unknown
    const server = createServer((_, reply) => {
      reply.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    t.teardown(() => server.close())
    const { port } = server.address() as { port: number }
    const { listNodes, peopleGetOne2, addAnimal, checkSchema } = await serve(
      t,
      folder,
      `http://127.0.0.1:${port}`,
    )
    const person = { id: '1', name: 'Ann', '1st line': null }

    answer = {
      ...person,
      extra: 1,
      labels: { a: 'b' },
      friend: { ...person, extra: 2, friend: null },
    }
    t.strictSame(await peopleGetOne2?.({ id: '1' } as never), {
      ...person,
      labels: { a: 'b' },
      friend: { ...person, friend: null },
    })
    answer = { ...person, friend: { id: '2', name: 'Bo' } }
    await t.rejects(peopleGetOne2?.({ id: '1' } as never) as Promise<unknown>, {
      code: 'UPSTREAM_INVALID',
    })
    answer = { left: { again: [{ left: {}, more: 1 }], more: 1 }, operation: 'x' }
    t.strictSame(await listNodes?.(), { left: { again: [{ left: {} }] }, operation: 'x' })
    answer = { left: { again: [{ left: 1 }] } }
    await t.rejects(listNodes?.() as Promise<unknown>, {
      code: 'UPSTREAM_INVALID',
      upstream: {
        problem: 'its answer does not fit the schema: /left/again/0/left must be object',
      },
    })
    answer = { kind: 'dog', tail: true, lives: 9, more: 1 }
    t.strictSame(await addAnimal?.({ body: { kind: 'cat' } } as never), {
      kind: 'dog',
      tail: true,
      lives: 9,
    })
    answer = { $ref: 'x', properties: { a: { $ref: 'y', more: 1 } } }
    t.strictSame(await checkSchema?.({ $ref: 'x' } as never), {
      $ref: 'x',
      properties: { a: { $ref: 'y' } },
    })

    const deep = JSON.parse(
      `${'{"left":{"again":['.repeat(20_000)}{"left":{}}${']}}'.repeat(20_000)}`,
    )
    answer = deep
    await t.rejects(listNodes?.() as Promise<unknown>, { code: 'UPSTREAM_INVALID' })
  },
)

t.test('requests are held to their schemas before anything is sent', async (t) => {
  const { folder } = await write(t, TRAPS)
  const {
    peopleGetOne2,
    peopleReplace,
    classTrap = undefined,
    ...api
  } = await serve(t, folder, 'http://127.0.0.1:9')
  const refuse = (call: Promise<unknown> | undefined, errors: unknown[]) =>
    t.rejects(call as Promise<unknown>, { code: 'INVALID_REQUEST', errors })
  await refuse(peopleGetOne2?.({} as never), [{ path: '/id', message: 'is required' }])
  await refuse(peopleGetOne2?.({ id: '1', more: 1 } as never), [
    { path: '/more', message: 'is not known here' },
  ])
  await refuse(
    peopleReplace?.({ id: '1', body: { id: '1', name: '', '1st line': null } } as never),
    [{ path: '/body/name' }],
  )
  await refuse(api.class?.({ body: [] } as never), [{ path: '/body' }])
  await refuse(peopleGetOne2?.({ id: '..' } as never), [
    { path: '/id', message: 'cannot be a part of a path' },
  ])
})

t.test('what a service says of single operations counts', async (t) => {
  const { folder } = await write(t, TRAPS)
  let asked = 0
  const server = createServer((_, reply) => {
    asked++
    const body = JSON.stringify({ left: { right: [] }, operation: 'x', more: 1 })
    reply.writeHead(200, { 'content-type': 'application/json' }).end(body)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  const path = join(folder, 'api.ts')
  const settings = (text: string) =>
    writeFileSync(path, readFileSync(path, 'utf8').replace(/(trapsSettings: .* = ).*/, `$1${text}`))
  settings('{ listNodes: { cache: { ttl: 60_000, perUser: false } } }')
  const { listNodes, uploadPhoto } = await serve(t, folder, `http://127.0.0.1:${port}`)
  const found = { left: { right: [] }, operation: 'x' }
  t.strictSame([await listNodes?.(), await listNodes?.()], [found, found])
  t.equal(asked, 1, 'the second is from the cache')
  t.strictSame(await listNodes?.refresh(), found)
  t.equal(asked, 2)
  const file = { id: '1', photo: new Blob(['x']) }
  await t.rejects(uploadPhoto?.enqueue(file as never) as Promise<unknown>, {
    code: 'TASK_INVALID',
  })
})

t.test('settings of an operation that is not there are refused', async (t) => {
  const { folder } = await write(t, TRAPS)
  const path = join(folder, 'api.ts')
  const text = readFileSync(path, 'utf8')
  writeFileSync(path, text.replace(/(trapsSettings: .* = ).*/, '$1{ nobody: {} } as never'))
  await t.rejects(load(folder), {
    code: 'API_INVALID',
    message: /there are settings of nobody, which is no operation/,
  })
})

t.test('nothing of the schemas is read before the first call', async (t) => {
  const { folder } = await write(t, TRAPS)
  writeFileSync(join(folder, 'schemas.json'), 'no JSON')
  const { peopleGetOne2 } = await serve(t, folder, 'http://127.0.0.1:9')
  await t.rejects(peopleGetOne2?.({ id: '1' } as never) as Promise<unknown>, {
    name: 'SyntaxError',
  })
})

t.test('what a document has in its texts is no code, and its types are right', async (t) => {
  const { folder } = await write(t, TRAPS)
  writeFileSync(
    join(folder, 'use.ts'),
    `import { traps, type Person } from './index.ts'

export async function use(): Promise<Person | null> {
  const person: Person = { id: '1', name: 'Ann', '1st line': null, friend: { id: '2', name: 'Bo', '1st line': '' } }
  const kinds: string[] = [(await traps.addAnimal({ body: { kind: 'cat', lives: 9 } })).kind]
  const [first]: number[] = [await traps.class({ body: kinds })]
  await traps.peopleGetOne({ born: { gte: first ?? 0 }, 'X-Tenant': 'a', tag: ['b'] })
  await traps.uploadPhoto({ id: '1', photo: new Blob(['x']) })
  await traps.listNodes()
  await traps.setAddress({ id: '1', city: 'Ys' })
  // @ts-expect-error a name is a text
  await traps.peopleReplace({ id: '1', body: { ...person, name: 1 } })
  // @ts-expect-error there is no such parameter
  await traps.peopleGetOne({ nope: 1 })
  return await traps.peopleReplace({ id: '1', body: person })
}
`,
  )
  // Where the kit has been built, its declarations are a tenth of what its sources are to a compiler.
  const sources = KIT ? { customConditions: ['plinth-source'] } : {}
  const options = { ...CONSUMER_OPTIONS, skipLibCheck: true, ...sources }
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: options, files: ['use.ts'] }),
  )
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  const { stdout, status } = spawnSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' })
  t.equal(stdout, '')
  t.equal(status, 0)
})

t.test('what a service of ours streams is read as it comes', async (t) => {
  const csv = defineResource({
    summary: 'CSV',
    path: '/csv',
    response: stream('text/csv'),
    perform: () => null as never,
  })
  const ticks = defineResource({
    summary: 'Ticks',
    path: '/ticks',
    response: events(Type.Integer()),
    perform: () => null as never,
  })
  const modules = { things: defineModule({ prefix: '/things', resources: { csv, ticks } }) }
  const service = defineService({ name: 'streams', modules })
  const root = mkdtempSync(join(tmpdir(), 'plinth-test-'))
  t.teardown(() => rmSync(root, { recursive: true }))
  const app = await createApp(service, { root, env: { DOCS: 'true' }, logger: false })
  t.teardown(() => app.close())
  const document = join(root, 'openapi.json')
  writeFileSync(document, (await app.inject('/openapi.json')).body)
  const { folder } = await write(t, document)
  const { operations } = JSON.parse(readFileSync(join(folder, 'operations.json'), 'utf8'))
  const answers = Object.values(operations as Record<string, { path: string; answer: string }>)
  t.strictSame(
    answers.filter(({ path }) => /^\/things/.test(path)).map(({ answer }) => answer),
    ['stream', 'stream'],
  )
})
