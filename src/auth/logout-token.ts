import type { FastifyBaseLogger } from 'fastify'
import type { ServerMetadata } from 'openid-client'
import { errors } from '../errors.ts'
import { JWKS_LIMITS, Jwks } from './jwks.ts'
import { type JwtClaims, JwtVerifier, refuseToken } from './jwt.ts'
import { PUBLIC_KEY_ALGORITHMS } from './jwt-keys.ts'
import type { Nonces } from './nonces.ts'

/** What a logout token is for (OpenID Connect Back-Channel Logout 1.0, 2.4). */
const EVENT = 'http://schemas.openid.net/event/backchannel-logout'
/** Milliseconds by which the clock of the provider may differ. */
const SKEW = 5000

export interface LogoutTokenSettings {
  readonly issuer: URL
  /** What the provider tells of itself. @throws {PlinthError} AUTH_UNAVAILABLE */
  metadata(): Promise<ServerMetadata>
  readonly clientId: string
  /** Milliseconds for its keys to come. */
  readonly timeout: number
  readonly nonces: Nonces
  readonly log: FastifyBaseLogger
}

/** The tokens by which a provider says that somebody has logged out there: signed as its ID tokens are, and good once. */
export class LogoutTokens {
  readonly #settings: LogoutTokenSettings
  #verifier: { readonly made: string; readonly keys: Jwks; readonly jwt: JwtVerifier } | undefined

  constructor(settings: LogoutTokenSettings) {
    this.#settings = settings
  }

  /**
   * What it says.
   *
   * @throws {PlinthError} UNAUTHENTICATED, whose `errors` say why; AUTH_UNAVAILABLE where that cannot be told now
   */
  async verify(token: string): Promise<JwtClaims> {
    const { metadata, nonces } = this.#settings
    const jwt = this.#verifierFor(await metadata())
    const claims = await jwt.verify(token)
    assertLogout(claims)
    const left = Math.ceil(claims.exp * 1000 + SKEW - Date.now())
    if (!(await nonces.use(`logout:${claims.jti}`, Math.max(1, left))))
      throw refuseToken('was used before')
    return claims
  }

  /** Gives up what is under way. */
  close(): void {
    this.#verifier?.keys.close()
  }

  /** Another one where the provider says other things of itself by now. */
  #verifierFor({
    issuer,
    jwks_uri = '',
    id_token_signing_alg_values_supported: signs = ['RS256'],
  }: ServerMetadata): JwtVerifier {
    const { clientId, timeout, log } = this.#settings
    const algorithms = PUBLIC_KEY_ALGORITHMS.filter((one) => signs.includes(one))
    // Over http they could be anybody's.
    const isFit = jwks_uri.startsWith(this.#settings.issuer.protocol) && URL.canParse(jwks_uri)
    if (!isFit || algorithms.length === 0)
      throw errors.AUTH_UNAVAILABLE(
        'the OpenID provider tells no keys by which its tokens are signed',
      )
    const made = `${jwks_uri} ${algorithms}`
    if (this.#verifier?.made === made) return this.#verifier.jwt
    this.close()
    const keys = new Jwks(jwks_uri, { ...JWKS_LIMITS, timeout }, log)
    const required = ['iat', 'jti', 'events']
    const rules = { audience: [clientId], issuer: [issuer], algorithms, required, skew: SKEW }
    this.#verifier = { made, keys, jwt: new JwtVerifier(keys, rules) }
    return this.#verifier.jwt
  }
}

/** What tells it from every other token of the provider (2.6). */
function assertLogout({ events, nonce, sub, sid }: JwtClaims): void {
  const event = (events as Record<string, unknown> | null)?.[EVENT]
  if (typeof event !== 'object' || event === null) throw refuseToken('is not for a logout')
  if (nonce !== undefined) throw refuseToken('has a nonce: it is for a login')
  if (!isName(sid) && (sid !== undefined || !isName(sub))) throw refuseToken('names nobody')
}

function isName(claim: unknown): boolean {
  return typeof claim === 'string' && claim !== ''
}

/**
 * The groups of sessions that end by a logout at the provider: those of one login there, where it names that, and all of somebody. A logout
 * token means the first of its own.
 */
export function loginsOf({ iss, sub, sid }: Partial<JwtClaims>): [string, ...string[]] {
  const all = `${iss} sub ${sub}`
  return sid === undefined ? [all] : [`${iss} sid ${sid}`, all]
}
