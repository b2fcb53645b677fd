import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { explainStatement } from '../database/violations.ts'
import { errors, PlinthError } from '../errors.ts'
import { toDetails } from '../schema/validate.ts'

/**
 * What a client is told of `error`. Its own words only where they are meant for clients: those of the kit, of
 * Fastify and its official plugins, and of `app.httpErrors`. An error of an upstream or a library that names a status
 * does not mean our client.
 *
 * @param reply where it is answered by HTTP: the status that it has been given is kept
 */
export function toPlinthError(
  error: unknown,
  app: FastifyInstance,
  reply?: FastifyReply,
): PlinthError {
  if (PlinthError.is(error)) return error
  return (
    ofFastify(error, reply?.request) ??
    ofSensible(error, app) ??
    (reply && ofMultipart(error, reply.request)) ??
    (reply && ofReply(error, reply)) ??
    ofStatement(error, reply?.request) ??
    errors.INTERNAL.with({ cause: error })
  )
}

function ofFastify(error: unknown, request?: FastifyRequest): PlinthError | undefined {
  if (isValidation(error)) return invalidRequest(error, request)
  if (!isFastifyError(error)) return undefined
  const { code, statusCode = 500, message } = error
  const translate = FASTIFY_ERRORS[code]
  if (translate) return translate(error, request)
  return statusCode === 500
    ? undefined
    : new PlinthError(code, statusCode, message, { cause: error })
}

function ofStatement(error: unknown, request?: FastifyRequest): PlinthError | undefined {
  const told = explainStatement(error, nameOf(request))
  // It may be the service's own fault, too: that it has not checked what a client says.
  if (told) request?.log.warn({ err: error }, told.message)
  return told
}

type ValidationError = FastifyError & Required<Pick<FastifyError, 'validation'>>

function isValidation(error: unknown): error is ValidationError {
  const { code, validation, validationContext } = (error ?? {}) as Partial<FastifyError>
  return code === 'FST_ERR_VALIDATION' && !!validation && validationContext !== undefined
}

/** Whether it is made by Fastify or one of its plugins, and does not only look like it: an upstream may be one, too. */
export function isFastifyError(error: unknown): error is FastifyError {
  if (!(error instanceof Error && Symbol.for('fastify-error-generic') in error)) return false
  return /^(FST|FAST_JWT)_/.test((error as FastifyError).code)
}

interface HttpError extends Error {
  status: number
  /** Whether the message is for clients. */
  expose: boolean
  headers?: Record<string, string>
}

/** What @fastify/sensible adds. */
interface Sensible {
  httpErrors?: { HttpError: abstract new () => HttpError }
}

export function isHttpError(error: unknown, app: FastifyInstance): error is HttpError {
  const { httpErrors } = app as Sensible
  return httpErrors !== undefined && error instanceof httpErrors.HttpError
}

function ofSensible(error: unknown, app: FastifyInstance): PlinthError | undefined {
  if (!isHttpError(error, app)) return undefined
  return ofStatus(error.status, error, error.expose ? error.message : undefined)
}

// The words of the parser of @fastify/multipart, whose errors have neither class nor code. A needle is a boundary.
const BROKEN_MULTIPART =
  /unexpected end of multipart data|^Multipart: Boundary not found|^The needle cannot/i

