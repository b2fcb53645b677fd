import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { type UserOfClaims, userOfClaims } from '../src/auth/bearer.ts'
import { LogoutTokens } from '../src/auth/logout-token.ts'
import { createNonces } from '../src/auth/nonces.ts'
import { OidcLogin } from '../src/auth/oidc-login.ts'
import { OidcProvider } from '../src/auth/oidc-provider.ts'
import type { Sessions } from '../src/auth/session.ts'
import type { Duration } from '../src/duration.ts'
import { found } from '../src/findings.ts'
import { definePlugin } from '../src/plugin.ts'
import { checkOptions, invalidOption, requirePackages } from '../src/plugin-guards.ts'

export interface OidcOptions {
  /** The provider: `https://login.example.com/realms/shop`. Default: OIDC_ISSUER. */
  issuer?: string
  /** What the service is called there. Default: OIDC_CLIENT_ID. */
  clientId?: string
  /** Default: OIDC_CLIENT_SECRET; a client without one is a public one. */
  clientSecret?: string
  /** Default: OIDC_SCOPES, or `openid profile`. */
  scopes?: readonly string[]
  /** The callback as browsers reach it. Default: OIDC_CALLBACK_URL, or where the request came to. */
  callback?: string
  /** Where the routes are; default `/oidc`. */
  prefix?: string
  /** The path of the page where a person goes who has logged out; default `/`. */
  loggedOut?: string
  /**
   * Whether the provider may end sessions of those who log out there (OpenID Connect Back-Channel Logout 1.0), by
   * `POST /oidc/backchannel-logout`, which it has to know. Default false.
   */
  backchannelLogout?: boolean
  /**
   * Whether pages of the provider may end sessions of a login that ends there (OpenID Connect Front-Channel Logout 1.0), by
   * `GET /oidc/frontchannel-logout` with `iss` and `sid`, which it has to know (`frontchannel_logout_session_required`). Default false.
   */
  frontchannelLogout?: boolean
  /**
   * Whether the provider is shown at logout the ID token of the login that ends (`id_token_hint`), so that it need not ask the person. It is kept
   * beside the session, and stands in a URL then. Default false.
   */
  idTokenHint?: boolean
  /** Whether the userinfo endpoint is asked, too: some providers tell names and addresses only there. Default false. */
  userinfo?: boolean
  /** How long each answer of the provider may take: milliseconds, or a text like `'5s'`; default 3000. */
  timeout?: Duration
  /** Whether the issuer may be one of http that is not on this machine; default false. */
  insecure?: boolean
  /** Who has logged in; undefined or null: nobody, which is 401. Default: `sub` as id, and `name`. */
  toUser?: UserOfClaims
}

const ADDRESS = { format: 'uri', pattern: '^https?:' }

/**
 * People log in by a provider of OpenID Connect (authorization code with PKCE), and have a session of plinth/plugins/session then:
 * `GET /oidc/login?next=/page`, `GET /oidc/callback`, `POST /oidc/logout`, and for the provider `POST /oidc/backchannel-logout` and `GET /oidc/frontchannel-logout`. The
 * login page of the session is the first of these, where it has no other.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_MISSING, PACKAGE_MISSING
 */
