import type { FastifyBaseLogger } from 'fastify'
import { errors } from '../errors.ts'
import { download, withinRequest } from './download.ts'
import {
  type JwtAlgorithm,
  type JwtKey,
  type JwtKeys,
  keyOfJwk,
  PUBLIC_KEY_ALGORITHMS,
  UnusableKey,
} from './jwt-keys.ts'

const MAX_BYTES = 262_144
const MAX_KEYS = 100

/** Milliseconds each. */
export interface JwksLimits {
  /** How long the keys may take to come; default 3000. */
  timeout: number
  /** How long a key that is not among them is unknown without asking again; default 30,000. */
  cooldown: number
  /** How long nobody asks again after a failure; default 5000. */
  retry: number
  /** After how long they are asked for anew, while those that there are go on to count; default 600,000. */
  maxAge: number
  /** How long they count while no new ones come; default 86,400,000, a day. */
  maxStale: number
}

export const JWKS_LIMITS: JwksLimits = {
  timeout: 3000,
  cooldown: 30_000,
  retry: 5000,
  maxAge: 600_000,
  maxStale: 86_400_000,
}

/**
 * The public keys of an issuer, as it tells them at a URL (RFC 7517, 5). They are asked for when a token needs them: once for
 * all requests that wait, and for keys that are not known no sooner than the last answer is `cooldown` old, so that tokens with
 * made-up key names cause no load. While the URL does not answer, the keys that there are go on to count.
 *
 * What is unknown is not kept by its name: a name could be made unknown before its key is there, and there are endless names.
 */
export class Jwks implements JwtKeys {
  readonly algorithms = PUBLIC_KEY_ALGORITHMS
  readonly #url: string
  readonly #limits: JwksLimits
  readonly #log: FastifyBaseLogger
  #keys: ReadonlySet<JwtKey> = new Set()
  #answered = Number.NEGATIVE_INFINITY
  #tried = Number.NEGATIVE_INFINITY
  #failure: Error | undefined
  #fetching: Promise<void> | undefined
  #controller: AbortController | undefined

  constructor(url: string, limits: JwksLimits, log: FastifyBaseLogger) {
    this.#url = url
    this.#limits = limits
    this.#log = log
  }

  find(kid: string | undefined, algorithm: JwtAlgorithm) {
    const found = this.#count() ? this.#pick(kid, algorithm) : []
    return found.length > 0 ? found : this.#findAnew(kid, algorithm)
  }

  has(key: JwtKey): boolean {
    return this.#count() && this.#keys.has(key)
  }

  /** Fulfilled where there are keys that count, or when they have come. @throws {PlinthError} AUTH_UNAVAILABLE */
  async ready(signal?: AbortSignal): Promise<void> {
    if (!this.#count()) await this.#wait(signal)
  }

  /** Gives up what is under way. */
  close(): void {
    this.#controller?.abort()
  }

  /** Whether the keys count; where they are old, new ones are asked for meanwhile. */
  #count(): boolean {
    const age = performance.now() - this.#answered
    if (age > this.#limits.maxAge && this.#mayFetch()) this.#fetch().catch(() => {})
    return age <= this.#limits.maxStale
  }

  #pick(kid: string | undefined, algorithm: JwtAlgorithm): JwtKey[] {
    const found = [...this.#keys].filter(
      (key) => (kid === undefined || key.kid === kid) && key.algorithms.includes(algorithm),
    )
    // A token that names no key is not tried with each.
    return kid === undefined && found.length > 1 ? [] : found
  }

  async #findAnew(kid: string | undefined, algorithm: JwtAlgorithm): Promise<JwtKey[]> {
    await this.#wait()
    return this.#pick(kid, algorithm)
  }

  #mayFetch(): boolean {
    if (this.#fetching) return true
    const { retry, cooldown } = this.#limits
    return performance.now() - this.#tried >= (this.#failure ? retry : cooldown)
  }

  /** Waits for keys that are asked for now, where that may be; for no longer than the request may take. */
  async #wait(signal?: AbortSignal): Promise<void> {
    if (this.#mayFetch()) await withinRequest(this.#fetch(), unavailable, signal)
    else if (this.#failure) throw unavailable(this.#failure)
  }

  /** Asks for the keys, once at a time. */
  #fetch(): Promise<void> {
    this.#fetching ??= this.#load().then(
      () => this.#end(undefined),
      (error: Error) => {
        this.#end(error)
        throw unavailable(error)
      },
    )
    return this.#fetching
  }

  #end(failure: Error | undefined): void {
    this.#fetching = undefined
    this.#tried = performance.now()
    if (!failure) this.#answered = this.#tried
    const { host } = new URL(this.#url)
    if (failure && !this.#failure)
      this.#log.warn({ err: failure, host }, 'the keys of the issuer of tokens do not come')
    if (!failure && this.#failure)
      this.#log.info({ host }, 'the keys of the issuer of tokens come again')
    this.#failure = failure
  }

  async #load(): Promise<void> {
    const controller = new AbortController()
    this.#controller = controller
    const text = await download(this.#url, {
      accept: 'application/jwk-set+json, application/json',
      maxBytes: MAX_BYTES,
      timeout: this.#limits.timeout,
      signal: controller.signal,
    })
    this.#keys = this.#read(text)
  }

  /** Those that are the same stay the same: what they have verified counts on. */
  #read(text: string): ReadonlySet<JwtKey> {
    const known = new Map([...this.#keys].map((key) => [JSON.stringify(key), key]))
    const keys = parseKeys(text, (problem) =>
      this.#log.warn({ problem }, 'a key of the issuer of tokens is not used'),
    )
    return new Set(keys.map((key) => known.get(JSON.stringify(key)) ?? key))
  }
}

/** @throws where it is no JWKS */
function parseKeys(text: string, refuse: (problem: string) => void): JwtKey[] {
  const { keys } = (parseJson(text) ?? {}) as { keys?: unknown }
  if (!Array.isArray(keys)) throw new Error('what came has no list of keys')
  if (keys.length > MAX_KEYS) throw new Error(`more than ${MAX_KEYS} keys came`)
  return keys.flatMap((jwk) => {
    try {
      return keyOfJwk(jwk) ?? []
    } catch (error) {
      if (!(error instanceof UnusableKey)) throw error
      refuse(error.message)
      return []
    }
  })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error('what came is not JSON')
  }
}

function unavailable(cause: Error): Error {
  return errors.AUTH_UNAVAILABLE.with({ cause }, 'the keys of the issuer do not come')
}
