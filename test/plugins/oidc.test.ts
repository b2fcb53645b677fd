import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { Server } from 'node:http'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import Provider from 'oidc-provider'
import t, { type Test } from 'tap'
import deadline from '../../plugins/deadline.ts'
import envelope from '../../plugins/envelope.ts'
import oidc, { type OidcOptions } from '../../plugins/oidc.ts'
import session from '../../plugins/session.ts'
import { rsa, seconds, sign } from '../auth/tokens.ts'
import { createService } from '../helpers/app.ts'
import { listen } from '../helpers/wire.ts'
import { freePort } from '../servers/ready.ts'

const SECRET = 'a secret of sessions for tests alone'
const CLIENT = { clientId: 'shop', clientSecret: 'a-secret-that-only-the-provider-knows' }
const OWN = { 'sec-fetch-site': 'same-origin' }

interface Seen {
  status: number
  /** Where it was found. */
  url: string
  /** Where it sends on to. */
  location: string
  cookies: readonly string[]
  text: string
  json: () => Record<string, unknown>
}

/** Keeps the cookies of each origin, as a browser does. */
class Browser {
  readonly jar = new Map<string, Map<string, string>>()

  /** One request. */
  async ask(url: string, init: RequestInit = {}): Promise<Seen> {
    const { origin } = new URL(url)
    const own = this.jar.get(origin) ?? new Map<string, string>()
    this.jar.set(origin, own)
    const cookie = [...own].map(([name, value]) => `${name}=${value}`).join('; ')
    const headers = { ...(cookie && { cookie }), ...(init.headers as object) }
    const answer = await fetch(url, { ...init, headers, redirect: 'manual' })
    const cookies = answer.headers.getSetCookie()
    for (const set of cookies) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(set) ?? []
      if (value === '' || /Max-Age=0\b/.test(set)) own.delete(name)
      else own.set(name, value)
    }
    const text = await answer.text()
    const to = answer.headers.get('location')
    const location = to === null ? '' : new URL(to, url).href
    return { status: answer.status, url, location, cookies, text, json: () => JSON.parse(text) }
  }

  /** Follows wherever it is sent, and logs in as `user` and agrees where it is asked that. */
  async visit(start: string, user: string, until = (_url: string) => false): Promise<Seen> {
    let seen = await this.ask(start, { headers: { accept: 'text/html' } })
    for (let step = 0; step < 30; step++) {
      if (seen.location && until(seen.location)) return seen
      const [, action = ''] = /action="([^"]+)"/.exec(seen.text) ?? []
      const [, prompt = ''] = /name="prompt" value="(\w+)"/.exec(seen.text) ?? []
      if (seen.location) seen = await this.ask(seen.location, { headers: { accept: 'text/html' } })
      else if (action && prompt) {
        const body = new URLSearchParams({ prompt, login: user, password: 'any' })
        seen = await this.ask(new URL(action, seen.url).href, { method: 'POST', body })
      } else return seen
    }
    throw new Error(`no end at ${seen.url}`)
  }
}

interface Given extends Partial<OidcOptions> {
  requestTimeout?: number
}

/** A service where people log in by `issuer`. */
async function serve(t: Test, issuer: string, { requestTimeout = 0, ...options }: Given = {}) {
  const log: string[] = []
  const stream = { write: (line: string) => log.push(line) }
  const app = Fastify({ disableRequestLogging: true, logger: { level: 'info', stream } })
  t.teardown(() => app.close())
  await app.register(envelope)
  await app.register(deadline, { timeout: requestTimeout })
  await app.register(session, { secret: SECRET })
  await app.register(oidc, { issuer, ...CLIENT, ...options })
  app.get('/me', { onRequest: app.auth.required }, ({ auth }) => auth?.user)
  app.get('/page', () => 'a page')
  const url = `http://127.0.0.1:${await listen(app)}`
  const who = async (browser: Browser) => {
    const { status, json } = await browser.ask(`${url}/me`)
    return status === 200 ? json() : status
  }
  return { app, url, log, who }
}

/** A real provider, which knows a client at `service`. */
async function provide(t: Test, port: number, service: string, settings: object = {}) {
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    clients: [
      {
        client_id: CLIENT.clientId,
        client_secret: CLIENT.clientSecret,
        redirect_uris: [`${service}/oidc/callback`],
        post_logout_redirect_uris: [`${service}/`, `${service}/bye`],
        ...settings,
      },
    ],
    cookies: { keys: ['a key for cookies'] },
    pkce: { required: () => true },
    features: { backchannelLogout: { enabled: true } },
    // Its dispatcher reaches public addresses alone.
    fetch: (url, { dispatcher: _, ...init } = {}) => fetch(url, init),
    claims: { openid: ['sub'], profile: ['name'] },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: `Name of ${id}` }) }),
  })
  const server: Server = provider.listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => void server.close().closeAllConnections())
}

/** A service and its provider. */
async function real(t: Test, options: Given = {}, settings?: object) {
  const port = await freePort()
  const service = await serve(t, `http://127.0.0.1:${port}`, options)
  await provide(t, port, service.url, settings)
  return { ...service, issuer: `http://127.0.0.1:${port}` }
}

