import { createHash, createHmac } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:http2'
import { text } from 'node:stream/consumers'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import redis from '../../plugins/redis.ts'
import signature, { type SignatureOptions } from '../../plugins/signature.ts'
import { type Signable, signRequest } from '../../src/auth/signature.ts'
import { failure } from '../helpers/app.ts'
import { PATIENT, redisUrl } from '../helpers/drivers.ts'
import { ownRedis } from '../helpers/own-redis.ts'

const SECRET = 's'.repeat(32)
const BILLING = { app: 'billing', secret: SECRET }

interface Served {
  app: FastifyInstance
  origin: string
}

async function serve(t: Test, options: SignatureOptions = {}, redisOf?: string): Promise<Served> {
  const app = Fastify()
  t.teardown(() => app.close())
  if (redisOf) await app.register(redis, { url: redisOf, ...PATIENT })
  await app.register(signature, { secrets: { billing: SECRET, shop: 'x'.repeat(40) }, ...options })
  const config = { onRequest: app.auth.required }
  app.all('/things', config, ({ auth, body }) => ({ user: auth?.user.id, app: auth?.app, body }))
  app.get('/admin', config, () => 'admin')
  return { app, origin: await app.listen({ host: '127.0.0.1', port: 0 }) }
}

const JSON_TYPE = { 'content-type': 'application/json' }

async function sign({ origin }: Served, request: Partial<Signable> = {}, as = BILLING) {
  return await signRequest(
    { method: 'GET', headers: {}, ...request, url: `${origin}${request.url ?? '/things'}` },
    as,
  )
}

async function send({ origin }: Served, path: string, init: RequestInit) {
  const answer = await fetch(`${origin}${path}`, init)
  const text = await answer.text()
  return { status: answer.status, text, challenge: answer.headers.get('www-authenticate') }
}

t.test('a signed request is that of the app', async (t) => {
  const served = await serve(t)
  const got = await send(served, '/things', { headers: await sign(served) })
  t.strictSame(JSON.parse(got.text), { user: 'app:billing', app: 'billing' })
  const body = '{"n":1}'
  const headers = await sign(served, { method: 'POST', body, headers: JSON_TYPE })
  const posted = await send(served, '/things', { method: 'POST', headers, body })
  t.strictSame(JSON.parse(posted.text), { user: 'app:billing', app: 'billing', body: { n: 1 } })
  t.match(await send(served, '/things', {}), { status: 401, challenge: 'Signature' })
  const shop = await sign(served, {}, { app: 'shop', secret: 'x'.repeat(40) })
  t.match(await send(served, '/things', { headers: shop }), { status: 200, text: /app:shop/ })
})

t.test('a signature counts once, in all processes', async (t) => {
  for (const url of [undefined, redisUrl()]) {
    const one = await serve(t, {}, url)
    const headers = await sign(one)
    t.equal((await send(one, '/things', { headers })).status, 200)
    t.equal((await send(one, '/things', { headers })).status, 401)
    if (!url) continue
    const other = await serve(t, {}, url)
    const host = new URL(one.origin).host
    const answer = await other.app.inject({ url: '/things', headers: { ...headers, host } })
    t.equal(answer.statusCode, 401, 'of another process, too')
  }
})

t.test('where it cannot be told what was used, nobody is let in', async (t) => {
  const server = await ownRedis(t)
  const served = await serve(t, {}, server.url)
  t.equal((await send(served, '/things', { headers: await sign(served) })).status, 200)
  await server.kill()
  t.equal((await send(served, '/things', { headers: await sign(served) })).status, 503)
})

