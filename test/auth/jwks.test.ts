import { gzipSync } from 'node:zlib'
import Fastify, { type FastifyReply } from 'fastify'
import t, { type Test } from 'tap'
import bearer, { type BearerOptions } from '../../plugins/bearer.ts'
import deadline from '../../plugins/deadline.ts'
import envelope from '../../plugins/envelope.ts'
import health from '../../plugins/health.ts'
import { JWKS_LIMITS, Jwks } from '../../src/auth/jwks.ts'
import { passTime } from '../helpers/pass-time.ts'
import { ask as askFor, listen } from '../helpers/wire.ts'
import { ec, ed25519, type Pair, rsa, seconds, sign } from './tokens.ts'

const [A, B, WEAK] = [rsa(), rsa(), rsa(1024)]

interface Issuer {
  url: string
  /** How often it was asked for its keys. */
  asked: number
  answer: (reply: FastifyReply) => unknown
  close(): Promise<void>
}

/** What tells its keys, on a port of this machine. */
async function issue(t: Test, keys: readonly unknown[], port = 0): Promise<Issuer> {
  const app = Fastify({ forceCloseConnections: true })
  const issuer: Issuer = {
    url: '',
    asked: 0,
    answer: () => ({ keys }),
    close: () => app.close(),
  }
  app.get('/jwks', (_, reply) => {
    issuer.asked++
    return issuer.answer(reply)
  })
  t.teardown(() => app.close())
  issuer.url = `${await app.listen({ host: '127.0.0.1', port })}/jwks`
  return issuer
}

/** A service that asks `jwks`, what it logs, and what it answers to a token. */
async function serve(
  t: Test,
  jwks: string,
  options: BearerOptions & { requestTimeout?: number } = {},
) {
  const { requestTimeout = 0, ...own } = options
  const log: string[] = []
  const app = Fastify({ logger: { stream: { write: (line: string) => log.push(line) } } })
  t.teardown(() => app.close())
  await app.register(envelope)
  await app.register(health)
  await app.register(deadline, { timeout: requestTimeout })
  await app.register(bearer, { jwks, audience: false, ...own })
  app.get('/me', { onRequest: app.auth.required }, () => 'in')
  app.get('/maybe', { onRequest: app.auth.optional }, () => 'in')
  const port = await listen(app)
  const ask = (token: string, path = '/me') =>
    askFor(port, `GET ${path}`, { Authorization: `Bearer ${token}` })
  const status = async (token: string) => (await ask(token)).status
  return { app, port, log, ask, status }
}

function by({ privateKey }: Pair, kid?: string, header: object = {}): string {
  const claims = { sub: 'ann', exp: seconds(9999), jti: `${Math.random()}` }
  return sign({ alg: 'RS256', kid, ...header }, claims, privateKey)
}

const UNKNOWN = {
  code: 'UNAUTHENTICATED',
  errors: [{ message: 'the token is signed with a key that is not known here' }],
}
const AWAY = {
  result: false,
  code: 'AUTH_UNAVAILABLE',
  message:
    'Who asks cannot be found out right now: the keys of the issuer do not come; try again later',
  errors: null,
}

t.test('the keys are fetched once for all who wait, when the first token comes', async (t) => {
  const issuer = await issue(t, [A.jwk('a')])
  const { status, port } = await serve(t, issuer.url)
  t.equal((await askFor(port, 'GET /ping')).status, 200)
  t.equal(issuer.asked, 0)
  const all = await Promise.all(Array.from({ length: 20 }, () => status(by(A, 'a'))))
  t.strictSame(new Set(all), new Set([200]))
  t.equal(issuer.asked, 1)
})

t.test('fifty key names that are made up are one fetch, whatever they are', async (t) => {
  const pass = passTime(t)
  const issuer = await issue(t, [A.jwk('a')])
  const { ask, status } = await serve(t, issuer.url)
  const names = [
    '__proto__',
    'constructor',
    '../../etc/passwd',
    "' OR 1=1 --",
    '',
    'a\n',
    issuer.url,
  ]
  const made = Array.from({ length: 50 }, (_, at) => by(B, names[at] ?? `made-up-${at}`))
  const refused = async () => {
    const half = made.map((token, at) => (at % 2 ? ask(token) : undefined))
    for (const [at, token] of made.entries())
      t.match((await (half[at] ?? ask(token))).json(), UNKNOWN)
  }
  await refused()
  t.equal(issuer.asked, 1)
  t.equal(await status(by(A, 'a')), 200)
  t.equal(issuer.asked, 1)
  pass(JWKS_LIMITS.cooldown)
  await refused()
  t.equal(issuer.asked, 2)
})

