import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import bearer, { type BearerOptions } from '../../plugins/bearer.ts'
import { addStrategy } from '../../src/auth/authenticator.ts'
import { runChecks } from '../../src/plugin.ts'
import { ec, ed25519, rsa, seconds, sign } from '../auth/tokens.ts'
import { createService } from '../helpers/app.ts'
import { ask, listen } from '../helpers/wire.ts'

const KEY = rsa()
const SECRET = 'a secret that is long enough for 256 bits'

async function serve(
  t: Test,
  ...uses: (BearerOptions & { name?: string })[]
): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  for (const options of uses) await app.register(bearer, options)
  app.get('/me', { onRequest: app.auth.required }, (request) => request.auth)
  return app
}

const CLAIMS = { sub: 'ann', exp: seconds(60) }
const token = (claims: object = {}) =>
  sign({ alg: 'RS256' }, { ...CLAIMS, ...claims }, KEY.privateKey)

/** The status, and what the request knows of who makes it. */
async function whoIs(app: FastifyInstance, authorization: string) {
  const { statusCode, body } = await app.inject({ url: '/me', headers: { authorization } })
  return statusCode === 200 ? JSON.parse(body) : statusCode
}

t.test('a token tells who it is, for which system, and what it is good for', async (t) => {
  const app = await serve(t, { key: KEY.pem, audience: false })
  const auth = async (claims: object) => await whoIs(app, `Bearer ${token(claims)}`)
  t.strictSame(await auth({}), { user: { id: 'ann' }, scopes: [], strategy: 'bearer' })
  t.strictSame(await auth({ name: 'Ann', jti: 't1', client_id: 'billing', scope: 'a:read b' }), {
    user: { id: 'ann', name: 'Ann' },
    app: 'billing',
    token: 't1',
    scopes: ['a:read', 'b'],
    strategy: 'bearer',
  })
  t.match(await auth({ azp: 'shop', scp: ['a', 'b c'] }), { app: 'shop', scopes: ['a', 'b', 'c'] })
  t.match(await auth({ scp: 'a b' }), { scopes: ['a', 'b'] })
  t.match(await auth({ scope: { admin: true }, name: 5, azp: {} }), {
    scopes: [],
    user: { id: 'ann' },
  })
})

t.test('the scheme has no case; what is no such token is for others', async (t) => {
  const app = await serve(t, { key: KEY.pem, audience: false })
  addStrategy(app, {
    name: 'other',
    scheme: { type: 'http', scheme: 'basic' },
    authenticate: ({ headers }) =>
      headers.authorization ? { user: { id: headers.authorization } } : undefined,
  })
  t.match(await whoIs(app, `bearer ${token()}`), { user: { id: 'ann' } })
  t.match(await whoIs(app, `BEARER   ${token()}`), { user: { id: 'ann' } })
  for (const other of [
    'Basic YW5uOmEuYg==',
    'Bearer plk_1',
    'Bearer',
    `Bearers ${token()}`,
    token(),
  ])
    t.match(await whoIs(app, other), { user: { id: other } })
  t.equal(await whoIs(app, `Bearer ${token()}x`), 401)
  t.match((await app.inject('/me')).headers['www-authenticate'], /^Bearer$/)
})

t.test(
  'toUser says whose it is, each time; nobody is 401, and its failures are no refusal',
  async (t) => {
    const seen: unknown[] = []
    const app = await serve(t, {
      key: KEY.pem,
      audience: false,
      async toUser(claims) {
        seen.push(claims)
        if (claims.mail === 'broken') throw new Error('the database is away')
        return claims.mail === 'ann@shop.test' ? { id: '7' } : undefined
      },
    })
    const mail = (mail: string) => `Bearer ${token({ sub: undefined, mail, inner: { list: [1] } })}`
    const ann = mail('ann@shop.test')
    t.match(await whoIs(app, ann), { user: { id: '7' } })
    t.match(await whoIs(app, ann), { user: { id: '7' } })
    t.equal(seen.length, 2)
    t.throws(() => ((seen[1] as { inner: { list: number[] } }).inner.list[0] = 2), TypeError)
    t.equal(await whoIs(app, mail('bob@shop.test')), 401)
    t.equal(await whoIs(app, mail('broken')), 500)
  },
)

t.test('a key is read in each way that it is written', async (t) => {
  const [p384, okp] = [ec('P-384'), ed25519()]
  const der = KEY.pem.split('\n').slice(1, -2).join('')
  const good = (key: string | readonly string[]) => serve(t, { key, audience: false })
  for (const key of [
    KEY.pem,
    KEY.pem.replaceAll('\n', '\\n'),
    KEY.pem.replaceAll('\n', '\r\n'),
    Buffer.from(KEY.pem).toString('base64'),
    der,
    `${rsa().pem}${KEY.pem}`,
    [rsa().pem, KEY.pem],
    [SECRET, KEY.pem],
  ])
    t.match(await whoIs(await good(key), `Bearer ${token()}`), { user: { id: 'ann' } })
  for (const key of [der, Buffer.from(KEY.pem).toString('base64'), KEY.pem.replaceAll('\n', '\\n')])
    t.equal(await whoIs(await good(key), `Bearer ${sign({ alg: 'HS256' }, CLAIMS, key)}`), 401)
  const elliptic = sign({ alg: 'ES384' }, CLAIMS, p384.privateKey)
  t.match(await whoIs(await good(p384.pem), `Bearer ${elliptic}`), { user: { id: 'ann' } })
  const edwards = sign({ alg: 'EdDSA' }, CLAIMS, okp.privateKey)
  t.match(await whoIs(await good(okp.pem), `Bearer ${edwards}`), { user: { id: 'ann' } })
  const hashed = sign({ alg: 'HS256' }, CLAIMS, SECRET)
  t.match(await whoIs(await good(SECRET), `Bearer ${hashed}`), { user: { id: 'ann' } })
  t.equal(await whoIs(await good(SECRET), `Bearer ${sign({ alg: 'HS512' }, CLAIMS, SECRET)}`), 401)
})

