import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { manage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'

const TRAPS = join(import.meta.dirname, '../fixtures/openapi/traps.yaml')
const NAMES = ['api.ts', 'index.ts', 'types.ts', 'operations.json', 'schemas.json']

const SMALL = {
  openapi: '3.1.0',
  info: { title: 'Small', version: '1' },
  servers: [{ url: '/v1' }],
  paths: {
    '/users/{id}': {
      get: {
        operationId: 'users/get',
        tags: ['users'],
        parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'integer' } }],
        responses: {
          200: {
            description: 'ok',
            content: { 'application/json': { schema: { $ref: '#/components/schemas/User' } } },
          },
        },
      },
    },
    '/users': {
      post: {
        operationId: 'users/add',
        tags: ['users'],
        responses: { 204: { description: 'ok' } },
      },
    },
    '/log': { get: { operationId: 'log', responses: { 204: { description: 'ok' } } } },
  },
  components: {
    schemas: { User: { type: 'object', properties: { name: { type: ['string', 'null'] } } } },
  },
}

function place(t: Test, document: unknown = SMALL) {
  const service = writeService(t, {
    'src/service.ts':
      "import { defineService } from 'plinth'\nexport default defineService({ name: 'x', modules: {} })\n",
  })
  const file = join(service, 'small.json')
  writeFileSync(file, typeof document === 'string' ? document : JSON.stringify(document))
  const folder = join(service, 'src/apis/small')
  const run = (...args: string[]) => manage(t, ['client', ...args], { service, cwd: service })
  const read = (name: string) => readFileSync(join(folder, name), 'utf8')
  const operations = () => Object.keys(JSON.parse(read('operations.json')).operations)
  return { service, file, folder, run, read, operations, write: () => run(file, '--name', 'small') }
}

t.test('writes a client, the same each time, and replaces its own files', async (t) => {
  const { write, read, file, run } = place(t)
  t.strictSame(await write(), {
    code: 0,
    signal: null,
    stdout: NAMES.map((name) => `wrote src/apis/small/${name}\n`).join(''),
    stderr: `3 operations, 0 left out
to do: list what you call in a module: defineModule({ resources: small }), or only some of them
to do: add its variables to those of the service: env: Type.Object({ ...smallEnv })
`,
  })
  const before = NAMES.map(read)
  t.match(await write(), { code: 0, stdout: 'no changes\n', stderr: '3 operations, 0 left out\n' })
  t.strictSame(NAMES.map(read), before)
  writeFileSync(file, JSON.stringify(SMALL).replaceAll('users/get', 'users/fetch'))
  const changed = await write()
  t.match(changed, { code: 0 })
  t.strictSame(changed.stdout.match(/\w+\.(ts|json)/g), [
    'index.ts',
    'types.ts',
    'operations.json',
    'schemas.json',
  ])
  t.match(await run(file, '--name', 'small', '--json'), {
    code: 0,
    stderr: '',
  })
})

t.test(
  'JSON and YAML of one content give the same bytes, and so do line ends of Windows',
  async (t) => {
    const { write, read, run, service, folder } = place(t)
    await write()
    const before = NAMES.map(read)
    const { stringify } = await import('yaml')
    writeFileSync(join(service, 'small.yaml'), stringify(SMALL))
    for (const name of NAMES) writeFileSync(join(folder, name), read(name).replaceAll('\n', '\r\n'))
    t.match(await run('small.yaml', '--name', 'small'), { code: 0, stdout: 'no changes\n' })
    for (const name of NAMES) writeFileSync(join(folder, name), read(name).replaceAll('\r\n', '\n'))
    t.strictSame(NAMES.map(read), before)
  },
)

t.test('what somebody has changed is replaced by force alone, and api.ts never is', async (t) => {
  const { write, read, run, file, folder } = place(t)
  await write()
  const before = NAMES.map(read)
  for (const name of ['api.ts', 'types.ts', 'schemas.json'])
    writeFileSync(join(folder, name), `${read(name)} `)
  const refused = await write()
  t.match(refused, { code: 1, stdout: '' })
  t.match(
    refused.stderr,
    /^error FILE_EXISTS: .*types\.ts, \S+schemas\.json; it was changed by hand/,
  )
  t.equal(read('types.ts'), `${before[2]} `)
  const dry = await run(file, '--name', 'small', '--force', '--dry-run')
  t.match(dry, {
    code: 0,
    stdout: 'would write src/apis/small/types.ts\nwould write src/apis/small/schemas.json\n',
  })
  t.equal(read('types.ts'), `${before[2]} `)
  t.match(await run(file, '--name', 'small', '--force'), { code: 0 })
  t.strictSame(NAMES.map(read), [`${before[0]} `, ...before.slice(1)])
})

t.test('a file that it has not written is in the way', async (t) => {
  const { write, folder } = place(t)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'index.ts'), 'export const mine = 1\n')
  t.match(await write(), { code: 1, stderr: /FILE_EXISTS: .*index\.ts/ })
})

