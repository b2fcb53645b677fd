import { isUtf8 } from 'node:buffer'
import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { errors, type PlinthError } from '../errors.ts'
import { parseJson } from '../http/parse-json.ts'
import type { JwtAlgorithm, JwtKey, JwtKeys } from './jwt-keys.ts'

/** The longest token that is read, in characters; the headers of a request have 16 KB together. */
const MAX_LENGTH = 8192
const MAX_KID = 256
/** How many verified tokens are known again. */
const KNOWN = 5000

/** What a token says (RFC 7519, 4.1), verified; frozen, since requests with the same token share it. */
export interface JwtClaims {
  readonly iss?: string
  readonly sub?: string
  readonly aud?: string | readonly string[]
  /** Seconds since 1970, as all its times are. */
  readonly exp: number
  readonly nbf?: number
  readonly iat?: number
  readonly jti?: string
  readonly [claim: string]: unknown
}

export interface JwtRules {
  /** One of them has to be in `aud`; empty: any. */
  readonly audience: readonly string[]
  /** `iss` has to be one of them; empty: any. */
  readonly issuer: readonly string[]
  /** How it may be signed; never empty. */
  readonly algorithms: readonly JwtAlgorithm[]
  /** Claims that have to be there beside `exp`, and `aud` and `iss` where they are told. */
  readonly required: readonly string[]
  /** Milliseconds by which the clocks of two machines may differ. */
  readonly skew: number
}

interface Known {
  readonly claims: JwtClaims
  readonly key: JwtKey
  /** When it ends, as `Date.now()` counts. */
  readonly until: number
}

type Verify = (token: string) => unknown
type Engine = (options: object) => Verify

let engine: Engine | undefined

/** Loaded with the first token: it is thirty modules, a tenth of what a process takes to start. */
async function loadEngine(): Promise<void> {
  const { createVerifier } = await import('fast-jwt')
  engine = createVerifier as Engine
}

/** A 401 that says why in words of ours: nothing of the token is in it. */
export function refuseToken(reason: string): PlinthError {
  return errors.UNAUTHENTICATED.with({ errors: [{ path: '', message: `the token ${reason}` }] })
}

/** Verifies tokens: their signatures and times by the package `fast-jwt`, and what that lets pass by itself. */
export class JwtVerifier {
  readonly #keys: JwtKeys
  readonly #rules: JwtRules
  readonly #algorithms: ReadonlySet<unknown>
  readonly #verifiers = new WeakMap<JwtKey, Verify>()
  // By their digests: what is kept here is no token that somebody could use.
  readonly #known = new LRUCache<string, Known>({ max: KNOWN })

  constructor(keys: JwtKeys, rules: JwtRules) {
    this.#keys = keys
    this.#rules = rules
    this.#algorithms = new Set(rules.algorithms)
  }

  /**
   * @throws {PlinthError} UNAUTHENTICATED, whose `errors` say why; AUTH_UNAVAILABLE where its key cannot be had now
   */
  verify(token: string): JwtClaims | Promise<JwtClaims> {
    if (token.length > MAX_LENGTH) throw refuseToken(`is longer than ${MAX_LENGTH} characters`)
    const digest = hash('sha256', token, 'base64')
    const known = this.#known.get(digest)
    if (known && Date.now() <= known.until && this.#keys.has(known.key)) return known.claims
    const { kid, alg } = this.#readHeader(token)
    const keys = this.#keys.find(kid, alg)
    if (engine && !(keys instanceof Promise)) return this.#verifyWith(keys, token, digest)
    return Promise.all([keys, loadEngine()]).then(([found]) =>
      this.#verifyWith(found, token, digest),
    )
  }

  #readHeader(token: string): { kid: string | undefined; alg: JwtAlgorithm } {
    const { alg, kid, crit } = readPart(token.slice(0, token.indexOf('.')))
    if (!this.#algorithms.has(alg)) throw refuseToken('has an algorithm that is not allowed here')
    if (crit !== undefined) throw refuseToken('wants extensions that are not known here')
    if (kid !== undefined && (typeof kid !== 'string' || kid.length > MAX_KID))
      throw refuseToken('names its key by what is no name')
    return { kid, alg: alg as JwtAlgorithm }
  }

  #verifyWith(keys: readonly JwtKey[], token: string, digest: string): JwtClaims {
    if (keys.length === 0) throw refuseToken('is signed with a key that is not known here')
    const key = this.#findSigner(keys, token)
    const { skew } = this.#rules
    const claims = readPart(token.slice(token.indexOf('.') + 1, token.lastIndexOf('.')))
    assertClaims(claims, Date.now() + skew)
    this.#known.set(digest, { claims: deepFreeze(claims), key, until: claims.exp * 1000 + skew })
    return claims
  }