t.test('a person logs in by a provider, and out of both', async (t) => {
  const { url, issuer, who, log } = await real(t)
  const ann = new Browser()
  const before = await ann.ask(`${url}/me`)
  t.match(before.json(), { code: 'UNAUTHENTICATED', data: { login_url: '/oidc/login' } })
  const sent = await ann.ask(`${url}/me?a=1`, { headers: { accept: 'text/html' } })
  t.equal(sent.location, `${url}/oidc/login?next=%2Fme%3Fa%3D1`)
  const last = await ann.visit(`${url}/me?a=1`, 'ann')
  t.equal(last.url, `${url}/me?a=1`)
  t.strictSame(await who(ann), { id: 'ann' })
  const mine = ann.jar.get(url)
  t.strictSame([...(mine?.keys() ?? [])], ['session'], 'of the login nothing is left')

  t.equal((await ann.ask(`${url}/oidc/logout`, { method: 'POST' })).status, 403)
  const cross = { 'sec-fetch-site': 'cross-site' }
  t.equal((await ann.ask(`${url}/oidc/logout`, { method: 'POST', headers: cross })).status, 403)
  t.equal((await ann.ask(`${url}/oidc/logout`)).status, 405)
  t.strictSame(await who(ann), { id: 'ann' })
  const out = await ann.ask(`${url}/oidc/logout`, {
    method: 'POST',
    headers: { ...OWN, accept: 'text/html,*/*' },
    body: new URLSearchParams(),
  })
  t.equal(out.status, 303)
  const end = new URL(out.location)
  t.equal(end.origin + end.pathname, `${issuer}/session/end`)
  t.strictSame(Object.fromEntries(end.searchParams), {
    client_id: 'shop',
    post_logout_redirect_uri: `${url}/`,
  })
  t.equal(await who(ann), 401)
  const form = await ann.ask(out.location)
  const [, xsrf = ''] = /name="xsrf" value="(\w+)"/.exec(form.text) ?? []
  const back = await ann.ask(`${issuer}/session/end/confirm`, {
    method: 'POST',
    body: new URLSearchParams({ xsrf, logout: 'yes' }),
  })
  t.equal(back.location, `${url}/`)
  t.notMatch(log.join('\n'), CLIENT.clientSecret)
})

t.test('at logout the provider is shown the ID token of the login that ends', async (t) => {
  const { url, issuer, who, log } = await real(t, { idTokenHint: true })
  const ann = new Browser()
  await ann.visit(`${url}/oidc/login?next=/page`, 'ann')
  const logOut = (headers: Record<string, string>) =>
    ann.ask(`${url}/oidc/logout`, { method: 'POST', headers })
  t.equal((await logOut({ 'sec-fetch-site': 'cross-site' })).status, 403)
  const cookie = ann.jar.get(url)?.get('session') ?? ''
  const end = new URL((await logOut({ ...OWN, accept: 'text/html' })).location)
  t.equal(end.origin + end.pathname, `${issuer}/session/end`)
  const hint = end.searchParams.get('id_token_hint') ?? ''
  const [, payload = ''] = hint.split('.')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
  t.match(claims, { iss: issuer, aud: 'shop', sub: 'ann' })
  t.notOk(log.join('\n').includes(hint))
  t.match((await ann.ask(end.href)).text, 'op.logoutForm', 'which the provider takes')
  end.searchParams.set('id_token_hint', hint.replace(/.{20}$/, 'x'.repeat(20)))
  t.equal((await ann.ask(end.href)).status, 400, 'and looks at')

  t.equal(await who(ann), 401)
  ann.jar.get(url)?.set('session', cookie)
  const again = new URL((await logOut({ ...OWN, accept: 'text/html' })).location)
  t.equal(
    again.searchParams.get('id_token_hint'),
    null,
    'of a session that has ended there is none',
  )
})

t.test('a session is ended by the page of a provider in whose frame this one is', async (t) => {
  const sids: unknown[] = []
  const { url, issuer, who } = await real(
    t,
    {
      frontchannelLogout: true,
      toUser: async ({ sub, sid }) => {
        sids.push(sid)
        return { id: String(sub) }
      },
    },
    { backchannel_logout_session_required: true, backchannel_logout_uri: 'http://127.0.0.1:1/' },
  )
  const [ann, too, bob] = [new Browser(), new Browser(), new Browser()]
  await ann.visit(`${url}/oidc/login?next=/page`, 'ann')
  await too.visit(`${url}/oidc/login?next=/page`, 'ann')
  await bob.visit(`${url}/oidc/login?next=/page`, 'bob')
  const [sid] = sids as [string]
  // A frame of another site has no cookies.
  const frame = (query: Record<string, string> | string) =>
    new Browser().ask(`${url}/oidc/frontchannel-logout?${new URLSearchParams(query)}`)
  for (const query of [
    { iss: issuer },
    { sid },
    { iss: '', sid },
    `iss=${issuer}&sid=a&sid=${sid}`,
  ])
    t.match((await frame(query)).json(), { code: 'INVALID_REQUEST' })
  for (const query of [
    { iss: 'https://evil.example', sid },
    { iss: issuer, sid: 'another' },
  ])
    t.equal((await frame(query)).status, 200)
  t.strictSame(await who(ann), { id: 'ann' }, 'nothing of that has ended it')
  const answer = await fetch(
    `${url}/oidc/frontchannel-logout?${new URLSearchParams({ iss: issuer, sid })}`,
  )
  t.equal(answer.status, 200)
  t.match(Object.fromEntries(answer.headers), {
    'cache-control': 'no-store',
    'content-security-policy': `default-src 'none'; frame-ancestors ${issuer}`,
    'content-type': 'text/html; charset=utf-8',
  })
  t.strictSame(
    [await who(ann), await who(too), await who(bob)],
    [401, { id: 'ann' }, { id: 'bob' }],
  )
  const { url: without } = await serve(t, issuer)
  t.equal((await new Browser().ask(`${without}/oidc/frontchannel-logout`)).status, 404)
})

