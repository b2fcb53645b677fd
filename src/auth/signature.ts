import { createHash, randomUUID } from 'node:crypto'
import { Transform, type TransformCallback } from 'node:stream'
import type { FastifyRequest, RequestPayload } from 'fastify'
import { errors, type PlinthError } from '../errors.ts'
import { sendsBody } from '../http/body.ts'
import { contextOf } from '../http/request-context.ts'
import type { LoadUser, User } from '../resource/context.ts'
import type { Strategy } from './authenticator.ts'
import { hmac, isEqual } from './hmac.ts'
import type { Nonces } from './nonces.ts'

const ALGORITHM = 'hmac-sha256'
/** What has to be signed of each request, and of one with a body its `content-digest`, too. */
const COMPONENTS = ['@method', '@authority', '@path', '@query']
const PARAMETERS = ['created', 'keyid', 'nonce', 'alg']

/** The id of the user that an app acts for, percent-encoded. */
export const ACT_FOR = 'x-act-for'

/** A request that is to be signed. */
export interface Signable {
  method: string
  /** With origin, as it is sent. */
  url: string
  headers?: Readonly<Record<string, string>>
  body?: string | Uint8Array
}

/**
 * Signs a request with the secret of an app (RFC 9421), as `plinth/plugins/signature` verifies it. With a header `x-act-for`, the
 * percent-encoded id of a user, it is a request of that user, where the other service lets the app act for users.
 *
 * @returns its headers with `signature`, `signature-input` and, where it has a body, `content-digest` (RFC 9530)
 */
export async function signRequest(
  { method, url, headers = {}, body }: Signable,
  { app, secret }: { app: string; secret: string },
): Promise<Record<string, string>> {
  const { httpbis } = await import('http-message-signatures')
  const hash = body === undefined ? undefined : createHash('sha256').update(body).digest('base64')
  const digest = hash === undefined ? {} : { 'content-digest': `sha-256=:${hash}:` }
  const signed = await httpbis.signMessage(
    {
      key: { id: app, alg: ALGORITHM, sign: async (data) => hmac(secret, data) },
      params: PARAMETERS,
      paramValues: { nonce: randomUUID() },
      fields: [...COMPONENTS, ...Object.keys(digest), ...(ACT_FOR in headers ? [ACT_FOR] : [])],
    },
    { method, url, headers: { ...headers, ...digest } },
  )
  return signed.headers as Record<string, string>
}

export interface SignatureSettings {
  /** The secrets of an app: several while one takes the place of another, none of one that nobody knows. */
  secretsOf(app: string): readonly string[] | Promise<readonly string[]>
  /** Refuses what was used before. */
  nonces: Nonces
  /** Milliseconds that a signature is good for. */
  maxAge: number
  /** Milliseconds by which the clocks of two machines may differ. */
  skew: number
  /** The codes of the apps that may act for users. */
  actFor: readonly string[]
  /** Makes the user that an app acts for. */
  loadUser?: LoadUser | undefined
}