t.test('what was not signed so is refused', async (t) => {
  const served = await serve(t, { skew: 1000 })
  const get = (headers: Record<string, string>, path = '/things') => send(served, path, { headers })
  const post = (headers: Record<string, string>, body: string) =>
    send(served, '/things', { method: 'POST', headers, body })
  const refused = async (name: string, answer: ReturnType<typeof send>) => {
    const { status, text } = await answer
    t.equal(status, 401, `${name}: ${text}`)
    t.notMatch(text, SECRET)
  }
  const body = '{"n":1}'
  const signed = await sign(served)
  await refused(
    'another secret',
    get(await sign(served, {}, { ...BILLING, secret: 'y'.repeat(32) })),
  )
  await refused(
    'an app that nobody knows',
    get(await sign(served, {}, { app: 'nobody', secret: SECRET })),
  )
  await refused('another path', get(signed, '/admin'))
  await refused('another query', get(signed, '/things?all=1'))
  await refused('another method', send(served, '/things', { method: 'DELETE', headers: signed }))
  await refused('half of it', get({ signature: signed.signature ?? '' }))
  await refused('the other half', get({ 'signature-input': signed['signature-input'] ?? '' }))
  await refused('no structured field', get({ signature: '(((', 'signature-input': '(((' }))
  await refused(
    'another body',
    post(await sign(served, { method: 'POST', body, headers: JSON_TYPE }), '{"n":2}'),
  )
  const unsigned = await sign(served, { method: 'POST', headers: JSON_TYPE })
  await refused('a body that is not signed', post(unsigned, body))
  const digest = `sha-256=:${createHash('sha256').update(body).digest('base64')}:`
  await refused(
    'a digest that is not signed',
    post({ ...unsigned, 'content-digest': digest }, body),
  )
  t.equal((await get(signed)).status, 200, 'what was refused has not used it up')
})

t.test('each parameter and component has to be there, and be what it should', async (t) => {
  const served = await serve(t)
  const { host } = new URL(served.origin)
  const now = Math.floor(Date.now() / 1000)
  const all = '"@method" "@authority" "@path" "@query"'
  let count = 0
  /** By hand, as RFC 9421, 2.5 has it. */
  const byHand = (parameters: string, components = all) => {
    const input = `(${components});${parameters}`
    const values: Record<string, string> = {
      '@method': 'GET',
      '@authority': host,
      '@path': '/things',
      '@query': '?',
    }
    const lines = components.split(' ').map((name) => `${name}: ${values[name.slice(1, -1)]}`)
    const base = [...lines, `"@signature-params": ${input}`].join('\n')
    const mac = createHmac('sha256', SECRET).update(base).digest('base64')
    return { 'signature-input': `sig=${input}`, signature: `sig=:${mac}:` }
  }
  const nonce = () => `nonce="${++count}-${now}-long"`
  const alg = 'keyid="billing";alg="hmac-sha256"'
  const ask = async (headers: Record<string, string>) =>
    (await send(served, '/things', { headers })).status
  t.equal(await ask(byHand(`created=${now};${nonce()};${alg}`)), 200)
  const bad: Record<string, Record<string, string>> = {
    'no created': byHand(`${nonce()};${alg}`),
    'an hour old': byHand(`created=${now - 3600};${nonce()};${alg}`),
    'an hour ahead': byHand(`created=${now + 3600};${nonce()};${alg}`),
    'created a text': byHand(`created="now";${nonce()};${alg}`),
    expired: byHand(`created=${now};expires=${now - 600};${nonce()};${alg}`),
    'no nonce': byHand(`created=${now};${alg}`),
    'a short nonce': byHand(`created=${now};nonce="1";${alg}`),
    'another algorithm': byHand(`created=${now};${nonce()};keyid="billing";alg="none"`),
    'no algorithm': byHand(`created=${now};${nonce()};keyid="billing"`),
    'no path': byHand(`created=${now};${nonce()};${alg}`, '"@method" "@authority" "@query"'),
    'no host': byHand(`created=${now};${nonce()};${alg}`, '"@method" "@path" "@query"'),
  }
  for (const [name, headers] of Object.entries(bad)) t.equal(await ask(headers), 401, name)
  const one = byHand(`created=${now};${nonce()};${alg}`)
  const two = {
    'signature-input': `${one['signature-input']}, b=${one['signature-input'].slice(4)}`,
    signature: `${one.signature}, b=${one.signature.slice(4)}`,
  }
  t.equal(await ask(two), 401, 'two signatures')
})