t.test('the routes, the user and where it ends are for the service to say', async (t) => {
  const { url, issuer, who } = await real(
    t,
    {
      prefix: '/sso',
      userinfo: true,
      loggedOut: '/bye',
      scopes: ['openid', 'profile'],
      callback: undefined as never,
      toUser: async ({ sub, name }) =>
        sub === 'eve' ? undefined : { id: `x:${sub}`, name: String(name) },
    },
    { redirect_uris: ['http://127.0.0.1/sso/callback'], application_type: 'native' },
  )
  const ann = new Browser()
  await ann.visit(`${url}/sso/login?next=/page`, 'ann')
  t.strictSame(await who(ann), { id: 'x:ann', name: 'Name of ann' })
  const out = await ann.ask(`${url}/sso/logout`, { method: 'POST', headers: OWN })
  t.equal(out.status, 200)
  t.ok(JSON.stringify(out.json()).includes(`${issuer}/session/end?`))
  const eve = new Browser()
  const { status, json } = await eve.visit(`${url}/sso/login`, 'eve')
  t.equal(status, 401)
  t.match(json(), {
    code: 'UNAUTHENTICATED',
    errors: [{ message: 'the login: nobody who is known here' }],
    data: { login_url: '/sso/login' },
  })
  t.equal(await who(eve), 401)
})

t.test('a provider that takes the secret in the body, and one that takes none', async (t) => {
  for (const [method, options] of [
    ['client_secret_basic', {}],
    ['client_secret_post', {}],
    ['none', { clientSecret: '' }],
  ] as const) {
    const port = await freePort()
    const { clientSecret: _, ...open } = CLIENT
    const service = await serve(t, `http://127.0.0.1:${port}`, {
      ...(method === 'none' ? { ...open, clientSecret: undefined as never } : options),
    })
    const provider = { token_endpoint_auth_method: method }
    await provide(t, port, service.url, provider)
    if (method === 'client_secret_post') {
      const fetched = globalThis.fetch
      t.intercept(globalThis, 'fetch', {
        value: async (url: string, init: RequestInit) => {
          const answer = await fetched(url, init)
          if (!String(url).includes('.well-known')) return answer
          const told = {
            ...((await answer.json()) as object),
            token_endpoint_auth_methods_supported: [method],
          }
          return Response.json(told)
        },
      })
    }
    const ann = new Browser()
    const { status, text } = await ann.visit(`${service.url}/oidc/login?next=/page`, 'ann')
    t.strictSame([status, text], [200, 'a page'], method)
    t.strictSame(await service.who(ann), { id: 'ann' }, method)
  }
})

t.test('a login is of the browser that has begun it, and good once', async (t) => {
  const { url, who } = await real(t)
  const isBack = (to: string) => to.startsWith(`${url}/oidc/callback`)
  const mallory = new Browser()
  const { location } = await mallory.visit(`${url}/oidc/login`, 'mallory', isBack)
  const victim = new Browser()
  const told = await victim.ask(location)
  t.equal(told.status, 401)
  t.match(told.json(), {
    errors: [{ message: 'the login: it was not begun in this browser, or is over: begin again' }],
  })
  t.equal(await who(victim), 401)

  // Nor by one of its own that the victim has begun.
  const own = await victim.visit(`${url}/oidc/login`, 'victim', isBack)
  const mixed = new URL(location)
  mixed.searchParams.set('state', new URL(own.location).searchParams.get('state') ?? '')
  const { status, json } = await victim.ask(mixed.href)
  t.equal(status, 401)
  t.match(json(), { errors: [{ message: 'the login: the code is not good any more' }] })
  t.equal(await who(victim), 401)
  t.equal((await victim.ask(own.location)).status, 401, 'that one is over, too')

  const ann = new Browser()
  const end = await ann.visit(`${url}/oidc/login`, 'ann', isBack)
  const kept = new Map(ann.jar.get(url))
  t.equal((await ann.ask(end.location)).status, 302)
  t.strictSame(await who(ann), { id: 'ann' })
  const again = new Browser()
  again.jar.set(url, kept)
  t.equal((await again.ask(end.location)).status, 401, 'with the cookie, too')
  t.equal(await who(again), 401)
})

t.test('two tabs do not disturb each other, and many do not make a request too long', async (t) => {
  const { url, who } = await real(t)
  const isBack = (to: string) => to.startsWith(`${url}/oidc/callback`)
  const ann = new Browser()
  const one = await ann.visit(`${url}/oidc/login?next=/page`, 'ann', isBack)
  const two = await ann.visit(`${url}/oidc/login?next=/me`, 'ann', isBack)
  t.equal((await ann.ask(two.location)).location, `${url}/me`)
  t.equal((await ann.ask(one.location)).location, `${url}/page`)
  t.strictSame(await who(ann), { id: 'ann' })
  for (let count = 0; count < 12; count++) await ann.ask(`${url}/oidc/login`)
  t.ok((ann.jar.get(url)?.size ?? 0) <= 6)
})

t.test('a session that was there before the login is another afterwards', async (t) => {
  const { url, who } = await real(t)
  const mallory = new Browser()
  await mallory.visit(`${url}/oidc/login?next=/page`, 'mallory')
  const victim = new Browser()
  victim.jar.set(url, new Map(mallory.jar.get(url)))
  await victim.visit(`${url}/oidc/login?next=/page`, 'victim')
  t.strictSame(await who(victim), { id: 'victim' })
  t.equal(await who(mallory), 401)
})

