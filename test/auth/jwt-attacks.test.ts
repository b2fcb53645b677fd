import Fastify, { type FastifyPluginAsync } from 'fastify'
import t, { type Test } from 'tap'
import bearer from '../../plugins/bearer.ts'
import bkGateway from '../../plugins/bk-gateway.ts'
import envelope from '../../plugins/envelope.ts'
import { createService } from '../helpers/app.ts'
import { ask, listen } from '../helpers/wire.ts'
import { ec, rsa, seconds, sign } from './tokens.ts'

const [KEY, OTHER] = [rsa(), rsa()]

/** A way to hand over a token: what a good one has, and the plugin that reads it. */
interface Door {
  alg: string
  claims: Record<string, unknown>
  plugin: FastifyPluginAsync
  headers(token: string): Record<string, string>
  challenge(reason: string): string | undefined
}

const doors: Record<string, Door> = {
  bearer: {
    alg: 'RS256',
    claims: { sub: 'ann', aud: 'shop', iss: 'https://login.test', tenant: 7 },
    plugin: bearer({
      key: KEY.pem,
      algorithms: ['RS256'],
      audience: 'shop',
      issuer: 'https://login.test',
      requiredClaims: ['tenant'],
    }),
    headers: (token) => ({ Authorization: `Bearer ${token}` }),
    challenge: (reason) => `Bearer error="invalid_token", error_description="the token ${reason}"`,
  },
  'bk-gateway': {
    alg: 'RS512',
    claims: { iss: 'APIGW', user: { bk_username: 'ann', verified: true } },
    plugin: bkGateway({ keys: KEY.pem }),
    headers: (token) => ({ 'X-Bkapi-JWT': token }),
    challenge: () => undefined,
  },
}

const UNREADABLE = 'cannot be read, or says something twice'
const ALGORITHM = 'has an algorithm that is not allowed here'
const UNSIGNED = 'is not signed with a key that is known here'
const LACKING = 'lacks a claim that is needed here'
const TYPE = 'has a claim of a wrong type'
const CRITICAL = 'wants extensions that are not known here'

