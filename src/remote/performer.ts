import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { signRequest } from '../auth/signature.ts'
import { type ErrorFactory, errors, PlinthError } from '../errors.ts'
import { type Envelope, envelopes, type ParsedAnswer } from '../http/envelope.ts'
import type { Context } from '../resource/context.ts'
import type { AnyDefined } from '../resource/contract.ts'
import { fromJson, toJson } from '../resource/json.ts'
import type { ByteAnswer } from '../resource/stream.ts'
import { toDetails } from '../resource/validate.ts'
import { type EncodedBody, encodeFile, encodeMultipart, isFileValue } from '../upstream/body.ts'
import type { SendOptions } from '../upstream/client.ts'
import type { UpstreamAnswer } from '../upstream/exchange.ts'
import type { RetryOptions } from '../upstream/retry.ts'
import { UpstreamError } from '../upstream/upstream-error.ts'
import { type Address, writeQuery } from './address-request.ts'
import type {
  ApiAuth,
  ApiCall,
  ApiFailure,
  ApiHeaders,
  ApiRequest,
  ApiSettings,
} from './api-settings.ts'
import { type Connection, readUrl, type Target } from './connection.ts'

const TIMEOUT = 10_000
const MAX_BYTES = 10 * 2 ** 20
const RETRY: RetryOptions = { attempts: 3, delay: 100, maxDelay: 2000 }

/** How what is left of a request for its body is written. */
export type BodyForm = 'json' | 'form' | 'multipart' | 'file'

/** What one call says beside its request. */
export interface PerformOptions {
  /** What it is called in errors and hooks; default: the name of the resource in the app. */
  operation?: string
  /** False: it is not repeated, whatever the method. */
  idempotent?: false
  /** Adds headers, their names in lower case. */
  addHeaders?(headers: Record<string, string>, context: Context): void
}

export interface PerformerSettings extends ApiSettings<never> {
  /** Whether integers keep all of their digits, as bigints where they are no exact numbers; default false. */
  exact?: boolean
  /** What is told of a failure, in place of the table of errors; `undefined`: as of those that a table does not list. */
  tell?: (failure: ApiFailure) => Error | undefined
  method: string
  idempotent: boolean
  address: Address
  body: BodyForm
  /** Whether the answer is handed on as a stream. */
  streams: boolean
  /** Where a call goes, where that is not where the API is. */
  origin?: (input: never, context: Context) => string
}

/** Performs a resource of an API: by HTTP. */
export class Performer {
  readonly connection: Connection
  readonly #settings: PerformerSettings
  readonly #options: Pick<SendOptions, 'timeout' | 'idempotent' | 'maxBytes' | 'retry' | 'streams'>
  readonly #headers: Record<string, string>
  readonly #envelope: Pick<Envelope, 'parse'>

