import { tracingChannel } from 'node:diagnostics_channel'
import { isDeepStrictEqual } from 'node:util'
import type { FastifyInstance } from 'fastify'
import type { TSchema } from 'typebox'
import { type ErrorDetail, errors } from '../errors.ts'
import { standardEnvelope } from '../http/envelope.ts'
import { END_OF_EVENTS, frame } from '../http/event-stream.ts'
import { requirePackages } from '../packages.ts'
import { isOfApi } from '../remote/api.ts'
import { isContract, placeOf } from '../remote/client.ts'
import type { Connection } from '../remote/connection.ts'
import type { ServiceContract } from '../remote/contract.ts'
import type { Performer } from '../remote/performer.ts'
import { TASK, TASK_ID } from '../remote/remote-resource.ts'
import type { AnyDefined } from '../resource/contract.ts'
import type { AnyResource, Resource } from '../resource/resource.ts'
import {
  type ByteAnswer,
  isEventSchema,
  isStreamSchema,
  type ServerEvent,
} from '../resource/stream.ts'
import { fromJson, toJson } from '../schema/json.ts'
import { toDetails } from '../schema/validate.ts'
import type { Value } from '../schema/value.ts'
import type { UpstreamMessage } from '../upstream/client.ts'
import { Random } from './random.ts'
import { listed } from './send.ts'

/** What another system was asked. */
export interface SentRequest {
  /** The system: the name of an API, of a client, or of a module in another process. */
  readonly api: string
  /** The resource that has asked, `invoices.getInvoice`; of a client, the one that was asked. */
  readonly resource: string
  readonly method: string
  readonly origin: string
  /** With its query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** As JSON, where it is some. */
  readonly body: unknown
}

/** How a system answers. */
interface Answering {
  /** Default 200. */
  status?: number
  headers?: Readonly<Record<string, string>>
}

/** What a test gives for a response. */
type Said<Response> = Response extends ByteAnswer
  ? string | Uint8Array
  : Response extends AsyncIterable<infer Event>
    ? Iterable<Event>
    : Response

interface Answered extends Answering {
  value(sent: SentRequest): unknown
}

/** A call under way: which resource sends it, and what reads its answer. */
interface Asking {
  readonly api: string
  readonly operation: string
  readonly resource: AnyDefined
  readonly performer: Performer
}

const channel = tracingChannel<unknown, UpstreamMessage>('plinth:upstream')

/**
 * Answers in place of the systems that are asked by resources of `defineApi` and of `createClient`, and by those of modules in other processes: what a test says, else
 * something random that fits the response schema, the same for the same resource. Everything on the way is as in the service: what is sent, how it is read, retries, breakers, tables of errors.
 */
export class TestUpstreams {
  /** What was asked since the app was made or reset, in order. */
  readonly sent: SentRequest[] = []
  readonly #app: FastifyInstance
  /** Of resources of the app. */
  readonly #own = new Map<AnyDefined, Answered>()
  /** Of clients: by what they are connected by, and the names of resources. */
  readonly #clients = new Map<Connection, Map<string, Answered>>()
  /** By their headers, which are made anew for each. */
  readonly #asking = new WeakMap<object, Asking>()

  constructor(app: FastifyInstance) {
    this.#app = app
  }

