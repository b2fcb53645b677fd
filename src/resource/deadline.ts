import type { FastifyReply } from 'fastify'
import { errors } from '../errors.ts'

/** What bounds the work for one request. */
export interface Deadline {
  /** Aborted when the client has gone or the time is over. */
  readonly signal: AbortSignal
  /** To be called when the work is done: the time is not counted further. */
  end(): void
}

/**
 * Bounds the work for a request with a body, and answers 504 when its time is over. Fastify's `handlerTimeout` and
 * `request.signal` do so until the body has been read, which looks to them as if the client had gone (fastify#6725).
 *
 * @param timeout milliseconds; 0: as long as it takes
 */
export function startDeadline(reply: FastifyReply, timeout: number): Deadline {
  const controller = new AbortController()
  const expire = () => {
    const error = errors.DEADLINE_EXCEEDED(timeout)
    controller.abort(error)
    if (!reply.sent && !reply.raw.headersSent) reply.send(error)
  }
  const timer = timeout > 0 ? setTimeout(expire, timeout) : undefined
  const end = () => clearTimeout(timer)
  reply.raw.once('close', () => {
    end()
    if (!reply.raw.writableFinished) controller.abort()
  })
  return { signal: controller.signal, end }
}
