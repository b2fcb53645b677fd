import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { errors } from '../errors.ts'

const RSA = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const
/** By what Node.js calls the curve. */
const CURVES = { prime256v1: 'ES256', secp384r1: 'ES384', secp521r1: 'ES512' } as const
/** The bytes that a secret needs (RFC 7518, 3.2). */
const SECRETS = { HS256: 32, HS384: 48, HS512: 64 } as const

/** How a token may be signed; `none` is not among them. */
export type JwtAlgorithm =
  | (typeof RSA)[number]
  | (typeof CURVES)[keyof typeof CURVES]
  | keyof typeof SECRETS
  | 'EdDSA'

/** All that go with public keys. */
export const PUBLIC_KEY_ALGORITHMS: readonly JwtAlgorithm[] = [
  ...RSA,
  ...Object.values(CURVES),
  'EdDSA',
]
export const JWT_ALGORITHMS: readonly JwtAlgorithm[] = [
  ...PUBLIC_KEY_ALGORITHMS,
  ...(Object.keys(SECRETS) as (keyof typeof SECRETS)[]),
]

/** A key that tokens are verified with. */
export interface JwtKey {
  /** Its name in the header of a token; undefined: it is tried whatever the header says. */
  readonly kid: string | undefined
  /** Those of its kind: a public key never verifies what is signed with a secret. */
  readonly algorithms: readonly JwtAlgorithm[]
  /** A public key as PEM, or a secret. */
  readonly material: string
}

/** Where keys are found. */
export interface JwtKeys {
  /** Tokens of other algorithms have no key here. */
  readonly algorithms: readonly JwtAlgorithm[]
  /** @throws {PlinthError} AUTH_UNAVAILABLE where that cannot be told now */
  find(
    kid: string | undefined,
    algorithm: JwtAlgorithm,
  ): readonly JwtKey[] | Promise<readonly JwtKey[]>
  /** Whether what `key` has verified still counts. */
  has(key: JwtKey): boolean
}

/** A key that is none, or none that is safe. */
export class UnusableKey extends Error {
  readonly got: string
  readonly expected: string

  constructor(got: string, expected: string) {
    super(`${got}, expected ${expected}`)
    this.got = got
    this.expected = expected
  }
}

/**
 * Those that the configuration has.
 *
 * @param texts of one or more keys each, see `readKeys`; by the names that tokens have for them, or for any name
 * @throws {PlinthError} PLUGIN_OPTION_INVALID
 */
export function configuredKeys(
  plugin: string,
  option: string,
  texts: readonly string[] | Readonly<Record<string, string | readonly string[]>>,
): JwtKeys {
  const named = Array.isArray(texts)
    ? texts.map((text) => [undefined, text] as const)
    : Object.entries(texts).flatMap(([kid, some]) =>
        [some].flat().map((text) => [kid, text] as const),
      )
  const keys = named.flatMap(([kid, text]) => {
    try {
      if (typeof text !== 'string') throw new UnusableKey('no text', 'a key as text')
      return readKeys(text, kid)
    } catch (error) {
      if (!(error instanceof UnusableKey)) throw error
      throw errors.PLUGIN_OPTION_INVALID(plugin, option, error.got, error.expected)
    }
  })
  return {
    algorithms: JWT_ALGORITHMS.filter((one) => keys.some((key) => key.algorithms.includes(one))),
    find: (kid, algorithm) =>
      keys.filter((key) => (key.kid ?? kid) === kid && key.algorithms.includes(algorithm)),
    has: () => true,
  }
}

/**
 * Reads public keys or a secret from a text of the configuration: PEM, one or several, its line breaks written as `\n` or not,
 * all of it in base64 or not; the one line of base64 that some providers show (DER); everything else is a secret. What is a
 * public key in any spelling is none: everybody could sign with it.
 *
 * @throws {UnusableKey}
 */
