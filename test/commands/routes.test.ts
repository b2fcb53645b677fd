import t from 'tap'
import { manage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'

const PLUGIN = `
import { defineService } from 'plinth'
import { things } from './things.ts'
async function own(app) { app.get('/own', async () => 'own') }
export default defineService({ name: 'shop', modules: { things }, plugins: [own] })
`

const ROUTES = [
  ['GET', '/healthz', null],
  ['HEAD', '/healthz', null],
  ['GET', '/own', null],
  ['HEAD', '/own', null],
  ['GET', '/ping', null],
  ['HEAD', '/ping', null],
  ['GET', '/readyz', null],
  ['HEAD', '/readyz', null],
  ['DELETE', '/tasks/:id', null],
  ['GET', '/tasks/:id', null],
  ['HEAD', '/tasks/:id', null],
  ['GET', '/things', 'things.list'],
  ['HEAD', '/things', 'things.list'],
  ['POST', '/things', 'things.add'],
  ['GET', '/things/:id', 'things.retrieve'],
  ['HEAD', '/things/:id', 'things.retrieve'],
  ['GET', '/things/wait', 'things.wait'],
  ['HEAD', '/things/wait', 'things.wait'],
]

t.test("every route, the service's own and the kit's, by path", async (t) => {
  const service = writeService(t, { 'src/service.ts': PLUGIN })
  const options = { service, env: { DOCS: 'false', CONTRACT: 'false', DEVELOPER: 'false' } }
  const { code, stdout, stderr } = await manage(t, ['routes'], options)
  t.same({ code, stderr }, { code: 0, stderr: '' })
  const rows = stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ +/))
  t.strictSame(
    rows,
    ROUTES.map((route) => route.filter((cell) => cell !== null)),
  )

  const json = await manage(t, ['routes', '--json'], options)
  t.same({ code: json.code, stderr: json.stderr }, { code: 0, stderr: '' })
  t.strictSame(
    JSON.parse(json.stdout),
    ROUTES.map(([method, path, resource]) => ({
      method,
      path,
      resource,
      auth: null,
      permissions: [],
      scope: false,
    })),
  )
})

t.test('who may call each', async (t) => {
  const service = writeService(t, {
    'src/service.ts': PLUGIN.replace('plugins: [own]', 'plugins: [own], auth: true'),
    'src/things.ts': `
import { defineModule, defineResource } from 'plinth'
import { definePermission, not } from 'plinth/auth'
const isStaff = definePermission({ name: 'isStaff', reason: 'for staff', allows: () => true })
const thing = (path, more) => defineResource({ summary: 'Thing', path, perform: () => null, ...more })
const resources = {
  any: thing('/any', { auth: 'public' }),
  staff: thing('/staff', { permissions: [isStaff, not(isStaff)] }),
  own: thing('/own', { scope: (_, query) => query }),
  ownStaff: thing('/own-staff', { permissions: isStaff, scope: (_, query) => query }),
}
export const things = defineModule({ prefix: '/things', auth: 'optional', resources })
`,
  })
  const { code, stdout } = await manage(t, ['routes', '--auth'], {
    service,
    env: { DOCS: 'false', CONTRACT: 'false', DEVELOPER: 'false' },
  })
  t.equal(code, 0)
  const lines = stdout.split('\n').filter((line) => line.startsWith('GET'))
  t.strictSame(
    lines.map((line) => line.split(/ {2,}/)),
    [
      ['GET', '/healthz', 'public'],
      ['GET', '/own', 'required'],
      ['GET', '/ping', 'public'],
      ['GET', '/readyz', 'public'],
      ['GET', '/tasks/:id', 'optional'],
      ['GET', '/things/any', 'public', 'things.any'],
      ['GET', '/things/own', 'optional', 'a scope', 'things.own'],
      ['GET', '/things/own-staff', 'optional', 'isStaff, a scope', 'things.ownStaff'],
      ['GET', '/things/staff', 'optional', 'isStaff, not isStaff', 'things.staff'],
    ],
  )
})

t.test('it fails as the service would', async (t) => {
  const service = writeService(t, {
    'src/service.ts': PLUGIN.replace("app.get('/own', async () => 'own')", 'throw new Error("no")'),
  })
  const text = await manage(t, ['routes'], { service })
  t.match(text, { code: 1, stdout: '', stderr: /^Error: no\n {4}at own / })
  const json = await manage(t, ['routes', '--json'], { service })
  t.match(json, { code: 1, stderr: '' })
  t.strictSame(JSON.parse(json.stdout), { error: { message: 'no' } })
})
