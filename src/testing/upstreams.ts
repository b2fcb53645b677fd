import { tracingChannel } from 'node:diagnostics_channel'
import { isDeepStrictEqual } from 'node:util'
import type { FastifyInstance } from 'fastify'
import type { Static, TSchema } from 'typebox'
import { type ErrorDetail, errors } from '../errors.ts'
import { standardEnvelope } from '../http/envelope.ts'
import { requirePackages } from '../packages.ts'
import { parserOf } from '../remote/api.ts'
import { fromJson, toJson } from '../resource/json.ts'
import type { Registered } from '../resource/registry.ts'
import type { AnyResource, Resource } from '../resource/resource.ts'
import { toDetails } from '../resource/validate.ts'
import type { UpstreamMessage } from '../upstream/client.ts'
import { Random } from './random.ts'
import { listed } from './send.ts'

/** What another system was asked. */
export interface SentRequest {
  /** The resource that has asked, `invoices.getInvoice`. */
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

interface Answered extends Answering {
  body(sent: SentRequest): unknown
}

/** Tells which resource sends a request; it is gone before anybody sees it. */
const HEADER = 'x-plinth-test-operation'

const channel = tracingChannel<unknown, UpstreamMessage>('plinth:upstream')

/**
 * Answers in place of the systems that resources of `defineApi` ask: what a test says, else something random that fits the response schema, the same for the same
 * resource. Everything on the way is as in the service: what is sent, how it is read, retries, breakers, tables of errors.
 */
export class TestUpstreams {
  /** What was asked since the app was made or reset, in order. */
  readonly sent: SentRequest[] = []
  readonly #app: FastifyInstance
  readonly #answers = new Map<string, Answered>()

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
    const name = (message: unknown) => {
      const told = message as UpstreamMessage
      const { request, operation } = told
      told.request = { ...request, headers: { ...request.headers, [HEADER]: operation } }
    }
    channel.start.subscribe(name)
    app.addHook('onClose', async () => {
      channel.start.unsubscribe(name)
      await agent.close()
    })
    return made
  }

  /**
   * Says what a system answers to a resource from now on. A value is held to the response schema of the resource, and comes in the envelope of its API; with a
   * `status` of a failure it is the body as it is.
   *
   * @throws {PlinthError} INVALID_RESPONSE where it does not fit, RESOURCE_UNLISTED
   */
  answer<Req extends TSchema, Res extends TSchema>(
    resource: Resource<Req, Res>,
    answer: Static<Res> | ((sent: SentRequest) => Static<Res>),
    how?: Answering & { status?: 200 | 201 | 202 },
  ): void
  answer(resource: AnyResource, answer: unknown, how: Answering & { status: number }): void
  answer(resource: AnyResource, given: unknown, how: Answering = {}): void {
    const entry = listed(this.#app, resource)
    if (!parserOf(entry.resource))
      throw new TypeError(`${entry.name} is no resource of an API: stub() replaces it`)
    const isSuccess = (how.status ?? 200) < 300
    const whole = (value: unknown) => (isSuccess ? this.#enclosed(entry, value) : value)
    if (typeof given !== 'function') {
      const body = whole(given)
      this.#answers.set(entry.name, { ...how, body: () => body })
    } else this.#answers.set(entry.name, { ...how, body: (sent) => whole(given(sent)) })
  }

  reset(): void {
    this.#answers.clear()
    this.sent.length = 0
  }

  #reply(raw: RawRequest) {
    const { [HEADER]: resource = '', ...headers } = raw.headers
    const { method, origin, path } = raw
    const sent = { resource, method, origin: String(origin), path, headers, body: read(raw.body) }
    this.sent.push(sent)
    const { registry } = this.#app
    const said = this.#answers.get(resource)
    if (!said && !registry.has(resource))
      throw new Error(`Nothing is known of what ${resource} is answered`)
    const answered = said ?? { body: () => this.#random(registry.find(resource)) }
    const { status = 200, headers: own } = answered
    return {
      statusCode: status,
      data: JSON.stringify(answered.body(sent) ?? null),
      responseOptions: { headers: { 'content-type': 'application/json', ...own } },
    }
  }

  #random(entry: Registered): unknown {
    const schema = this.#app.compiled.of(entry.resource).response
    const seed = [...entry.name].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7)
    return this.#enclosed(entry, new Random(seed).value(schema))
  }

  /** @throws {PlinthError} INVALID_RESPONSE */
  #enclosed({ name, resource }: Registered, value: unknown): unknown {
    const data = toJson(value, true)
    const { validate } = this.#app.compiled.of(resource).foreignReader
    if (!validate(data)) {
      const details: ErrorDetail[] = toDetails(validate.errors)
      throw errors.INVALID_RESPONSE.with({ errors: details }, `the answer to ${name}`)
    }
    const asked = { id: 'test', url: '', headers: {} }
    const forms = [standardEnvelope.success(data, asked), data]
    const read = (form: unknown) => parserOf(resource)?.parse(form, 200)
    return forms.find((form) => {
      const parsed = read(form)
      return parsed?.ok && isDeepStrictEqual(parsed.data, data)
    })
  }
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
