import type { Socket } from 'node:net'
import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify'
import type { ErrorDetail, PlinthError } from '../errors.ts'
import { userIdOf } from '../resource/context.ts'

/** The header in which another service says who it is, `orders/1.2.0`: anybody may say so. */
export const CLIENT = 'x-client'

/** Why a request failed, for its line in the log. */
export interface Failure {
  code?: string
  reason: string
  errors?: readonly ErrorDetail[] | null
  /** The error itself: the line has the level `error` then, unless the answer says that the client is to blame. */
  err?: unknown
  /** The status that was answered past the reply. */
  status?: number
}

declare module 'fastify' {
  interface FastifyReply {
    /**
     * What the one line of the log tells of a request that fails: `null` until it does, `undefined` where there is no
     * such line, or it is written already.
     */
    failure?: Failure | null | undefined
  }
}

/** The requests on one connection that have no line in the log yet. */
class Connection {
  readonly open = new Set<FastifyReply>()
  readonly #socket: Socket
  #bytesWritten: number

  constructor(socket: Socket) {
    this.#socket = socket
    this.#bytesWritten = socket.bytesWritten
    socket.once('close', () => this.#lose())
  }

  add(reply: FastifyReply): void {
    this.open.add(reply)
    if (this.#socket.closed) this.#lose()
    // Before that of Node.js, which begins to send the next answer: the bytes until now are this one's.
    else reply.raw.prependListener('finish', () => this.end(reply, whyFinished(reply)))
  }

  end(reply: FastifyReply, failure: Failure | undefined): void {
    if (this.open.delete(reply)) this.#log(reply, failure, true)
  }

  /** It is over: what has not been answered completely will not be. */
  #lose(): void {
    for (const reply of this.open) {
      const { headersSent, socket } = reply.raw
      // One that waits for the answers before it has no socket yet.
      this.#log(reply, this.#whyLost(reply), headersSent && socket !== null)
    }
    this.open.clear()
  }

  #whyLost({ failure }: FastifyReply): Failure {
    if (failure?.err !== undefined) return failure
    const { readableEnded, errored } = this.#socket
    // An error of the system is one of the connection.
    const byClient = readableEnded || (errored !== null && 'syscall' in errored)
    return byClient ? ABORTED : (failure ?? { reason: 'cut off by the server' })
  }

  #log(reply: FastifyReply, failure: Failure | undefined, answered: boolean): void {
    reply.failure = undefined
    const { request } = reply
    const { status = answered ? reply.statusCode : undefined, ...why }: Partial<Failure> =
      failure ?? {}
    const isOurs = why.err !== undefined && (status === undefined || status < 400 || status >= 500)
    reply.server.observer?.answered?.(reply, status)
    const bytes = this.#countBytes(request)
    const level = isOurs ? 'error' : 'info'
    // What nobody writes down is not put together.
    if (!isWritten(request.log, level)) return
    // Once: each access makes an object.
    const { url, config } = request.routeOptions
    const line = {
      method: request.method,
      path: request.url.split('?', 1)[0],
      route: url,
      resource: config.resource,
      user: userIdOf(request),
      client: clientOf(request),
      // What is written for it here is outside of its trace.
      ...(request.trace && { trace_id: request.trace.traceId }),
      status,
      bytes,
      duration_ms: Math.round(reply.elapsedTime * 100) / 100,
      ...why,
    }
    request.log[level](line, 'request')
  }

  /** `undefined` where they cannot be told apart: over HTTP/2, and where a request is injected. */
  #countBytes({ raw }: FastifyRequest): number | undefined {
    const { bytesWritten } = this.#socket
    if (bytesWritten === undefined || raw.httpVersionMajor === 2) return undefined
    const bytes = bytesWritten - this.#bytesWritten
    this.#bytesWritten = bytesWritten
    return bytes
  }
}

/** Whether a logger, which need not be one of Pino's, writes lines of that level. */
function isWritten(log: FastifyBaseLogger, level: string): boolean {
  const { isLevelEnabled } = log as { isLevelEnabled?(level: string): boolean }
  return isLevelEnabled?.call(log, level) ?? true
}

/** What says of itself to be a service, where it can be a name. */
function clientOf({ headers }: FastifyRequest): string | undefined {
  const name = headers[CLIENT]
  return typeof name === 'string' && /^[\x21-\x7e]{1,100}$/.test(name) ? name : undefined
}

const ABORTED: Failure = { reason: 'aborted by the client' }

/** Over HTTP/2 an answer has finished, too, when its client has given it up. */
function whyFinished({ raw, failure }: FastifyReply): Failure | undefined {
  const { stream } = raw as { stream?: { aborted?: boolean } }
  return stream?.aborted ? ABORTED : (failure ?? undefined)
}

const connections = new WeakMap<Socket, Connection>()

/**
 * Has the request leave exactly one line in the log: when its answer has been sent, or when its connection has closed
 * before that. The query is left out, it may hold secrets.
 */
export function watchRequest({ raw: { socket } }: FastifyRequest, reply: FastifyReply): void {
  reply.failure = null
  reply.server.observer?.asked?.()
  let connection = connections.get(socket)
  if (!connection) {
    connection = new Connection(socket)
    connections.set(socket, connection)
  }
  connection.add(reply)
}

/** The reply to the request that is being received or answered on a connection, where {@link watchRequest} knows of it. */
export function replyOn(socket: Socket): FastifyReply | undefined {
  return connections.get(socket)?.open.values().next().value
}

/** Writes the line of a request that has been answered past its reply. */
export function endRequest(reply: FastifyReply, failure: Failure): void {
  connections.get(reply.request.raw.socket)?.end(reply, failure)
}

/**
 * Has the line of the request tell why it failed; where there is none, or none any more, this leaves one of its own.
 *
 * @param withError whether the error itself is told, too
 */
export function logFailure(
  error: unknown,
  told: PlinthError,
  reply: FastifyReply,
  withError: boolean,
): void {
  const { code, message: reason, errors, statusCode } = told
  if (isAbort(error) && isGone(reply)) {
    if (!('failure' in reply)) reply.log.info('aborted by the client')
    return
  }
  const why = { code, ...(errors && { errors }), ...(withError && { err: error }) }
  if (reply.failure !== undefined) reply.failure = { ...why, reason }
  else if (statusCode >= 500) reply.log.error(why, reason)
  else reply.log.info(why, reason)
}

/** Has the line of the request tell why its answer, which had begun, was cut off. */
export function logCut(error: unknown, reply: FastifyReply): void {
  const { code, message } = error as { code?: unknown; message?: unknown }
  // Of an answer whose connection has closed the line tells who has closed it.
  if (code === 'ERR_STREAM_PREMATURE_CLOSE') return
  const reason = `the answer was cut off: ${message}`
  if (reply.failure === null) reply.failure = isAbort(error) ? { reason } : { reason, err: error }
  else if (!('failure' in reply)) reply.log.error({ err: error }, reason)
}

/** Whether it is answered, also if only in part. */
export const isSent = ({ sent, raw }: FastifyReply): boolean => sent || raw.headersSent

/** Whether the client has left before it was answered completely. */
export function isGone({ raw }: FastifyReply): boolean {
  const { stream } = raw as { stream?: { aborted?: boolean } }
  return stream ? stream.aborted === true : raw.destroyed && !raw.writableFinished
}

/** Whether `error` tells that a signal has aborted, or that there is nobody to read from. */
function isAbort(error: unknown): boolean {
  const { name, code } = error as { name?: unknown; code?: unknown }
  return name === 'AbortError' || code === 'ECONNRESET'
}
