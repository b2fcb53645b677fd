import type { ConnectionOptions } from 'node:tls'
import type { CircuitBreakerPolicy } from 'cockatiel'
import type { Dispatcher } from 'undici'
import { DeadlineQueue, type Timed } from '../deadlines.ts'
import { errors, PlinthError } from '../errors.ts'
import { type BreakerOptions, createBreaker } from './breaker.ts'
import { Exchange, type Failure, type Outcome, type UpstreamAnswer } from './exchange.ts'
import { Limiter, type Waiter } from './limiter.ts'
import { delayBefore, isTransient, pause, RetryBudget, type RetryOptions } from './retry.ts'
import { UpstreamError } from './upstream-error.ts'

/** What TLS is given, as `tls.connect` knows it. */
export type UpstreamTls = Pick<
  ConnectionOptions,
  'ca' | 'cert' | 'key' | 'passphrase' | 'rejectUnauthorized' | 'servername' | 'minVersion'
>

export interface UpstreamClientOptions {
  /** What errors and log lines call it. */
  name: string
  /** Where it is, as `https://billing.internal:8443`; undefined: each request says it. */
  origin: string | undefined
  /** How many retries there may be for each call, over all calls: 0.1 is one for ten of them. Ten more are free. */
  retryBudget: number
  /** False: it is asked however often it fails. */
  breaker: BreakerOptions | false
  /** How many calls are under way at most, and how many wait for one of them to end. */
  limit: { connections: number; waiting: number }
  /** Milliseconds that a connection may take to be made. */
  connectTimeout: number
  tls: UpstreamTls
  /** Told when the breaker opens and when it closes. */
  onBreaker?: (isOpen: boolean) => void
}

export interface UpstreamRequest {
  readonly method: string
  /** With its query; begins with `/`. */
  readonly path: string
  /** Where the client has none. */
  readonly origin?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array | undefined
}

export interface SendOptions {
  /** Ends the call with its reason. */
  signal?: AbortSignal | undefined
  /** When that would abort, as `performance.now()` counts: nothing is begun that cannot end before. */
  expires?: number | undefined
  /** Milliseconds for the whole call, waiting and retries included; 0: as long as it takes. */
  timeout: number
  /** Whether it may be repeated. */
  idempotent: boolean
  /** Bytes that the answer may have when it is decompressed. */
  maxBytes: number
  /** Whether the bytes of a success are handed on as they come: `stream` of the answer. */
  streams?: boolean
  /** What errors call it. */
  operation: string
  /** How it is repeated; false: not at all. */
  retry: RetryOptions | false
}

/** A call, however often it is tried. */
class Call implements Timed, Waiter {
  at = Number.POSITIVE_INFINITY
  earlier: Timed | undefined = undefined
  later: Timed | undefined = undefined
  cancel: ((reason: unknown) => void) | undefined = undefined
  /** Why it is over before there is an answer. */
  reason: unknown = undefined
  isLate = false

  end(reason: unknown): void {
    if (this.reason !== undefined) return
    this.reason = reason
    this.cancel?.(reason)
  }

  /** Of its signal: a listener that is an object needs no function for each call. */
  handleEvent(event: Event): void {
    this.end((event.target as AbortSignal).reason)
  }
}

interface Opened {
  readonly dispatcher: Dispatcher
  readonly breaker: CircuitBreakerPolicy | undefined
}

/** HTTP to one other system: a pool of connections of its own, and all that keeps a call from lasting or costing too much. */
export class UpstreamClient {
  readonly #options: UpstreamClientOptions
  readonly #limiter: Limiter
  readonly #budget: RetryBudget
  readonly #deadlines = new Map<number, DeadlineQueue<Call>>()
  #opening: Promise<Opened> | undefined
  #opened: Opened | undefined