t.test('a key that is none, or not safe, keeps the app from starting', async (t) => {
  const privatePem = KEY.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const cases: [options: object, told: string][] = [
    [
      {},
      'jwks is missing, expected a URL with http or https, or a key in its place (JWT_JWKS_URL or JWT_KEY), not both',
    ],
    [{ jwks: 'ftp://a' }, 'jwks is another text, expected a URL with http or https'],
    [{ jwks: 'https://a', key: SECRET }, 'jwks is another text, expected a URL with http or https'],
    [{ key: 'short' }, 'key is a secret of 5 bytes, expected at least 32'],
    [{ key: privatePem }, 'key is a private key, expected the public key that belongs to it'],
    [{ key: Buffer.from(privatePem).toString('base64') }, 'key is a private key'],
    [{ key: rsa(1024).pem }, 'key is an RSA key of 1024 bits, expected one of at least 2048'],
    [
      { key: ec('secp256k1').pem },
      'key is a key of the kind ec secp256k1, expected RSA, EC on P-256',
    ],
    [{ key: JSON.stringify(KEY.jwk('a')) }, 'key is JSON, expected a key as PEM, or a secret'],
    [{ key: KEY.pem.slice(0, 200) }, 'key is no complete PEM'],
    [{ key: KEY.pem.replace('MIIB', 'AAAA') }, 'key is no public key that can be read'],
    [
      { key: KEY.pem, algorithms: ['HS256'] },
      'algorithms is a list, expected some of those that go with the key: RS256',
    ],
    [
      { key: SECRET, algorithms: ['none'] },
      'algorithms is a list, expected some of those that go with the key: HS256',
    ],
    [{ key: SECRET, algorithms: [] }, 'algorithms is a list'],
    [
      { key: SECRET, audience: undefined },
      'audience is missing, expected whom the tokens are for (JWT_AUDIENCE), or false: for anybody',
    ],
    [
      { key: SECRET, audience: [] },
      'audience is a list, expected a text, a list of texts, or false',
    ],
    [
      { key: SECRET, skew: '5' },
      "skew is another text, expected milliseconds, or a text like '30s'",
    ],
    [{ jwks: 'https://a', jwksLimits: { timeout: '5' } }, 'timeout is another text'],
  ]
  for (const [options, told] of cases) {
    const app = Fastify()
    t.teardown(() => app.close())
    const given = { audience: false, ...options }
    await t.rejects(Promise.resolve(app.register(bearer, given as never)), {
      code: 'PLUGIN_OPTION_INVALID',
      message: `plinth/plugins/bearer cannot be registered: its option ${told}`,
    })
  }
})

t.test('a service needs no more than variables; what it says itself comes first', async (t) => {
  const variables = { JWT_KEY: SECRET, JWT_AUDIENCE: 'shop, bank', JWT_ISSUER: 'https://a.test' }
  const me = async (app: FastifyInstance) => {
    app.get('/me', { onRequest: app.auth.required }, (request) => request.auth)
  }
  const start = async (options?: BearerOptions) => {
    const plugins = [bearer(options), me]
    const { app, logs } = await createService(t, {}, { plugins, variables })
    return { port: await listen(app), logs }
  }
  const status = async (port: number, claims: object, key = SECRET) => {
    const jwt = sign({ alg: 'HS256' }, { ...CLAIMS, iss: 'https://a.test', ...claims }, key)
    return (await ask(port, 'GET /me', { Authorization: `Bearer ${jwt}` })).status
  }
  const { port, logs } = await start()
  t.equal(await status(port, { aud: 'bank' }), 200)
  t.equal(await status(port, { aud: ['x', 'shop'] }), 200)
  t.equal(await status(port, { aud: 'other' }), 401)
  t.equal(await status(port, { aud: 'bank', iss: 'https://b.test' }), 401)
  t.equal((await ask(port, 'GET /readyz')).status, 200)
  t.notMatch(JSON.stringify(logs), SECRET)
  const own = SECRET.toUpperCase()
  const { port: other } = await start({ key: own, audience: 'x', issuer: 'https://b.test' })
  t.equal(await status(other, { aud: 'x', iss: 'https://b.test' }, own), 200)
  t.equal(await status(other, { aud: 'shop' }), 401)
})

t.test('keys by http are warned of, unless they are of this machine', async (t) => {
  const found = async (jwks: string) =>
    await runChecks(await serve(t, { jwks, audience: false }), true)
  t.match(await found('http://login.test/jwks'), [
    {
      check: 'bearer',
      level: 'warning',
      message: 'the keys of tokens come by http: who changes them on their way can sign tokens',
    },
  ])
  for (const jwks of ['https://login.test/jwks', 'http://127.0.0.1:1/', 'http://localhost/a'])
    t.strictSame(await found(jwks), [])
})
