import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import bkGateway, { type BkGatewayOptions } from '../../plugins/bk-gateway.ts'
import { ec, type Pair, rsa, seconds, sign } from '../auth/tokens.ts'
import { createService } from '../helpers/app.ts'
import { ask, listen } from '../helpers/wire.ts'

const [KEY, NEXT] = [rsa(), rsa()]
const ANN = { bk_username: 'ann', verified: true }
const BILLING = { bk_app_code: 'billing', verified: true }

async function serve(t: Test, options: BkGatewayOptions): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(bkGateway, options)
  app.get('/maybe', { onRequest: app.auth.optional }, (request) => request.auth ?? {})
  return app
}

/** The status, or how the user was found out: `{}` where there is none. */
async function by(app: FastifyInstance, claims: object, { privateKey }: Pair = KEY, kid?: string) {
  const token = sign(
    { alg: 'RS512', kid },
    { iss: 'APIGW', exp: seconds(60), ...claims },
    privateKey,
  )
  const { statusCode, body } = await app.inject({
    url: '/maybe',
    headers: { 'x-bkapi-jwt': token },
  })
  return statusCode === 200 ? JSON.parse(body) : statusCode
}

t.test('only what is verified counts', async (t) => {
  const app = await serve(t, { keys: KEY.pem })
  const strategy = 'bk-gateway'
  t.strictSame(await by(app, { user: ANN, app: BILLING }), {
    user: { id: 'ann' },
    app: 'billing',
    strategy,
  })
  t.strictSame(
    await by(app, {
      user: { username: 'ann', verified: true },
      app: { app_code: 'billing', verified: true },
    }),
    {
      user: { id: 'ann' },
      app: 'billing',
      strategy,
    },
  )
  t.strictSame(await by(app, { user: ANN }), { user: { id: 'ann' }, strategy })
  const unverified = { ...BILLING, verified: false }
  t.strictSame(await by(app, { user: ANN, app: unverified }), { user: { id: 'ann' }, strategy })
  for (const user of [
    undefined,
    null,
    'ann',
    ['ann'],
    {},
    { bk_username: 'ann' },
    { ...ANN, verified: false },
    { ...ANN, verified: 'true' },
    { ...ANN, verified: 1 },
    { ...ANN, bk_username: '' },
    { ...ANN, bk_username: { id: 'ann' } },
    { ...ANN, bk_username: 7 },
  ])
    t.strictSame(await by(app, { user, app: BILLING }), {}, JSON.stringify(user))
  t.equal(await by(app, { user: { ...ANN, bk_username: 'app:billing' } }), 401)
})

t.test('an app without a user is one where that is wanted', async (t) => {
  const app = await serve(t, { keys: KEY.pem, apps: true })
  t.match(await by(app, { app: BILLING }), { user: { id: 'app:billing' }, app: 'billing' })
  t.match(await by(app, { user: { ...ANN, verified: false }, app: BILLING }), {
    user: { id: 'app:billing' },
  })
  t.match(await by(app, { user: ANN, app: BILLING }), { user: { id: 'ann' } })
  t.strictSame(await by(app, { app: { ...BILLING, verified: false } }), {})
  t.equal(await by(app, { user: { ...ANN, bk_username: 'app:billing' } }), 401)
})

t.test('a service may say who it is', async (t) => {
  const app = await serve(t, {
    keys: KEY.pem,
    toUser: async ({ username, app, claims }) =>
      username ? { id: `${app}/${username}/${claims.iss}` } : null,
  })
  t.match(await by(app, { user: ANN, app: BILLING }), { user: { id: 'billing/ann/APIGW' } })
  t.strictSame(await by(app, { app: BILLING }), {})
})

t.test('one key takes the place of another, and gateways have their own', async (t) => {
  const both = await serve(t, { keys: [KEY.pem, NEXT.pem] })
  for (const key of [KEY, NEXT])
    for (const kid of [undefined, 'my-gateway', '../../etc/passwd'])
      t.match(await by(both, { user: ANN }, key, kid), { user: { id: 'ann' } })
  t.equal(await by(both, { user: ANN }, rsa()), 401)

  const named = await serve(t, { keys: { one: [rsa().pem, KEY.pem], two: NEXT.pem } })
  t.match(await by(named, { user: ANN }, KEY, 'one'), { user: { id: 'ann' } })
  t.match(await by(named, { user: ANN }, NEXT, 'two'), { user: { id: 'ann' } })
  t.equal(await by(named, { user: ANN }, KEY, 'two'), 401)
  for (const kid of [undefined, '__proto__', 'constructor', 'three', ''])
    t.equal(await by(named, { user: ANN }, KEY, kid), 401)
})

t.test(
  'the key comes from the environment, in base64 or not; without one it does not start',
  async (t) => {
    const me = async (app: FastifyInstance) => {
      app.get('/me', { onRequest: app.auth.required }, (request) => request.auth)
    }
    for (const key of [KEY.pem, Buffer.from(KEY.pem).toString('base64')]) {
      const variables = { APIGW_PUBLIC_KEY: key }
      const { app } = await createService(t, {}, { plugins: [bkGateway(), me], variables })
      const port = await listen(app)
      const token = sign({ alg: 'RS512' }, { exp: seconds(60), user: ANN }, KEY.privateKey)
      t.equal((await ask(port, 'GET /me', { 'x-bkapi-jwt': token })).status, 200)
      t.equal((await ask(port, 'GET /me')).status, 401)
    }
    const expected = 'expected an RSA public key as PEM (APIGW_PUBLIC_KEY)'
    const cases: [options: object, told: string][] = [
      [{}, `keys is missing, ${expected}`],
      [{ keys: [] }, `keys is a list, ${expected}`],
      [{ keys: {} }, `keys is an object, ${expected}`],
      [{ keys: 'a secret that is long enough for 256 bits' }, `keys is another text, ${expected}`],
      [{ keys: { a: ec().pem } }, `keys is an object, ${expected}`],
      [{ keys: { a: 5 } }, 'keys is no text, expected a key as text'],
      [{ keys: rsa(1024).pem }, 'keys is an RSA key of 1024 bits, expected one of at least 2048'],
      [{ keys: KEY.pem, apps: 'yes' }, 'apps is another text, expected true or false'],
    ]
    for (const [options, told] of cases) {
      const app = Fastify()
      t.teardown(() => app.close())
      await t.rejects(Promise.resolve(app.register(bkGateway, options as never)), {
        code: 'PLUGIN_OPTION_INVALID',
        message: `plinth/plugins/bk-gateway cannot be registered: its option ${told}`,
      })
    }
  },
)