t.test('operations are chosen by id, tag and path', async (t) => {
  const { run, file, operations, read } = place(t)
  const only = async (...patterns: string[]) => {
    const flags = patterns.flatMap((pattern) => ['--only', pattern])
    const { code, stderr } = await run(file, '--name', 'small', '--force', ...flags)
    return code === 0 ? operations() : [code, stderr.trim()]
  }
  t.strictSame(await only('users/get'), ['usersGet'])
  t.strictSame(await only('users/*'), ['usersAdd', 'usersGet'])
  t.strictSame(await only('users'), ['usersAdd', 'usersGet'])
  t.strictSame(await only('GET /*'), ['log', 'usersGet'])
  t.match(read('schemas.json'), '"User"')
  t.strictSame(await only('/users/{id}', 'log'), ['log', 'usersGet'])
  t.strictSame(await only('POST /users,log'), ['log', 'usersAdd'])
  t.notMatch(read('schemas.json'), '"User"', 'what nothing refers to is not written')
  const [code, problem] = await only('user', 'log')
  t.equal(code, 2)
  t.match(problem, /--only user: no operation is called so; its tags are users/)
})

t.test('wrong usage is 2', async (t) => {
  const { run, file } = place(t)
  for (const name of ['Billing', '1a', 'a_b', '../x', 'default', 'a--b'])
    t.match(await run(file, '--name', name), { code: 2, stderr: /cannot be used/ }, name)
  t.match(await run(file), { code: 2, stderr: /name/ })
  t.match(await run('--name', 'x'), { code: 2 })
  const json = await run(file, '--name', 'Billing', '--json')
  t.match(
    { ...json, stdout: JSON.parse(json.stdout) },
    { code: 2, stdout: { error: { code: 'USAGE_INVALID' } } },
  )
})

t.test('a document that cannot be used is refused, and nothing is written', async (t) => {
  const cases: [document: unknown, problem: RegExp][] = [
    [{ ...SMALL, openapi: undefined, swagger: '2.0' }, /it is Swagger 2\.0, .*npx swagger2openapi/],
    [{ ...SMALL, openapi: '4.0.0' }, /its version is 4\.0\.0, expected openapi: 3\.0 or 3\.1/],
    [{ ...SMALL, openapi: undefined }, /it says no version/],
    ['{"openapi": ', /it is no JSON/],
    ['a: [1', /it is neither JSON nor YAML/],
    ['[1]', /it is no object/],
    ['openapi: 3.0.0\nx: &a { y: *a }', /it contains itself|neither JSON nor YAML/],
    [{ ...SMALL, paths: {} }, /no operation of it can be written: it has none/],
    [
      JSON.stringify(SMALL).replace('#/components/schemas/User', './user.yaml#/User'),
      /it refers to another document, \.\/user\.yaml#\/User; .*npx @redocly\/cli bundle/,
    ],
  ]
  for (const [document, problem] of cases) {
    const { write, folder } = place(t, document)
    const { code, stdout, stderr } = await write()
    t.match({ code, stdout }, { code: 1, stdout: '' })
    t.match(stderr, /^error OPENAPI_INVALID: The OpenAPI document \S+small\.json cannot be used/)
    t.match(stderr, problem)
    t.throws(() => readFileSync(join(folder, 'index.ts')), { code: 'ENOENT' })
  }
  const { run } = place(t)
  t.match(await run('nowhere.json', '--name', 'x'), {
    code: 1,
    stderr: /it cannot be read: ENOENT/,
  })
})

t.test(
  'a document comes from a server, too; its address is not told with what may be secret',
  async (t) => {
    const server = createServer((request, reply) => {
      if (request.url?.startsWith('/docs/openapi.json')) reply.end(JSON.stringify(SMALL))
      else reply.writeHead(404).end()
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    t.teardown(() => server.close())
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const { run, read } = place(t)
    t.match(await run(`${url}/docs/openapi.json?token=hush`, '--name', 'small'), { code: 0 })
    t.match(read('api.ts'), `default: '${url}/v1'`)
    const { code, stderr } = await run(`${url}/other?token=hush`, '--name', 'small')
    t.equal(code, 1)
    t.match(stderr, `${url}/other cannot be used: it cannot be read: the server answered 404`)
    t.notMatch(stderr, 'hush')
  },
)

t.test('what is left out is told, as JSON, too', async (t) => {
  const { run } = place(t)
  const { code, stdout, stderr } = await run(TRAPS, '--name', 'traps', '--json', '--dry-run')
  t.match({ code, stderr }, { code: 0, stderr: '' })
  const { operations, left_out, notes, files } = JSON.parse(stdout)
  t.equal(operations.length, 16)
  t.strictSame(
    files.map(({ path, state }: { path: string; state: string }) => `${path} ${state}`),
    NAMES.map((name) => `src/apis/traps/${name} new`),
  )
  t.strictSame(
    Object.fromEntries(
      left_out.map((one: { reason: string; operations: string[] }) => [
        one.operations.join(),
        one.reason,
      ]),
    ),
    {
      brokenReference: '#/components/schemas/Nobody is not in the document',
      needsCookie: 'it needs the cookie session, which cannot be sent',
      download: 'it answers with a redirect, which is not followed',
      endless: 'the schema Endless refers to itself for ever',
      headOnly: 'no resource has the method HEAD',
      missingParameter: 'its path has {who}, of which no parameter tells',
      otherPath: 'its path is none of an address',
    },
  )
  t.strictSame(notes, [
    'two operations are called people/get-one: GET /people/{id} is peopleGetOne2 here',
    'people/get-one: the cookie session is not sent',
    'a property __proto__ is left out: every object has one',
    'a property constructor is left out: every object has one',
    'the pattern ^(a+)+$ is left out: it may take very long',
    'the pattern (?<oops is left out: JavaScript cannot read it',
  ])
})
