import { tracingChannel } from 'node:diagnostics_channel'
import { Readable } from 'node:stream'
import type { ConnectionOptions } from 'node:tls'
import type { CircuitBreakerPolicy } from 'cockatiel'
/** @ts-ignore: there where it is installed */
import type { Dispatcher } from 'undici'
import { DeadlineQueue } from '../deadlines.ts'
import type { InMilliseconds } from '../duration.ts'
import { errors } from '../errors.ts'
import { FirstUse } from '../first-use.ts'
import { connectPublic, lookupPublic } from './addresses.ts'
import { type BreakerOptions, createBreaker } from './breaker.ts'
import { Call, isDeadline } from './call.ts'
import { Exchange, ended, type Failure, type Outcome, type UpstreamAnswer } from './exchange.ts'
import { Limiter } from './limiter.ts'
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
  breaker: InMilliseconds<BreakerOptions> | false
  /** How many calls are under way at most, and how many wait for one of them to end. */
  limit: { connections: number; waiting: number }
  /** Milliseconds that a connection may take to be made. */
  connectTimeout: number
  tls: UpstreamTls
  /** Which addresses it may have: `public` refuses those of this machine and of networks that are not the internet. */
  addresses: 'any' | 'public'
  /** Told when the breaker opens and when it closes. */
  onBreaker?: (isOpen: boolean) => void
  /** What there is in place of connections, when it is opened; default: nothing. */
  dispatcher?: () => Dispatcher | undefined
}

export interface UpstreamRequest {
  readonly method: string
  /** With its query; begins with `/`. */
  readonly path: string
  /** Where the client has none. */
  readonly origin?: string
  readonly headers?: Readonly<Record<string, string>>
  /** A stream is ended with the call. */
  readonly body?: string | Uint8Array | Readable | undefined
  /** What is sent where it is repeated; default: the same. A signature counts once. */
  readonly again?: () => Promise<UpstreamRequest>
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
  /** Whether the bytes of a success are handed on as they come: `stream` of the answer. `endless`: `timeout` is that of its head. */
  streams?: boolean | 'endless'
  /** What errors call it. */
  operation: string
  /** How it is repeated; false: not at all. */
  retry: InMilliseconds<RetryOptions> | false
  /** Who sends it, and for what: for subscribers of the channel. */
  performer?: object
  resource?: object
}

/** What subscribers of the tracing channel `plinth:upstream` get: one object for the beginning and the end of a call. */
export interface UpstreamMessage {
  readonly api: string
  readonly operation: string
  /** What is sent, as long as it has not begun. */
  request: UpstreamRequest
  /** Of {@link SendOptions}. */
  readonly performer: object | undefined
  readonly resource: object | undefined
  result?: UpstreamAnswer
  error?: unknown
}