/** The strategy that knows other services by what they sign (RFC 9421): they are the users `app:CODE`. */
export async function createSignature(
  name: string,
  { secretsOf, nonces, maxAge, skew, actFor, loadUser }: SignatureSettings,
): Promise<Strategy> {
  const { httpbis } = await import('http-message-signatures')
  return {
    name,
    scheme: {
      type: 'apiKey',
      in: 'header',
      name: 'Signature',
      description:
        'HTTP Message Signatures (RFC 9421) with hmac-sha256; the key id is the code of the app',
    },
    challenge: 'Signature',
    async authenticate(request) {
      const { method, headers } = request
      if (headers.signature === undefined && headers['signature-input'] === undefined)
        return undefined
      const signer = { app: '', nonce: '', count: 0 }
      const isSigned = await verify(
        {
          // The library goes by seconds, and by its own lights where there are several.
          maxAge: Math.ceil((maxAge + skew) / 1000),
          tolerance: Math.ceil(skew / 1000),
          requiredParams: PARAMETERS,
          requiredFields: [
            ...COMPONENTS,
            ...(sendsBody(request) ? ['content-digest'] : []),
            ...(headers[ACT_FOR] === undefined ? [] : [ACT_FOR]),
          ],
          async keyLookup({ keyid, nonce, created }) {
            if (++signer.count > 1) throw new Error('one signature is enough')
            if (typeof nonce !== 'string' || !/^[\x21-\x7e]{8,200}$/.test(nonce))
              throw new Error('its nonce is no text of 8 to 200 characters')
            if (!(created instanceof Date) || Number.isNaN(created.getTime()))
              throw new Error('created is no time')
            Object.assign(signer, { app: String(keyid), nonce })
            const secrets = await secretsOf(signer.app)
            // One that nobody knows is told nothing else than one with another secret.
            const matches = async (data: Buffer, signature: Buffer) =>
              secrets.some((secret) => isEqual(hmac(secret, data), signature))
            return { id: signer.app, algs: [ALGORITHM], verify: matches }
          },
        },
        { method, url: urlOf(request), headers: headers as Record<string, string | string[]> },
      )
      if (!isSigned) throw refusal('it does not fit the request')
      if (!(await nonces.use(`${signer.app}:${signer.nonce}`, maxAge + 2 * skew)))
        throw refusal('it was used before')
      const { app } = signer
      if (headers[ACT_FOR] === undefined) return { user: { id: `app:${app}` }, app }
      if (!loadUser || !actFor.includes(app)) throw refusal('this app may not act for users')
      return { user: await userFor(request, loadUser), app }
    },
  }

  async function verify(...args: Parameters<typeof httpbis.verifyMessage>): Promise<boolean> {
    try {
      return (await httpbis.verifyMessage(...args)) === true
    } catch (error) {
      const { name, message } = error as Error
      // Of the library and of what it was given: of the request, not of this service.
      if ((error as { statusCode?: number }).statusCode !== undefined) throw error
      throw refusal(name === 'Error' || KNOWN.has(name) ? message : 'it cannot be read')
    }
  }
}

const KNOWN = new Set(['ExpiredError', 'UnacceptableSignatureError', 'UnsupportedAlgorithmError'])

/** @throws {PlinthError} UNAUTHENTICATED, AUTH_UNAVAILABLE */
async function userFor(request: FastifyRequest, loadUser: LoadUser): Promise<User> {
  const id = decode(String(request.headers[ACT_FOR]))
  if (!id) throw refusal(`${ACT_FOR} is no percent-encoded id`)
  let user: User | null | undefined
  try {
    user = await loadUser(id, contextOf(request))
  } catch (cause) {
    throw errors.AUTH_UNAVAILABLE.with({ cause }, 'the user could not be loaded')
  }
  if (user?.id !== id) throw refusal('nobody knows the user that the app acts for')
  return user
}

/** `undefined`: it is not properly encoded. */
function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/** As the client has sent it: the library would make `/b` of `/a/../b`, and another route answers that. */
function urlOf(request: FastifyRequest): string {
  const target = request.raw.url ?? ''
  const url = `${request.protocol}://${request.host}${target}`
  const parsed = URL.parse(url)
  if (!parsed || parsed.pathname + parsed.search !== target)
    throw refusal('the URL can be read in two ways')
  return url
}

/** What reads the body of a signed request, and fails at its end where that is another than was signed. */
export function checkDigest(request: FastifyRequest, payload: RequestPayload): RequestPayload {
  const { headers, routeOptions } = request
  const header = [headers['content-digest'] ?? ''].flat().join(', ')
  const wanted = /(?:^|[\s,])sha-256=:([A-Za-z\d+/]{43}=):/.exec(header)?.[1]
  if (wanted === undefined) throw refusal('its content-digest has no sha-256')
  if (headers['content-encoding'] !== undefined) throw refusal('a signed body is not compressed')
  // Whoever reads it himself reads past this.
  if (routeOptions.config.definition?.consumes)
    throw refusal('what is uploaded there cannot be signed')
  return payload.pipe(new DigestCheck(Buffer.from(wanted, 'base64')))
}

class DigestCheck extends Transform {
  readonly #wanted: Buffer
  readonly #hash = createHash('sha256')

  constructor(wanted: Buffer) {
    super()
    this.#wanted = wanted
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    this.#hash.update(chunk)
    done(null, chunk)
  }

  override _flush(done: TransformCallback): void {
    done(
      isEqual(this.#hash.digest(), this.#wanted)
        ? null
        : refusal('the body is not the one that was signed'),
    )
  }
}

function refusal(problem: string): PlinthError {
  return errors.UNAUTHENTICATED.with({
    errors: [{ path: '', message: `the signature: ${problem}` }],
  })
}