  constructor(options: UpstreamClientOptions) {
    const { limit, retryBudget } = options
    this.#options = options
    this.#limiter = new Limiter(limit.connections, limit.waiting)
    this.#budget = new RetryBudget(retryBudget)
  }

  /**
   * Sends `request`. Whatever status it is answered with, that is no error here.
   *
   * @throws {UpstreamError} UPSTREAM_UNAVAILABLE, UPSTREAM_TIMEOUT, UPSTREAM_INVALID
   * @throws the reason of `signal`
   */
  async send(request: UpstreamRequest, options: SendOptions): Promise<UpstreamAnswer> {
    const { signal, timeout } = options
    signal?.throwIfAborted()
    const opened = this.#opened ?? (await this.#open())
    const call = new Call()
    const deadlines = timeout > 0 ? this.#deadlinesOf(timeout) : undefined
    deadlines?.add(call)
    signal?.addEventListener('abort', call)
    // It may have aborted while undici was imported.
    if (signal?.aborted) call.end(signal.reason)
    const leave = () => {
      deadlines?.remove(call)
      signal?.removeEventListener('abort', call)
    }
    try {
      const answer = await this.#sendAgain(opened, call, request, options)
      // Its time goes on until its last byte.
      if (answer.stream) answer.stream.once('close', leave)
      else leave()
      return answer
    } catch (error) {
      leave()
      throw error
    }
  }

  /** Nothing can be sent any more; what is under way fails. */
  async close(): Promise<void> {
    const opened = await this.#opening
    await opened?.dispatcher.destroy()
  }

  async #open(): Promise<Opened> {
    this.#opening ??= open(this.#options)
    this.#opened = await this.#opening
    return this.#opened
  }

  #deadlinesOf(timeout: number): DeadlineQueue<Call> {
    let queue = this.#deadlines.get(timeout)
    if (!queue) {
      queue = new DeadlineQueue(timeout, (call) => {
        call.isLate = true
        call.end(LATE)
      })
      this.#deadlines.set(timeout, queue)
    }
    return queue
  }

  /** Tries until there is an answer that stands. */
  async #sendAgain(
    opened: Opened,
    call: Call,
    request: UpstreamRequest,
    options: SendOptions,
  ): Promise<UpstreamAnswer> {
    const { idempotent, retry } = options
    this.#budget.earn()
    for (let attempts = 1; ; attempts++) {
      const { answer, failure } = await this.#try(opened, call, request, options)
      const mayRepeat = retry !== false && idempotent && attempts < retry.attempts
      const isWorth = answer ? isTransient(answer.status) : failure?.transient === true
      const wait = mayRepeat && isWorth ? delayBefore(retry, attempts, retryAfterOf(answer)) : 0
      const left = Math.min(call.at, options.expires ?? call.at) - performance.now()
      if (!mayRepeat || !isWorth || wait >= left || !this.#budget.spend()) {
        if (answer) return { ...answer, attempts }
        throw this.#errorOf(failure as Failure, call, request, options, attempts)
      }
      answer?.stream?.destroy()
      await pause(wait, call).catch((reason: unknown) => {
        throw this.#errorOf(ended(reason), call, request, options, attempts)
      })
    }
  }

  async #try(
    { dispatcher, breaker }: Opened,
    call: Call,
    request: UpstreamRequest,
    options: SendOptions,
  ): Promise<Outcome> {
    if (!breaker) return await this.#exchange(dispatcher, call, request, options)
    // One call is let through to see how it is. The others do not wait for it.
    if (breaker.state === HALF_OPEN) return BROKEN
    try {
      return await breaker.execute(async () => {
        const outcome = this.#exchange(dispatcher, call, request, options, breaker)
        return await outcome
      })
    } catch {
      // It never fails but with this.
      return BROKEN
    }
  }

  /** Sends it once, when it is its turn. */
  async #exchange(
    dispatcher: Dispatcher,
    call: Call,
    { method, path, headers, body, origin }: UpstreamRequest,
    { maxBytes, streams = false }: SendOptions,
    breaker?: CircuitBreakerPolicy,
  ): Promise<Outcome> {
    const limiter = this.#limiter
    if (call.reason !== undefined) return { failure: ended(call.reason) }
    const entered = limiter.enter(call)
    if (entered === false) return FULL
    if (entered !== true) {
      try {
        await entered
      } catch (reason) {
        return { failure: ended(reason) }
      }
      // While it has waited its time may have ended, or the breaker opened.
      const failure = call.reason !== undefined ? ended(call.reason) : undefined
      if (failure || breaker?.state === OPEN) {
        limiter.leave()
        return failure ? { failure } : BROKEN
      }
    }
    return await new Promise<Outcome>((resolve) => {
      const exchange = new Exchange({ maxBytes, streams }, resolve, () => limiter.leave())
      call.cancel = (reason) => exchange.end(reason as Error, isDeadline(reason))
      dispatcher.dispatch(
        {
          origin: origin ?? this.#options.origin ?? '',
          method: method as Dispatcher.HttpMethod,
          path,
          headers: headers ?? {},
          body: body ?? null,
        },
        exchange,
      )
    })
  }

  #errorOf(
    { kind, problem, cause, status }: Failure,
    call: Call,
    { method, path, origin = this.#options.origin }: UpstreamRequest,
    { operation, timeout }: SendOptions,
    attempts: number,
  ): unknown {
    if (kind === 'ended' && !call.isLate) return call.reason
    // Something in this service: an invalid header.
    if (kind === 'broken') return cause
    const { name: api } = this.#options
    const details = {
      api,
      operation,
      method,
      url: `${origin}${path.split('?', 1)[0]}`,
      attempts,
      problem: call.isLate ? `there was no whole answer within ${timeout} ms` : problem,
      ...(status !== undefined && { status }),
    }
    if (call.isLate) return new UpstreamError(errors.UPSTREAM_TIMEOUT, details)
    const type = kind === 'invalid' ? errors.UPSTREAM_INVALID : errors.UPSTREAM_UNAVAILABLE
    return new UpstreamError(type, details, cause)
  }
}

