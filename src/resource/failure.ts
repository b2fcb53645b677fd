import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { errors, PlinthError } from '../errors.ts'
import type { Envelope } from './envelope.ts'
import { toDetails } from './validate.ts'

/** What a client is told of `error`, whatever it was: its own words only where they are meant for clients. */
export function toPlinthError(error: unknown, request?: FastifyRequest): PlinthError {
  if (PlinthError.is(error)) return error
  if (!(error instanceof Error)) return errors.INTERNAL.with({ cause: error })
  const fastifyError = error as Partial<FastifyError>
  if (fastifyError.validation) return invalidRequest(fastifyError, request)
  const translate = FASTIFY_ERRORS[fastifyError.code ?? '']
  if (translate) return translate(error, request)
  // Errors of other plugins that name a client's status (`http-errors`, `@fastify/error`) speak to clients.
  const status = fastifyError.statusCode
  if (status !== undefined && status >= 400 && status < 500) {
    return new PlinthError(codeOf(error, status), status, error.message, { cause: error })
  }
  return errors.INTERNAL.with({ cause: error })
}

function codeOf(error: Error, status: number): string {
  const { code } = error as { code?: unknown }
  if (typeof code === 'string') return code
  const kind = Object.values(errors).find(({ statusCode }) => statusCode === status)
  return kind?.code ?? errors.BAD_REQUEST.code
}

type Translate = (error: Error, request: FastifyRequest | undefined) => PlinthError

const badRequest: Translate = (cause) => errors.BAD_REQUEST.with({ cause }, cause.message)

const FASTIFY_ERRORS: Record<string, Translate> = {
  FST_ERR_CTP_INVALID_JSON_BODY: badRequest,
  FST_ERR_CTP_EMPTY_JSON_BODY: badRequest,
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: badRequest,
  FST_ERR_BAD_URL: (cause) =>
    errors.BAD_REQUEST.with({ cause }, 'the URL is not properly percent-encoded'),
  FST_ERR_MAX_PARAM_LENGTH: (cause) =>
    errors.BAD_REQUEST.with({ cause }, 'a part of the path is too long'),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: (cause, request) =>
    errors.UNSUPPORTED_MEDIA_TYPE.with({ cause }, request?.headers['content-type'] ?? '(none)'),
  FST_ERR_CTP_BODY_TOO_LARGE: (cause, request) =>
    errors.PAYLOAD_TOO_LARGE.with({ cause }, request?.routeOptions.bodyLimit ?? 0),
  // Before the request has come completely it is not the service that is late.
  FST_ERR_HANDLER_TIMEOUT: (cause, request) =>
    request?.raw.complete === false
      ? errors.REQUEST_TIMEOUT.with({ cause })
      : errors.DEADLINE_EXCEEDED.with({ cause }, request?.routeOptions.handlerTimeout ?? 0),
}

function invalidRequest(error: Partial<FastifyError>, request?: FastifyRequest): PlinthError {
  const inQuery = error.validationContext === 'querystring'
  const found = (error.validation as Violation[]).map((one) =>
    inQuery ? onQuery(one, request) : one,
  )
  const name = request?.routeOptions.config.resource ?? request?.routeOptions.url ?? 'this route'
  return errors.INVALID_REQUEST.with({ errors: toDetails(found) }, name)
}

type Violation = NonNullable<Parameters<typeof toDetails>[0]>[number]

// A key that is given twice arrives as a list, and "must be string" would not say why.
function onQuery(one: Violation, request?: FastifyRequest): Violation {
  const value = (request?.query as Record<string, unknown> | undefined)?.[one.instancePath.slice(1)]
  const twice = one.keyword === 'type' && Array.isArray(value)
  return twice ? { ...one, message: 'is given more than once' } : one
}

// After these the rest of the request is not read, or another process had better be asked.
const CLOSING = [408, 413, 503]

/** A Fastify error handler that answers in `envelope` and logs what is the service's own fault. */
export function createErrorHandler(envelope: Envelope) {
  return function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply) {
    const told = toPlinthError(error, request)
    if (told.statusCode >= 500) request.log.error({ err: error, code: told.code }, told.message)
    else request.log.info({ code: told.code, errors: told.errors }, told.message)
    if (CLOSING.includes(told.statusCode)) reply.header('connection', 'close')
    return reply
      .code(told.statusCode)
      .header('x-request-id', request.id)
      .type(envelope.errorType)
      .serializer(JSON.stringify)
      .send(envelope.failure(told, request))
  }
}
