import { Readable } from 'node:stream'
import type { TSchema } from 'typebox'
import { signRequest } from '../auth/signature.ts'
import type { InMilliseconds } from '../duration.ts'
import { errors } from '../errors.ts'
import type { Envelope } from '../http/envelope.ts'
import type { Context } from '../resource/context.ts'
import type { AnyDefined } from '../resource/contract.ts'
import { isEventSchema, isStreamSchema } from '../resource/stream.ts'
import { type EncodedBody, encodeFile, encodeMultipart, isFileValue } from '../upstream/body.ts'
import type { SendOptions } from '../upstream/client.ts'
import type { RetryOptions } from '../upstream/retry.ts'
import { type Address, type Addressed, writeQuery } from './address-request.ts'
import { Answered, chooseParser, MAX_BYTES, type ReadSettings } from './answered.ts'
import type {
  ApiAuth,
  ApiCall,
  ApiHeaders,
  ApiRequest,
  ApiSettings,
  CheckedSettings,
} from './api-settings.ts'
import { type Connection, readUrl, type Target } from './connection.ts'

const TIMEOUT = 10_000
const RETRY: InMilliseconds<RetryOptions> = { attempts: 3, delay: 100, maxDelay: 2000 }

/** How what is left of a request for its body is written. */
export type BodyForm = 'json' | 'form' | 'multipart' | 'file'

/** What one call says beside its request. */
export interface PerformOptions {
  /** What it is called in errors and hooks; default: the name of the resource in the app. */
  operation?: string
  /** Whether it may be repeated; default: as the settings say. */
  idempotent?: boolean
  /** Adds headers, their names in lower case. */
  addHeaders?(headers: Record<string, string>, context: Context): void
}

export interface PerformerSettings
  extends CheckedSettings<ApiSettings<never>>,
    Omit<ReadSettings, 'maxBytes'> {
  method: string
  idempotent: boolean
  address: Address
  /** `any`: JSON, or a form where there is a file, of which the schema tells nothing. */
  body: BodyForm | 'any'
  /** Whether the answer is handed on as a stream: of bytes, or of events. */
  streams: Streams
  /** Where a call goes, where that is not where the API is. */
  origin?: (input: never, context: Context) => string
}

/** What of an answer comes bit by bit. */
export type Streams = false | 'bytes' | 'events'

/** What comes bit by bit of a response of that schema. */
export function streamsOf(response: TSchema): Streams {
  if (isEventSchema(response)) return 'events'
  return isStreamSchema(response) && 'bytes'
}

const ACCEPT = { bytes: '*/*', events: 'text/event-stream' }

/** Performs a resource of an API: by HTTP. */
export class Performer {
  readonly connection: Connection
  readonly #settings: PerformerSettings
  readonly #options: Omit<SendOptions, 'operation'>
  readonly #headers: Record<string, string>
  /** What reads its answers. */
  readonly envelope: Pick<Envelope, 'parse'>
  /** Whether somebody else has a part in what is sent, and may have to be waited for. */
  readonly #asks: boolean

