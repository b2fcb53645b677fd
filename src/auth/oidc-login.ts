import type { FastifyReply, FastifyRequest } from 'fastify'
import { errors, PlinthError } from '../errors.ts'
import type { UserOfClaims } from './bearer.ts'
import { acceptsPage } from './browser.ts'
import { type LogoutTokens, loginsOf } from './logout-token.ts'
import type { Nonces } from './nonces.ts'
import { type Expected, type OidcProvider, refusal } from './oidc-provider.ts'
import type { Sessions } from './session.ts'
import type { SignedCookie } from './signed-cookie.ts'

/** Milliseconds from the begin of a login to its end. */
const MAX_LOGIN = 600_000
/** How many logins one browser may have begun, in as many of its tabs. */
const MAX_TABS = 5
/** What a URL has room for, beside the rest: one that is longer is not shown. */
const MAX_HINT = 4096
/** Where to go afterwards is in a cookie, which has an end. */
const MAX_TARGET = 1000

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
