import {
  constants,
  createHmac,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  sign as signBytes,
} from 'node:crypto'

/** A pair of keys, the public one as an issuer tells it. */
export interface Pair {
  privateKey: KeyObject
  pem: string
  /** @param kid its name in a JWKS */
  jwk(kid: string): JsonWebKey & Record<string, unknown>
}

export function rsa(bits = 2048): Pair {
  return pairOf(generateKeyPairSync('rsa', { modulusLength: bits }))
}

export function ec(namedCurve = 'P-256'): Pair {
  return pairOf(generateKeyPairSync('ec', { namedCurve }))
}

export function ed25519(): Pair {
  return pairOf(generateKeyPairSync('ed25519'))
}

function pairOf({ privateKey, publicKey }: { privateKey: KeyObject; publicKey: KeyObject }): Pair {
  return {
    privateKey,
    pem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    jwk: (kid) => ({ ...publicKey.export({ format: 'jwk' }), kid, use: 'sig' }),
  }
}

/** An object, or its text as it is to stand in the token. */
type Part = object | string | null

/**
 * Signs whatever it is given.
 *
 * @param header its `alg` says how
 * @param key a secret for HMAC; undefined: the signature is empty
 */
export function sign(header: Part, claims: Part, key?: KeyObject | string): string {
  const text = (part: Part) => (typeof part === 'string' ? part : JSON.stringify(part))
  const encode = (part: Part) => Buffer.from(text(part)).toString('base64url')
  const input = `${encode(header)}.${encode(claims)}`
  const { alg } = JSON.parse(text(header)) as { alg: string }
  return `${input}.${key === undefined ? '' : signatureOf(alg, input, key)}`
}

function signatureOf(alg: string, input: string, key: KeyObject | string): string {
  const digest = `sha${alg.slice(2)}`
  if (typeof key === 'string') return createHmac(digest, key).update(input).digest('base64url')
  const padding = alg.startsWith('PS')
    ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
    : {}
  const options = { key, dsaEncoding: 'ieee-p1363' as const, ...padding }
  const bytes = signBytes(alg === 'EdDSA' ? undefined : digest, Buffer.from(input), options)
  return bytes.toString('base64url')
}

/** Seconds since 1970, `more` from now. */
export function seconds(more = 0): number {
  return Math.floor(Date.now() / 1000) + more
}
