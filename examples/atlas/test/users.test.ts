import { fileURLToPath } from 'node:url'
import { createApp } from 'plinth'
import t from 'tap'
import { manage } from '../../../test/helpers/manage.ts'
import service from '../src/service.ts'
import { as } from './helper.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

t.test('without a key Atlas is for reading, and takes no token', async (t) => {
  const env = { NODE_ENV: 'test', DATABASE_URL: 'sqlite::memory:' }
  const app = await createApp(service, { root, env, logger: false })
  t.teardown(() => app.close())
  t.equal((await app.inject('/openapi.json')).statusCode, 200)
  for (const headers of [{}, as('north/ann')]) {
    const answer = await app.inject({ method: 'DELETE', url: '/cities/1', headers })
    t.strictSame([answer.statusCode, answer.json().code], [401, 'UNAUTHENTICATED'])
    t.match(answer.headers['www-authenticate'], /^Bearer/)
  }
})

t.test('manage jwt signs a token that Atlas takes', async (t) => {
  const JWT_KEY = 'the secret of this test, 32 bytes or more'
  const variables = { NODE_ENV: 'test', DATABASE_URL: 'sqlite::memory:', JWT_KEY }
  const app = await createApp(service, { root, env: variables, logger: false })
  t.teardown(() => app.close())
  app.get('/me', (request) => request.auth?.user ?? null)
  const run = (args: readonly string[], env: object) =>
    manage(t, ['jwt', ...args], { service: root, cwd: root, env: { ...env } })

  const signed = await run(['ann', '--tenant', 'south', '--admin'], variables)
  t.equal(signed.code, 0, signed.stderr)
  const headers = { authorization: `Bearer ${signed.stdout.trim()}` }
  t.strictSame((await app.inject({ url: '/me', headers })).json(), {
    id: 'south/ann',
    role: 'admin',
  })

  const keyless = await run(['ann'], { ...variables, JWT_KEY: undefined })
  t.match(keyless, { code: 1, stdout: '', stderr: /JWT_KEY is not set/ })
  const wrong = await run(['ann', '--tenant', 'a/b'], variables)
  t.match(wrong, { code: 1, stdout: '', stderr: /a\/b is no tenant/ })
})