  constructor(connection: Connection, settings: PerformerSettings) {
    const { headers, envelope = 'bare', timeout = TIMEOUT, maxBytes = MAX_BYTES } = settings
    const { retry, idempotent, streams, auth, hooks = {} } = settings
    this.connection = connection
    this.#settings = settings
    this.#options = {
      timeout,
      maxBytes,
      idempotent,
      streams: streams === 'events' ? 'endless' : streams !== false,
      performer: this,
      retry: retry !== false && { ...RETRY, ...retry },
    }
    this.#headers = join(
      { accept: streams === false ? 'application/json' : ACCEPT[streams] },
      typeof headers === 'object' ? headers : {},
    )
    this.envelope = chooseParser(envelope)
    const { parseResponse: _, ...ofRequests } = hooks
    this.#asks =
      auth !== undefined || typeof headers === 'function' || Object.keys(ofRequests).length > 0
  }

  /** What has to be installed for it. */
  get packages(): string[] {
    return packagesFor(this.#settings.auth)
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
    const call = { input, context, operation: operation ?? context.app.registry.of(resource).name }
    const connected = this.connection.in(context.app)
    const { origin } = this.#settings
    const target = origin ? readOrigin(origin(input, context), call.operation) : connected
    const built = this.#build(call, target, addHeaders)
    const request = built instanceof Promise ? await built : built
    const answer = await connected.client.send(request, {
      ...this.#options,
      ...(idempotent !== undefined && { idempotent }),
      signal: context.signalIfAny,
      expires: context.expires,
      operation: call.operation,
      resource,
    })
    const answered = new Answered(this.connection.name, call, request, answer)
    return answered.read(this.#settings, this.envelope, resource)
  }

  #build(
    call: ApiCall<never>,
    target: Target,
    addHeaders: PerformOptions['addHeaders'],
  ): ApiRequest | Promise<ApiRequest> {
    if (this.#asks) return this.#buildWith(this.#settings.hooks ?? {}, call, target, addHeaders)
    const addressed = this.#settings.address(call.input)
    const request = this.#compose(call, target, addressed, addressed.path)
    addHeaders?.(request.headers, call.context)
    return request
  }

  async #buildWith(
    hooks: NonNullable<PerformerSettings['hooks']>,
    call: ApiCall<never>,
    target: Target,
    addHeaders: PerformOptions['addHeaders'],
  ): Promise<ApiRequest> {
    const { address, auth, headers: own } = this.#settings
    const { context } = call
    const data = hooks.buildData ? await hooks.buildData(call.input, call) : call.input
    const addressed = address(data)
    const url = hooks.buildUrl ? await hooks.buildUrl(addressed.path, call) : addressed.path
    const request = this.#compose(call, target, addressed, url)
    if (typeof own === 'function') request.headers = join(request.headers, await own(context))
    addHeaders?.(request.headers, context)
    if (hooks.buildHeaders)
      request.headers = join({}, await hooks.buildHeaders(request.headers, call))
    if (!auth) return await this.#finish(request, call)
    const { headers } = request
    const unsigned = (): ApiRequest => ({ ...request, headers: { ...headers } })
    const signed = await this.#finish(unsigned(), call)
    return Object.assign(signed, { again: () => this.#finish(unsigned(), call) })
  }

  /** The last that is done to a request, each time that it is sent. */
  async #finish(request: ApiRequest, call: ApiCall<never>): Promise<ApiRequest> {
    const { auth, hooks } = this.#settings
    if (auth) await authenticate(request, call, auth)
    await hooks?.beforeRequest?.(request, call)
    return request
  }

  #compose(
    { context, operation }: ApiCall<never>,
    { origin, prefix }: Target,
    { rest, encoded, headers: more }: Addressed,
    url: string,
  ): ApiRequest {
    const headers = travelling(this.#headers, context)
    const sent = encoded ?? (rest === undefined ? undefined : this.#encode(rest, operation))
    Object.assign(headers, sent?.headers, more)
    const full = prefix + url
    const path = full.startsWith('/') ? full : `/${full}`
    const { method } = this.#settings
    return { method, path, headers, body: sent?.body, origin, secrets: [] }
  }

  #encode(rest: unknown, operation: string): EncodedBody | undefined {
    const fields = rest as Record<string, unknown>
    switch (this.#settings.body) {
      case 'json':
        return { body: JSON.stringify(rest), headers: JSON_TYPE }
      case 'form':
        return { body: writeQuery(fields).slice(1), headers: FORM_TYPE }
      case 'any': {
        const hasFile = Object.values(fields).some((one) => [one].flat().some(isFileValue))
        return hasFile
          ? encodeMultipart(fields)
          : { body: JSON.stringify(rest), headers: JSON_TYPE }
      }
      case 'multipart':
        return encodeMultipart(fields)
      case 'file': {
        const [[name, value] = []] = Object.entries(fields)
        if (value === undefined) return undefined
        if (isFileValue(value)) return encodeFile(value)
        const wrong = { path: `/${name}`, message: 'must be a file' }
        throw errors.INVALID_REQUEST.with({ errors: [wrong] }, operation)
      }
    }
  }
}

const JSON_TYPE = { 'content-type': 'application/json' }
const FORM_TYPE = { 'content-type': 'application/x-www-form-urlencoded' }

/** What has to be installed to call as `auth` says. */
export function packagesFor(auth: unknown): string[] {
  const signs = typeof auth === 'object' && auth !== null && 'signature' in auth
  return ['undici', 'cockatiel', ...(signs ? ['http-message-signatures'] : [])]
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