const channel = tracingChannel<unknown, UpstreamMessage>('plinth:upstream')

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
  readonly #opening: FirstUse<Opened>
  #opened: Opened | undefined

  constructor(options: UpstreamClientOptions) {
    const { limit, retryBudget } = options
    this.#options = options
    this.#opening = new FirstUse(() => open(options))
    this.#limiter = new Limiter(limit.connections, limit.waiting)
    this.#budget = new RetryBudget(retryBudget)
  }

  /**
   * Sends `request`. Whatever status it is answered with, that is no error here.
   *
   * @throws {UpstreamError} UPSTREAM_UNAVAILABLE, UPSTREAM_TIMEOUT, UPSTREAM_INVALID
   * @throws the reason of `signal`
   */
  send(request: UpstreamRequest, options: SendOptions): Promise<UpstreamAnswer> {
    if (!channel.hasSubscribers) return this.#send(request, options)
    const { operation, performer, resource } = options
    const { name: api } = this.#options
    const message: UpstreamMessage = { api, operation, request, performer, resource }
    return channel.tracePromise(() => this.#send(message.request, options), message)
  }

  #send(request: UpstreamRequest, options: SendOptions): Promise<UpstreamAnswer> {
    const { signal, timeout } = options
    const body = request.body instanceof Readable ? request.body : undefined
    if (signal?.aborted) {
      body?.destroy()
      return Promise.reject(signal.reason)
    }
    // It has said so when nobody listened yet.
    if (body?.errored) return Promise.reject(body.errored)
    const deadlines = timeout > 0 ? this.#deadlinesOf(timeout) : undefined
    return this.#sendAgain(new Call(deadlines, signal, body), request, options)
  }

  /** Nothing can be sent any more; what is under way fails. */
  async close(): Promise<void> {
    await (await this.#opening.made())?.dispatcher.destroy()
  }

  /** Loads what it needs, for the first call not to wait for that. */
  async open(): Promise<void> {
    await this.#open()
  }

  async #open(): Promise<Opened> {
    this.#opened = await this.#opening.get()
    return this.#opened
  }

  #deadlinesOf(timeout: number): DeadlineQueue<Call> {
    let queue = this.#deadlines.get(timeout)
    if (!queue) {
      queue = new DeadlineQueue(timeout, (call) => call.expire())
      this.#deadlines.set(timeout, queue)
    }
    return queue
  }

  /** Tries until there is an answer that stands. */
  async #sendAgain(
    call: Call,
    first: UpstreamRequest,
    options: SendOptions,
  ): Promise<UpstreamAnswer> {
    let request = first
    let answered: UpstreamAnswer | undefined
    try {
      const opened = this.#opened ?? (await this.#open())
      this.#budget.earn()
      for (let attempts = 1; ; attempts++) {
        const outcome = await this.#try(opened, call, request, options, attempts)
        const wait = this.#waitAfter(outcome, call, request, options, attempts)
        if (wait === undefined) {
          answered = outcome.answer
          if (answered) return answered
          throw this.#errorOf(outcome.failure as Failure, call, request, options, attempts)
        }
        await pause(wait, call).catch((reason: unknown) => {
          throw this.#errorOf(ended(reason), call, request, options, attempts)
        })
        if (first.again) request = await first.again()
      }
    } finally {
      // Its time goes on until its last byte, where there is one.
      if (answered?.stream) answered.stream.once('close', () => call.leave())
      else call.leave()
      if (options.streams === 'endless') call.unbind()
    }
  }

  /** Milliseconds until it is tried again; undefined: what has come of it stands. */
  #waitAfter(
    { answer, failure }: Outcome,
    call: Call,
    { body }: UpstreamRequest,
    { idempotent, retry, expires = Number.POSITIVE_INFINITY }: SendOptions,
    attempts: number,
  ): number | undefined {
    const retryAfter = retryAfterOf(answer)
    const isWorth = answer ? isTransient(answer.status, retryAfter) : failure?.transient === true
    if (!isWorth || !retry || !idempotent || attempts >= retry.attempts) return undefined
    if (body instanceof Readable) return undefined
    const wait = delayBefore(retry, attempts, retryAfter)
    const left = Math.min(call.at, expires) - performance.now()
    return wait < left && this.#budget.spend() ? wait : undefined
  }

  /** Sends it once, unless the breaker is open. */
  #try(
    { dispatcher, breaker }: Opened,
    call: Call,
    request: UpstreamRequest,
    options: SendOptions,
    attempts: number,
  ): Promise<Outcome> {
    const exchange = () => this.#exchange(dispatcher, call, request, options, attempts)
    const wait = () => this.#queue(breaker, call, exchange)
    if (!breaker) return wait()
    if (breaker.state === CLOSED) return breaker.execute(wait)
    // One call is let through to see how it is. The others do not wait for it.
    if (breaker.state === HALF_OPEN) return BROKEN
    // It never fails but with this.
    return breaker.execute(wait).catch(() => BROKEN)
  }

  /** Lets `exchange` begin when it is its turn. */
  #queue(
    breaker: CircuitBreakerPolicy | undefined,
    call: Call,
    exchange: () => Promise<Outcome>,
  ): Promise<Outcome> {
    if (call.reason !== undefined) return Promise.resolve({ failure: ended(call.reason) })
    const entered = this.#limiter.enter(call)
    if (entered === true) return exchange()
    if (entered === false) return FULL
    return entered.then(
      () => {
        // While it has waited its time may have ended, or the breaker opened.
        if (call.reason === undefined && breaker?.state !== OPEN) return exchange()
        this.#limiter.leave()
        return call.reason === undefined ? BROKEN : { failure: ended(call.reason) }
      },
      (reason: unknown) => ({ failure: ended(reason) }),
    )
  }

  #exchange(
    dispatcher: Dispatcher,
    call: Call,
    request: UpstreamRequest,
    options: SendOptions,
    attempts: number,
  ): Promise<Outcome> {
    const { method, path, headers, body, origin } = request
    const { maxBytes } = options
    const streams = options.streams
      ? (failure: Failure) => this.#errorOf(failure, call, request, options, attempts)
      : undefined
    return new Promise((resolve) => {
      const leave = () => this.#limiter.leave()
      const exchange = new Exchange({ attempts, maxBytes, streams }, resolve, leave)
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
const CLOSED = 0
const OPEN = 1
const HALF_OPEN = 2

const FULL = refused('too many calls of it wait already (limit.waiting)')

const BROKEN = refused('it has failed too often, and is not asked for a while (breaker)')

/** What comes of a try that is not made. */
function refused(problem: string): Promise<Outcome> {
  return Promise.resolve({ failure: { kind: 'unavailable', problem } })
}

function retryAfterOf(answer: Outcome['answer']): string | undefined {
  const header = answer?.headers['retry-after']
  return typeof header === 'string' ? header : undefined
}

async function open(options: UpstreamClientOptions): Promise<Opened> {
  const { origin, limit, connectTimeout, tls, addresses, breaker, onBreaker, dispatcher } = options
  const { Agent, buildConnector, Pool } = await import('undici')
  // HTTP/1.1, where a connection is one call: the limit is that of both.
  const isPublic = addresses === 'public'
  const connect = buildConnector({
    timeout: connectTimeout,
    allowH2: false,
    ...tls,
    ...(isPublic && { lookup: lookupPublic }),
  })
  const settings = {
    connections: limit.connections,
    connect: isPublic ? connectPublic(connect) : connect,
    // They are coarse, and a client that drips resets them: the deadline of the call ends it.
    headersTimeout: 0,
    bodyTimeout: 0,
  }
  return {
    dispatcher:
      dispatcher?.() ?? (origin === undefined ? new Agent(settings) : new Pool(origin, settings)),
    breaker: breaker ? await createBreaker(breaker, onBreaker) : undefined,
  }
}
