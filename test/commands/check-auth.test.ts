import t from 'tap'
import { open } from '../database/fixture.ts'
import { manage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'
import { onEveryDatabase } from './database-service.ts'

const SERVICE = `
import { defineModel, defineModule, defineResource, defineService, modelResources, Type } from 'plinth'
import { definePermission, or, ownerOf } from 'plinth/auth'

const text = Type.String({ maxLength: 20 })
const Note = defineModel('note', {
  columns: { id: Type.Integer(), tenant: text, title: text },
  generated: ['id'],
  audit: true,
})
const isAdmin = definePermission({
  name: 'isAdmin',
  reason: 'only admins may do this',
  allows: ({ user }) => user?.role === 'admin',
})
const isShort = definePermission({
  name: 'isShort',
  reason: 'n is at most 10',
  allows: async ({ input }) => input.n <= 10,
})
const notes = modelResources(Note, {
  only: ['list', 'retrieve', 'create', 'update', 'remove'],
  export: true,
  scope: ({ user }, query) => (user.role === 'admin' ? query : query.where('tenant', '=', user.tenant)),
  permissions: { update: ownerOf(Note), remove: or(ownerOf(Note), isAdmin) },
})
const open = defineResource({ summary: 'Open', path: '/open', auth: 'public', perform: () => null })
const short = defineResource({
  summary: 'Short', path: '/short', permissions: isShort,
  request: Type.Object({ n: Type.Integer() }),
  perform() { throw new Error('it was performed') },
})

export default defineService({
  name: 'desk',
  auth: true,
  models: [Note],
  modules: { notes: defineModule({ prefix: '/notes', auth: 'required', resources: { ...notes, open, short } }) },
})`

const USERS = `{
    nobody: null,
    ann: { id: 'ann', tenant: 'a' },
    bob: { id: 'bob', tenant: 'a' },
    cleo: { id: 'cleo', tenant: 'b' },
    admin: { id: 'root', role: 'admin' },
  }`
const WITH_ROW = `async requests({ db }) {
    const row = { tenant: 'a', title: 'Mine', created_by: 'ann' }
    const { insertId } = await db.insertInto('note').values(row).executeTakeFirstOrThrow()
    const id = Number(insertId)
    return {
      'notes.retrieve': { id },
      'notes.update': { id, title: 'b' },
      'notes.remove': { id },
      'notes.short': { n: 9 },
    }
  }`
const samples = (more: string) => `
import { defineSamples } from 'plinth/auth'
export default defineSamples({ users: ${USERS}, ${more} })`

onEveryDatabase(
  t,
  'sample users are asked for, with rows that are gone then',
  {
    'src/service.ts': SERVICE,
    'access.ts': samples(`${WITH_ROW},
      expected: { 'notes.update': { nobody: 401, ann: 'yes', bob: 404 }, 'notes.list': { ann: 'own rows' } }`),
  },
  async (t, { run, url }) => {
    t.match(await run('makemigrations', '--name', 'notes'), { code: 0 })
    t.match(await run('migrate'), { code: 0 })
    const { code, stdout, stderr } = await run('check', '--auth')
    t.strictSame({ code, stderr }, { code: 0, stderr: '' })
    t.strictSame(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.split(/ {2,}/)),
      [
        ['OPERATION', 'METHOD', 'PATH', 'nobody', 'ann', 'bob', 'cleo', 'admin'],
        ['notes.export', 'GET', '/notes/export', '401', ...Array(4).fill('own rows')],
        ['notes.list', 'GET', '/notes', '401', ...Array(4).fill('own rows')],
        ['notes.retrieve', 'GET', '/notes/:id', '401', 'yes', 'yes', '404', 'yes'],
        ['notes.create', 'POST', '/notes', '401', ...Array(4).fill('own rows')],
        ['notes.update', 'PATCH', '/notes/:id', '401', 'yes', '404', '404', '404'],
        ['notes.remove', 'DELETE', '/notes/:id', '401', 'yes', '404', '404', 'yes'],
        ['notes.open', 'GET', '/notes/open', ...Array(5).fill('yes')],
        ['notes.short', 'GET', '/notes/short', '401', ...Array(4).fill('yes')],
      ],
    )
    const json = JSON.parse((await run('check', '--auth', '--json')).stdout)
    t.match(json[4], {
      operation: 'notes.update',
      method: 'PATCH',
      path: '/notes/:id',
      gets: { nobody: 401, ann: 'yes', bob: 404, cleo: 404, admin: 404 },
      problems: [],
    })
    const db = await open(t, url)
    t.strictSame(await db.selectFrom('note').selectAll().execute(), [])
  },
)

