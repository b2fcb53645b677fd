import type { FastifyReply, FastifyRequest } from 'fastify'
import { errors, PlinthError } from '../errors.ts'
import { isFastifyError, isHttpError, toPlinthError } from '../resource/failure.ts'
import { type Envelope, failureStatusOf } from './envelope.ts'
import { logCut, logFailure } from './request-line.ts'

// After these the rest of the request is not read, or another process had better be asked.
const CLOSING = [408, 413, 503]

// What `perform` or a precondition has said of an answer that does not come.
const OF_SUCCESS = [
  'etag',
  'last-modified',
  'expires',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-length',
  'content-range',
]

/** Seconds after which a client had better ask again what has been answered with 503: the header `retry-after`. */
export const RETRY_AFTER = 1

/** A Fastify error handler that answers in `envelope` and logs what is the service's own fault. */
export function createErrorHandler(envelope: Envelope) {
  return function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply) {
    if (reply.raw.headersSent) {
      // Nothing else can tell the client now.
      logCut(error, reply)
      reply.raw.destroy()
      return
    }
    const told = toPlinthError(error, reply.server, reply)
    // What is not told to the client is told here.
    const isTold = PlinthError.is(error) || isFastifyError(error)
    logFailure(error, told, reply, told.statusCode >= 500 || !isTold)
    for (const name of OF_SUCCESS) reply.removeHeader(name)
    // Not removed: without it some errors may be kept as well (RFC 9110, 15.1).
    if (reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
    if (isHttpError(error, reply.server) && error.headers) reply.headers(error.headers)
    if (told.code === errors.UNSUPPORTED_ENCODING.code && !reply.hasHeader('accept-encoding'))
      reply.header('accept-encoding', 'identity')
    if (CLOSING.includes(told.statusCode)) reply.header('connection', 'close')
    if (told.statusCode === 503 && !reply.hasHeader('retry-after'))
      reply.header('retry-after', RETRY_AFTER)
    return reply
      .code(failureStatusOf(envelope, told))
      .header('x-request-id', request.id)
      .type(envelope.errorType)
      .serializer(JSON.stringify)
      .send(envelope.failure(told, request))
  }
}
