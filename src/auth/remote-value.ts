import type { FastifyBaseLogger } from 'fastify'
import { errors } from '../errors.ts'
import { withinRequest } from './download.ts'

/** Milliseconds each. */
export interface RemoteLimits {
  /** How long nobody asks again after an answer, whatever it lacks. */
  readonly cooldown: number
  /** How long nobody asks again after a failure. */
  readonly retry: number
  /** After how long it is asked for anew, while what there is goes on to count. */
  readonly maxAge: number
  /** How long that counts while nothing new comes. */
  readonly maxStale: number
}

export interface RemoteOptions<T> {
  /** What it is, in the plural: `the keys of the issuer`. */
  readonly name: string
  readonly host: string
  readonly limits: RemoteLimits
  readonly log: FastifyBaseLogger
  readonly load: (signal: AbortSignal) => Promise<T>
}

/**
 * What another system tells, and seldom changes. It is asked for when it is needed, once for all who wait; while the other
 * system does not answer, what there is goes on to count.
 */
export class RemoteValue<T> {
  readonly #options: RemoteOptions<T>
  readonly #closing = new AbortController()
  #value: T | undefined
  #answered = Number.NEGATIVE_INFINITY
  #tried = Number.NEGATIVE_INFINITY
  #failure: Error | undefined
  #loading: Promise<void> | undefined

  constructor(options: RemoteOptions<T>) {
    this.#options = options
  }

  /** It, where there is one that counts; where it is old, a new one is asked for meanwhile. */
  get current(): T | undefined {
    const { maxAge, maxStale } = this.#options.limits
    const age = performance.now() - this.#answered
    if (age > maxAge && this.#mayLoad()) this.#load().catch(() => {})
    return age <= maxStale ? this.#value : undefined
  }

  /** The same, waited for where there is none. @throws {PlinthError} AUTH_UNAVAILABLE */
  async get(signal?: AbortSignal): Promise<T> {
    const { current } = this
    if (current !== undefined) return current
    await this.renew(signal)
    // What has just come counts, whatever the limits.
    return this.#value as T
  }

  /**
   * Asks for it now, where that may be, and waits for it no longer than the request may take.
   *
   * @throws {PlinthError} AUTH_UNAVAILABLE
   */
  async renew(signal?: AbortSignal): Promise<void> {
    const late = (cause: Error) => this.#unavailable(cause)
    if (this.#mayLoad()) await withinRequest(this.#load(), late, signal)
    else if (this.#failure) throw late(this.#failure)
  }

  /** Gives up what is under way. */
  close(): void {
    this.#closing.abort()
  }

  #mayLoad(): boolean {
    if (this.#loading) return true
    const { retry, cooldown } = this.#options.limits
    return performance.now() - this.#tried >= (this.#failure ? retry : cooldown)
  }

  /** Once at a time. */
  #load(): Promise<void> {
    this.#loading ??= this.#options.load(this.#closing.signal).then(
      (value) => {
        this.#value = value
        this.#end(undefined)
      },
      (error: Error) => {
        this.#end(error)
        throw this.#unavailable(error)
      },
    )
    return this.#loading
  }

  /** One line when it does not come, and one when it comes again. */
  #end(failure: Error | undefined): void {
    const { name, host, log } = this.#options
    this.#loading = undefined
    this.#tried = performance.now()
    if (!failure) this.#answered = this.#tried
    if (failure && !this.#failure) log.warn({ err: failure, host }, `${name} do not come`)
    if (!failure && this.#failure) log.info({ host }, `${name} come again`)
    this.#failure = failure
  }

  #unavailable(cause: Error): Error {
    return errors.AUTH_UNAVAILABLE.with({ cause }, `${this.#options.name} do not come`)
  }
}
