import type { FastifyBaseLogger } from 'fastify'
import type { Duration, InMilliseconds } from '../duration.ts'
import { downloadJson } from './download.ts'
import {
  type JwtAlgorithm,
  type JwtKey,
  type JwtKeys,
  keyOfJwk,
  PUBLIC_KEY_ALGORITHMS,
  UnusableKey,
} from './jwt-keys.ts'
import { RemoteValue } from './remote-value.ts'

const MAX_BYTES = 262_144
const MAX_KEYS = 100

/** Milliseconds each, or texts like `'10m'`. */
export interface JwksLimits {
  /** How long the keys may take to come; default 3000. */
  readonly timeout: Duration
  /** How long a key that is not among them is unknown without asking again; default 30,000. */
  readonly cooldown: Duration
  /** How long nobody asks again after a failure; default 5000. */
  readonly retry: Duration
  /** After how long they are asked for anew, while those that there are go on to count; default 600,000. */
  readonly maxAge: Duration
  /** How long they count while no new ones come; default 86,400,000, a day. */
  readonly maxStale: Duration
}

export const JWKS_LIMITS: InMilliseconds<JwksLimits> = {
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
  readonly #remote: RemoteValue<ReadonlySet<JwtKey>>
  readonly #log: FastifyBaseLogger
  #last: ReadonlySet<JwtKey> = new Set()

  constructor(url: string, limits: InMilliseconds<JwksLimits>, log: FastifyBaseLogger) {
    this.#log = log
    const load = async (signal: AbortSignal) => {
      const { value } = await downloadJson(url, {
        accept: 'application/jwk-set+json, application/json',
        maxBytes: MAX_BYTES,
        timeout: limits.timeout,
        signal,
      })
      this.#last = this.#read(value)
      return this.#last
    }
    const { host } = new URL(url)
    this.#remote = new RemoteValue({ name: 'the keys of the issuer', host, limits, log, load })
  }

  find(kid: string | undefined, algorithm: JwtAlgorithm) {
    const found = this.#pick(kid, algorithm)
    return found.length > 0 ? found : this.#findAnew(kid, algorithm)
  }

  has(key: JwtKey): boolean {
    return this.#remote.current?.has(key) ?? false
  }

  /** Fulfilled where there are keys that count, or when they have come. @throws {PlinthError} AUTH_UNAVAILABLE */
  async ready(signal?: AbortSignal): Promise<void> {
    await this.#remote.get(signal)
  }

  /** Gives up what is under way. */
  close(): void {
    this.#remote.close()
  }

  #pick(kid: string | undefined, algorithm: JwtAlgorithm): JwtKey[] {
    const found = [...(this.#remote.current ?? [])].filter(
      (key) => (kid === undefined || key.kid === kid) && key.algorithms.includes(algorithm),
    )
    // A token that names no key is not tried with each.
    return kid === undefined && found.length > 1 ? [] : found
  }

  async #findAnew(kid: string | undefined, algorithm: JwtAlgorithm): Promise<JwtKey[]> {
    await this.#remote.renew()
    return this.#pick(kid, algorithm)
  }

  /** Those that are the same stay the same: what they have verified counts on. */
  #read(answer: unknown): ReadonlySet<JwtKey> {
    const known = new Map([...this.#last].map((key) => [JSON.stringify(key), key]))
    const keys = parseKeys(answer, (problem) =>
      this.#log.warn({ problem }, 'a key of the issuer of tokens is not used'),
    )
    return new Set(keys.map((key) => known.get(JSON.stringify(key)) ?? key))
  }
}

/** @throws where it is no JWKS */
function parseKeys(answer: unknown, refuse: (problem: string) => void): JwtKey[] {
  const { keys } = (answer ?? {}) as { keys?: unknown }
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
