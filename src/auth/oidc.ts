import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify'
import type * as client from 'openid-client'
import { errors, PlinthError } from '../errors.ts'
import type { UserOfClaims } from './bearer.ts'
import { acceptsPage } from './browser.ts'
import { fetchJson, withinRequest } from './download.ts'
import type { JwtClaims } from './jwt.ts'
import { type LogoutTokens, loginsOf } from './logout-token.ts'
import type { Nonces } from './nonces.ts'
import { RemoteValue } from './remote-value.ts'
import type { Sessions } from './session.ts'
import type { SignedCookie } from './signed-cookie.ts'

/** Milliseconds each: how long what the provider tells of itself counts, and how often it is asked. */
const LIMITS = { cooldown: 30_000, retry: 5000, maxAge: 3_600_000, maxStale: 86_400_000 }
const MAX_BYTES = 1_048_576
/** How many logins may wait for the provider at once. */
const MAX_WAITING = 100
/** Milliseconds from the begin of a login to its end. */
const MAX_LOGIN = 600_000
/** How many logins one browser may have begun, in as many of its tabs. */
const MAX_TABS = 5
/** What a URL has room for, beside the rest: one that is longer is not shown. */
const MAX_HINT = 4096
/** Where to go afterwards is in a cookie, which has an end. */
const MAX_TARGET = 1000

export interface OidcProviderSettings {
  readonly issuer: URL
  readonly clientId: string
  /** Undefined: a public client. */
  readonly clientSecret: string | undefined
  /** Milliseconds for each answer. */
  readonly timeout: number
  /** Whether claims are asked for at the userinfo endpoint, too. */
  readonly userinfo: boolean
}

interface LoggedIn {
  readonly claims: JwtClaims
  readonly idToken: string
}

/** What has to come back to end a login. */
interface Expected {
  readonly state: string
  readonly nonce: string
  readonly verifier: string
}

/**
 * A provider of OpenID Connect, by `openid-client`: its endpoints are asked for when the first person logs in. All that it answers
 * is bounded in time and size, and the signature of an ID token is checked, whatever came over TLS.
 */
export class OidcProvider {
  readonly #client: typeof client
  readonly #settings: OidcProviderSettings
  readonly #remote: RemoteValue<client.Configuration>
  readonly #closing = new AbortController()
  #waiting = 0

