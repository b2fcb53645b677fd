import type { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { type ErrorFactory, errors, PlinthError } from '../errors.ts'
import { type Envelope, envelopes, NO_CONTENT, type ParsedAnswer } from '../http/envelope.ts'
import { FAILURE } from '../http/event-stream.ts'
import type { AnyDefined } from '../resource/contract.ts'
import { type ByteAnswer, isEventSchema, type ServerEvent } from '../resource/stream.ts'
import { fromJson, toJson } from '../schema/json.ts'
import { toDetails } from '../schema/validate.ts'
import type { UpstreamAnswer } from '../upstream/exchange.ts'
import { type UpstreamDetails, UpstreamError } from '../upstream/upstream-error.ts'
import type { ApiCall, ApiFailure, ApiHooks, ApiRequest, ApiSettings } from './api-settings.ts'
import { readEvents, type SentEvent } from './read-events.ts'

/** What an answer may have that says nothing else. */
export const MAX_BYTES = 10 * 2 ** 20

/** What comes with a stream that tells what it is. */
const OF_STREAMS = [
  'content-type',
  'content-length',
  'content-encoding',
  'content-disposition',
  'content-language',
  'etag',
  'last-modified',
]

function describe(stream: ByteAnswer, { headers }: UpstreamAnswer): ByteAnswer {
  const told = OF_STREAMS.flatMap((name) => {
    const value = headers[name]
    return typeof value === 'string' ? [[name, value] as const] : []
  })
  stream.headers = Object.fromEntries(told)
  return stream
}

/** What reads the answers of an API. */
export function chooseParser(
  envelope: NonNullable<ApiSettings['envelope']>,
): Pick<Envelope, 'parse'> {
  if (envelope === 'bare') return { parse: parseBare }
  return typeof envelope === 'string' ? envelopes[envelope] : envelope
}

/** How answers are read. */
export interface ReadSettings extends Pick<ApiSettings<never>, 'errors' | 'hooks'> {
  /** Whether integers keep all of their digits, as bigints where they are no exact numbers; default false. */
  exact?: boolean
  /** What is told of a failure, in place of the table of errors; `undefined`: as of those that a table does not list. */
  tell?: (failure: ApiFailure) => Error | undefined
  /** As {@link readEvents}. */
  silence?: number
  /** Bytes that an event may have. */
  maxBytes?: number
  /** The HTTP status of a failure that comes after a success; default 500. */
  statusOf?: (code: string) => number | undefined
}

/** An answer, and the call that it is one to. */
export class Answered {
  readonly #api: string
  readonly #call: ApiCall<never>
  readonly #request: ApiRequest
  readonly #answer: UpstreamAnswer

  constructor(api: string, call: ApiCall<never>, request: ApiRequest, answer: UpstreamAnswer) {
    this.#api = api
    this.#call = call
    this.#request = request
    this.#answer = answer
  }

  /** What it says, as the response schema has it; a promise only where a hook reads it. */
  read(settings: ReadSettings, envelope: Pick<Envelope, 'parse'>, resource: AnyDefined): unknown {
    const { status, headers, stream } = this.#answer
    if (stream) {
      this.#logSuccess()
      return isEventSchema(resource.response)
        ? this.#events(stream, settings, envelope, resource)
        : describe(stream, this.#answer)
    }
    if (status >= 300 && status < 400)
      throw this.#invalid(`it redirects, to ${hostOf(headers.location, this.#request)}`)
    const parse = settings.hooks?.parseResponse
    if (parse) return this.#readBy(parse, settings, resource)
    if (status === NO_CONTENT) return this.#take({ ok: true, data: null }, settings, resource)
    const body = this.#json(settings.exact ? fromJson : JSON.parse)
    return this.#take(envelope.parse(body, status), settings, resource, body)
  }

  async #readBy(
    parse: NonNullable<ApiHooks<never>['parseResponse']>,
    settings: ReadSettings,
    resource: AnyDefined,
  ): Promise<unknown> {
    return this.#take(await parse(this.#answer, this.#call), settings, resource)
  }

  #events(
    stream: Readable,
    settings: ReadSettings,
    envelope: Pick<Envelope, 'parse'>,
    resource: AnyDefined,
  ): AsyncIterable<ServerEvent> {
    const { silence, maxBytes = MAX_BYTES } = settings
    return readEvents(stream, {
      ...{ silence, maxBytes },
      lost: (problem) => this.#error(errors.UPSTREAM_UNAVAILABLE, problem, {}),
      invalid: (problem) => this.#invalid(problem),
      take: (event) => this.#event(event, settings, envelope, resource),
    })
  }

  /** @throws what the other side has failed with, where that is what it tells; UPSTREAM_INVALID */
  #event(
    { data: text, ...event }: SentEvent,
    settings: ReadSettings,
    envelope: Pick<Envelope, 'parse'>,
    resource: AnyDefined,
  ): ServerEvent {
    let data: unknown
    try {
      data = (settings.exact ? fromJson : JSON.parse)(text)
    } catch {
      throw this.#invalid('an event of it is no JSON', text.slice(0, EXCERPT))
    }
    if (event.event !== FAILURE)
      return this.#fit({ ...event, data }, this.#call.context.app, resource) as ServerEvent
    const told = envelope.parse(data, 500)
    const status = (told?.ok === false && settings.statusOf?.(told.code)) || 500
    const { headers, attempts } = this.#answer
    const answer = { status, headers, attempts, body: Buffer.from(text) }
    const failed = new Answered(this.#api, this.#call, this.#request, answer)
    return failed.read(settings, envelope, resource) as never
  }

  #take(
    parsed: ParsedAnswer | undefined,
    { errors: table = {}, tell }: ReadSettings,
    resource: AnyDefined,
    body?: unknown,
  ): unknown {
    const { status } = this.#answer
    // One that calls itself a success, and has the status of a failure, is none.
    if (parsed?.ok && status < 400) {
      const fitting = this.#fit(parsed.data, this.#call.context.app, resource)
      this.#logSuccess(body)
      return fitting
    }
    if (!parsed && status < 400) throw this.#invalid('its answer has another form than was agreed')
    throw this.#failure(parsed?.ok === false ? parsed : undefined, table, tell)
  }

  /** A failure tells it itself; a success only who looks for it: what the upstream calls the request, to find it in its log. */
  #logSuccess(body?: unknown): void {
    const { log } = this.#call.context
    if (log.level !== 'debug' && log.level !== 'trace') return
    const { request_id: id } = Object(body) as { request_id?: unknown }
    const requestId = this.#requestId(id)
    log.debug({ upstream: this.#details({ requestId }) }, 'an upstream has answered')
  }

  /** The body; of a failure, which anybody on the way may have written, `undefined` where it is none. */
  #json(parse: (text: string) => unknown): unknown {
    const { status, headers, body } = this.#answer
    if (body.length === 0) return null
    try {
      return parse(withoutMark(body.toString()))
    } catch {
      if (status >= 400) return undefined
      const type = headers['content-type'] ?? 'of no content type'
      throw this.#invalid(`its answer, ${type}, is no JSON`, body.toString().slice(0, EXCERPT))
    }
  }

  /** What the schema lists of `data`. */
  #fit(data: unknown, app: FastifyInstance, resource: AnyDefined): unknown {
    const { validate, pick } = app.compiled.of(resource).foreignReader
    if (validate(data) || this.#fitsExactly(data, app, resource)) return pick(data)
    const [first] = toDetails(validate.errors)
    throw this.#invalid(`its answer does not fit the schema: ${first?.path} ${first?.message}`)
  }

  /** Whether it fits but for integers that are bigints, which to validators are none. */
  #fitsExactly(data: unknown, { compiled }: FastifyInstance, resource: AnyDefined): boolean {
    try {
      const numbers = toJson(data)
      return numbers !== data && compiled.of(resource).responseValidator.validate(numbers)
    } catch (error) {
      // Nested deeper than the stack reaches.
      if (error instanceof RangeError) return false
      throw error
    }
  }

  #failure(
    parsed: Extract<ParsedAnswer, { ok: false }> | undefined,
    table: NonNullable<ApiSettings<never>['errors']>,
    tellAny: ReadSettings['tell'],
  ): Error {
    const { status, body } = this.#answer
    const { code, message: said, errors: details = null, data = null } = parsed ?? {}
    const message = said && this.#withoutSecrets(said)
    const requestId = this.#requestId(parsed?.requestId)
    const cause = this.#error(
      kindOf(status),
      parsed ? 'it has refused the call' : 'it has failed',
      { code, message: message ?? body.toString().slice(0, EXCERPT), requestId },
    )
    const tell = tellAny ?? ((code !== undefined && own(table, code)) || own(table, status))
    const told = tell?.({ ...this.#call, status, code, message, errors: details, data, requestId })
    if (!told) return cause
    // For the log.
    if (PlinthError.is(told) && told.cause === undefined)
      Object.defineProperty(told, 'cause', { value: cause, configurable: true, writable: true })
    return told
  }

  #invalid(problem: string, message?: string): UpstreamError {
    const requestId = this.#requestId()
    return this.#error(errors.UPSTREAM_INVALID, problem, { message, requestId })
  }

  /** What the upstream calls the request: in its answer, or in a header, by its own name for it or that of BlueKing's gateway. */
  #requestId(told?: unknown): string | undefined {
    const { headers } = this.#answer
    const named = told ?? headers['x-bkapi-request-id'] ?? headers['x-request-id']
    return typeof named === 'string' ? named : undefined
  }

  /** Some tell in a failure what they were sent. */
  #withoutSecrets(text: string): string {
    return this.#request.secrets.reduce(
      (text, secret) => (secret ? text.replaceAll(secret, '***') : text),
      text,
    )
  }

  #error(kind: ErrorFactory<[api: string]>, problem: string, told: Told): UpstreamError {
    return new UpstreamError(kind, { ...this.#details(told), problem })
  }

  #details({ code, message, requestId }: Told): Omit<UpstreamDetails, 'problem'> {
    const { method, origin, path } = this.#request
    const { status, attempts } = this.#answer
    return {
      api: this.#api,
      operation: this.#call.operation,
      method,
      url: origin + path.split('?', 1)[0],
      attempts,
      status,
      ...(code !== undefined && { code }),
      ...(message && { message: this.#withoutSecrets(message) }),
      ...(requestId !== undefined && { requestId }),
    }
  }
}

/** What an upstream says of a call. */
type Told = Partial<Record<'code' | 'message' | 'requestId', string | undefined>>

function kindOf(status: number): ErrorFactory<[api: string]> {
  if (status === 429 || status === 503) return errors.UPSTREAM_UNAVAILABLE
  return status === 504 ? errors.UPSTREAM_TIMEOUT : errors.UPSTREAM_REFUSED
}

/** How much of a body that nobody understands is in the log. */
const EXCERPT = 500

function own<T>(table: Readonly<Record<string | number, T>>, key: string | number): T | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined
}

function hostOf(location: unknown, { origin }: ApiRequest): string {
  return URL.parse(String(location), origin)?.origin ?? 'nowhere'
}

/** Some write a byte order mark, which JSON knows nothing of. */
function withoutMark(text: string): string {
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
}

/** Data as it is; a failure where most say what it is. */
function parseBare(body: unknown, status: number): ParsedAnswer | undefined {
  if (status < 400) return { ok: true, data: body }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return undefined
  const found = body as Record<string, unknown>
  const inner = typeof found.error === 'object' && found.error !== null ? found.error : {}
  const {
    code,
    title,
    message,
    detail,
    error,
    errors: details,
    request_id: id,
  } = {
    ...found,
    ...inner,
  } as Record<string, unknown>
  return {
    ok: false,
    code: String(code ?? title ?? (typeof error === 'string' ? error : status)),
    message: String(message ?? detail ?? ''),
    errors: Array.isArray(details) ? details : null,
    data: body,
    requestId: typeof id === 'string' ? id : null,
  }
}