// Of cockatiel's enum, which is not imported before it is needed.
const OPEN = 1
const HALF_OPEN = 2

/** Whether it was the upstream that has taken too long, and not the client that has gone. */
function isDeadline(reason: unknown): boolean {
  if (reason === LATE) return true
  return PlinthError.is(reason) && reason.code === errors.DEADLINE_EXCEEDED.code
}

const LATE = new Error('the time of the call is over')

const FULL: Outcome = {
  failure: { kind: 'unavailable', problem: 'too many calls of it wait already (limit.waiting)' },
}

const BROKEN: Outcome = {
  failure: {
    kind: 'unavailable',
    problem: 'it has failed too often, and is not asked for a while (breaker)',
  },
}

function ended(cause: unknown): Failure {
  return { kind: 'ended', problem: 'it was given up', cause }
}

function retryAfterOf(answer: Outcome['answer']): string | undefined {
  const header = answer?.headers['retry-after']
  return typeof header === 'string' ? header : undefined
}

async function open(options: UpstreamClientOptions): Promise<Opened> {
  const { origin, limit, connectTimeout, tls, breaker, onBreaker } = options
  const { Agent, buildConnector, Pool } = await import('undici')
  // HTTP/1.1, where a connection is one call: the limit is that of both.
  const connect = buildConnector({ timeout: connectTimeout, allowH2: false, ...tls })
  const settings = {
    connections: limit.connections,
    connect,
    // They are coarse, and a client that drips resets them: the deadline of the call ends it.
    headersTimeout: 0,
    bodyTimeout: 0,
  }
  return {
    dispatcher: origin === undefined ? new Agent(settings) : new Pool(origin, settings),
    breaker: breaker ? await createBreaker(breaker, onBreaker) : undefined,
  }
}