  constructor(library: typeof client, settings: OidcProviderSettings, log: FastifyBaseLogger) {
    this.#client = library
    this.#settings = settings
    this.#remote = new RemoteValue({
      name: 'the endpoints of the OpenID provider',
      host: settings.issuer.host,
      limits: LIMITS,
      log,
      load: () => this.#discover(),
    })
  }

  /** Where a person is sent to log in, and what has to come back. @throws {PlinthError} AUTH_UNAVAILABLE */
  async begin(callback: string, scope: string): Promise<{ url: URL; expected: Expected }> {
    const { randomState, randomNonce, randomPKCECodeVerifier } = this.#client
    const config = await this.#remote.get()
    const expected = {
      state: randomState(),
      nonce: randomNonce(),
      verifier: randomPKCECodeVerifier(),
    }
    const url = this.#client.buildAuthorizationUrl(config, {
      redirect_uri: callback,
      scope,
      state: expected.state,
      nonce: expected.nonce,
      code_challenge: await this.#client.calculatePKCECodeChallenge(expected.verifier),
      code_challenge_method: 'S256',
    })
    return { url, expected }
  }

  /**
   * Who has logged in, and the ID token that says it.
   *
   * @param url that the provider has sent the person back to
   * @throws {PlinthError} UNAUTHENTICATED, AUTH_UNAVAILABLE
   */
  async finish(url: URL, expected: Expected): Promise<LoggedIn> {
    if (this.#waiting >= MAX_WAITING)
      throw unavailable(new Error(`${MAX_WAITING} answers are waited for`))
    this.#waiting++
    const answer = this.#exchange(url, expected).finally(() => this.#waiting--)
    return await withinRequest(answer, unavailable)
  }

  /** What it tells of itself. @throws {PlinthError} AUTH_UNAVAILABLE */
  async metadata(): Promise<client.ServerMetadata> {
    return (await this.#remote.get()).serverMetadata()
  }

  /**
   * Where a person logs out of the provider, too; undefined where it has nothing for that, or does not say.
   *
   * @param idToken of the login that ends, where it is known
   */
  async end(back: string, idToken: string | undefined): Promise<URL | undefined> {
    const config = await this.#remote.get().catch(() => undefined)
    if (!config?.serverMetadata().end_session_endpoint) return undefined
    return this.#client.buildEndSessionUrl(config, {
      post_logout_redirect_uri: back,
      ...(idToken !== undefined && { id_token_hint: idToken }),
    })
  }

  /** Gives up what is under way. */
  close(): void {
    this.#closing.abort()
    this.#remote.close()
  }

  async #discover(): Promise<client.Configuration> {
    const { issuer, clientId, clientSecret = '' } = this.#settings
    const { allowInsecureRequests, enableNonRepudiationChecks, customFetch, None } = this.#client
    const isOpen = issuer.protocol === 'http:'
    const authenticate = clientSecret === '' ? None() : this.#authenticate(clientSecret)
    try {
      return await this.#client.discovery(issuer, clientId, clientSecret, authenticate, {
        execute: [enableNonRepudiationChecks, ...(isOpen ? [allowInsecureRequests] : [])],
        [customFetch]: (url: string, options: client.CustomFetchOptions) =>
          this.#fetch(url, options),
      })
    } catch (error) {
      throw plain(error)
    }
  }

  /** As the provider wants it: in a header, unless it says that it takes secrets in the body alone. */
  #authenticate(secret: string): client.ClientAuth {
    const { ClientSecretBasic, ClientSecretPost } = this.#client
    const [basic, post] = [ClientSecretBasic(secret), ClientSecretPost(secret)]
    return (server, ...given) => {
      const { token_endpoint_auth_methods_supported: methods = ['client_secret_basic'] } = server
      const way = methods.includes('client_secret_basic') ? basic : post
      return way(server, ...given)
    }
  }

  async #exchange(url: URL, { state, nonce, verifier }: Expected): Promise<LoggedIn> {
    try {
      const config = await this.#remote.get()
      const tokens = await this.#client.authorizationCodeGrant(config, url, {
        expectedState: state,
        expectedNonce: nonce,
        pkceCodeVerifier: verifier,
        idTokenExpected: true,
      })
      const claims = tokens.claims() as client.IDToken
      const { id_token: idToken = '' } = tokens
      if (!this.#settings.userinfo) return { claims: claims as JwtClaims, idToken }
      const more = await this.#client.fetchUserInfo(config, tokens.access_token, claims.sub)
      return { claims: { ...more, ...claims } as JwtClaims, idToken }
    } catch (error) {
      throw failureOf(error)
    }
  }

  async #fetch(url: string, options: client.CustomFetchOptions): Promise<Response> {
    const { timeout } = this.#settings
    const bounds = { maxBytes: MAX_BYTES, timeout, signal: this.#closing.signal }
    const { text, status, headers } = await fetchJson(url, options as RequestInit, bounds).catch(
      (cause: Error) => {
        throw unavailable(cause)
      },
    )
    return new Response(text, { status, headers })
  }
}

export interface OidcLoginSettings {
  readonly provider: OidcProvider
  readonly issuer: URL
  readonly scope: string
  /** Where the routes are. */
  readonly prefix: string
  /** The callback as browsers reach it; undefined: where the request came to. */
  readonly callback: string | undefined
  /** The path of the page where a person goes who has logged out. */
  readonly loggedOut: string
  readonly sessions: Sessions
  /** Undefined: the provider itself does not say who has logged out there. */
  readonly logoutTokens: LogoutTokens | undefined
  /** Whether sessions end with those of the provider, by whatever way that says it. */
  readonly endsWithProvider: boolean
  /** Whether the provider is shown its ID token at logout. */
  readonly idTokenHint: boolean
  /** @param name of the cookie of one login */
  readonly cookie: (name: string) => SignedCookie
  readonly cookieName: string
  readonly nonces: Nonces
  readonly toUser: UserOfClaims
}

/** What a cookie has of one login. */
interface Begun extends Expected {
  /** Where to go afterwards. */
  readonly next: string
  /** When it is too late, as `Date.now()` counts. */
  readonly until: number
}

/** How a person logs in by a provider of OpenID Connect, and out again: what the routes do. */
export class OidcLogin {
  readonly #settings: OidcLoginSettings

  constructor(settings: OidcLoginSettings) {
    this.#settings = settings
  }

  /** Sends a person to the provider. @throws {PlinthError} INVALID_REQUEST, AUTH_UNAVAILABLE */
  async begin(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { provider, scope } = this.#settings
    const callback = this.#callbackOf(request)
    const { next = '/' } = request.query as { next?: unknown }
    const target = targetWithin(callback, next)
    const { url, expected } = await provider.begin(callback, scope)
    const begun: Begun = { ...expected, next: target, until: Date.now() + MAX_LOGIN }
    this.#dropOthers(request, reply)
    const value = Buffer.from(JSON.stringify(begun)).toString('base64url')
    this.#cookieOf(expected.state).write(reply, value, MAX_LOGIN / 1000)
    return reply.header('cache-control', 'no-store').redirect(url.href)
  }

