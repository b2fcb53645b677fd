import { randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { errors, type PlinthError } from '../errors.ts'
import { type Envelope, failureStatusOf } from '../http/envelope.ts'
import { endRequest, replyOn } from '../http/request-line.ts'
import { isLingering, linger } from './server-response.ts'

interface ClientError extends Error {
  code?: string
}

/** Of a request that has not come completely within the time that the server gives it. */
const LATE = 'ERR_HTTP_REQUEST_TIMEOUT'

/**
 * Makes what answers, in `envelope`, that which is no HTTP request: a broken request line, headers over the
 * limit, a request that was never finished. They never reach a route or an error handler.
 */
export function createClientErrorHandler(envelope: Envelope) {
  return function answerClientError(this: FastifyInstance, error: ClientError, socket: Socket) {
    const answer = () => {
      if (socket.destroyed || isLingering(socket)) return
      const told = translate(error)
      // Not the error itself: it carries the raw bytes, with whatever secrets were in them.
      const failure = { code: told.code, reason: `${told.message} (${error.code})` }
      const reply = replyOn(socket)
      const { id, url, headers } = reply?.request ?? { id: randomUUID(), url: '', headers: {} }
      const answered = failureStatusOf(envelope, told)
      let bytes = 0
      if (socket.writable && !isAnswering(socket)) {
        const body = JSON.stringify(envelope.failure(told, { id, url, headers }))
        const text = response(answered, { body, id, type: envelope.errorType })
        bytes = Buffer.byteLength(text)
        socket.write(text)
      }
      const status = bytes > 0 ? answered : undefined
      if (reply && status) endRequest(reply, { ...failure, status })
      else if (reply) reply.failure = failure
      else this.log.info({ request_id: id, status, bytes, ...failure }, 'request')
      if (bytes > 0) linger(socket)
      else socket.destroy(error)
    }
    if (error.code !== LATE) {
      if (error.code !== 'ECONNRESET') answer()
    } else if (isLingering(socket)) {
      // The rest of a request that has been answered need be none.
      socket.destroy()
    } else {
      // Node.js looks before it reads: where the process has stood still, the rest may have come in time.
      const { bytesRead, bytesWritten } = socket
      setImmediate(() => {
        const isMore = socket.bytesRead > bytesRead
        const isWhole = socket.bytesWritten > bytesWritten || messageOn(socket)?.req.complete
        if (!(isMore && isWhole)) answer()
      })
    }
  }
}

// The answer to an earlier request on the connection has begun: nothing may get into the midst of it.
function isAnswering(socket: Socket): boolean {
  return messageOn(socket)?.headersSent === true
}

/** The answer to the request that is being received or answered. Node.js' own handler looks at the same property. */
function messageOn(socket: Socket & { _httpMessage?: ServerResponse }): ServerResponse | undefined {
  return socket._httpMessage
}

function translate(error: ClientError): PlinthError {
  if (error.code === 'HPE_HEADER_OVERFLOW') return errors.HEADERS_TOO_LARGE.with({ cause: error })
  if (error.code === LATE) return errors.REQUEST_TIMEOUT.with({ cause: error })
  return errors.BAD_REQUEST.with({ cause: error }, 'it is not HTTP')
}

// An import would read every export, the lazy ones too: with them comes undici, 5 MB that nobody here needs.
const { STATUS_CODES } = process.getBuiltinModule('node:http')

function response(status: number, { body, id, type }: Record<'body' | 'id' | 'type', string>) {
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `Content-Type: ${type}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Request-Id: ${id}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n')
}