  /** Before the app is ready. @throws {PlinthError} PACKAGE_MISSING */
  static async open(app: FastifyInstance): Promise<TestUpstreams> {
    requirePackages('upstream', ['undici', 'cockatiel'])
    const { MockAgent } = await import('undici')
    const made = new TestUpstreams(app)
    const agent = new MockAgent()
    agent.disableNetConnect()
    agent
      .get(/.*/)
      .intercept({ path: () => true, method: () => true })
      .reply((sent) => made.#reply(sent as unknown as RawRequest))
      .persist()
    // Each client of the app would end it, which is none of theirs.
    app.upstream.dispatcher = Object.assign(agent, { destroy: async () => {} })
    const note = (message: unknown) => {
      const { request, ...asking } = message as UpstreamMessage
      if (request.headers) made.#asking.set(request.headers, asking as Asking)
    }
    channel.start.subscribe(note)
    app.addHook('onClose', async () => {
      channel.start.unsubscribe(note)
      await agent.close()
    })
    return made
  }

  /**
   * Says what a system answers to a resource from now on. A value is held to the response schema of the resource, and comes in the envelope of its API; with a
   * `status` of a failure it is the body as it is. Of `stream()` it is a text or bytes, of `events()` a list of events. What a task in another service comes to is
   * what its resource answers. A client itself is answered with its contract, where `createClient` has none.
   *
   * @throws {PlinthError} INVALID_RESPONSE where it does not fit (of a client, when it is asked), RESOURCE_UNLISTED
   */
  answer<Req extends TSchema, Res extends TSchema>(
    resource: Resource<Req, Res>,
    answer: Said<Value<Res>> | ((sent: SentRequest) => Said<Value<Res>>),
    how?: Answering & { status?: 200 | 201 | 202 },
  ): void
  answer(resource: AnyResource, answer: unknown, how: Answering & { status: number }): void
  answer(client: object, contract: ServiceContract): void
  answer(asked: AnyResource | object, given: unknown, how: Answering = {}): void {
    const value = typeof given === 'function' ? (given as Answered['value']) : () => given
    const place = placeOf(asked)
    if (place) {
      const known = this.#clients.get(place.connection) ?? new Map<string, Answered>()
      this.#clients.set(place.connection, known.set(place.operation, { ...how, value }))
      return
    }
    const { name, resource } = listed(this.#app, asked as AnyResource)
    if (!isOfApi(resource) && !this.#app.elsewhere?.has(resource))
      throw new TypeError(`${name} is no resource of an API: stub() replaces it`)
    const isWhole = isSuccess(how) && !isStreamSchema(resource.response)
    if (typeof given !== 'function' && isWhole) this.#fitting(name, resource, given)
    this.#own.set(resource, { ...how, value })
  }

  reset(): void {
    this.#own.clear()
    this.#clients.clear()
    this.sent.length = 0
  }

  #reply(raw: RawRequest) {
    const asking = this.#asking.get(raw.headers)
    if (!asking) throw new Error(`Nothing is known of who asks ${raw.origin}${raw.path}`)
    const { api, operation, resource, performer } = asking
    const { method, origin, path, headers } = raw
    const asked = { api, resource: operation, method, origin: String(origin), path, headers }
    const sent: SentRequest = { ...asked, body: read(raw.body) }
    this.sent.push(sent)
    const said = this.#own.get(resource) ?? this.#clients.get(performer.connection)?.get(operation)
    const { status = 200, headers: own } = said ?? {}
    const type = { 'content-type': isEventSchema(resource.response) ? EVENTS : JSON_TYPE }
    return {
      statusCode: status,
      data: this.#body(asking, said, sent),
      responseOptions: { headers: { ...type, ...own } },
    }
  }

  #body(asking: Asking, said: Answered | undefined, sent: SentRequest): string | Buffer {
    const { api, resource, operation } = asking
    const value = () => said?.value(sent)
    if (said && !isSuccess(said)) return JSON.stringify(value() ?? null)
    if (isEventSchema(resource.response)) return this.#events(asking, value())
    if (isStreamSchema(resource.response)) return Buffer.from((value() ?? '') as string)
    if (!said && isContract(resource))
      throw errors.REMOTE_INVALID(
        api,
        'its contract is not known: give it to createClient, or say app.upstreams.answer(client, contract)',
      )
    const random = () => new Random(seedOf(operation)).value(this.#schemaOf(resource))
    const ended = { is_completed: true, state: 'succeeded', message: null }
    if (resource === TASK_ID) return this.#enclosed(asking, random())
    if (resource === TASK)
      return this.#enclosed(asking, { ...Object(random()), ...ended, data: value() ?? null })
    return this.#enclosed(asking, said ? value() : random())
  }

  #events({ operation, resource }: Asking, value: unknown): string {
    const frames = Array.from((value ?? []) as Iterable<unknown>, (event) => {
      const { data, ...fields } = this.#fitting(operation, resource, event) as ServerEvent
      return frame(fields, JSON.stringify(data))
    })
    return `${frames.join('')}${END_OF_EVENTS}\n\n`
  }

  #schemaOf(resource: AnyDefined) {
    return this.#app.compiled.of(resource).response
  }

  /** `value` as JSON has it. @throws {PlinthError} INVALID_RESPONSE */
  #fitting(name: string, resource: AnyDefined, value: unknown): unknown {
    const data = toJson(value, true)
    const { validate } = this.#app.compiled.of(resource).foreignReader
    if (validate(data)) return data
    const details: ErrorDetail[] = toDetails(validate.errors)
    throw errors.INVALID_RESPONSE.with({ errors: details }, `the answer to ${name}`)
  }

  /** In the form that is read where it is asked for. @throws {PlinthError} INVALID_RESPONSE */
  #enclosed({ operation, resource, performer }: Asking, value: unknown): string {
    const data = this.#fitting(operation, resource, value)
    const asked = { id: 'test', url: '', headers: {} }
    const forms = [standardEnvelope.success(data, asked), data]
    const form = forms.find((form) => {
      const parsed = performer.envelope.parse(form, 200)
      return parsed?.ok && isDeepStrictEqual(parsed.data, data)
    })
    return JSON.stringify(form ?? null)
  }
}

const JSON_TYPE = 'application/json'
const EVENTS = 'text/event-stream'

const isSuccess = ({ status = 200 }: Answering): boolean => status < 300

/** The same for the same resource. */
function seedOf(name: string): number {
  return [...name].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7)
}

/** What tests do with other systems. */
export type Upstreams = Pick<TestUpstreams, 'answer' | 'sent'>

interface RawRequest {
  readonly method: string
  readonly origin: string | URL
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: unknown
}

function read(body: unknown): unknown {
  if (typeof body !== 'string') return body ?? null
  try {
    return fromJson(body)
  } catch {
    return body
  }
}