  /** Begins the session of who comes back from the provider. @throws {PlinthError} UNAUTHENTICATED, AUTH_UNAVAILABLE */
  async finish(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { provider, nonces, toUser, prefix, sessions } = this.#settings
    const { endsWithProvider, idTokenHint } = this.#settings
    reply.header('cache-control', 'no-store')
    try {
      const begun = this.#begunBy(request, reply)
      if (!begun || !(await nonces.use(begun.state, MAX_LOGIN)))
        throw refusal('it was not begun in this browser, or is over: begin again')
      const url = new URL(this.#callbackOf(request))
      url.search = new URL(request.originalUrl, url).search
      const { claims, idToken } = await provider.finish(url, begun)
      const user = await toUser(claims)
      if (!user) throw refusal('nobody who is known here')
      await sessions.begin(request, reply, user, {
        ...(endsWithProvider && { groups: loginsOf(claims) }),
        ...(idTokenHint && idToken.length <= MAX_HINT && { note: idToken }),
      })
      return reply.redirect(begun.next)
    } catch (error) {
      if (!PlinthError.is(error) || error.statusCode !== 401) throw error
      const { errors: problems } = error
      throw errors.UNAUTHENTICATED.with({
        ...(problems && { errors: problems }),
        data: { login_url: `${prefix}/login` },
      })
    }
  }

  /** Ends the session, and sends on to where that at the provider ends. @throws {PlinthError} CROSS_ORIGIN, AUTH_UNAVAILABLE */
  async end(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    const { provider, loggedOut, sessions, idTokenHint } = this.#settings
    const hint = idTokenHint ? await sessions.takeNote(request) : undefined
    await reply.logout()
    const back = new URL(loggedOut, this.#callbackOf(request))
    const { href: url } = (await provider.end(back.href, hint)) ?? back
    reply.header('cache-control', 'no-store')
    // What a script asks for is not followed to another origin.
    return acceptsPage(request) ? reply.redirect(url, 303) : { url }
  }

  /**
   * Ends the sessions of who has logged out of the provider, as that says by a logout token.
   *
   * @throws {PlinthError} INVALID_REQUEST, AUTH_UNAVAILABLE
   */
  async endByProvider({ body }: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { sessions, logoutTokens } = this.#settings
    const [token, ...others] = body instanceof URLSearchParams ? body.getAll('logout_token') : []
    reply.header('cache-control', 'no-store')
    if (!logoutTokens || !token || others.length > 0)
      throw invalidLogout('/logout_token', [{ message: 'expected one token' }])
    const claims = await logoutTokens.verify(token).catch((error) => {
      if (!PlinthError.is(error) || error.statusCode !== 401) throw error
      throw invalidLogout('/logout_token', error.errors ?? [])
    })
    await sessions.endGroup(loginsOf(claims)[0])
    return reply.send()
  }

  /**
   * Ends the sessions of a login that has ended at the provider, whose page has this one in a frame. The cookie of the session, which
   * no browser sends to a frame of another site, is not asked for: who knows the `sid` has it from the ID token.
   *
   * @throws {PlinthError} INVALID_REQUEST, AUTH_UNAVAILABLE
   */
  async endInFrame({ query }: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { sessions, issuer } = this.#settings
    const { iss, sid } = query as { iss?: unknown; sid?: unknown }
    if (typeof iss !== 'string' || typeof sid !== 'string' || iss === '' || sid === '')
      throw invalidLogout('', [{ message: 'expected iss and sid, each once' }])
    await sessions.endGroup(loginsOf({ iss, sid })[0])
    reply.removeHeader('x-frame-options').removeHeader('cross-origin-resource-policy')
    return reply
      .header('cache-control', 'no-store')
      .header('content-security-policy', `default-src 'none'; frame-ancestors ${issuer.origin}`)
      .type('text/html; charset=utf-8')
      .send('<!doctype html><title>Logged out</title>')
  }

  #callbackOf({ protocol, host }: FastifyRequest): string {
    const { callback, prefix } = this.#settings
    return callback ?? `${protocol}://${host}${prefix}/callback`
  }

  /** One for each login, so that those of two tabs are not in each other's way. */
  #cookieOf(state: string): SignedCookie {
    const { cookie, cookieName } = this.#settings
    return cookie(`${cookieName}-${state.slice(0, 8)}`)
  }