/** What `manage check --auth` says on an empty SQLite, without tables. */
async function check(t: Parameters<typeof writeService>[0], access: string | undefined) {
  const files = { 'src/service.ts': SERVICE, ...(access !== undefined && { 'access.ts': access }) }
  const service = writeService(t, files)
  const env = { DATABASE_URL: 'sqlite::memory:' }
  return await manage(t, ['check', '--auth'], { service, env })
}

t.test('what is not as it was expected is told: exit code 1', async (t) => {
  // Of no row, so that nothing is looked up.
  const only = (n: string) => `requests: {
    'notes.update': { id: 1 }, 'notes.remove': { id: 1 }, 'notes.short': { n: ${n} } }`
  const { code, stdout } = await check(
    t,
    samples(
      `${only('11')}, expected: { 'notes.short': { nobody: 401, ann: 'yes', bob: 404, cleo: 403 } }`,
    ),
  )
  t.equal(code, 1)
  t.match(stdout, 'error   notes.short: ann gets 403, expected yes\n')
  t.match(stdout, 'error   notes.short: bob gets 403, expected 404\n')
  t.notMatch(stdout, /notes\.short: (nobody|cleo)/)
  t.match(
    stdout,
    /^error {3}notes\.update: of ann nobody can tell: no such table: note$/m,
    'a permission that fails lets nobody in',
  )
  t.match(stdout, /^notes\.update +PATCH +\/notes\/:id +401 +500 +500 +500 +500$/m)
})

t.test('samples that cannot be meant so are refused', async (t) => {
  const whole = `requests: { 'notes.update': { id: 1 }, 'notes.remove': { id: 1 }, 'notes.short': { n: 1 } }`
  const cases: [string, RegExp][] = [
    [
      samples(''),
      /RESOURCE_UNKNOWN: .*notes\.update.*it has permissions, and requests of access\.ts none/,
    ],
    [
      samples(`requests: { 'notes.delete': { id: 1 } }`),
      /SERVICE_INVALID: requests of access\.ts has notes\.delete/,
    ],
    [
      samples(`${whole}, expected: { 'notes.lst': {} }`),
      /SERVICE_INVALID: expected of access\.ts has notes\.lst/,
    ],
    [
      samples(`${whole}, expected: { 'notes.list': { eve: 'yes' } }`),
      /SERVICE_INVALID: notes\.list in expected of access\.ts has eve.* expected one of nobody, ann, bob/,
    ],
    [samples(`${whole}, wanted: {}`), /SERVICE_INVALID: access\.ts has wanted/],
    [samples(whole.replace('n: 1', "n: 'x'")), /INVALID_REQUEST: .*notes\.short/],
    ['export default 1', /SERVICE_BROKEN: .*access\.ts.*expected what defineSamples/],
  ]
  for (const [access, told] of cases) {
    const { code, stderr } = await check(t, access)
    t.equal(code, 1)
    t.match(stderr, told)
  }
})

t.test('without samples it is told what is decided', async (t) => {
  const { code, stdout } = await check(t, undefined)
  t.equal(code, 0)
  t.match(stdout, /^OPERATION +METHOD +PATH +NOBODY +A USER$/m)
  t.match(
    stdout,
    /^notes\.update +PATCH +\/notes\/:id +401 +ownerOf\(note\) of own rows, else 404$/m,
  )
})