export default definePlugin({
  name: 'oidc',
  needs: ['session'],
  after: ['redis'],
  env: Type.Object({
    OIDC_ISSUER: Type.Optional(
      Type.String({
        description: 'The OpenID provider by which people log in.',
        expected: 'https://login.example.com/realms/shop',
        ...ADDRESS,
      }),
    ),
    OIDC_CLIENT_ID: Type.Optional(
      Type.String({ description: 'What the service is called at the OpenID provider.' }),
    ),
    OIDC_CLIENT_SECRET: Type.Optional(
      Type.String({ description: 'The secret that belongs to OIDC_CLIENT_ID.', secret: true }),
    ),
    OIDC_SCOPES: Type.Optional(
      Type.String({
        description: 'What the OpenID provider is to tell of people.',
        expected: 'openid and others, with spaces between them',
        pattern: '(^| )openid( |$)',
      }),
    ),
    OIDC_CALLBACK_URL: Type.Optional(
      Type.String({
        description: 'Where people come back to from the OpenID provider, as browsers reach it.',
        expected: 'https://shop.example.com/oidc/callback',
        ...ADDRESS,
      }),
    ),
  }),
  checks: [
    (_app, { options, env, production }) => {
      const { issuer = env.OIDC_ISSUER ?? '' } = options as OidcOptions
      const message = 'the OpenID provider is asked by http: who changes answers can be anybody'
      return production && issuer.startsWith('http:')
        ? [found('provider-unencrypted', message)]
        : []
    },
  ],
  async register(app, options: OidcOptions, { name, env }) {
    const read = checkOptions<OidcOptions>('oidc', options, {
      issuer: 'text?',
      clientId: 'text?',
      clientSecret: 'text?',
      scopes: 'texts?',
      callback: 'text?',
      prefix: 'path?',
      loggedOut: 'text?',
      backchannelLogout: 'flag?',
      frontchannelLogout: 'flag?',
      idTokenHint: 'flag?',
      userinfo: 'flag?',
      timeout: 'span?',
      insecure: 'flag?',
      toUser: 'function?',
    })
    const { backchannelLogout = false } = options
    requirePackages('oidc', ['openid-client', ...(backchannelLogout ? ['fast-jwt'] : [])])
    const { issuer = env.OIDC_ISSUER, insecure = false, userinfo = false, timeout = 3000 } = read
    const { clientId = env.OIDC_CLIENT_ID, clientSecret = env.OIDC_CLIENT_SECRET } = options
    const { prefix = '/oidc', loggedOut = '/', callback = env.OIDC_CALLBACK_URL } = options
    const { scopes = (env.OIDC_SCOPES ?? 'openid profile').split(' '), toUser } = options
    if (!clientId) throw invalidOption('oidc', 'clientId', clientId, 'a text (OIDC_CLIENT_ID)')
    if (!scopes.includes('openid')) throw invalidOption('oidc', 'scopes', scopes, 'openid, too')
    if (!isOwnPath(loggedOut)) throw invalidOption('oidc', 'loggedOut', loggedOut, 'a path')
    if (callback !== undefined && !/^https?:[^?#]*$/.test(callback))
      throw invalidOption('oidc', 'callback', callback, 'a URL without a query (OIDC_CALLBACK_URL)')
    const server = readIssuer(issuer, insecure)
    const provider = new OidcProvider(
      await import('openid-client'),
      { issuer: server, clientId, clientSecret, timeout, userinfo },
      app.log,
    )
    app.addHook('onClose', async () => provider.close())
    const nonces = createNonces(app, `${name}:state`)
    const logoutTokens = backchannelLogout
      ? new LogoutTokens({
          issuer: server,
          metadata: () => provider.metadata(),
          clientId,
          timeout,
          nonces,
          log: app.log,
        })
      : undefined
    app.addHook('onClose', async () => logoutTokens?.close())
    const { frontchannelLogout = false, idTokenHint = false } = options
    const sessions = app.getDecorator<Sessions>('sessions')
    const path = app.prefix + prefix
    sessions.page ??= `${path}/login`
    const login = new OidcLogin({
      provider,
      scope: scopes.join(' '),
      prefix: path,
      callback,
      loggedOut,
      sessions,
      issuer: server,
      logoutTokens,
      endsWithProvider: backchannelLogout || frontchannelLogout,
      idTokenHint,
      cookie: (cookie) => sessions.cookie(cookie, `plinth ${name}`),
      cookieName: name,
      nonces,
      toUser: toUser ?? userOfClaims,
    })
    await app.register(async (scope) => addRoutes(scope, login), { prefix })
    if (frontchannelLogout)
      app.get(`${prefix}/frontchannel-logout`, open(), (request, reply) =>
        login.endInFrame(request, reply),
      )
    if (logoutTokens)
      await app.register(async (scope) => addProviderRoute(scope, login), { prefix })
  },
})

/** For everybody. Only a person begins, and a code is good once: nothing is tried by HEAD. */
const open = () => ({ exposeHeadRoute: false, config: { auth: 'public' as const } })

function addRoutes(app: FastifyInstance, login: OidcLogin): void {
  app.get('/login', open(), (request, reply) => login.begin(request, reply))
  app.get('/callback', open(), (request, reply) => login.finish(request, reply))
  // A form of a page sends a body, though nothing is in it.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string', bodyLimit: 1024 }, async () => null)
  app.post('/logout', open(), (request, reply) => login.end(request, reply))
}

/** What the provider itself asks for. */
function addProviderRoute(app: FastifyInstance, login: OidcLogin): void {
  app.removeAllContentTypeParsers()
  const form = 'application/x-www-form-urlencoded'
  app.addContentTypeParser(
    form,
    { parseAs: 'string', bodyLimit: 16_384 },
    async (_: unknown, body: string) => new URLSearchParams(body),
  )
  app.post('/backchannel-logout', open(), (request, reply) => login.endByProvider(request, reply))
}

/** Over http anybody on the way could be the provider; on this machine there is no way. */
function readIssuer(issuer: string | undefined, insecure: boolean): URL {
  const url = issuer === undefined ? null : URL.parse(issuer)
  const isLocal = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url?.hostname ?? '')
  const isFit = url?.protocol === 'https:' || (url?.protocol === 'http:' && (insecure || isLocal))
  // With that in it the library believes whatever issuer is told there.
  if (url && isFit && !url.href.includes('/.well-known/') && url.search + url.hash === '')
    return url
  throw invalidOption(
    'oidc',
    'issuer',
    issuer,
    'a URL with https, its issuer as the provider says it (OIDC_ISSUER); with http on this machine alone, or with insecure: true',
  )
}

function isOwnPath(path: string): boolean {
  return URL.parse(path, 'http://own')?.origin === 'http://own' && path.startsWith('/')
}