/** What attackers send, and why it is refused. */
function attacksOn(
  { alg, claims }: Door,
  jku: string,
): [name: string, token: string, reason: string][] {
  const good = { exp: seconds(60), iat: seconds(), ...claims }
  const head = { alg, typ: 'JWT' }
  const signed = (more: object, key = KEY) => sign(head, { ...good, ...more }, key.privateKey)
  const headed = (more: object, key = KEY) => sign({ ...head, ...more }, good, key.privateKey)
  const token = signed({})
  const [header = '', payload = '', signature = ''] = token.split('.')
  const text = JSON.stringify(good)
  const twice = (more: string) => sign(head, `${text.slice(0, -1)},${more}}`, KEY.privateKey)
  const another = alg.replace(/\d+/, '384')
  return [
    ['none', sign({ alg: 'none' }, good), ALGORITHM],
    ['nOnE', sign({ alg: 'nOnE' }, good), ALGORITHM],
    ['none with a signature', `${sign({ alg: 'none' }, good)}${signature}`, ALGORITHM],
    ['the public key as a secret', sign({ alg: 'HS256' }, good, KEY.pem), ALGORITHM],
    ['another algorithm of the key', sign({ alg: another }, good, KEY.privateKey), ALGORITHM],
    ['another kind of key', sign({ alg: 'ES256' }, good, ec().privateKey), ALGORITHM],
    ['no algorithm', sign('{"alg":null}', good), ALGORITHM],
    ['a list of algorithms', sign(`{"alg":["${alg}"]}`, good), ALGORITHM],
    ['no signature', `${header}.${payload}.`, 'is not signed'],
    ['another key', signed({}, OTHER), UNSIGNED],
    [
      'other claims',
      `${header}.${Buffer.from(text.replace('ann', 'bob')).toString('base64url')}.${signature}`,
      UNSIGNED,
    ],
    ['expired', signed({ exp: seconds(-10) }), 'has expired'],
    ['an hour late', signed({ exp: seconds(-3600), iat: seconds(-3660) }), 'has expired'],
    ['not valid yet', signed({ nbf: seconds(30) }), 'is not valid yet'],
    ['an hour early', signed({ nbf: seconds(3600), exp: seconds(7200) }), 'is not valid yet'],
    ['issued in the future', signed({ iat: seconds(3600) }), 'is not valid yet'],
    ['times beyond all dates', signed({ nbf: 1e300 }), 'cannot be read'],
    ['no end', signed({ exp: undefined }), LACKING],
    ['an endless end', sign(head, text.replace(/"exp":\d+/, '"exp":1e999'), KEY.privateKey), TYPE],
    ['an end in words', signed({ exp: 'never' }), TYPE],
    ['a beginning in words', signed({ nbf: '0' }), TYPE],
    ['issued in words', signed({ iat: 'now' }), TYPE],
    ['a name that is none', signed({ sub: { toString: 'ann' } }), TYPE],
    ['an id that is none', signed({ jti: 7 }), TYPE],
    ['a claim twice', twice('"exp":9e9'), UNREADABLE],
    ['an inner claim twice', twice('"a":{"b":1,"\\u0062":2}'), UNREADABLE],
    ['a header twice', sign(`{"alg":"${alg}","alg":"none"}`, good), UNREADABLE],
    ['__proto__', twice('"__proto__":{"admin":true}'), UNREADABLE],
    ['constructor.prototype', twice('"constructor":{"prototype":{"admin":true}}'), UNREADABLE],
    ['NUL in a claim', twice('"a":"\\u0000"'), UNREADABLE],
    ['claims that are null', sign(head, 'null', KEY.privateKey), 'cannot be read'],
    ['claims that are a list', sign(head, [good], KEY.privateKey), 'cannot be read'],
    ['claims that are no JSON', sign(head, '{"sub":', KEY.privateKey), 'cannot be read'],
    [
      'a header that is a list',
      `${Buffer.from('[]').toString('base64url')}.${payload}.${signature}`,
      UNREADABLE,
    ],
    ['a header that is no JSON', `Z.${payload}.${signature}`, UNREADABLE],
    [
      'a header that is no UTF-8',
      `${Buffer.from([0x7b, 0xff, 0x7d]).toString('base64url')}.${payload}.x`,
      UNREADABLE,
    ],
    ['9 KB', signed({ a: 'a'.repeat(9000) }), 'is longer than 8192 characters'],
    ['cut in the signature', token.slice(0, -7), UNSIGNED],
    ['cut before the signature', token.slice(0, token.lastIndexOf('.')), 'cannot be read'],
    ['cut in the claims', token.slice(0, token.lastIndexOf('.') - 7), 'cannot be read'],
    ['cut in the header', `${token.slice(0, 5)}.`, UNREADABLE],
    ['five parts', `${token}.a.b`, 'cannot be read'],
    ['dots alone', '..', UNREADABLE],
    ['padding', `${header}=.${payload}.${signature}`, 'cannot be read'],
    ['two of them', `${token},${token}`, 'cannot be read'],
    ['crit', headed({ crit: ['b64'], b64: false }), CRITICAL],
    ['an empty crit', headed({ crit: [] }), CRITICAL],
    ['crit that is null', headed({ crit: null }), CRITICAL],
    ['crit of what is known', headed({ crit: ['exp'], exp: 1 }), CRITICAL],
    ['a key of its own', headed({ jwk: OTHER.jwk('a') }, OTHER), UNSIGNED],
    ['the place of a key', headed({ jku, x5u: jku, kid: jku }, OTHER), UNSIGNED],
    [
      'a key name that is an object',
      headed({ kid: { toString: 'a' } }),
      'names its key by what is no name',
    ],
    ['a key name that is null', headed({ kid: null }), 'names its key by what is no name'],
    ['a long key name', headed({ kid: '../'.repeat(100) }), 'names its key by what is no name'],
  ]
}

const ofBearer: [name: string, change: object, reason: string][] = [
  ['another audience', { aud: 'bank' }, 'is of another issuer, or for another audience'],
  [
    'audiences without this one',
    { aud: ['bank', 'shop2'] },
    'is of another issuer, or for another audience',
  ],
  ['an audience that is an object', { aud: { shop: true } }, TYPE],
  ['no audience', { aud: undefined }, LACKING],
  ['an empty list of audiences', { aud: [] }, 'is of another issuer, or for another audience'],
  [
    'another issuer',
    { iss: 'https://login.test.evil' },
    'is of another issuer, or for another audience',
  ],
  ['no issuer', { iss: undefined }, LACKING],
  ['no subject', { sub: undefined }, LACKING],
  ['an empty subject', { sub: '' }, 'is of nobody who is known here'],
  ['no claim of the service', { tenant: undefined }, LACKING],
]

