import { execFileSync } from 'node:child_process'
// if database=sqlite
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
// end
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
// if auth
import { type App, createApp, definePlugin, defineService } from 'plinth'
import { addStrategy } from 'plinth/auth'
// end
// if auth=none
import { type App, createApp } from 'plinth'
// end
import service from '../src/service.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/** What the service is told besides its database. */
const settings = {
  NODE_ENV: 'test',
  // if auth=jwt
  JWT_KEY: 'a secret of the tests, and of nobody else',
  JWT_AUDIENCE: '__NAME__',
  // end
  // if auth=bk
  BK_LOGIN_URL: 'http://127.0.0.1:1/login',
  // end
}

// if auth
/** Tests say who asks by a header, whatever the service asks of its users. */
const testUsers = definePlugin({
  name: 'test-users',
  register(app) {
    addStrategy(app, {
      name: 'test-users',
      scheme: { type: 'apiKey', in: 'header', name: 'x-test-user' },
      authenticate({ headers }) {
        const id = headers['x-test-user']
        return typeof id === 'string' ? { user: { id } } : undefined
      },
    })
  },
})

/** The headers of a user's request. */
export const as = (user: string) => ({ 'x-test-user': user })

// end
/** The service on a database of its own, migrated and empty; both go when `t` ends. */
export async function createTestApp(t: TestContext): Promise<App<typeof service.modules>> {
  // if database=sqlite
  const folder = mkdtempSync(join(tmpdir(), '__NAME__-'))
  const env = { ...settings, DATABASE_URL: `sqlite:${join(folder, 'test.db')}` }
  // end
  // if database=mysql
  // A server is needed: its URL is in TEST_DATABASE_URL, or that of compose.yaml.
  const url = new URL(process.env.TEST_DATABASE_URL ?? 'mysql://root:root@127.0.0.1:3306')
  url.pathname = `/__SNAKE___test_${process.pid}`
  const env = { ...settings, DATABASE_URL: url.href }
  // end
  const manage = (...args: string[]) =>
    execFileSync('node_modules/.bin/manage', args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
  // if database=mysql
  manage('db', 'create')
  // end
  manage('migrate')
  // if auth
  const plugins = [...(service.plugins ?? []), testUsers]
  const app = await createApp(defineService({ ...service, plugins }), { root, env, logger: false })
  // end
  // if auth=none
  const app = await createApp(service, { root, env, logger: false })
  // end
  t.after(async () => {
    await app.close()
    // if database=sqlite
    rmSync(folder, { recursive: true })
    // end
    // if database=mysql
    manage('db', 'drop', '--force')
    // end
  })
  return app
}