for (const isNamed of [true, false])
  t.test(
    `who logs out of the provider is out of the service (${isNamed ? 'of that login' : 'of all'})`,
    async (t) => {
      const port = await freePort()
      const issuer = `http://127.0.0.1:${port}`
      const { url, who } = await serve(t, issuer, { backchannelLogout: true })
      await provide(t, port, url, {
        backchannel_logout_uri: `${url}/oidc/backchannel-logout`,
        backchannel_logout_session_required: isNamed,
      })
      const [here, there, bob] = [new Browser(), new Browser(), new Browser()]
      await here.visit(`${url}/oidc/login?next=/page`, 'ann')
      await there.visit(`${url}/oidc/login?next=/page`, 'ann')
      await bob.visit(`${url}/oidc/login?next=/page`, 'bob')
      const all = async () => [await who(here), await who(there), await who(bob)]
      t.strictSame(await all(), [{ id: 'ann' }, { id: 'ann' }, { id: 'bob' }])
      await logOutOfProvider(here, issuer)
      t.strictSame(await all(), [401, isNamed ? { id: 'ann' } : 401, { id: 'bob' }])
      await here.visit(`${url}/oidc/login?next=/page`, 'ann')
      t.strictSame(await who(here), { id: 'ann' }, 'and may come back')
    },
  )

async function logOutOfProvider(browser: Browser, issuer: string): Promise<void> {
  const form = await browser.ask(`${issuer}/session/end`)
  const [, xsrf = ''] = /name="xsrf" value="(\w+)"/.exec(form.text) ?? []
  await browser.ask(`${issuer}/session/end/confirm`, {
    method: 'POST',
    body: new URLSearchParams({ xsrf, logout: 'yes' }),
  })
}

/** What pretends to be a provider. */
interface Fake {
  url: string
  /** How often it was asked what it is. */
  asked: number
  tokens: number
  close: () => Promise<void>
  metadata: (reply: FastifyReply) => unknown
  keys: (reply: FastifyReply) => unknown
  token: (body: URLSearchParams, reply: FastifyReply) => unknown
}

const [KEY, OTHER] = [rsa(), rsa()]

async function fake(t: Test, port = 0): Promise<Fake> {
  const app = Fastify({ forceCloseConnections: true })
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    async (_: unknown, body: string) => new URLSearchParams(body),
  )
  const made: Fake = {
    url: '',
    asked: 0,
    tokens: 0,
    close: () => app.close(),
    metadata: () => metadataOf(made.url),
    keys: () => ({ keys: [KEY.jwk('a')] }),
    token: () => ({}),
  }
  app.get('/.well-known/openid-configuration', (_, reply) => {
    made.asked++
    return made.metadata(reply)
  })
  app.get('/jwks', (_, reply) => made.keys(reply))
  app.post('/token', ({ body }, reply) => {
    made.tokens++
    return made.token(body as URLSearchParams, reply)
  })
  t.teardown(() => app.close())
  made.url = await app.listen({ host: '127.0.0.1', port })
  return made
}

function metadataOf(url: string): Record<string, unknown> {
  return {
    issuer: url,
    authorization_endpoint: `${url}/auth`,
    token_endpoint: `${url}/token`,
    jwks_uri: `${url}/jwks`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256', 'HS256', 'none'],
  }
}

/** What an ID token says of somebody who has logged in to the service. */
function claimsOf({ url }: { url: string }, nonce: string) {
  return { iss: url, aud: 'shop', sub: 'ann', nonce, iat: seconds(0), exp: seconds(60) }
}

/** Begins a login, and comes back with what the provider is to have said. */
async function comeBack(service: string, browser: Browser, said: Record<string, string> = {}) {
  const { location } = await browser.ask(`${service}/oidc/login`)
  const { state = '', nonce = '' } = Object.fromEntries(new URL(location).searchParams)
  const callback = new URL(`${service}/oidc/callback`)
  callback.search = new URLSearchParams({ code: 'a-code', state, ...said }).toString()
  return { callback: callback.href, nonce }
}

type Forge = (claims: Record<string, unknown>) => string | undefined | object
const forged: Record<string, Forge> = {
  'another issuer': (claims) => signed({ ...claims, iss: 'https://evil.example' }),
  'no issuer': ({ iss: _, ...claims }) => signed(claims),
  'another audience': (claims) => signed({ ...claims, aud: 'other' }),
  'an audience of two, issued to the other': (claims) =>
    signed({ ...claims, aud: ['shop', 'other'], azp: 'other' }),
  'another nonce': (claims) => signed({ ...claims, nonce: 'x'.repeat(43) }),
  'no nonce': ({ nonce: _, ...claims }) => signed(claims),
  'it has expired': (claims) => signed({ ...claims, exp: seconds(-3600) }),
  'it does not end': ({ exp: _, ...claims }) => signed(claims),
  'it is not valid yet': (claims) => signed({ ...claims, nbf: seconds(3600) }),
  'no subject': ({ sub: _, ...claims }) => signed(claims),
  'not signed': (claims) => sign({ alg: 'none' }, claims),
  'not signed, though it says so': (claims) => sign({ alg: 'RS256', kid: 'a' }, claims),
  'signed by another key': (claims) => sign({ alg: 'RS256', kid: 'a' }, claims, OTHER.privateKey),
  'signed by a key that it names itself': (claims) =>
    sign({ alg: 'RS256', jwk: OTHER.jwk('b') }, claims, OTHER.privateKey),
  'signed by a key that nobody knows': (claims) =>
    sign({ alg: 'RS256', kid: 'b' }, claims, OTHER.privateKey),
  'signed with the public key': (claims) => sign({ alg: 'HS256', kid: 'a' }, claims, KEY.pem),
  'signed with the secret of the client': (claims) =>
    sign({ alg: 'HS256' }, claims, CLIENT.clientSecret),
  'an algorithm that nobody has said': (claims) =>
    sign({ alg: 'RS512', kid: 'a' }, claims, KEY.privateKey),
  'an extension': (claims) =>
    sign({ alg: 'RS256', kid: 'a', crit: ['x'], x: 1 }, claims, KEY.privateKey),
  'claims that are none': () => sign({ alg: 'RS256', kid: 'a' }, '[]', KEY.privateKey),
  'no token': () => undefined,
  'what is no token': () => 'a.b',
}

