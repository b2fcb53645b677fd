import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ErrorDetail, PlinthError } from '../errors.ts'
import type { JsonSchema } from '../schema/json-schema.ts'
import { parseTraceparent, type Trace } from '../trace.ts'

/** What an answer tells of the request that it answers. */
export type Asked = Pick<FastifyRequest, 'id' | 'url' | 'headers'> & {
  readonly trace?: Trace | null
}

/** What a client of a service reads in its answer. */
export type ParsedAnswer =
  | { readonly ok: true; readonly data: unknown }
  | {
      readonly ok: false
      readonly code: string
      readonly message: string
      readonly errors: readonly ErrorDetail[] | null
      readonly data: unknown
      readonly requestId: string | null
    }

/** The form of every answer: of this service, and of those that it calls. */
export interface Envelope {
  /** What contracts call it; default `own`. */
  readonly name?: string
  /** The media type of errors. */
  readonly errorType: string
  success(data: unknown, request: Asked): unknown
  /** The same as JSON, for data that is JSON already. */
  successText(data: string, request: Asked): string
  failure(error: PlinthError, request: Asked): unknown
  /** Each success has this HTTP status, whatever its resource says; default: that of the resource, which is 200, 201, 202 or 204. */
  readonly successStatus?: 200
  /** The HTTP status of a failure; default: its own. */
  failureStatus?(error: Pick<PlinthError, 'code' | 'statusCode'>): number
  /** The schema of a successful answer whose data has `schema`. */
  successSchema(schema: JsonSchema): JsonSchema
  readonly failureSchema: JsonSchema
  /**
   * What an answer in this form says.
   *
   * @param status its HTTP status
   * @returns `undefined` where it has another form, as the page of a proxy
   */
  parse(body: unknown, status: number): ParsedAnswer | undefined
}

const requestId: JsonSchema = { type: 'string', description: 'Also in the header X-Request-Id' }
const traceId: JsonSchema = {
  type: ['string', 'null'],
  description:
    'Of the trace, where the service traces; else that of the header traceparent, where one was sent',
}
const more: JsonSchema = {
  description: 'What else there is to tell of this failure: where to log in',
}
const details: JsonSchema = {
  type: ['array', 'null'],
  description: 'What is wrong, place by place',
  items: {
    type: 'object',
    properties: { path: { type: 'string' }, message: { type: 'string' } },
    required: ['path', 'message'],
  },
}

/** `{ result, code, data, message, request_id, trace_id }`, the original's form. */
export const standardEnvelope: Envelope = {
  name: 'standard',
  errorType: 'application/json; charset=utf-8',
  success: (data, request) => ({
    result: true,
    code: 0,
    data,
    message: null,
    request_id: request.id,
    trace_id: traceIdOf(request),
  }),
  successText: (data, request) => {
    const trace = traceIdOf(request)
    const ids = `"request_id":${JSON.stringify(request.id)},"trace_id":${trace ? `"${trace}"` : null}`
    return `{"result":true,"code":0,"data":${data},"message":null,${ids}}`
  },
  failure: (error, request) => ({
    result: false,
    code: error.code,
    // Not there in one by an older copy of the kit.
    data: error.data ?? null,
    message: error.message,
    errors: error.errors,
    request_id: request.id,
    trace_id: traceIdOf(request),
  }),
  successSchema: (data) => ({
    type: 'object',
    properties: {
      result: { type: 'boolean', const: true },
      code: { type: 'integer', const: 0 },
      data,
      message: { type: 'null' },
      request_id: requestId,
      trace_id: traceId,
    },
    required: ['result', 'code', 'data', 'message', 'request_id', 'trace_id'],
  }),
  failureSchema: {
    type: 'object',
    properties: {
      result: { type: 'boolean', const: false },
      code: { type: 'string' },
      data: more,
      message: { type: 'string' },
      errors: details,
      request_id: requestId,
      trace_id: traceId,
    },
    required: ['result', 'code', 'data', 'message', 'errors', 'request_id', 'trace_id'],
  },
  parse: parseStandard,
}

/** Also what the original answers: only `result: false` with a `code` that is not 0 is a failure. */
function parseStandard(body: unknown): ParsedAnswer | undefined {
  if (!isObject(body) || typeof body.result !== 'boolean') return undefined
  const { result, code, data = null, message, errors = null, request_id: id } = body
  if (result || Number(code) === 0) return { ok: true, data }
  return {
    ok: false,
    code: String(code),
    message: String(message ?? ''),
    errors: Array.isArray(errors) ? errors : null,
    data,
    requestId: typeof id === 'string' ? id : null,
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Bare bodies, and errors as problem details (RFC 9457). */
export const problemEnvelope: Envelope = {
  name: 'problem',
  errorType: 'application/problem+json; charset=utf-8',
  success: (data) => data,
  successText: (data) => data,
  failure: (error, request) => ({
    type: 'about:blank',
    title: error.code,
    status: error.statusCode,
    detail: error.message,
    instance: request.url.split('?', 1)[0],
    ...(error.errors ? { errors: error.errors satisfies readonly ErrorDetail[] } : {}),
    ...(error.data == null ? {} : { data: error.data }),
    request_id: request.id,
  }),
  successSchema: (schema) => schema,
  failureSchema: {
    type: 'object',
    properties: {
      type: { type: 'string' },
      title: { type: 'string' },
      status: { type: 'integer' },
      detail: { type: 'string' },
      instance: { type: 'string' },
      errors: details,
      data: more,
      request_id: requestId,
    },
    required: ['type', 'title', 'status', 'detail', 'instance', 'request_id'],
  },
  parse(body, status) {
    if (status < 400) return { ok: true, data: body }
    if (!isObject(body) || typeof body.title !== 'string') return undefined
    const { title: code, detail = '', errors, data = null, request_id: id } = body
    return {
      ok: false,
      code,
      message: String(detail),
      errors: Array.isArray(errors) ? errors : null,
      data,
      requestId: typeof id === 'string' ? id : null,
    }
  },
}

export const envelopes = { standard: standardEnvelope, problem: problemEnvelope } as const

export type EnvelopeName = keyof typeof envelopes

/** The form that `app` answers in: as plinth/plugins/envelope was told, where it was registered before; else the standard one. */
export function envelopeOf(app: FastifyInstance): Envelope {
  return app.hasDecorator('envelope') ? app.getDecorator<Envelope>('envelope') : standardEnvelope
}

/** The HTTP status of a success of what has `status`. */
export function successStatusOf(envelope: Envelope, { status = 200 }: { status?: number }): number {
  return envelope.successStatus ?? status
}

/** The status of an answer that is nothing but its head (RFC 9110, 15.3.5). */
export const NO_CONTENT = 204

/** The HTTP status of a failure. */
export function failureStatusOf(
  envelope: Envelope,
  error: Pick<PlinthError, 'code' | 'statusCode'>,
): number {
  return envelope.failureStatus?.(error) ?? error.statusCode
}

/** What a handler returns to answer `body` as JSON: Fastify sends a bare string as text and a bare null as nothing. */
export function asJson(body: unknown, reply: FastifyReply): unknown {
  if (typeof body === 'object' && body !== null) return body
  return toSend(JSON.stringify(body), reply)
}

/** What a handler returns to answer with JSON that is written already. Not the reply, which is a promise of its end. */
export function toSend(json: string, reply: FastifyReply): string {
  reply.type('application/json; charset=utf-8')
  return json
}

function traceIdOf({ trace, headers }: Asked): string | null {
  return trace?.traceId ?? parseTraceparent(headers.traceparent)?.traceId ?? null
}