  constructor(connection: Connection, settings: PerformerSettings) {
    const { headers, envelope = 'bare', timeout = TIMEOUT, maxBytes = MAX_BYTES } = settings
    const { retry, idempotent, streams } = settings
    this.connection = connection
    this.#settings = settings
    this.#options = {
      timeout,
      maxBytes,
      idempotent,
      streams,
      retry: retry !== false && { ...RETRY, ...retry },
    }
    this.#headers = join(
      { accept: streams ? '*/*' : 'application/json' },
      typeof headers === 'object' ? headers : {},
    )
    this.#envelope = chooseParser(envelope)
  }

  /** What has to be installed for it. */
  get packages(): string[] {
    const { auth } = this.#settings
    const signs = typeof auth === 'object' && 'signature' in auth
    return ['undici', 'cockatiel', ...(signs ? ['http-message-signatures'] : [])]
  }

  /**
   * @throws {UpstreamError} UPSTREAM_UNAVAILABLE, UPSTREAM_TIMEOUT, UPSTREAM_REFUSED, UPSTREAM_INVALID
   * @throws what the table of errors says, and what hooks throw
   */
  async perform(
    resource: AnyDefined,
    input: never,
    context: Context,
    { operation, addHeaders, idempotent }: PerformOptions = {},
  ): Promise<unknown> {
    const { app, signal, expires } = context
    const call = { input, context, operation: operation ?? app.registry.of(resource).name }
    const connected = this.connection.in(app)
    const { origin } = this.#settings
    const target = origin ? readOrigin(origin(input, context), call.operation) : connected
    const request = await this.#build(call, target, addHeaders)
    const answer = await connected.client.send(request, {
      ...this.#options,
      ...(idempotent === false && { idempotent }),
      signal,
      expires,
      operation: call.operation,
    })
    if (answer.stream) return describe(answer.stream, answer)
    return await new Answered(this.connection.name, call, request, answer).read(
      this.#settings,
      this.#envelope,
      resource,
    )
  }

  async #build(
    call: ApiCall<never>,
    { origin, prefix }: Target,
    addHeaders: PerformOptions['addHeaders'],
  ): Promise<ApiRequest> {
    const { address, method, auth, headers: own, hooks = {} } = this.#settings
    const { context } = call
    const data = hooks.buildData ? await hooks.buildData(call.input, call) : call.input
    const addressed = address(data)
    const { rest, headers: more } = addressed
    const url = hooks.buildUrl ? await hooks.buildUrl(addressed.path, call) : addressed.path
    let headers = travelling(this.#headers, context)
    const encoded = addressed.encoded ?? (rest === undefined ? undefined : this.#encode(rest, call))
    if (encoded || more) headers = join(headers, { ...encoded?.headers, ...more })
    if (typeof own === 'function') headers = join(headers, await own(context))
    addHeaders?.(headers, context)
    if (hooks.buildHeaders) headers = join({}, await hooks.buildHeaders(headers, call))
    const full = prefix + url
    const path = full.startsWith('/') ? full : `/${full}`
    const body = encoded?.body
    const request: ApiRequest = { method, path, headers, body, origin, secrets: [] }
    if (auth) await authenticate(request, call, auth)
    if (hooks.beforeRequest) await hooks.beforeRequest(request, call)
    return request
  }

  #encode(rest: unknown, { operation }: ApiCall<never>): EncodedBody {
    const fields = rest as Record<string, unknown>
    switch (this.#settings.body) {
      case 'json':
        return { body: JSON.stringify(rest), headers: JSON_TYPE }
      case 'form':
        return { body: writeQuery(fields).slice(1), headers: FORM_TYPE }
      case 'multipart':
        return encodeMultipart(fields)
      case 'file': {
        const [[name = '', value] = []] = Object.entries(fields)
        if (isFileValue(value)) return encodeFile(value)
        const wrong = { path: `/${name}`, message: 'must be a Blob, bytes or a stream' }
        throw errors.INVALID_REQUEST.with({ errors: [wrong] }, operation)
      }
    }
  }
}

const JSON_TYPE = { 'content-type': 'application/json' }
const FORM_TYPE = { 'content-type': 'application/x-www-form-urlencoded' }

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

/** @throws {PlinthError} INVALID_REQUEST, since it comes from there */
function readOrigin(given: unknown, operation: string): Target {
  try {
    return readUrl(operation, 'origin', given)
  } catch (cause) {
    const wrong = { path: '', message: 'has no URL that can be called' }
    throw errors.INVALID_REQUEST.with({ cause, errors: [wrong] }, operation)
  }
}

/** What reads the answers of an API. */
export function chooseParser(
  envelope: NonNullable<ApiSettings['envelope']>,
): Pick<Envelope, 'parse'> {
  if (envelope === 'bare') return { parse: parseBare }
  return typeof envelope === 'string' ? envelopes[envelope] : envelope
}

/** `headers` with `more` in place of those of the same names. */
function join(headers: Record<string, string>, more: ApiHeaders): Record<string, string> {
  const joined = { ...headers }
  for (const [name, value] of Object.entries(more)) {
    if (value === undefined) delete joined[name.toLowerCase()]
    else joined[name.toLowerCase()] = value
  }
  return joined
}