function signed(claims: object): string {
  return sign({ alg: 'RS256', kid: 'a' }, claims, KEY.privateKey)
}

function tokens(id_token: unknown) {
  return {
    access_token: 'an-access-token',
    token_type: 'Bearer',
    ...(id_token !== undefined && { id_token }),
  }
}

for (const [what, forge] of Object.entries({ ...forged, '': signed }))
  t.test(what ? `refused: ${what}` : 'one that is right is let in', async (t) => {
    const provider = await fake(t)
    const { url, who, log } = await serve(t, provider.url)
    const browser = new Browser()
    const { callback, nonce } = await comeBack(url, browser)
    const claims = claimsOf(provider, nonce)
    const id = forge(claims)
    provider.token = () => tokens(id)
    const { status, json } = await browser.ask(callback)
    t.equal(provider.tokens, 1)
    if (what) {
      t.equal(status, 401)
      t.match(json(), {
        code: 'UNAUTHENTICATED',
        errors: [{ message: /^the login: what the provider says is not valid: / }],
      })
      t.equal(await who(browser), 401)
    } else {
      t.equal(status, 302)
      t.strictSame(await who(browser), { id: 'ann' })
    }
    for (const secret of [
      'an-access-token',
      'a-code',
      CLIENT.clientSecret,
      ...(id ? [String(id)] : []),
    ])
      t.notOk(log.join('\n').includes(secret))
  })

const LOGOUT = 'http://schemas.openid.net/event/backchannel-logout'

/** What a logout token says of ann's login `s1`. */
function logoutOf({ url }: { url: string }): Record<string, unknown> {
  const times = { iat: seconds(0), exp: seconds(120) }
  return {
    iss: url,
    aud: 'shop',
    sub: 'ann',
    sid: 's1',
    jti: randomUUID(),
    ...times,
    events: { [LOGOUT]: {} },
  }
}

const forgedLogouts: Record<string, [Forge, reason: string]> = {
  'another issuer': [
    (claims) => signed({ ...claims, iss: 'https://evil.example' }),
    'is of another issuer',
  ],
  'no issuer': [({ iss: _, ...claims }) => signed(claims), 'lacks a claim'],
  'another audience': [
    (claims) => signed({ ...claims, aud: 'other' }),
    'is of another issuer, or for another',
  ],
  'no audience': [({ aud: _, ...claims }) => signed(claims), 'lacks a claim'],
  'no time': [({ iat: _, ...claims }) => signed(claims), 'lacks a claim'],
  'it does not end': [({ exp: _, ...claims }) => signed(claims), 'lacks a claim'],
  'it has expired': [(claims) => signed({ ...claims, exp: seconds(-3600) }), 'has expired'],
  'it comes from the future': [
    (claims) => signed({ ...claims, iat: seconds(3600) }),
    'is not valid yet',
  ],
  'no id': [({ jti: _, ...claims }) => signed(claims), 'lacks a claim'],
  'no events': [({ events: _, ...claims }) => signed(claims), 'lacks a claim'],
  'another event': [
    (claims) => signed({ ...claims, events: { other: {} } }),
    'is not for a logout',
  ],
  'an event that is none': [
    (claims) => signed({ ...claims, events: { [LOGOUT]: true } }),
    'is not for a logout',
  ],
  'null as events': [(claims) => signed({ ...claims, events: null }), 'is not for a logout'],
  'events that are none': [
    (claims) => signed({ ...claims, events: LOGOUT }),
    'is not for a logout',
  ],
  'a nonce': [(claims) => signed({ ...claims, nonce: 'n' }), 'has a nonce'],
  nobody: [({ sub: _, sid: __, ...claims }) => signed(claims), 'names nobody'],
  'a login that is none': [(claims) => signed({ ...claims, sid: 1 }), 'names nobody'],
  'an ID token': [({ jti: _, events: __, ...claims }) => signed(claims), 'lacks a claim'],
  'not signed': [(claims) => sign({ alg: 'none' }, claims), 'has an algorithm'],
  'signed by another key': [
    (claims) => sign({ alg: 'RS256', kid: 'a' }, claims, OTHER.privateKey),
    'is not signed with a key that is known',
  ],
  'signed by a key that nobody knows': [
    (claims) => sign({ alg: 'RS256', kid: 'b' }, claims, OTHER.privateKey),
    'is signed with a key that is not known',
  ],
  'signed with the public key': [
    (claims) => sign({ alg: 'HS256', kid: 'a' }, claims, KEY.pem),
    'has an algorithm',
  ],
  'signed with the secret of the client': [
    (claims) => sign({ alg: 'HS256' }, claims, CLIENT.clientSecret),
    'has an algorithm',
  ],
  'an algorithm that nobody has said': [
    (claims) => sign({ alg: 'RS512', kid: 'a' }, claims, KEY.privateKey),
    'has an algorithm',
  ],
  'an extension': [
    (claims) => sign({ alg: 'RS256', kid: 'a', crit: ['x'], x: 1 }, claims, KEY.privateKey),
    'wants extensions',
  ],
  'what is no token': [() => 'a.b', 'cannot be read'],
}