function readKeys(text: string, kid?: string): JwtKey[] {
  const plain = text.replaceAll('\\n', '\n').trim()
  const decoded = /^[\w+/=\s-]+$/.test(plain) ? Buffer.from(plain, 'base64') : Buffer.alloc(0)
  const pem = [plain, decoded.toString('latin1')].find((one) => one.includes('-----BEGIN'))
  if (pem !== undefined) return readPem(pem, kid)
  const der = tryDer(decoded)
  if (der) return [publicKey(der, kid)]
  if (/^[{[]/.test(plain)) throw new UnusableKey('JSON', 'a key as PEM, or a secret')
  return [secretKey(text, kid)]
}

function readPem(pem: string, kid: string | undefined): JwtKey[] {
  const blocks = pem.match(/-----BEGIN ([A-Z0-9 ]+)-----[^-]+-----END \1-----/g) ?? []
  if (blocks.length === 0) throw new UnusableKey('no complete PEM', 'a public key as PEM')
  return blocks.map((block) => {
    if (block.includes('PRIVATE KEY'))
      throw new UnusableKey('a private key', 'the public key that belongs to it')
    return publicKey(parsePublic(block), kid)
  })
}

function tryDer(key: Buffer): KeyObject | undefined {
  try {
    return createPublicKey({ key, format: 'der', type: 'spki' })
  } catch {
    return undefined
  }
}

function parsePublic(key: string | { key: JsonWebKey; format: 'jwk' }): KeyObject {
  try {
    return createPublicKey(key)
  } catch {
    throw new UnusableKey('no public key that can be read', 'an RSA, EC or Ed25519 key')
  }
}

function secretKey(material: string, kid: string | undefined): JwtKey {
  const bytes = Buffer.byteLength(material)
  const algorithms = JWT_ALGORITHMS.filter(
    (one) => one in SECRETS && bytes >= SECRETS[one as keyof typeof SECRETS],
  )
  if (algorithms.length === 0)
    throw new UnusableKey(`a secret of ${bytes} bytes`, `at least ${SECRETS.HS256}, made at random`)
  return { kid, algorithms, material }
}

function publicKey(key: KeyObject, kid: string | undefined): JwtKey {
  const material = key.export({ type: 'spki', format: 'pem' }).toString()
  return { kid, algorithms: algorithmsOf(key), material }
}

function algorithmsOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): JwtAlgorithm[] {
  const { modulusLength = 0, namedCurve = '' } = asymmetricKeyDetails ?? {}
  if (asymmetricKeyType === 'rsa' && modulusLength < 2048)
    throw new UnusableKey(`an RSA key of ${modulusLength} bits`, 'one of at least 2048')
  if (asymmetricKeyType === 'rsa') return [...RSA]
  if (asymmetricKeyType === 'ed25519') return ['EdDSA']
  if (asymmetricKeyType === 'ec' && Object.hasOwn(CURVES, namedCurve))
    return [CURVES[namedCurve as keyof typeof CURVES]]
  throw new UnusableKey(
    `a key of the kind ${asymmetricKeyType} ${namedCurve}`.trim(),
    'RSA, EC on P-256, P-384 or P-521, or Ed25519',
  )
}

/** A key of a JWKS (RFC 7517), as it was parsed; undefined where it is not for signatures. @throws {UnusableKey} */
export function keyOfJwk(jwk: unknown): JwtKey | undefined {
  const { use = 'sig', key_ops = ['verify'], alg, kid } = (jwk ?? {}) as Record<string, unknown>
  if (use !== 'sig' || !Array.isArray(key_ops) || !key_ops.includes('verify')) return undefined
  const key = publicKey(
    parsePublic({ key: jwk as JsonWebKey, format: 'jwk' }),
    typeof kid === 'string' ? kid : undefined,
  )
  const algorithms = key.algorithms.filter((one) => alg === undefined || alg === one)
  if (algorithms.length === 0)
    throw new UnusableKey('a key for another algorithm than its kind has', key.algorithms.join())
  return { ...key, algorithms }
}