/** What goes with every call that is made for another: never who the client is. */
function travelling(headers: Record<string, string>, context: Context): Record<string, string> {
  const { requestId, traceparent } = context
  const all: Record<string, string> = { ...headers, 'x-request-id': requestId }
  if (traceparent !== undefined) all.traceparent = traceparent
  const language = context.headers?.['accept-language']
  if (language !== undefined) all['accept-language'] = language
  return all
}

/** Adds to `request` who this service is. */
export async function authenticate(
  request: ApiRequest,
  call: ApiCall,
  auth: ApiAuth,
): Promise<void> {
  const { headers, method, origin, path, body } = request
  if (typeof auth === 'function') await auth(request, call)
  else if ('bearer' in auth) {
    const { bearer } = auth
    const token = typeof bearer === 'function' ? await bearer(call.context) : bearer
    request.secrets.push(token)
    headers.authorization = `Bearer ${token}`
  } else if ('basic' in auth) {
    const { user, password } = auth.basic
    const encoded = Buffer.from(`${user}:${password}`).toString('base64')
    request.secrets.push(password, encoded)
    headers.authorization = `Basic ${encoded}`
  } else {
    if (body instanceof Readable)
      throw new TypeError('a stream cannot be signed: its digest is not known before its end')
    const signable = { method, url: origin + path, headers, ...(body !== undefined && { body }) }
    request.headers = await signRequest(signable, auth.signature)
  }
}

/** An answer, and the call that it is one to. */
class Answered {
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

  /** What it says, as the response schema has it. */
  async read(
    { hooks = {}, errors: table = {}, exact = false, tell }: PerformerSettings,
    envelope: Pick<Envelope, 'parse'>,
    resource: AnyDefined,
  ): Promise<unknown> {
    const { status, headers } = this.#answer
    if (status >= 300 && status < 400)
      throw this.#invalid(`it redirects, to ${hostOf(headers.location, this.#request)}`)
    const parsed = hooks.parseResponse
      ? await hooks.parseResponse(this.#answer, this.#call)
      : envelope.parse(this.#json(exact ? fromJson : JSON.parse), status)
    // One that calls itself a success, and has the status of a failure, is none.
    if (parsed?.ok && status < 400) return this.#fit(parsed.data, this.#call.context.app, resource)
    if (!parsed && status < 400) throw this.#invalid('its answer has another form than was agreed')
    throw this.#failure(parsed?.ok === false ? parsed : undefined, table, tell)
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
    tellAny: PerformerSettings['tell'],
  ): Error {
    const { status, body } = this.#answer
    const { code, message: said, errors: details = null, data = null } = parsed ?? {}
    const message = said && this.#withoutSecrets(said)
    const requestId = this.#requestId(parsed)
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
  #requestId(parsed?: Extract<ParsedAnswer, { ok: false }>): string | undefined {
    const { headers } = this.#answer
    const named = parsed?.requestId ?? headers['x-bkapi-request-id'] ?? headers['x-request-id']
    return typeof named === 'string' ? named : undefined
  }

  /** Some tell in a failure what they were sent. */
  #withoutSecrets(text: string): string {
    return this.#request.secrets.reduce(
      (text, secret) => (secret ? text.replaceAll(secret, '***') : text),
      text,
    )
  }

  #error(
    kind: ErrorFactory<[api: string]>,
    problem: string,
    {
      code,
      message,
      requestId,
    }: Partial<Record<'code' | 'message' | 'requestId', string | undefined>>,
  ): UpstreamError {
    const { method, origin, path } = this.#request
    const { status, attempts } = this.#answer
    return new UpstreamError(kind, {
      api: this.#api,
      operation: this.#call.operation,
      method,
      url: origin + path.split('?', 1)[0],
      attempts,
      problem,
      status,
      ...(code !== undefined && { code }),
      ...(message && { message: this.#withoutSecrets(message) }),
      ...(requestId !== undefined && { requestId }),
    })
  }
}

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
