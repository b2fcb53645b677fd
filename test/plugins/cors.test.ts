import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import cors, { type CorsOptions } from '../../plugins/cors.ts'
import securityHeaders from '../../plugins/security-headers.ts'
import { defineResource } from '../../src/resource/resource.ts'
import { createService, failure, type ServiceOptions } from '../helpers/app.ts'
import { ask, listen } from '../helpers/wire.ts'

const one = defineResource({ summary: 'One', auth: 'required', perform: () => null })

async function serve(t: Test, variables: NodeJS.ProcessEnv, options: ServiceOptions = {}) {
  const { app } = await createService(t, { one }, { auth: true, variables, ...options })
  return await listen(app)
}

const APP = 'https://app.example.com'
const PREFLIGHT = { origin: APP, 'access-control-request-method': 'GET' }

t.test('a browser is answered before it authenticates, for pages that may call', async (t) => {
  const port = await serve(t, {
    CORS_ORIGINS: `${APP},http://localhost:3000`,
    CORS_CREDENTIALS: 'true',
  })
  t.match(await ask(port, 'OPTIONS /things', PREFLIGHT), {
    status: 204,
    headers: {
      'access-control-allow-origin': APP,
      'access-control-allow-credentials': 'true',
      'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE',
      'access-control-max-age': '600',
      vary: /Origin/i,
    },
  })
  const refused = await ask(port, 'GET /things', { origin: APP })
  t.match(refused, {
    status: 401,
    headers: { 'access-control-allow-origin': APP, vary: /Origin.*accept-language/i },
  })
  t.match(refused.headers['access-control-expose-headers'], /x-request-id/)
  const other = { ...PREFLIGHT, origin: 'https://app.example.com.evil.example' }
  t.notOk('access-control-allow-origin' in (await ask(port, 'OPTIONS /things', other)).headers)
})

t.test(
  'a page of another origin sends a key with what it changes, and reads what is told of it',
  async (t) => {
    let paid = 0
    const pay = defineResource({
      summary: 'Pay',
      method: 'POST',
      path: '/pay',
      auth: 'public',
      idempotency: true,
      request: Type.Object({ cents: Type.Integer() }),
      response: Type.Object({ receipt: Type.Integer() }),
      perform: () => ({ receipt: ++paid }),
    })
    const { app } = await createService(
      t,
      { pay },
      { auth: true, variables: { CORS_ORIGINS: APP } },
    )
    const port = await listen(app)
    const asked = { 'access-control-request-method': 'POST' }
    const names = 'content-type,idempotency-key'
    const preflight = { origin: APP, ...asked, 'access-control-request-headers': names }
    const may = await ask(port, 'OPTIONS /things/pay', preflight)
    t.equal(may.status, 204)
    const list = (header: unknown) => String(header).toLowerCase().split(/, */)
    t.ok(list(may.headers['access-control-allow-methods']).includes('post'))
    for (const name of names.split(','))
      t.ok(list(may.headers['access-control-allow-headers']).includes(name), name)

    const send = () =>
      app.inject({
        ...{ method: 'POST', url: '/things/pay', payload: { cents: 5 } },
        headers: { origin: APP, 'idempotency-key': '"one"' },
      })
    const first = await send()
    t.equal(first.statusCode, 200)
    const again = await send()
    t.equal(again.body, first.body)
    t.equal(paid, 1)
    t.equal(again.headers['idempotent-replayed'], 'true')
    const exposed = list(again.headers['access-control-expose-headers'])
    for (const name of ['idempotent-replayed', 'retry-after']) t.ok(exposed.includes(name), name)
  },
)

t.test('without the variable no page of another origin may', async (t) => {
  const port = await serve(t, {})
  const { status, headers } = await ask(port, 'OPTIONS /things', PREFLIGHT)
  t.equal(status, 405)
  t.notOk('access-control-allow-origin' in headers)
})

t.test('what would let everybody in with cookies, or is no origin, does not start', async (t) => {
  const start = async (options: CorsOptions) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(cors, options)
  }
  const refused: CorsOptions[] = [
    { origins: ['*'], credentials: true },
    { origins: [`${APP}/`] },
    { origins: ['null'] },
    { origins: [] },
  ]
  for (const options of refused)
    t.match(
      await failure(start(options)),
      { code: 'PLUGIN_OPTION_INVALID' },
      JSON.stringify(options),
    )
  await t.resolves(start({ origins: ['*'] }))
  t.match(await failure(serve(t, { CORS_ORIGINS: 'app.example.com' })), { code: 'CONFIG_INVALID' })
})

t.test(
  'security headers are sent where they are asked for; pages of the kit keep their policy',
  async (t) => {
    const port = await serve(t, { SECURITY_HEADERS: 'true', DOCS: 'true' })
    const policy = async (path: string) =>
      (await ask(port, `GET ${path}`)).headers['content-security-policy']
    t.equal(await policy('/things'), "default-src 'none';frame-ancestors 'none'")
    t.match(await policy('/docs'), /script-src/)
    t.equal((await ask(port, 'GET /none')).headers['x-content-type-options'], 'nosniff')
    const bare = (await ask(await serve(t, {}), 'GET /things')).headers
    t.notOk('content-security-policy' in bare)
  },
)

t.test('security headers in plain Fastify, with options of helmet', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(securityHeaders, { helmet: { contentSecurityPolicy: false } })
  app.get('/', () => 'here')
  const { headers } = await app.inject('/')
  t.equal(headers['x-frame-options'], 'SAMEORIGIN')
  t.notOk('content-security-policy' in headers)
})
