import { Readable } from 'node:stream'
/** @ts-ignore: there where it is installed */
import type { Dispatcher } from 'undici'
import { PlinthError } from '../errors.ts'
import { decode } from './decode.ts'

type Headers = Readonly<Record<string, string | string[] | undefined>>

/** What an upstream has answered, whatever its status. */
export interface UpstreamAnswer {
  readonly status: number
  /** By names in lower case. */
  readonly headers: Headers
  /** All of it, decompressed; of a streamed answer nothing. */
  readonly body: Buffer
  /** Of an answer that was to be streamed and is a success: its bytes as they come. */
  readonly stream?: Readable
  /** How often it was tried. */
  readonly attempts: number
}

/** What came of a try. */
export interface Outcome {
  readonly answer?: UpstreamAnswer
  readonly failure?: Failure
}

/** Why there is no answer. */
export interface Failure {
  readonly kind: 'unavailable' | 'invalid' | 'ended' | 'broken'
  readonly problem: string
  readonly cause?: unknown
  /** Whether another try may do. */
  readonly transient?: boolean
  /** Whether it speaks against the upstream: it was not there, or not in time. */
  readonly isFault?: boolean
  /** The status of the answer, where it had begun. */
  readonly status?: number
}

const NOTHING = Buffer.alloc(0)

/** Fails what reads an answer. */
class Refused extends Error {}

export interface ExchangeOptions {
  /** Which try of its call it is, from 1. */
  attempts: number
  maxBytes: number
  /** Where the bytes of a success are handed on as they come: makes the error that their stream ends with, where they do not come. */
  streams: ((failure: Failure) => unknown) | undefined
}

/** One request and its answer, as undici reports it: cheaper than `pool.request`, which makes a stream of each body. */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #attempts: number
  readonly #maxBytes: number
  readonly #streams: ((failure: Failure) => unknown) | undefined
  readonly #report: (outcome: Outcome) => void
  readonly #ended: () => void
  #controller: Dispatcher.DispatchController | undefined
  #reason: Error | undefined
  #reported = false
  #status = 0
  #headers: Headers = {}
  #chunks: Buffer[] = []
  #size = 0
  #stream: Readable | undefined

  /**
   * @param report told what came of it, once
   * @param ended told when nothing more of it can come, and its connection is free or gone: after that, and as often
   */
  constructor(
    { attempts, maxBytes, streams }: ExchangeOptions,
    report: (outcome: Outcome) => void,
    ended: () => void,
  ) {
    this.#attempts = attempts
    this.#maxBytes = maxBytes
    this.#streams = streams
    this.#report = report
    this.#ended = ended
  }

  /** Gives it up at once, whatever undici waits for. */
  end(reason: Error, isFault: boolean): void {
    if (this.#reason) return
    this.#reason = reason
    this.#fail({ ...ended(reason), isFault })
    // Without one it has no connection yet, and does not begin when it gets one.
    this.#controller?.abort(reason)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#reason) throw this.#reason
    this.#controller = controller
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Headers,
  ): void {
    // What comes before the answer itself: 103 Early Hints.
    if (status < 200) return
    this.#status = status
    this.#headers = headers
    if (this.#streams && status < 300) this.#startStream(controller)
    else if (Number(headers['content-length']) > this.#maxBytes) throw this.#tooLong()
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#stream) {
      if (!this.#stream.push(chunk)) controller.pause()
      return
    }
    this.#size += chunk.length
    if (this.#size > this.#maxBytes) throw this.#tooLong()
    this.#chunks.push(chunk)
  }

  onResponseEnd(): void {
    this.#ended()
    if (this.#stream) {
      this.#stream.push(null)
      return
    }
    const [first = NOTHING] = this.#chunks
    const body = this.#chunks.length > 1 ? Buffer.concat(this.#chunks, this.#size) : first
    const encoding = this.#headers['content-encoding']
    if (encoding === undefined || body.length === 0) this.#answer(body)
    else
      decode(body, `${encoding}`, this.#maxBytes, (problem, decoded) => {
        if (problem === undefined) this.#answer(decoded as Buffer)
        else this.#fail({ kind: 'invalid', problem })
      })
  }

  onResponseError(_: unknown, error: Error): void {
    this.#ended()
    const failure = this.#reason ? ended(this.#reason) : explain(error)
    if (this.#stream) this.#stream.destroy(this.#streams?.(failure) as Error)
    else this.#fail(failure)
  }

  #startStream(controller: Dispatcher.DispatchController): void {
    const stream = new Readable({
      read: () => controller.resume(),
      destroy: (error, done) => {
        // Who does not read on wants no more of it.
        if (!stream.readableEnded) controller.abort(error ?? new Error('nobody reads on'))
        done(error)
      },
    })
    // It may break before anybody reads it; who does later is told then.
    stream.on('error', () => {})
    this.#stream = stream
    this.#answer(NOTHING, stream)
  }

  #answer(body: Buffer, stream?: Readable): void {
    const answer = {
      status: this.#status,
      headers: this.#headers,
      body,
      attempts: this.#attempts,
    }
    this.#settle({ answer: stream ? { ...answer, stream } : answer })
  }

  #fail(failure: Failure): void {
    this.#settle({ failure: this.#status > 0 ? { ...failure, status: this.#status } : failure })
  }

  #settle(outcome: Outcome): void {
    if (this.#reported) return
    this.#reported = true
    this.#report(outcome)
  }

  #tooLong(): Error {
    return new Refused(`its answer is longer than ${this.#maxBytes} bytes`)
  }
}

/** It was given up. */
export function ended(cause: unknown): Failure {
  return { kind: 'ended', problem: 'it was given up', cause }
}

/** Codes of undici for what it was given. */
const OURS = /^UND_ERR_(INVALID_ARG|REQ_CONTENT_LENGTH_MISMATCH|NOT_SUPPORTED)/
/** Codes for which no other try would do: of certificates and of addresses. */
const LASTING = /CERT|TLS|SSL|SIGNATURE|ADDRESS_REFUSED|DESTROYED|CLOSED/

function explain(cause: Error): Failure {
  if (cause instanceof Refused) return { kind: 'invalid', problem: cause.message }
  // Of what answers in place of the system, in tests.
  if (PlinthError.is(cause)) return { kind: 'broken', problem: cause.message, cause }
  const { code = '' } = cause as NodeJS.ErrnoException
  const problem = cause.message || code || cause.name
  if (OURS.test(code)) return { kind: 'broken', problem, cause }
  if (isNoHttp(cause)) return { kind: 'invalid', problem: 'its answer is no HTTP', cause }
  return { kind: 'unavailable', problem, cause, transient: !LASTING.test(code), isFault: true }
}

/** Whether there are bytes that are no answer; one that ends in the middle is a lost connection. */
function isNoHttp({ name, message }: Error): boolean {
  if (name === 'HeadersOverflowError') return true
  // Its code, which would tell it, is missing.
  return name === 'HTTPParserError' && !/EOF/.test(message)
}
