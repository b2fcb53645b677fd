import { fileURLToPath } from 'node:url'
import { createSigner } from 'fast-jwt'
import { testApp } from 'plinth/testing'
import t from 'tap'
import { manage } from '../../../test/helpers/manage.ts'
import service from '../src/service.ts'
import { AUDIENCE } from '../src/users.ts'
import { createAtlas } from './helper.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

t.test('without a key Atlas is for reading, and takes no token', async (t) => {
  const app = await testApp(service, { t, root })
  const sign = createSigner({ key: 'the secret of somebody else, 32 bytes', aud: AUDIENCE })
  t.equal((await app.inject('/openapi.json')).statusCode, 200)
  for (const headers of [
    {},
    { authorization: `Bearer ${sign({ sub: 'ann', tenant: 'north' })}` },
  ]) {
    const answer = await app.inject({ method: 'DELETE', url: '/cities/1', headers })
    t.strictSame([answer.statusCode, answer.json().code], [401, 'UNAUTHENTICATED'])
    t.match(answer.headers['www-authenticate'], /^Bearer/)
  }
})

t.test('manage jwt signs a token that Atlas takes', async (t) => {
  const JWT_KEY = 'the secret of this test, 32 bytes or more'
  const variables = { NODE_ENV: 'test', DATABASE_URL: 'sqlite::memory:', JWT_KEY }
  const app = await createAtlas(t, { env: { JWT_KEY } })
  const run = (args: readonly string[], env: object) =>
    manage(t, ['jwt', ...args], { service: root, cwd: root, env: { ...env } })

  const signed = await run(['ann', '--tenant', 'south', '--admin'], variables)
  t.equal(signed.code, 0, signed.stderr)
  const headers = { authorization: `Bearer ${signed.stdout.trim()}` }
  t.equal((await app.inject({ url: '/audit', headers })).statusCode, 200, 'she is an admin')
  const payload = { city: 1, stars: 5, text: 'Walk along the canal.' }
  const review = await app.inject({ method: 'POST', url: '/reviews', headers, payload })
  t.match(review.json().data, { created_by: 'south/ann' })

  const keyless = await run(['ann'], { ...variables, JWT_KEY: undefined })
  t.match(keyless, { code: 1, stdout: '', stderr: /JWT_KEY is not set/ })
  const wrong = await run(['ann', '--tenant', 'a/b'], variables)
  t.match(wrong, { code: 1, stdout: '', stderr: /a\/b is no tenant/ })
})
