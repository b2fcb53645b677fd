import type { FastifyError, FastifyInstance, FastifyRequest, HTTPMethods } from 'fastify'
import type { TSchema } from 'typebox'

const TRACEPARENT = /^[\da-f]{2}-([\da-f]{32})-[\da-f]{16}-[\da-f]{2}$/

function traceId({ headers }: FastifyRequest): string | null {
  const { traceparent } = headers
  return typeof traceparent === 'string' ? (TRACEPARENT.exec(traceparent)?.[1] ?? null) : null
}

export function success(data: unknown, request: FastifyRequest) {
  return {
    result: true,
    code: 0,
    data,
    message: null,
    request_id: request.id,
    trace_id: traceId(request),
  }
}

/** The schema of an answer with `data`. */
export function enveloped(data: TSchema) {
  return {
    type: 'object',
    properties: {
      result: { type: 'boolean' },
      code: { type: 'integer' },
      data,
      message: { type: 'null' },
      request_id: { type: 'string' },
      trace_id: { type: ['string', 'null'] },
    },
    required: ['result', 'code', 'data', 'message', 'request_id', 'trace_id'],
  }
}

/** An error that is meant for the client. */
export class ClientError extends Error {
  readonly code: string
  readonly statusCode: number

  constructor(statusCode: number, code: string, message: string) {
    super(message)
    this.statusCode = statusCode
    this.code = code
  }
}

export function notFound(what: string, key: unknown): never {
  throw new ClientError(404, 'NOT_FOUND', `There is no ${what} ${key}`)
}

const METHODS: HTTPMethods[] = ['DELETE', 'GET', 'HEAD', 'PATCH', 'POST', 'PUT']

/** Answers every error in the envelope; 404 for an unknown path, 405 for a method it does not have. */
export function answerErrors(app: FastifyInstance): void {
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const status = error.validation ? 400 : (error.statusCode ?? 500)
    const isOurs = status >= 500
    if (isOurs) request.log.error(error)
    return reply.code(status).send({
      result: false,
      code: isOurs ? 'INTERNAL' : error.code,
      data: null,
      message: isOurs ? 'Something went wrong' : error.message,
      errors:
        error.validation?.map(({ instancePath, message }) => ({ path: instancePath, message })) ??
        null,
      request_id: request.id,
      trace_id: traceId(request),
    })
  })
  app.setNotFoundHandler((request, reply) => {
    const url = request.url.split('?', 1)[0] as string
    const allowed = METHODS.filter((method) => app.findRoute({ method, url }) !== null)
    if (allowed.length === 0) throw new ClientError(404, 'ROUTE_NOT_FOUND', `No ${url}`)
    reply.header('allow', allowed.join(', '))
    throw new ClientError(405, 'METHOD_NOT_ALLOWED', `${request.method} is not possible on ${url}`)
  })
}