  /** The one of `keys` that has signed it. */
  #findSigner(keys: readonly JwtKey[], token: string): JwtKey {
    let reason = 'is not signed with a key that is known here'
    for (const key of keys) {
      try {
        this.#verifierOf(key)(token)
        return key
      } catch (error) {
        const { code } = error as { code?: string }
        // Several keys may have one name, or none, while one takes the place of another.
        if (code !== 'FAST_JWT_INVALID_SIGNATURE' && code !== 'FAST_JWT_VERIFY_ERROR')
          reason = REASONS[code as never] ?? 'cannot be read'
      }
    }
    throw refuseToken(reason)
  }

  #verifierOf(key: JwtKey): Verify {
    const made = this.#verifiers.get(key)
    if (made) return made
    const { audience, issuer, required, skew } = this.#rules
    const verifier = (engine as Engine)({
      key: key.material,
      algorithms: key.algorithms.filter((one) => this.#algorithms.has(one)),
      clockTolerance: skew,
      requiredClaims: [
        'exp',
        ...(audience.length > 0 ? ['aud'] : []),
        ...(issuer.length > 0 ? ['iss'] : []),
        ...required,
      ],
      ...(audience.length > 0 && { allowedAud: audience }),
      ...(issuer.length > 0 && { allowedIss: issuer }),
    })
    this.#verifiers.set(key, verifier)
    return verifier
  }
}

/** What fast-jwt says by a code; its own words may quote the token. */
const REASONS = {
  FAST_JWT_EXPIRED: 'has expired',
  FAST_JWT_INACTIVE: 'is not valid yet',
  FAST_JWT_INVALID_CLAIM_VALUE: 'is of another issuer, or for another audience',
  FAST_JWT_INVALID_CLAIM_TYPE: 'has a claim of a wrong type',
  FAST_JWT_MISSING_REQUIRED_CLAIM: 'lacks a claim that is needed here',
  FAST_JWT_MISSING_SIGNATURE: 'is not signed',
} as const

/** Reads the header or the claims: an object, without a key twice and without what reaches for a prototype. */
function readPart(part: string): Record<string, unknown> {
  const bytes = Buffer.from(part, 'base64url')
  let value: unknown
  try {
    value = isUtf8(bytes) ? parseJson(bytes.toString()) : undefined
  } catch {
    // Its words are of bodies.
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw refuseToken('cannot be read, or says something twice')
  return value as Record<string, unknown>
}

/** @param now milliseconds since 1970, what the clocks may differ included */
function assertClaims(
  claims: Record<string, unknown>,
  now: number,
): asserts claims is Record<string, unknown> & JwtClaims {
  const { exp, iat } = claims
  const isWrong =
    !Number.isFinite(exp) ||
    (iat !== undefined && !Number.isFinite(iat)) ||
    ['iss', 'sub', 'jti'].some((name) => name in claims && typeof claims[name] !== 'string')
  if (isWrong) throw refuseToken(REASONS.FAST_JWT_INVALID_CLAIM_TYPE)
  if (iat !== undefined && (iat as number) * 1000 > now)
    throw refuseToken(REASONS.FAST_JWT_INACTIVE)
}

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value))
    if (typeof inner === 'object' && inner !== null) deepFreeze(inner)
  return Object.freeze(value)
}