function ofMultipart(error: unknown, { headers }: FastifyRequest): PlinthError | undefined {
  if (!/^multipart\//i.test(headers['content-type'] ?? '') || !(error instanceof Error))
    return undefined
  if (!BROKEN_MULTIPART.test(error.message)) return undefined
  const problem =
    'the multipart body is not complete, or not divided by the boundary of its Content-Type'
  return errors.BAD_REQUEST.with({ cause: error }, problem)
}

/** The status that the reply was given by whoever throws, or that a header of it announces. */
function ofReply(error: unknown, reply: FastifyReply): PlinthError | undefined {
  const { statusCode, status = statusCode } = (error ?? {}) as Record<string, unknown>
  const named = Number(status)
  // Diagnostics channels have given it the status of the error.
  if (reply.statusCode >= 400 && reply.statusCode !== named)
    return ofStatus(reply.statusCode, error)
  const header = ANNOUNCED_BY[named]
  return header && reply.hasHeader(header) ? ofStatus(named, error) : undefined
}

// Plugins whose errors have no class: the one who authenticates, the one who limits (403: who is banned).
const ANNOUNCED_BY: Readonly<Record<number, string>> = {
  401: 'www-authenticate',
  403: 'retry-after',
  407: 'proxy-authenticate',
  429: 'retry-after',
  503: 'retry-after',
}

const CODES = new Map(
  [
    errors.BAD_REQUEST,
    errors.UNAUTHENTICATED,
    errors.FORBIDDEN,
    errors.NOT_FOUND,
    errors.METHOD_NOT_ALLOWED,
    errors.REQUEST_TIMEOUT,
    errors.CONFLICT,
    errors.PRECONDITION_FAILED,
    errors.PAYLOAD_TOO_LARGE,
    errors.UNSUPPORTED_MEDIA_TYPE,
    errors.TOO_MANY_REQUESTS,
    errors.HEADERS_TOO_LARGE,
  ].map(({ statusCode, code }) => [statusCode, code]),
)

/** An error of which only the status is known: its code is the catalogue's, else the name of the status. */
function ofStatus(status: number, cause: unknown, message?: string): PlinthError | undefined {
  if (status === 500) return undefined
  // Not imported: that would read every export, the lazy ones too, and what serves nothing would load it for this.
  const name = process.getBuiltinModule('node:http').STATUS_CODES[status]
  const code = CODES.get(status) ?? name?.replaceAll("'", '').replaceAll(/\W+/g, '_').toUpperCase()
  const fallback = status < 500 ? errors.BAD_REQUEST.code : errors.INTERNAL.code
  return new PlinthError(code ?? fallback, status, message ?? name ?? 'Refused', { cause })
}

type Translate = (error: FastifyError, request: FastifyRequest | undefined) => PlinthError

const badRequest: Translate = (cause) => errors.BAD_REQUEST.with({ cause }, cause.message)

const FASTIFY_ERRORS: Record<string, Translate> = {
  FST_ERR_CTP_INVALID_JSON_BODY: badRequest,
  FST_ERR_CTP_EMPTY_JSON_BODY: badRequest,
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: badRequest,
  FST_ERR_BAD_URL: (cause) =>
    errors.BAD_REQUEST.with({ cause }, 'the URL is not properly percent-encoded'),
  FST_ERR_MAX_PARAM_LENGTH: (cause, request) =>
    errors.BAD_REQUEST.with({ cause }, tooLongPart(request)),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: (cause, request) =>
    errors.UNSUPPORTED_MEDIA_TYPE.with({ cause }, request?.headers['content-type'] ?? '(none)'),
  FST_ERR_CTP_BODY_TOO_LARGE: (cause, request) =>
    errors.PAYLOAD_TOO_LARGE.with({ cause }, request?.routeOptions.bodyLimit ?? 0),
  // Before the request has come completely it is not the service that is late.
  FST_ERR_HANDLER_TIMEOUT: (cause, request) =>
    request && !isReceived(request)
      ? errors.REQUEST_TIMEOUT.with({ cause })
      : errors.DEADLINE_EXCEEDED.with({ cause }, request?.routeOptions.handlerTimeout ?? 0),
}

/** Whether `request` has come completely. */
export function isReceived({ raw }: FastifyRequest): boolean {
  // Over HTTP/2 one without a body, which nobody reads, never counts as complete; undefined: it is injected.
  const { stream } = raw as { stream?: { endAfterHeaders?: boolean } }
  return raw.complete !== false || stream?.endAfterHeaders === true
}

function tooLongPart(request?: FastifyRequest): string {
  const { routerOptions } = request?.server.initialConfig ?? {}
  return `a part of the path is longer than ${routerOptions?.maxParamLength} characters`
}

/** What is wrong where a body is wanted, and none has come. */
export const MISSING_BODY = 'is missing: send a JSON body'

function invalidRequest(error: ValidationError, request?: FastifyRequest): PlinthError {
  if (error.validationContext === 'body' && request?.body === undefined)
    return errors.INVALID_REQUEST.with(
      { errors: [{ path: '', message: MISSING_BODY }] },
      nameOf(request),
    )
  const inQuery = error.validationContext === 'querystring'
  const found = (error.validation as Violation[]).map((one) =>
    inQuery ? onQuery(one, request) : one,
  )
  return errors.INVALID_REQUEST.with({ errors: toDetails(found) }, nameOf(request))
}

function nameOf(request?: FastifyRequest): string {
  return request?.routeOptions.config.resource ?? request?.routeOptions.url ?? 'this route'
}

type Violation = NonNullable<Parameters<typeof toDetails>[0]>[number]

// A key that is given twice arrives as a list, and "must be string" would not say why.
function onQuery(one: Violation, request?: FastifyRequest): Violation {
  const value = (request?.query as Record<string, unknown> | undefined)?.[one.instancePath.slice(1)]
  const twice = one.keyword === 'type' && Array.isArray(value)
  return twice ? { ...one, message: 'is given more than once' } : one
}