  /** Where a page of others begins logins without end, their cookies would become too many for any request. */
  #dropOthers({ headers }: FastifyRequest, reply: FastifyReply): void {
    const { cookie, cookieName } = this.#settings
    const pattern = new RegExp(`(?:^|;\\s*)(?:__Host-)?(${cookieName}-[\\w-]{8})=`, 'g')
    const names = [...(headers.cookie ?? '').matchAll(pattern)].map(([, name = '']) => name)
    if (names.length >= MAX_TABS) for (const name of names) cookie(name).clear(reply)
  }

  /** What the browser has begun, and now is over. */
  #begunBy(request: FastifyRequest, reply: FastifyReply): Begun | undefined {
    const { state } = request.query as { state?: unknown }
    if (typeof state !== 'string' || !/^[\w-]{43}$/.test(state)) return undefined
    const cookie = this.#cookieOf(state)
    const value = cookie.read(request)
    if (value === undefined) return undefined
    cookie.clear(reply)
    const begun = JSON.parse(Buffer.from(value, 'base64url').toString()) as Begun
    return begun.state === state && begun.until > Date.now() ? begun : undefined
  }
}

/** A provider expects 400, whatever is wrong (OpenID Connect Back-Channel Logout 1.0, 2.8). */
function invalidLogout(path: string, problems: readonly { message: string }[]): PlinthError {
  const found = problems.map(({ message }) => ({ path, message }))
  return errors.INVALID_REQUEST.with({ errors: found }, 'the logout')
}

/** An address on the origin of the app, and nowhere else. @throws {PlinthError} INVALID_REQUEST */
function targetWithin(callback: string, next: unknown): string {
  const { origin } = new URL(callback)
  const target = typeof next === 'string' ? URL.parse(next, origin) : null
  if (target?.origin === origin && target.href.length <= MAX_TARGET) return target.href
  const message = 'expected a page of this service, as its path'
  throw errors.INVALID_REQUEST.with({ errors: [{ path: '/next', message }] }, 'the login')
}

/** What the library says where an answer is none of who has logged in; everything else is of the provider. */
const UNTRUE = new Set(
  [
    'INVALID_RESPONSE',
    'PARSE_ERROR',
    'JWT_CLAIM_COMPARISON_FAILED',
    'JWT_TIMESTAMP_CHECK_FAILED',
    'JSON_ATTRIBUTE_COMPARISON_FAILED',
    'KEY_SELECTION_FAILED',
    'UNSUPPORTED_OPERATION',
  ].map((code) => `OAUTH_${code}`),
)
/** What a provider says when it cannot answer now (RFC 6749, 4.1.2.1). */
const BUSY = new Set(['server_error', 'temporarily_unavailable'])

function failureOf(thrown: unknown): Error {
  const { code = '', error, cause } = thrown as { code?: string; error?: string; cause?: unknown }
  const known = [thrown, cause].find(PlinthError.is)
  if (known) return known
  if (UNTRUE.has(code)) return refusal(`what the provider says is not valid: ${reasonOf(thrown)}`)
  const said = /^\w{1,40}$/.test(error ?? '') ? error : 'no more'
  if (code === 'OAUTH_AUTHORIZATION_RESPONSE_ERROR' && !BUSY.has(said ?? ''))
    return refusal(`the provider says ${said}`)
  if (code === 'OAUTH_RESPONSE_BODY_ERROR' && said === 'invalid_grant')
    return refusal('the code is not good any more')
  return code.startsWith('OAUTH_') ? unavailable(plain(thrown)) : (thrown as Error)
}

/** What the library says may have tokens with it: that is for no log. */
function plain(thrown: unknown): Error {
  const { code, error, cause } = thrown as { code?: string; error?: unknown; cause?: unknown }
  if (PlinthError.is(cause)) return cause.cause instanceof Error ? cause.cause : cause
  const said = typeof error === 'string' ? `: ${error.slice(0, 100)}` : ''
  return new Error(`${reasonOf(thrown)}${said} (${code})`)
}

/** In words of the library alone. */
function reasonOf(thrown: unknown): string {
  const { message, cause } = thrown as Error
  return cause instanceof Error ? cause.message : message
}

function refusal(problem: string): PlinthError {
  return errors.UNAUTHENTICATED.with({ errors: [{ path: '', message: `the login: ${problem}` }] })
}

function unavailable(cause: Error): PlinthError {
  return errors.AUTH_UNAVAILABLE.with({ cause }, 'the OpenID provider does not answer')
}
