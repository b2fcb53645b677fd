import type { ServerResponse } from 'node:http'
import type { FastifyBaseLogger, FastifyReply } from 'fastify'
import { DeadlineQueue, type Timed } from '../deadlines.ts'
import { errors } from '../errors.ts'
import { isReceived } from '../resource/failure.ts'
import { isGone, isSent } from './request-line.ts'

/** Those of requests that may take `timeout` ms, or less. */
export interface Deadlines {
  readonly timeout: number
  readonly queue: DeadlineQueue<Deadline>
}

/** @param timeout milliseconds, above 0 */
export function createDeadlines(timeout: number): Deadlines {
  return { timeout, queue: new DeadlineQueue<Deadline>(timeout, (deadline) => deadline.expire()) }
}

/**
 * Bounds the work for one request, from its first hook on, and answers 504 when its time is over. In place of Fastify's
 * `handlerTimeout` and `request.signal`, which take a body that has been read for a client that has gone (fastify#6725).
 */
export class Deadline implements Timed {
  /** Those of {@link Timed}; when the time is over, as `performance.now()` counts, never once the work is done. */
  at = Number.POSITIVE_INFINITY
  earlier: Timed | undefined = undefined
  later: Timed | undefined = undefined
  readonly #reply: FastifyReply
  readonly #began = performance.now()
  #queue: DeadlineQueue<Deadline> | undefined
  #timeout = 0
  // Made when somebody asks for the signal: it costs more than all the rest, and most never do.
  #controller: AbortController | undefined
  #late: Error | undefined

  constructor(reply: FastifyReply) {
    this.#reply = reply
  }

  /**
   * @param deadlines that it is one of, since the request began, in place of those before; undefined: as long as it takes
   * @param wanted ms that the client waits at most; default: as long as it takes
   */
  set(deadlines: Deadlines | undefined, wanted = Number.POSITIVE_INFINITY): void {
    this.end()
    this.#queue = deadlines?.queue
    if (!deadlines) return
    this.#timeout = Math.min(deadlines.timeout, wanted)
    // One that may take less is among those that have begun before it.
    deadlines.queue.add(this, this.#began - (deadlines.timeout - this.#timeout))
  }

  get expires(): number {
    return this.at
  }

  /** Aborted when the client has gone or the time is over. */
  get signal(): AbortSignal {
    if (this.#controller) return this.#controller.signal
    this.#controller = new AbortController()
    const reason = this.#reason()
    if (reason) this.#controller.abort(reason)
    else this.#reply.raw.once('close', () => this.#abort())
    asked.set(this.#reply.raw, this)
    return this.#controller.signal
  }

  /** @throws the reason, where the signal is or would be aborted */
  throwIfAborted(): void {
    const reason = this.#reason()
    if (reason) throw reason
  }

  /** To be called when the work is done: the time is not counted further. */
  end(): void {
    this.#queue?.remove(this)
    this.at = Number.POSITIVE_INFINITY
  }

  /** Answers 504, or 408 where it is the client that is late. */
  expire(): void {
    const reply = this.#reply
    if (isSent(reply)) return
    const received = isReceived(reply.request)
    this.#late = received ? errors.DEADLINE_EXCEEDED(this.#timeout) : errors.REQUEST_TIMEOUT()
    this.#abort()
    // What waits for the signal may have answered, or Node.js, which looks for late clients too, past the reply.
    if (!reply.sent && !reply.raw.socket?.writableEnded) reply.send(this.#late)
    if (received) reply.log = withoutAborts(reply.log, this.#late)
  }

  /** Aborts the signal because the process ends. */
  stop(): void {
    this.#late ??= new DOMException('The process ends', 'AbortError')
    this.#abort()
  }

  #reason(): Error | undefined {
    if (this.#late || !isGone(this.#reply)) return this.#late
    return new DOMException('The client has gone', 'AbortError')
  }

  #abort(): void {
    const reason = this.#reason()
    if (reason) this.#controller?.abort(reason)
  }
}

/** Those whose signal somebody has asked for, by what they bound. */
const asked = new WeakMap<ServerResponse, Deadline>()

/** Aborts the signal of the work for `response` because the process ends; false where nobody has asked for it. */
export function stopWork(response: ServerResponse): boolean {
  const deadline = asked.get(response)
  deadline?.stop()
  return deadline !== undefined
}

/** Fastify logs as an error that work which was told to end has ended, because it has been answered already. */
function withoutAborts(log: FastifyBaseLogger, late: Error): FastifyBaseLogger {
  const error = (data: { err?: unknown } | undefined, ...rest: [string]) => {
    const { err } = data ?? {}
    if (err !== late && (err as Error | undefined)?.name !== 'AbortError') log.error(data, ...rest)
  }
  return Object.create(log, { error: { value: error } })
}