/** A service with one door, what it logs, and a place for keys that nobody may ask. */
async function serve(t: Test, { plugin }: Door) {
  const log: string[] = []
  const app = Fastify({
    logger: { level: 'trace', stream: { write: (line: string) => log.push(line) } },
  })
  t.teardown(() => app.close())
  await app.register(envelope)
  await app.register(plugin)
  app.get('/me', { onRequest: app.auth.required }, (request) => ({ auth: request.auth }))
  app.get('/maybe', { onRequest: app.auth.optional }, (request) => ({ auth: request.auth }))
  let asked = 0
  const place = Fastify()
  t.teardown(() => place.close())
  place.get('/jwks', async () => ++asked)
  const jku = `http://127.0.0.1:${await listen(place)}/jwks`
  return { port: await listen(app), log, jku, asked: () => asked }
}

for (const [name, door] of Object.entries(doors)) {
  t.test(`${name}: what attackers send is 401, and tells nothing`, async (t) => {
    const { port, log, jku, asked } = await serve(t, door)
    const good = { exp: seconds(60), ...door.claims }
    const attacks = attacksOn(door, jku)
    if (name === 'bearer')
      for (const [what, change, reason] of ofBearer)
        attacks.push([
          what,
          sign({ alg: door.alg }, { ...good, ...change }, KEY.privateKey),
          reason,
        ])
    for (const [what, token, reason] of attacks) {
      for (const path of ['/me', '/maybe']) {
        const answer = await ask(port, `GET ${path}`, door.headers(token))
        t.equal(answer.status, 401, `${what}: ${answer.body}`)
        t.match(
          answer.json(),
          {
            result: false,
            code: 'UNAUTHENTICATED',
            data: null,
            errors: [{ path: '', message: `the token ${reason}` }],
          },
          what,
        )
        t.equal(answer.headers['www-authenticate'], door.challenge(reason), what)
        for (const part of token.split('.').filter((one) => one.length > 20))
          t.notOk(`${answer.body}${Object.values(answer.headers)}`.includes(part), what)
      }
    }
    const secrets = attacks.flatMap(([, token]) =>
      token.split('.').filter((one) => one.length > 20),
    )
    const lines = log.join('')
    t.strictSame(
      secrets.filter((secret) => lines.includes(secret)),
      [],
      'nothing of them is logged',
    )
    t.notMatch(lines, /"level":(50|60)/, 'nor as an error of the service')
    t.equal(asked(), 0, 'no key is fetched from where a token says')
    const token = sign({ alg: door.alg }, good, KEY.privateKey)
    for (let time = 0; time < 2; time++)
      t.match((await ask(port, 'GET /me', door.headers(token))).json(), {
        auth: { user: { id: 'ann' } },
      })
  })

  t.test(`${name}: a megabyte is refused by the server, without a look at it`, async (t) => {
    const { app } = await createService(t, {}, { plugins: [door.plugin] })
    const token = sign({ alg: door.alg }, { ...door.claims, a: 'a'.repeat(1e6) }, KEY.privateKey)
    const answer = await ask(await listen(app), 'GET /ping', door.headers(token))
    t.equal(answer.status, 431)
    t.match(answer.json(), { result: false, data: null })
    t.notMatch(answer.body, token.slice(-100))
  })
}

t.test('clocks may differ by the skew', async (t) => {
  const { claims, headers } = doors.bearer as Door
  const { port } = await serve(t, doors.bearer as Door)
  const now = Date.now()
  // The clock stands still: what is between them is the skew alone.
  t.intercept(Date, 'now', { value: () => now })
  const expect = async (status: number, change: object) => {
    const token = sign({ alg: 'RS256' }, { exp: seconds(60), ...claims, ...change }, KEY.privateKey)
    const answer = await ask(port, 'GET /me', headers(token))
    t.equal(answer.status, status, JSON.stringify(change))
  }
  await expect(200, { exp: seconds(-2) })
  await expect(200, { nbf: seconds(3) })
  await expect(200, { iat: seconds(3) })
  await expect(401, { exp: seconds(-8) })
})

t.test('a token that was good ends when its time does', async (t) => {
  const { claims, headers } = doors.bearer as Door
  const { port } = await serve(t, doors.bearer as Door)
  const token = sign({ alg: 'RS256' }, { exp: seconds(60), ...claims }, KEY.privateKey)
  t.equal((await ask(port, 'GET /me', headers(token))).status, 200)
  const { now } = Date
  t.intercept(Date, 'now', { value: () => now() + 3_600_000 })
  const late = await ask(port, 'GET /me', headers(token))
  t.match(late.json(), { errors: [{ message: 'the token has expired' }] })
})
