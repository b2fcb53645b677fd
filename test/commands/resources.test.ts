import t from 'tap'
import { manage } from '../helpers/manage.ts'
import { writeService } from '../helpers/service.ts'

const RESOURCES = [
  { name: 'things.list', method: 'GET', path: '/things', summary: 'Every thing' },
  { name: 'things.retrieve', method: 'GET', path: '/things/:id', summary: 'One thing' },
  { name: 'things.add', method: 'POST', path: '/things', summary: 'Add a thing' },
  { name: 'things.wait', method: 'GET', path: '/things/wait', summary: 'Wait' },
]

t.test('every resource, in the order of the service', async (t) => {
  const service = writeService(t)
  t.strictSame(await manage(t, ['resources'], { service }), {
    code: 0,
    signal: null,
    stdout: [
      'things.list      GET   /things       Every thing',
      'things.retrieve  GET   /things/:id   One thing',
      'things.add       POST  /things       Add a thing',
      'things.wait      GET   /things/wait  Wait',
      '',
    ].join('\n'),
    stderr: '',
  })
  const { code, stdout, stderr } = await manage(t, ['resources', '--json'], { service })
  t.same({ code, stderr }, { code: 0, stderr: '' })
  t.strictSame(JSON.parse(stdout), RESOURCES)
})

t.test('nothing is connected: bad configuration and a dead database do not matter', async (t) => {
  const service = writeService(t)
  const env = { PORT: 'x', DATABASE_URL: 'mysql://u:p@127.0.0.1:1/x' }
  const { code, stdout } = await manage(t, ['resources', '--json'], { service, env })
  t.equal(code, 0)
  t.strictSame(JSON.parse(stdout), RESOURCES)
})

const HIDDEN = `
import { defineModule, defineResource } from 'plinth'
const hidden = defineResource({ summary: 'Hidden', expose: false, perform: () => null })
export const things = defineModule({ prefix: '/things', resources: { hidden } })
`

t.test('what is not exposed has no route', async (t) => {
  const service = writeService(t, { 'src/things.ts': HIDDEN })
  const text = await manage(t, ['resources'], { service })
  t.equal(text.stdout, 'things.hidden  -  -  Hidden\n')
  const { stdout } = await manage(t, ['resources', '--json'], { service })
  const hidden = { name: 'things.hidden', method: null, path: null, summary: 'Hidden' }
  t.strictSame(JSON.parse(stdout), [hidden])
  t.notMatch((await manage(t, ['routes'], { service })).stdout, /things/)
  t.match(await manage(t, ['call', 'things.hidden'], { service }), { code: 0, stdout: 'null\n' })
})