t.test('a session is ended by a logout token that is right, once', async (t) => {
  const provider = await fake(t)
  const { url, who, log } = await serve(t, provider.url, { backchannelLogout: true })
  const ann = new Browser()
  const logIn = async () => {
    const { callback, nonce } = await comeBack(url, ann)
    provider.token = () => tokens(signed({ ...claimsOf(provider, nonce), sid: 's1' }))
    t.equal((await ann.ask(callback)).status, 302)
  }
  const send = async (body: string | URLSearchParams, headers = {}) =>
    await new Browser().ask(`${url}/oidc/backchannel-logout`, { method: 'POST', body, headers })
  const logOut = async (token: string) => await send(new URLSearchParams({ logout_token: token }))
  await logIn()
  for (const [what, [forge, reason]] of Object.entries(forgedLogouts)) {
    const token = String(forge(logoutOf(provider)))
    const { status, text } = await logOut(token)
    t.match(
      [status, text && JSON.parse(text)],
      [
        400,
        {
          code: 'INVALID_REQUEST',
          errors: [{ path: '/logout_token', message: new RegExp(`^the token ${reason}`) }],
        },
      ],
      what,
    )
    t.notOk(log.join('\n').includes(token))
  }
  const twice = new URLSearchParams({ logout_token: signed(logoutOf(provider)) })
  twice.append('logout_token', signed(logoutOf(provider)))
  for (const body of ['', 'logout_token=', twice])
    t.match((await send(new URLSearchParams(body))).json(), {
      errors: [{ message: 'expected one token' }],
    })
  t.equal((await send(new URLSearchParams({ logout_token: 'x'.repeat(20_000) }))).status, 413)
  t.equal((await send('{}', { 'content-type': 'application/json' })).status, 415)
  const bare = await new Browser().ask(`${url}/oidc/backchannel-logout`, { method: 'POST' })
  t.equal(bare.status, 400)
  t.strictSame(await who(ann), { id: 'ann' }, 'nothing of that has ended it')

  const other = { ...logoutOf(provider), sid: 's2' }
  t.equal((await logOut(signed(other))).status, 200)
  t.strictSame(await who(ann), { id: 'ann' }, 'nor that of another login')
  const token = signed(logoutOf(provider))
  const out = await logOut(token)
  t.strictSame([out.status, out.text, out.cookies], [200, '', []])
  t.equal(await who(ann), 401)
  await logIn()
  t.match((await logOut(token)).json(), { errors: [{ message: 'the token was used before' }] })
  t.strictSame(await who(ann), { id: 'ann' })
  const { sid: _, ...all } = logoutOf(provider)
  t.equal((await logOut(signed(all))).status, 200)
  t.equal(await who(ann), 401, 'where it names no login, all of ann')
})

t.test('a logout token whose keys do not come is for later: 503', async (t) => {
  const provider = await fake(t)
  provider.keys = (reply) => reply.code(500).send({})
  const send = async (url: string) => {
    const body = new URLSearchParams({ logout_token: signed(logoutOf(provider)) })
    const { status, json } = await new Browser().ask(`${url}/oidc/backchannel-logout`, {
      method: 'POST',
      body,
    })
    return [status, json().code]
  }
  const { url } = await serve(t, provider.url, { backchannelLogout: true })
  t.strictSame(await send(url), [503, 'AUTH_UNAVAILABLE'])
  for (const more of [
    { jwks_uri: undefined },
    { id_token_signing_alg_values_supported: ['HS256'] },
  ]) {
    provider.metadata = () => ({ ...metadataOf(provider.url), ...more })
    const fresh = await serve(t, provider.url, { backchannelLogout: true })
    t.strictSame(await send(fresh.url), [503, 'AUTH_UNAVAILABLE'])
  }
  const { url: without } = await serve(t, provider.url)
  const { status } = await new Browser().ask(`${without}/oidc/backchannel-logout`, {
    method: 'POST',
  })
  t.equal(status, 404, 'unless it is asked for, nothing is there')
})

t.test('refused before the provider is asked: what comes back with something else', async (t) => {
  const provider = await fake(t)
  provider.metadata = () => ({
    ...metadataOf(provider.url),
    authorization_response_iss_parameter_supported: true,
  })
  const { url, who } = await serve(t, provider.url)
  const browser = new Browser()
  const back = async (said: Record<string, string>, change = (callback: string) => callback) => {
    const { callback } = await comeBack(url, browser, { iss: provider.url, ...said })
    const { status, json } = await browser.ask(change(callback))
    return [status, (json().errors as { message: string }[])[0]?.message]
  }
  const elsewhere = 'the login: it was not begun in this browser, or is over: begin again'
  const odd = 'the login: what the provider says is not valid: '
  for (const [said, message] of [
    [{ state: '' }, elsewhere],
    [{ state: 'x'.repeat(43) }, elsewhere],
    [{ state: '../../session' }, elsewhere],
    [
      { error: 'access_denied', error_description: '<b>' },
      'the login: the provider says access_denied',
    ],
    [{ error: '<script>' }, 'the login: the provider says no more'],
  ] as [Record<string, string>, string][])
    t.strictSame(await back(said), [401, message], JSON.stringify(said))
  for (const iss of ['https://evil.example', '']) {
    const [status, message] = await back({ iss })
    t.equal(status, 401)
    t.ok(String(message).startsWith(odd), 'of another issuer')
  }
  for (const change of [
    (callback: string) => callback.replace('code=a-code&', ''),
    (callback: string) => `${callback}&code=other`,
    (callback: string) => `${callback}&iss=https://evil.example`,
  ]) {
    const [status, message] = await back({}, change)
    t.equal(status, 401)
    t.ok(String(message).startsWith(odd), change('?'))
  }
  const doubled = await back({}, (callback) => `${callback}&state=${'x'.repeat(43)}`)
  t.strictSame(doubled, [401, elsewhere])
  t.equal(provider.tokens, 0)
  t.equal(await who(browser), 401)
})

