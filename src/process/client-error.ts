import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { errors, type PlinthError } from '../errors.ts'

interface ClientError extends Error {
  code?: string
}

/**
 * Answers what is no HTTP request (a broken request line, headers over the limit, a request that was
 * never finished) in the envelope: such requests never reach a route or an error handler.
 */
export function answerClientError(this: FastifyInstance, error: ClientError, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  const told = translate(error)
  // Not the error itself: it carries the raw bytes, with whatever secrets were in them.
  this.log.info({ code: told.code, reason: error.code }, 'a request could not be parsed')
  if (socket.writable) socket.write(response(told))
  socket.destroy(error)
}

const REASONS: Record<number, string> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
}

function translate(error: ClientError): PlinthError {
  if (error.code === 'HPE_HEADER_OVERFLOW') return errors.HEADERS_TOO_LARGE.with({ cause: error })
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return errors.REQUEST_TIMEOUT.with({ cause: error })
  return errors.BAD_REQUEST.with({ cause: error }, 'it is not HTTP')
}

function response({ statusCode, code, message }: PlinthError): string {
  const body = JSON.stringify({
    result: false,
    code,
    data: null,
    message,
    errors: null,
    request_id: null,
    trace_id: null,
  })
  return [
    `HTTP/1.1 ${statusCode} ${REASONS[statusCode] ?? 'Error'}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n')
}
