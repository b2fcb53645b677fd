import t, { type Test } from 'tap'
import { logLines, manage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'

function caller(t: Test) {
  const service = writeService(t)
  return (args: string[], input?: string) =>
    manage(t, ['call', ...args], { service, ...(input !== undefined && { input }) })
}

t.test('the result is all that is on stdout, as JSON', async (t) => {
  const call = caller(t)
  const { code, stdout, stderr } = await call(['things.retrieve', '{"id": 1}'])
  t.equal(code, 0)
  t.equal(stdout, '{\n  "id": 1,\n  "name": "one"\n}\n')
  t.match(
    logLines(stderr),
    [{ level: 'warn', name: 'shop', msg: 'looked for 1' }],
    'logs are on stderr',
  )
})

t.test('without a request it is an empty one; stdin is left alone', async (t) => {
  const call = caller(t)
  const { code, stdout, stderr } = await call(['things.list'], '{"not": "asked for"}')
  t.same({ code, stderr }, { code: 0, stderr: '' })
  t.strictSame(JSON.parse(stdout), [{ id: 1, name: 'one' }])
  t.match(await call([], 'things.list'), { code: 2, stdout: '' }, 'nor is it the name')
})

t.test('- reads the request from stdin', async (t) => {
  const call = caller(t)
  // More than one chunk of a pipe.
  const thing = { id: 3, name: 'x'.repeat(200_000) }
  const { code, stdout, stderr } = await call(['things.add', '-'], JSON.stringify(thing, null, 2))
  t.same({ code, stderr }, { code: 0, stderr: '' })
  t.strictSame(JSON.parse(stdout), thing)
})

t.test('what is no JSON is wrong usage', async (t) => {
  const call = caller(t)
  const wrong: [string[], string?][] = [
    [['things.add', '{id: 1}']],
    [['things.add', '']],
    [['things.add', '-'], ''],
  ]
  for (const [args, input] of wrong) {
    const { code, stdout, stderr } = await call(args, input)
    t.same({ code, stdout }, { code: 2, stdout: '' })
    t.match(stderr, /Error: the request is not JSON: /)
  }
  t.match(await call(['things.add', '{}', 'more']), {
    code: 2,
    stderr: /Unexpected argument: more/,
  })
})

t.test('an unknown resource: the ones there are', async (t) => {
  const call = caller(t)
  const inModule = 'things.list, things.retrieve, things.add, things.wait'
  for (const [name, known] of [
    ['things.nosuch', inModule],
    ['things', inModule],
    ['things.list.more', inModule],
    ['nosuch.list', 'things.*'],
    ['constructor.name', 'things.*'],
  ] as const) {
    t.strictSame(await call([name]), {
      code: 1,
      signal: null,
      stdout: '',
      stderr: `error RESOURCE_UNKNOWN: There is no resource ${name}; there are ${known}\n`,
    })
  }
})

t.test('an invalid request: each place', async (t) => {
  const call = caller(t)
  const { code, stdout, stderr } = await call(['things.add', '{"id": "1", "more": true}'])
  t.same({ code, stdout }, { code: 1, stdout: '' })
  const [first, ...places] = stderr.trimEnd().split('\n')
  t.equal(first, 'error INVALID_REQUEST: The request to things.add is not valid; see errors')
  for (const place of [/^ {2}\/id must be integer$/, /name/, /more/]) {
    t.ok(
      places.some((line) => place.test(line)),
      `${place} in ${places}`,
    )
  }
  t.equal(places.length, 3)
})

t.test('what a resource throws is told, with exit code 1', async (t) => {
  const call = caller(t)
  const { code, stdout, stderr } = await call(['things.retrieve', '{"id": 9}'])
  t.same({ code, stdout }, { code: 1, stdout: '' })
  t.match(stderr, /^error NOT_FOUND: There is no thing 9$/m)
})

t.test('bigints, dates and nothing are printed as HTTP answers them', async (t) => {
  const service = writeService(t, {
    'src/things.ts': `
      import { defineModule, defineResource, Type } from 'plinth'
      const response = Type.Object({ id: Type.Integer(), at: Type.String({ format: 'date-time' }) })
      const id = 9007199254740993n as never as number
      const at = new Date(0) as never as string
      const big = defineResource({ summary: 'Big', response, perform: () => ({ id, at }) })
      const none = defineResource({ summary: 'None', path: '/none', response: Type.Null(), perform: () => {} })
      export const things = defineModule({ prefix: '/things', resources: { big, none } })`,
  })
  const big = '{\n  "id": 9007199254740993,\n  "at": "1970-01-01T00:00:00.000Z"\n}\n'
  for (const more of [[], ['--json']]) {
    const run = (name: string) => manage(t, ['call', name, ...more], { service })
    t.strictSame(await run('things.big'), { code: 0, signal: null, stdout: big, stderr: '' })
    t.match(await run('things.none'), { code: 0, stdout: 'null\n', stderr: '' })
  }
  const shell = await manage(t, ['shell', '-e', 'resources.things.big()'], { service })
  t.match(shell, { code: 0, stdout: "{ id: 9007199254740993n, at: '1970-01-01T00:00:00.000Z' }\n" })
})

t.test('with --json what is refused is JSON on stdout', async (t) => {
  const call = caller(t)
  const { code, stdout, stderr } = await call(['things.retrieve', '{"id": 9}', '--json'])
  t.equal(code, 1)
  t.strictSame(JSON.parse(stdout), { error: { code: 'NOT_FOUND', message: 'There is no thing 9' } })
  t.match(logLines(stderr), [{ msg: 'looked for 9' }])
})

t.test('--user calls it as a user, with what that may and has', async (t) => {
  const service = writeService(t, {
    'src/things.ts': `
      import { defineModule, defineResource, Type } from 'plinth'
      import { definePermission } from 'plinth/auth'
      const isStaff = definePermission({
        name: 'isStaff', reason: 'only staff', allows: ({ user }) => user.staff === true,
      })
      const response = Type.Object({ user: Type.Union([Type.String(), Type.Null()]), system: Type.Boolean() })
      const who = defineResource({
        summary: 'Who asks', response,
        perform: (_, context) => ({ user: context.user?.id ?? null, system: context.isSystem }),
      })
      const inner = defineResource({ summary: 'By another', path: '/inner', response, perform: () => who() })
      const staff = defineResource({
        summary: 'For staff', path: '/staff', response, permissions: isStaff, perform: () => who(),
      })
      export const things = defineModule({ prefix: '/things', auth: 'required', resources: { who, inner, staff } })`,
    'src/service.ts': `
      import { defineService } from 'plinth'
      import { things } from './things.ts'
      const known = { ann: { id: 'ann', staff: true }, bob: { id: 'bob' } }
      export default defineService({
        name: 'shop', auth: true, modules: { things },
        loadUser: (id) => {
          if (id === 'broken') throw new Error('the directory is away')
          return known[id]
        },
      })`,
  })
  const call = (name: string, ...more: string[]) =>
    manage(t, ['call', `things.${name}`, ...more], { service })
  const told = async (name: string, ...more: string[]) => {
    const { code, stdout, stderr } = await call(name, ...more)
    return code === 0 ? JSON.parse(stdout) : [code, stderr.split('\n')[0]]
  }
  t.strictSame(await told('who'), { user: null, system: true })
  t.strictSame(await told('who', '--user', 'bob'), { user: 'bob', system: false })
  t.strictSame(await told('inner', '{}', '--user', 'bob'), { user: 'bob', system: false })
  t.strictSame(await told('staff'), { user: null, system: true }, 'the service itself may all')
  t.strictSame(await told('staff', '--user', 'ann'), { user: 'ann', system: false })
  t.strictSame(await told('staff', '--user', 'bob'), [
    1,
    'error FORBIDDEN: The user may not do this',
  ])
  t.strictSame(await told('who', '--user', 'eve'), [
    1,
    'error USER_UNKNOWN: Nothing can be done for the user eve: loadUser knows none',
  ])
  const broken = await call('who', '--user', 'broken')
  t.match(broken, { code: 1, stdout: '', stderr: /error USER_UNAVAILABLE: .* the log .* why$/m })
  t.match(logLines(broken.stderr.split('\n')[0] ?? ''), [
    { level: 'error', err: { message: /USER_UNAVAILABLE|for whom/ } },
  ])
  t.match(broken.stderr, /the directory is away/)
  t.match(await told('who', '--user', ''), [1, /USER_UNKNOWN/])
})

t.test('--user needs a service that finds users', async (t) => {
  const call = caller(t)
  t.match(await call(['things.list', '--user', 'ann']), {
    code: 1,
    stdout: '',
    stderr:
      'error USER_UNKNOWN: Nothing can be done for the user ann: this service has no loadUser\n',
  })
})