t.test('a cookie that was made up, changed, or is of another login or too old', async (t) => {
  const provider = await fake(t)
  const { url, who } = await serve(t, provider.url)
  const browser = new Browser()
  const attempt = async (change: (value: string) => string | undefined, later = 0) => {
    const { callback, nonce } = await comeBack(url, browser)
    provider.token = () => tokens(signed(claimsOf(provider, nonce)))
    const mine = browser.jar.get(url) as Map<string, string>
    const [name = ''] = [...mine.keys()].filter((key) => key.startsWith('oidc-'))
    const changed = change(mine.get(name) ?? '')
    if (changed === undefined) mine.delete(name)
    else mine.set(name, changed)
    if (later) {
      const { now } = Date
      const intercepted = t.intercept(Date, 'now', { value: () => now() + later })
      const { status } = await browser.ask(callback)
      intercepted.restore()
      return status
    }
    const { status } = await browser.ask(callback)
    mine.clear()
    return status
  }
  const begun = (more: object) =>
    Buffer.from(JSON.stringify({ state: 'x', next: '/', until: 9e15, ...more })).toString(
      'base64url',
    )
  t.equal(await attempt(() => undefined), 401)
  t.equal(await attempt((value) => value.slice(0, -1)), 401)
  t.equal(await attempt((value) => value.slice(1)), 401)
  t.equal(await attempt((value) => value.split('.')[0]), 401)
  t.equal(await attempt((value) => `${value.split('.')[0]}.`), 401)
  t.equal(await attempt((value) => `${begun({})}.${value.split('.')[1]}`), 401)
  t.equal(await attempt((value) => value, 600_001), 401)
  t.equal(provider.tokens, 0)
  t.equal(await who(browser), 401)
  t.equal(await attempt((value) => value), 302)
})

t.test('a person comes back to pages of the service alone', async (t) => {
  const provider = await fake(t)
  const { url } = await serve(t, provider.url)
  const begin = (next: string) =>
    new Browser().ask(`${url}/oidc/login?${new URLSearchParams({ next })}`)
  for (const next of [
    'https://evil.example/',
    '//evil.example/',
    '/\\evil.example/',
    '\\\\evil.example/',
    '/\t/evil.example/',
    'javascript:alert(1)',
    'data:text/html,x',
    `${url}@evil.example/`,
    `${url.replace('http', 'https')}/`,
    'http://127.0.0.1:1/',
    'http://',
    `/${'x'.repeat(2000)}`,
  ]) {
    const { status, json, cookies } = await begin(next)
    t.equal(status, 400, next)
    t.match(json(), { code: 'INVALID_REQUEST', errors: [{ path: '/next' }] })
    t.strictSame(cookies, [])
  }
  const twice = await new Browser().ask(`${url}/oidc/login?next=/a&next=//evil.example`)
  t.equal(twice.status, 400)
  for (const [next, to] of [
    ['/me?a=1#top', `${url}/me?a=1#top`],
    [`${url}/me`, `${url}/me`],
    ['/.//evil.example', `${url}//evil.example`],
    ['', `${url}/`],
  ] as const) {
    const browser = new Browser()
    const { location } = await browser.ask(`${url}/oidc/login?${new URLSearchParams({ next })}`)
    const { state = '', nonce = '' } = Object.fromEntries(new URL(location).searchParams)
    provider.token = () => tokens(signed(claimsOf(provider, nonce)))
    const back = await browser.ask(`${url}/oidc/callback?code=1&state=${state}`)
    t.strictSame([back.status, back.location], [302, to])
  }
})

const useless: Record<string, (reply: FastifyReply) => unknown> = {
  '500': (reply) => reply.code(500).send({}),
  '404': (reply) => reply.code(404).send({ error: 'nothing' }),
  'a page': (reply) => reply.type('text/html').send('<html>'),
  'half of it': (reply) => reply.type('application/json').send('{"access_token":"an-acc'),
  'too much': () => ({ more: 'x'.repeat(2_000_000) }),
  'a redirect': (reply) => reply.redirect('/jwks'),
  'a connection that breaks': (reply) => {
    reply.hijack()
    reply.raw.destroy()
  },
  silence: (reply) => void reply.hijack(),
  'a drip': (reply) => {
    reply.hijack()
    const drip = setInterval(() => reply.raw.write(' '), 20)
    reply.raw.on('close', () => clearInterval(drip))
  },
  'that this service is not known': (reply) => reply.code(401).send({ error: 'invalid_client' }),
}

for (const [what, answer] of Object.entries(useless))
  t.test(`a provider that answers ${what}: 503`, async (t) => {
    const provider = await fake(t)
    // On a busy machine a provider that is well has to answer within it, too.
    const timeout = /silence|drip/.test(what) ? 5000 : 10_000
    const { url, who, log } = await serve(t, provider.url, { timeout })
    const browser = new Browser()
    const away = (told: Seen, problem: string) => {
      t.equal(told.status, 503)
      t.match(told.json(), {
        code: 'AUTH_UNAVAILABLE',
        message: `Who asks cannot be found out right now: ${problem}; try again later`,
      })
    }
    const { callback } = await comeBack(url, browser)
    provider.token = (_, reply) => answer(reply)
    away(await browser.ask(callback), 'the OpenID provider does not answer')

    if (what !== 'that this service is not known') {
      const second = await comeBack(url, browser)
      provider.keys = answer
      provider.token = () => tokens(signed(claimsOf(provider, second.nonce)))
      away(await browser.ask(second.callback), 'the OpenID provider does not answer')

      const other = await fake(t)
      other.metadata = answer
      const fresh = await serve(t, other.url, { timeout: 250 })
      away(
        await browser.ask(`${fresh.url}/oidc/login`),
        'the endpoints of the OpenID provider do not come',
      )
      const out = await browser.ask(`${fresh.url}/oidc/logout`, { method: 'POST', headers: OWN })
      t.strictSame(out.json().url, `${fresh.url}/`)
    }
    t.equal(await who(browser), 401)
    t.notMatch(log.join('\n'), /an-acc|a-code/)
  })

