import type { FastifyBaseLogger } from 'fastify'
import type * as client from 'openid-client'
import { errors, PlinthError } from '../errors.ts'
import { fetchJson, withinRequest } from './download.ts'
import type { JwtClaims } from './jwt.ts'
import { RemoteValue } from './remote-value.ts'

/** Milliseconds each: how long what the provider tells of itself counts, and how often it is asked. */
const LIMITS = { cooldown: 30_000, retry: 5000, maxAge: 3_600_000, maxStale: 86_400_000 }
const MAX_BYTES = 1_048_576
/** How many logins may wait for the provider at once. */
const MAX_WAITING = 100

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
export interface Expected {
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

/** Who comes back from it has not logged in by what is said there. */
export function refusal(problem: string): PlinthError {
  return errors.UNAUTHENTICATED.with({ errors: [{ path: '', message: `the login: ${problem}` }] })
}

function unavailable(cause: Error): PlinthError {
  return errors.AUTH_UNAVAILABLE.with({ cause }, 'the OpenID provider does not answer')
}
