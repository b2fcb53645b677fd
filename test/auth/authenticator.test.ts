import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { addStrategy, type Strategy } from '../../src/auth/authenticator.ts'
import { errors } from '../../src/errors.ts'

/** Takes a header as it is; `wrong` and `away` are refused. */
function byHeader(name: string, settings: Partial<Strategy> = {}): Strategy {
  return {
    name,
    scheme: { type: 'apiKey', in: 'header', name },
    challenge: name.toUpperCase(),
    authenticate({ headers }) {
      const value = headers[name]
      if (typeof value !== 'string') return undefined
      if (value === 'wrong') throw errors.UNAUTHENTICATED()
      if (value === 'away') throw errors.AUTH_UNAVAILABLE('it is away')
      return { user: { id: value }, token: `of ${value}` }
    },
    ...settings,
  }
}

async function serve(t: Test, ...strategies: Strategy[]): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  for (const strategy of strategies) addStrategy(app, strategy)
  app.get('/me', { onRequest: app.auth.required }, (request) => ({
    user: (request as { user?: unknown }).user,
    auth: request.auth,
  }))
  app.get('/maybe', { onRequest: app.auth.optional }, (request) => request.auth ?? 'nobody')
  return app
}

t.test('strategies are asked in their order, until one knows who it is', async (t) => {
  const app = await serve(t, byHeader('one'), byHeader('two'))
  const ask = async (url: string, headers = {}) => {
    const { statusCode, headers: got, body } = await app.inject({ url, headers })
    return { status: statusCode, challenge: got['www-authenticate'], body }
  }
  const two = await ask('/me', { two: 'ann' })
  t.strictSame(JSON.parse(two.body), {
    user: { id: 'ann' },
    auth: { user: { id: 'ann' }, token: 'of ann', strategy: 'two' },
  })
  const both = await ask('/me', { one: 'bob', two: 'ann' })
  t.equal(JSON.parse(both.body).user.id, 'bob')
  t.match(await ask('/me'), { status: 401, challenge: 'ONE, TWO' })
  t.match(await ask('/maybe'), { status: 200, body: 'nobody' })
  for (const url of ['/me', '/maybe']) {
    t.match(await ask(url, { one: 'wrong', two: 'ann' }), { status: 401, challenge: 'ONE' })
    t.match(await ask(url, { one: 'away', two: 'ann' }), { status: 503, challenge: undefined })
  }
})

t.test('a user that something else has found is one, too', async (t) => {
  const app = await serve(t, byHeader('one'))
  const inner = Fastify()
  t.teardown(() => inner.close())
  addStrategy(inner, byHeader('one'))
  inner.addHook('onRequest', async (request) => {
    Object.assign(request, { user: { sub: 'claims' } })
  })
  inner.get('/me', { onRequest: inner.auth.required }, (request) => request.auth ?? 'by a hook')
  t.equal((await inner.inject('/me')).body, 'by a hook')
  t.throws(() => addStrategy(app, byHeader('one')), { code: 'PLUGIN_OPTION_INVALID' })
})

t.test('a page is sent to log in, another client is told no', async (t) => {
  const login = ({ url }: { url: string }) =>
    `https://login.example/?back=${encodeURIComponent(url)}`
  const app = await serve(t, byHeader('one'), byHeader('cookie', { login }))
  const page = await app.inject({ url: '/me?a=1', headers: { accept: 'text/html,*/*' } })
  t.equal(page.statusCode, 302)
  t.equal(page.headers.location, 'https://login.example/?back=%2Fme%3Fa%3D1')
  const { statusCode, body } = await app.inject({ url: '/me', headers: { accept: '*/*' } })
  t.equal(statusCode, 401)
  t.notMatch(body, 'login', 'an app without the envelope tells nothing more')
})