t.test('a login ends within the time of its request', async (t) => {
  const provider = await fake(t)
  provider.token = (_, reply) => void reply.hijack()
  const { url } = await serve(t, provider.url, { timeout: 60_000, requestTimeout: 5000 })
  const browser = new Browser()
  const { callback } = await comeBack(url, browser)
  const told = await browser.ask(callback)
  t.strictSame([told.status, told.json().code], [503, 'AUTH_UNAVAILABLE'])
  const silent = await fake(t)
  silent.metadata = (reply) => void reply.hijack()
  const fresh = await serve(t, silent.url, { timeout: 60_000, requestTimeout: 400 })
  const first = await browser.ask(`${fresh.url}/oidc/login`)
  t.strictSame([first.status, first.json().code], [503, 'AUTH_UNAVAILABLE'])
})

t.test(
  'what the provider tells of itself is asked once, not at once again where it fails, and kept',
  async (t) => {
    let passed = 0
    const { now } = performance
    t.intercept(performance, 'now', { value: () => now.call(performance) + passed })
    const port = await freePort()
    const { url, log } = await serve(t, `http://127.0.0.1:${port}`)
    const begin = async () => (await new Browser().ask(`${url}/oidc/login`)).status
    t.equal(await begin(), 503)
    const provider = await fake(t, port)
    t.equal(await begin(), 503)
    t.equal(provider.asked, 0, 'it is not asked by every request')
    passed += 5000
    t.strictSame(await Promise.all(Array.from({ length: 10 }, begin)), Array(10).fill(302))
    t.equal(provider.asked, 1, 'once for all who wait')
    await provider.close()
    passed += 3_600_001
    t.equal(await begin(), 302)
    t.equal(await begin(), 302, 'what was told goes on to count')
    passed += 86_400_000
    t.equal(await begin(), 503, 'not for ever')
    const told = log.map((line) => JSON.parse(line)).filter(({ msg }) => /endpoints/.test(msg))
    t.match(told[0], {
      level: 40,
      host: `127.0.0.1:${port}`,
      msg: 'the endpoints of the OpenID provider do not come',
    })
  },
)

t.test('a provider that says it is another is none', async (t) => {
  const provider = await fake(t)
  provider.metadata = () => metadataOf('http://127.0.0.1:1')
  const { url } = await serve(t, provider.url)
  t.equal((await new Browser().ask(`${url}/oidc/login`)).status, 503)
})

t.test(
  'in a service, by variables: its login is for everybody, and all else for users',
  async (t) => {
    const port = await freePort()
    const me = async (app: FastifyInstance) => void app.get('/me', ({ auth }) => auth)
    const { app, logs } = await createService(
      t,
      {},
      {
        auth: true,
        plugins: [oidc(), session(), me],
        variables: {
          OIDC_ISSUER: `http://127.0.0.1:${port}`,
          OIDC_CLIENT_ID: CLIENT.clientId,
          OIDC_CLIENT_SECRET: CLIENT.clientSecret,
          SESSION_SECRET: SECRET,
          SUPERUSERS: 'root,ann',
        },
        modules: {},
      },
    )
    const url = `http://127.0.0.1:${await listen(app)}`
    await provide(t, port, url)
    const ann = new Browser()
    t.match((await ann.ask(`${url}/me`)).json(), {
      code: 'UNAUTHENTICATED',
      data: { login_url: '/oidc/login' },
    })
    const { text } = await ann.visit(`${url}/me`, 'ann')
    t.match(JSON.parse(text), { user: { id: 'ann', superuser: true }, strategy: 'session' })
    t.notMatch(JSON.stringify(logs), /code=|state=/)
  },
)

t.test('what is wrong with its options keeps an app from starting', async (t) => {
  const issuer = 'https://login.example'
  const cases: [options: object, told: string][] = [
    [{ clientId: 'shop' }, 'issuer is missing, expected a URL with https'],
    [{ clientId: 'shop', issuer: 'login.example' }, 'issuer is another text, expected'],
    [{ clientId: 'shop', issuer: 'http://login.example' }, 'issuer is another text, expected'],
    [{ clientId: 'shop', issuer: 'http://127.0.0.1.example' }, 'issuer is another text, expected'],
    [{ clientId: 'shop', issuer: `${issuer}/.well-known/openid-configuration` }, 'issuer is'],
    [{ clientId: 'shop', issuer: `${issuer}?a=1` }, 'issuer is another text'],
    [{ issuer }, 'clientId is missing, expected a text (OIDC_CLIENT_ID)'],
    [{ clientId: 'shop', issuer, scopes: ['profile'] }, 'scopes is a list, expected openid, too'],
    [{ clientId: 'shop', issuer, loggedOut: '//evil.example' }, 'loggedOut is another text'],
    [{ clientId: 'shop', issuer, callback: '/oidc/callback' }, 'callback is another text'],
    [{ clientId: 'shop', issuer, timeout: 0 }, 'timeout is 0, expected'],
    [{ clientId: 'shop', issuer, backchannelLogout: 1 }, 'backchannelLogout is 1, expected'],
  ]
  for (const [options, told] of cases) {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(session, { secret: SECRET })
    const error = await Promise.resolve(app.register(oidc, options as never)).then(
      () => undefined,
      (error) => error,
    )
    t.equal(error?.code, 'PLUGIN_OPTION_INVALID', told)
    t.ok(error?.message.includes(`its option ${told}`), error?.message)
  }
  const app = Fastify()
  t.teardown(() => app.close())
  await t.rejects(Promise.resolve(app.register(oidc, { issuer, clientId: 'shop' })), {
    code: 'PLUGIN_MISSING',
  })
})