t.test('a key is rotated while requests run', async (t) => {
  const pass = passTime(t)
  const keys = [A.jwk('a')]
  const issuer = await issue(t, keys)
  const { ask, status } = await serve(t, issuer.url)
  const old = by(A, 'a')
  let running = true
  const seen: number[] = []
  const others = Array.from({ length: 4 }, async () => {
    while (running) seen.push(await status(old))
  })
  t.equal(await status(old), 200)
  keys.push(B.jwk('b'))
  pass(JWKS_LIMITS.cooldown)
  t.equal(await status(by(B, 'b')), 200, 'a key that is new')
  t.equal(issuer.asked, 2)
  running = false
  await Promise.all(others)
  t.ok(seen.length > 0)
  t.strictSame(new Set(seen), new Set([200]), 'the old one counted all the time')

  keys.shift()
  pass(JWKS_LIMITS.maxAge + 1)
  // This one has it fetched, and does not wait.
  t.equal(await status(by(B, 'b')), 200)
  await until(async () => (await status(old)) === 401)
  t.match(
    (await ask(old)).json(),
    UNKNOWN,
    'what was verified by a key that is gone counts no more',
  )
  t.equal(await status(by(B, 'b')), 200)
  t.equal(issuer.asked, 3)
})

/** Asks until it is so; the test ends it. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo()));
}

t.test('an issuer that is away at the start is 503 until it answers', async (t) => {
  const pass = passTime(t)
  const gone = await issue(t, [])
  const port = Number(new URL(gone.url).port)
  await gone.close()
  const { ask, status, log, port: own } = await serve(t, gone.url)
  for (const path of ['/me', '/maybe']) {
    const answer = await ask(by(A, 'a'), path)
    t.equal(answer.status, 503)
    t.equal(answer.headers['retry-after'], '1')
    t.match(answer.json(), AWAY)
    t.notMatch(answer.body, `${port}`)
  }
  t.equal((await askFor(own, 'GET /readyz')).status, 503)
  const issuer = await issue(t, [A.jwk('a')], port)
  t.equal(await status(by(A, 'a')), 503, 'it is not asked by every request')
  t.equal(issuer.asked, 0)
  pass(JWKS_LIMITS.retry)
  t.equal(await status(by(A, 'a')), 200)
  t.equal((await askFor(own, 'GET /readyz')).status, 200)
  const told = log
    .filter((line) => line.includes('the keys of the issuer'))
    .map((line) => JSON.parse(line).level)
  t.strictSame(
    told.filter((level) => level < 50),
    [40, 30],
    'one line when they do not come, one when they do',
  )
})

t.test('an issuer that goes away: its keys count on, for a time', async (t) => {
  const pass = passTime(t)
  const issuer = await issue(t, [A.jwk('a')])
  const { ask, status } = await serve(t, issuer.url)
  const token = by(A, 'a')
  t.equal(await status(token), 200)
  issuer.answer = (reply) => reply.code(500).send('no')
  pass(JWKS_LIMITS.maxAge + 1)
  for (let i = 0; i < 10; i++) {
    t.equal(await status(token), 200)
    t.equal(await status(by(A, 'a')), 200)
  }
  t.match((await ask(by(B, 'b'))).json(), AWAY, 'of another key it cannot be told')
  t.equal(issuer.asked, 2, 'it is not asked by every request')
  pass(JWKS_LIMITS.maxStale)
  t.match((await ask(token)).json(), AWAY)
  t.match((await ask(by(A, 'a'))).json(), AWAY)
  t.equal(issuer.asked, 3)
})

const useless: Record<string, (reply: FastifyReply) => unknown> = {
  '404': (reply) => reply.code(404).send({ keys: [A.jwk('a')] }),
  'a page': (reply) => reply.type('text/html').send('<html>Log in</html>'),
  nothing: (reply) => reply.send(''),
  null: (reply) => reply.type('application/json').send('null'),
  'keys by name': () => ({ keys: { a: A.jwk('a') } }),
  'half of it': (reply) => reply.send(JSON.stringify({ keys: [A.jwk('a')] }).slice(0, -9)),
  'a connection that breaks': (reply) => {
    reply.hijack()
    reply.raw.writeHead(200, { 'content-length': 1000 })
    reply.raw.write('{"keys":[')
    setImmediate(() => reply.raw.destroy())
  },
  'half a megabyte': () => ({ keys: [A.jwk('a')], more: 'x'.repeat(500_000) }),
  'half a megabyte that was compressed': (reply) =>
    reply
      .header('content-encoding', 'gzip')
      .send(gzipSync(JSON.stringify({ keys: [A.jwk('a')], more: 'x'.repeat(500_000) }))),
  'too many keys': () => ({ keys: Array.from({ length: 101 }, (_, at) => A.jwk(`${at}`)) }),
  silence: (reply) => void reply.hijack(),
  'a head, and then silence': (reply) => {
    reply.hijack()
    reply.raw.writeHead(200)
    reply.raw.write('{"keys":[')
  },
  'a drip': (reply) => {
    reply.hijack()
    const drip = setInterval(() => reply.raw.write(' '), 20)
    reply.raw.on('close', () => clearInterval(drip))
  },
}

for (const [what, answer] of Object.entries(useless))
  t.test(`what an issuer answers is no list of keys: ${what}`, async (t) => {
    const issuer = await issue(t, [])
    // On a busy machine an issuer that is well has to answer within it, too.
    const timeout = /silence|drip/.test(what) ? 5000 : 10_000
    const { ask, status } = await serve(t, issuer.url, { jwksLimits: { timeout, retry: 0 } })
    issuer.answer = answer
    t.match((await ask(by(A, 'a'))).json(), AWAY)
    issuer.answer = () => ({ keys: [A.jwk('a')] })
    t.equal(await status(by(A, 'a')), 200)
    t.equal(issuer.asked, 2)
  })

t.test('an issuer that sends elsewhere is not followed', async (t) => {
  const other = await issue(t, [A.jwk('a')])
  const issuer = await issue(t, [])
  issuer.answer = (reply) => reply.redirect(other.url)
  const { ask } = await serve(t, issuer.url)
  t.match((await ask(by(A, 'a'))).json(), AWAY)
  t.equal(other.asked, 0)
})

t.test('a request waits for keys no longer than it may take', async (t) => {
  const issuer = await issue(t, [])
  issuer.answer = (reply) => void reply.hijack()
  const { ask } = await serve(t, issuer.url, {
    jwksLimits: { timeout: 60_000 },
    requestTimeout: 300,
  })
  // On a busy machine the deadline is told a moment before the keys are given up.
  t.match((await ask(by(A, 'a'))).json(), { code: /^(AUTH_UNAVAILABLE|DEADLINE_EXCEEDED)$/ })
})

t.test('what waits for keys ends when the app closes', async (t) => {
  const issuer = await issue(t, [])
  issuer.answer = (reply) => void reply.hijack()
  const keys = new Jwks(issuer.url, JWKS_LIMITS, Fastify().log)
  const ready = keys.ready()
  keys.close()
  await t.rejects(ready, { code: 'AUTH_UNAVAILABLE' })
})

t.test('keys of all kinds verify what goes with them, and nothing else', async (t) => {
  const [p256, p521, okp] = [ec(), ec('P-521'), ed25519()]
  const secret = 'a secret of the issuer, which it tells to everybody'
  const issuer = await issue(t, [
    { ...A.jwk('rs256'), alg: 'RS256' },
    { ...A.jwk('enc'), use: 'enc' },
    { ...A.jwk('wrap'), use: undefined, key_ops: ['wrapKey'] },
    WEAK.jwk('weak'),
    p256.jwk('p256'),
    p521.jwk('p521'),
    okp.jwk('okp'),
    { kty: 'oct', kid: 'oct', k: Buffer.from(secret).toString('base64url') },
    { kty: 'RSA', kid: 'odd', n: 5 },
    { ...ec('secp256k1').jwk('k1') },
    null,
    'text',
  ])
  const { status, log } = await serve(t, issuer.url)
  t.equal(await status(by(A, 'rs256')), 200)
  t.equal(await status(by(p256, 'p256', { alg: 'ES256' })), 200)
  t.equal(await status(by(p521, 'p521', { alg: 'ES512' })), 200)
  t.equal(await status(by(okp, 'okp', { alg: 'EdDSA' })), 200)
  t.equal(await status(by(A, 'rs256', { alg: 'RS512' })), 401, 'another algorithm than its own')
  t.equal(await status(by(A, 'p256')), 401, 'the name of another')
  t.equal(await status(by(A, 'enc')), 401)
  t.equal(await status(by(A, 'wrap')), 401)
  t.equal(await status(by(WEAK, 'weak')), 401)
  const claims = { sub: 'ann', exp: seconds(60) }
  t.equal(await status(sign({ alg: 'HS256', kid: 'oct' }, claims, secret)), 401)
  t.equal(await status(sign({ alg: 'HS256', kid: 'rs256' }, claims, A.pem)), 401)
  t.equal(await status(by(A)), 200, 'the only one that it can be')
  const problems = log.flatMap((line) => JSON.parse(line).problem ?? [])
  t.ok(problems.includes('an RSA key of 1024 bits, expected one of at least 2048'))
  t.equal(problems.length, 6)
})

t.test('a token that names no key is not tried with each', async (t) => {
  const issuer = await issue(t, [A.jwk('a'), B.jwk('b')])
  const { ask } = await serve(t, issuer.url)
  t.match((await ask(by(A))).json(), UNKNOWN)
})
