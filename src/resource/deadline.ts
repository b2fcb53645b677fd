import type { FastifyReply } from 'fastify'
import { errors } from '../errors.ts'

/**
 * Bounds the work for a request with a body, and answers 504 when its time is over. Fastify's `handlerTimeout` and
 * `request.signal` do so until the body has been read, which looks to them as if the client had gone (fastify#6725).
 */
export class Deadline {
  readonly #timer: NodeJS.Timeout | undefined
  // Made when somebody asks for the signal: it costs as much as all the rest, and most never do.
  #controller: AbortController | undefined
  #reason: unknown

  /** @param timeout milliseconds; 0: as long as it takes */
  constructor(reply: FastifyReply, timeout: number) {
    const expire = () => {
      const error = errors.DEADLINE_EXCEEDED(timeout)
      this.#abort(error)
      if (!reply.sent && !reply.raw.headersSent) reply.send(error)
    }
    this.#timer = timeout > 0 ? setTimeout(expire, timeout) : undefined
    reply.raw.once('close', () => {
      this.end()
      if (!reply.raw.writableFinished)
        this.#abort(new DOMException('The client has gone', 'AbortError'))
    })
  }

  /** Aborted when the client has gone or the time is over. */
  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController()
      if (this.#reason !== undefined) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  /** @throws the reason, where the signal is aborted */
  throwIfAborted(): void {
    if (this.#reason !== undefined) throw this.#reason
  }

  /** To be called when the work is done: the time is not counted further. */
  end(): void {
    clearTimeout(this.#timer)
  }

  #abort(reason: unknown): void {
    this.#reason ??= reason
    this.#controller?.abort(this.#reason)
  }
}
