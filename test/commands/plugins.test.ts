import t from 'tap'
import { manage } from '../helpers/manage.ts'
import { BARE, writeService } from '../helpers/service.ts'

t.test('tells what each use of a plugin adds to the app', async (t) => {
  const service = writeService(t, {
    'src/service.ts': `
      import { defineService } from 'plinth'
      import bearer from 'plinth/plugins/bearer'
      import session from 'plinth/plugins/session'
      import tasks from 'plinth/plugins/tasks'
      const jwks = 'https://keys.example.com/'
      const plugins = [session(), bearer({ jwks }), bearer({ name: 'partners', jwks }), tasks({ name: 'mails' })]
      export default defineService({ name: 'shop', modules: {}, plugins, auth: true })`,
  })
  const { code, stdout } = await manage(t, ['plugins', '--json'], { service, env: BARE })
  t.equal(code, 0)
  const added = JSON.parse(stdout).map(({ name, decorators }: Record<string, unknown>) => [
    name,
    decorators,
  ])
  t.match(Object.fromEntries(added), {
    auth: ['auth'],
    bearer: ['auth'],
    partners: ['auth'],
    session: ['sessions', 'auth'],
    tasks: ['tasks', 'schedules'],
    mails: ['mails'],
    docs: [],
  })
})