t.test('secrets come from the environment, and none is short', async (t) => {
  const register = (options: object) =>
    Fastify()
      .register(signature, options as SignatureOptions)
      .ready()
  for (const secrets of [undefined, {}, { billing: 'short' }, { billing: [SECRET, 1] }]) {
    const told = await failure(register(secrets ? { secrets } : {}) as never)
    t.equal(told.code, 'PLUGIN_OPTION_INVALID')
    t.notMatch(told.message, SECRET)
  }
  process.env.APP_SECRETS = `billing=${SECRET},billing=${'z'.repeat(32)}`
  t.teardown(() => delete process.env.APP_SECRETS)
  const served = await serve(t, { secrets: undefined as never })
  for (const secret of [SECRET, 'z'.repeat(32)])
    t.equal(
      (await send(served, '/things', { headers: await sign(served, {}, { ...BILLING, secret }) }))
        .status,
      200,
    )
})

t.test('over HTTP/2, where no header tells of a body, it is signed all the same', async (t) => {
  const app = Fastify({ http2: true })
  t.teardown(() => app.close())
  await app.register(signature as never, { secrets: { billing: SECRET } } as never)
  app.post('/things', { onRequest: app.auth.required as never }, ({ body }) => body ?? 'nothing')
  const origin = await app.listen({ host: '127.0.0.1', port: 0 })
  const session = connect(origin)
  t.teardown(() => session.close())
  const post = async (body: string, signed: string | undefined) => {
    const headers = await signRequest(
      {
        method: 'POST',
        url: `${origin}/things`,
        headers: JSON_TYPE,
        ...(signed && { body: signed }),
      },
      BILLING,
    )
    const stream = session.request({ ':method': 'POST', ':path': '/things', ...headers })
    stream.end(body)
    const [answer] = await once(stream, 'response')
    return [answer[':status'], await text(stream)]
  }
  t.strictSame(await post('{"n":1}', '{"n":1}'), [200, '{"n":1}'])
  t.match(await post('{"n":1}', undefined), [401])
  t.match(await post('{"n":2}', '{"n":1}'), [401])
})

t.test('an app that is named acts for users, whose ids it has signed', async (t) => {
  const asked: string[] = []
  const loadUser = (id: string) => {
    asked.push(id)
    if (id === 'down') throw new Error('no database')
    if (id === 'other') return { id: 'another' }
    return id === 'gone' ? undefined : { id }
  }
  const served = await serve(t, { actFor: ['billing'], loadUser })
  const actFor = async (id: string, as = BILLING) => {
    const headers = await sign(served, { headers: { 'x-act-for': encodeURIComponent(id) } }, as)
    return await send(served, '/things', { headers })
  }
  t.strictSame(JSON.parse((await actFor('Zoë, 7')).text), { user: 'Zoë, 7', app: 'billing' })
  const shop = { app: 'shop', secret: 'x'.repeat(40) }
  t.match(await actFor('ann', shop), { status: 401 })
  t.match(await actFor('gone'), { status: 401 })
  t.equal((await actFor('other')).status, 401)
  t.match(await actFor('down'), { status: 503, text: /AUTH_UNAVAILABLE/ })
  const plain = await sign(served)
  const added = await send(served, '/things', { headers: { ...plain, 'x-act-for': 'ann' } })
  t.match(added, { status: 401 }, 'it has to be signed, too')
  const signed = await sign(served, { headers: { 'x-act-for': 'ann' } })
  const changed = await send(served, '/things', { headers: { ...signed, 'x-act-for': 'bob' } })
  t.match(changed, { status: 401 })
  const bad = await sign(served, { headers: { 'x-act-for': '%' } })
  t.match(await send(served, '/things', { headers: bad }), { status: 401 })
  t.strictSame(asked, ['Zoë, 7', 'gone', 'other', 'down'], 'nobody else has been looked for')
  const told = await failure(serve(t, { actFor: ['billing'] }))
  t.match(told, { code: 'PLUGIN_OPTION_INVALID', message: /loadUser/ })
})
