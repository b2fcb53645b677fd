import type {
  FastifyError,
  FastifyReply,
  FastifyRequest,
  FastifySchemaValidationError,
} from 'fastify'
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
    return new PlinthError(fastifyError.code ?? 'BAD_REQUEST', status, error.message, {
      cause: error,
    })
  }
  return errors.INTERNAL.with({ cause: error })
}

type Translate = (error: Error, request: FastifyRequest | undefined) => PlinthError

const badRequest: Translate = (cause) => errors.BAD_REQUEST.with({ cause }, cause.message)

const FASTIFY_ERRORS: Record<string, Translate> = {
  FST_ERR_CTP_INVALID_JSON_BODY: badRequest,
  FST_ERR_CTP_EMPTY_JSON_BODY: badRequest,
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: badRequest,
  FST_ERR_BAD_URL: (cause) =>
    errors.BAD_REQUEST.with({ cause }, 'the URL is not properly percent-encoded'),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: (cause, request) =>
    errors.UNSUPPORTED_MEDIA_TYPE.with({ cause }, request?.headers['content-type'] ?? '(none)'),
  FST_ERR_CTP_BODY_TOO_LARGE: (cause, request) =>
    errors.PAYLOAD_TOO_LARGE.with({ cause }, request?.routeOptions.bodyLimit ?? 0),
  FST_ERR_HANDLER_TIMEOUT: (cause, request) =>
    errors.DEADLINE_EXCEEDED.with({ cause }, request?.routeOptions.handlerTimeout ?? 0),
}

function invalidRequest(error: Partial<FastifyError>, request?: FastifyRequest): PlinthError {
  const found = error.validation as FastifySchemaValidationError[]
  const where = error.validationContext
  const details = toDetails(found as Parameters<typeof toDetails>[0])
  const name = request?.routeOptions.config.resource ?? request?.routeOptions.url ?? 'this route'
  return errors.INVALID_REQUEST.with(
    {
      errors: where === 'querystring' ? details.map((detail) => onQuery(detail, request)) : details,
    },
    name,
  )
}

// A key that is given twice arrives as a list, and "must be string" would not say why.
function onQuery(detail: { path: string; message: string }, request?: FastifyRequest) {
  const value = (request?.query as Record<string, unknown> | undefined)?.[detail.path.slice(1)]
  return Array.isArray(value) ? { ...detail, message: 'is given more than once' } : detail
}

/** A Fastify error handler that answers in `envelope` and logs what is the service's own fault. */
export function createErrorHandler(envelope: Envelope) {
  return function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply) {
    const told = toPlinthError(error, request)
    if (told.statusCode >= 500) request.log.error({ err: error, code: told.code }, told.message)
    else request.log.info({ code: told.code, errors: told.errors }, told.message)
    if (told.statusCode === 413 || told.statusCode === 503) reply.header('connection', 'close')
    return reply
      .code(told.statusCode)
      .type(envelope.errorType)
      .serializer(JSON.stringify)
      .send(envelope.failure(told, request))
  }
}
