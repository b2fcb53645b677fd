import type { FastifyReply, FastifyRequest } from 'fastify'
import { errors, PlinthError } from '../errors.ts'
import { userIdOf } from '../resource/context.ts'
import { isFastifyError, isHttpError, toPlinthError } from '../resource/failure.ts'
import { type Envelope, failureStatusOf } from './envelope.ts'
import type { Languages, Wording } from './languages.ts'
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
    // What is refused in thousands is no thousand errors.
    const isOurs = told.statusCode >= 500 && told.code !== errors.OVERLOADED.code
    logFailure(error, told, reply, isOurs || !isTold)
    const failed = isOurs ? reply.server.observer?.failed : undefined
    failed?.(error, { request, requestId: request.id, user: userIdOf(request) })
    for (const name of OF_SUCCESS) reply.removeHeader(name)
    // Not removed: without it some errors may be kept as well (RFC 9110, 15.1).
    if (reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
    if (isHttpError(error, reply.server) && error.headers) reply.headers(error.headers)
    if (told.code === errors.RANGE_NOT_SATISFIABLE.code) tellSize(told, reply)
    if (told.code === errors.UNSUPPORTED_ENCODING.code && !reply.hasHeader('accept-encoding'))
      reply.header('accept-encoding', 'identity')
    if (CLOSING.includes(told.statusCode)) reply.header('connection', 'close')
    if (told.statusCode === 503 && !reply.hasHeader('retry-after'))
      reply.header('retry-after', RETRY_AFTER)
    reply
      .code(failureStatusOf(envelope, told))
      .header('x-request-id', request.id)
      .type(envelope.errorType)
      .serializer(JSON.stringify)
    const send = (error: PlinthError) => void reply.send(envelope.failure(error, request))
    const wording = wordingFor(request, reply)
    if (wording instanceof Promise)
      wording
        .then((one) => one.tell(told))
        .catch((err: unknown) => {
          reply.log.error({ err }, 'a language cannot be read')
          reply.header('content-language', 'en')
          return told
        })
        .then(send)
    else send(wording ? wording.tell(told) : told)
    return reply
  }
}

/** RFC 9110, 15.5.17. */
function tellSize({ data }: PlinthError, reply: FastifyReply): void {
  const { size } = (data ?? {}) as { size?: number }
  if (size !== undefined) reply.header('content-range', `bytes */${size}`)
}

/** The words of the language that the client asks for; undefined: those that the error has. */
function wordingFor(
  request: FastifyRequest,
  reply: FastifyReply,
): Wording | Promise<Wording> | undefined {
  const languages = reply.server.languages as Languages | undefined
  if (!languages) return undefined
  const tag = languages.choose(request)
  const vary = [reply.getHeader('vary') ?? [], 'accept-language, cookie'].flat().join(', ')
  reply.header('content-language', tag).header('vary', vary)
  return languages.in(tag)
}
