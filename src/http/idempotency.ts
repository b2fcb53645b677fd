import { randomUUID } from 'node:crypto'
import type {
  FastifyBaseLogger,
  FastifyReply,
  FastifyRequest,
  onSendAsyncHookHandler,
} from 'fastify'
import { canonicalKey } from '../cache/key.ts'
import { errors, PlinthError } from '../errors.ts'
import type { AnyDefined, Idempotency } from '../resource/contract.ts'
import { hasFiles, isEventSchema, isStreamSchema } from '../resource/stream.ts'
import { digest } from '../task/id.ts'
import type { IdempotencyStore, KeptAnswer, KeptRequest } from './idempotency-store.ts'
import { contextOf } from './request-context.ts'
import { isSent } from './request-line.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** How a route takes the header `Idempotency-Key`, where it does. */
    idempotency?: true | 'required'
  }
}

export interface IdempotencySettings {
  store: IdempotencyStore
  /** Of whom the requests are. */
  prefix: string
  log: FastifyBaseLogger
  /** Milliseconds that an answer is kept. */
  keepFor: number
}

/** Of a request whose answer is to be kept. */
const KEPT = Symbol('plinth.idempotency')

interface Begun {
  /** Of the store. */
  id: string
  print: string
  token: string
}

type Marked = FastifyRequest & { [KEPT]?: Begun | undefined }

/** By which a request is known that comes again. */
export const IDEMPOTENCY_KEY = 'idempotency-key'
const SAFE: readonly unknown[] = ['GET', 'HEAD', 'OPTIONS', 'TRACE']
/** What of an answer is given again: not what is of one connection, or of one client's session. */
const HEADERS = [
  ...['content-type', 'content-language', 'location', 'etag', 'last-modified', 'cache-control'],
  ...['link', 'retry-after'],
]
/** Statuses below 500 that another try may not meet: they are not kept. */
const PASSING: ReadonlySet<number> = new Set([401, 403, 408, 412, 425, 428, 429])
/** How long a request without a deadline keeps others with its key away, should its process die, in ms. */
const LEASE = 15 * 60_000
/** How much longer than until its deadline a request may take to be answered, in ms. */
const MARGIN = 5000

/**
 * How a resource takes the header.
 *
 * @param inherited what its module or service says
 * @throws {PlinthError} RESOURCE_INVALID where it says so itself, and its request or answer cannot be compared or kept
 */
export function idempotencyOf(
  name: string,
  { definition, request, response }: AnyDefined,
  inherited: Idempotency,
): true | 'required' | undefined {
  const { idempotency = inherited, method = 'GET' } = definition
  if (idempotency === false || SAFE.includes(method)) return undefined
  const unkept = hasFiles(request) || definition.consumes ? 'its request has a file' : undefined
  const isStream = isStreamSchema(response) || isEventSchema(response)
  const problem = unkept ?? (isStream ? 'its answer is a stream' : undefined)
  if (problem === undefined) return idempotency
  if (definition.idempotency === undefined) return undefined
  throw errors.RESOURCE_INVALID(name, `it has idempotency, and ${problem}, which is not kept`)
}

/** Answers requests that come again under the same `Idempotency-Key`, of one user and for one route, as it answered the first. */
export class IdempotentAnswers {
  readonly #settings: IdempotencySettings

  constructor(settings: IdempotencySettings) {
    this.#settings = settings
  }

  /**
   * Calls `answer`, unless the request came before.
   *
   * @param input what it asks for
   * @throws {PlinthError} IDEMPOTENCY_KEY_INVALID, _MISSING, _REUSED, _RUNNING, IDEMPOTENCY_UNAVAILABLE
   */
  async serve(
    request: FastifyRequest,
    reply: FastifyReply,
    { input, timeout }: { input: unknown; timeout: number },
    answer: () => unknown,
  ): Promise<unknown> {
    const key = keyOf(request)
    if (key === undefined) {
      if (request.routeOptions.config.idempotency !== 'required') return await answer()
      throw errors.IDEMPOTENCY_KEY_MISSING()
    }
    const { method, routeOptions } = request
    const user = contextOf(request).user?.id ?? ''
    const { prefix } = this.#settings
    const id = digest(prefix, user, method, routeOptions.url ?? '', key)
    const print = digest(request.url, canonicalKey(input))
    const token = randomUUID()
    const lease = timeout === 0 ? LEASE : timeout + MARGIN
    const there = await this.#begin(id, { print, token }, lease)
    if (isSent(reply)) {
      // Its time was over meanwhile: its client may come again at once.
      if (!there) void this.#settings.store.release(id, token).catch(() => {})
      return reply
    }
    if (!there) {
      ;(request as Marked)[KEPT] = { id, print, token }
      return await answer()
    }
    if (there.print !== print) throw errors.IDEMPOTENCY_KEY_REUSED()
    if (!there.answer) {
      reply.header('retry-after', '1')
      throw errors.IDEMPOTENCY_KEY_RUNNING()
    }
    return giveAgain(reply, there.answer)
  }

  /** The hook of routes that take it: the last that sees an answer sees it as it is sent. */
  readonly keep: onSendAsyncHookHandler = async (request, reply, payload) => {
    const { [KEPT]: begun } = request as Marked
    if (!begun) return
    ;(request as Marked)[KEPT] = undefined
    const { store, keepFor } = this.#settings
    const { statusCode: status } = reply
    const isKept = status < 500 && !PASSING.has(status) && isText(payload)
    try {
      if (!isKept) return void (await store.release(begun.id, begun.token))
      const headers = HEADERS.flatMap((name) => {
        const value = reply.getHeader(name)
        return value === undefined ? [] : [[name, String(value)]]
      })
      const body = payload === undefined || payload === null ? null : String(payload)
      const answer = { status, headers: Object.fromEntries(headers), body }
      await store.finish(begun.id, { ...begun, answer }, keepFor)
    } catch (err) {
      // It is done, and told: only to tell it again will not be possible.
      this.#settings.log.error(
        { err },
        'the answer to a request with an Idempotency-Key is not kept',
      )
    }
  }

  async #begin(id: string, request: KeptRequest, lease: number): Promise<KeptRequest | undefined> {
    const { store } = this.#settings
    try {
      return await store.begin(id, request, lease)
    } catch (cause) {
      if (PlinthError.is(cause)) throw cause
      // It may have been begun all the same: nobody would be let in before the lease is over.
      void store.release(id, request.token).catch(() => {})
      throw errors.IDEMPOTENCY_UNAVAILABLE.with({ cause })
    }
  }
}

const isText = (payload: unknown): boolean =>
  payload === undefined ||
  payload === null ||
  typeof payload === 'string' ||
  Buffer.isBuffer(payload)

function giveAgain(reply: FastifyReply, { status, headers, body }: KeptAnswer): FastifyReply {
  reply.code(status).headers(headers).header('idempotent-replayed', 'true')
  return reply.send(body ?? undefined)
}

// A text in quotes, as structured fields have it (RFC 9651, 3.3.3), or, as many clients send it, without.
const QUOTED = /^"([\x20-\x21\x23-\x5b\x5d-\x7e]{1,255})"$/
const BARE = /^[\x21\x23-\x7e]{1,255}$/

/** @throws {PlinthError} IDEMPOTENCY_KEY_INVALID */
function keyOf({ headers }: FastifyRequest): string | undefined {
  const text = headers[IDEMPOTENCY_KEY]
  if (text === undefined) return undefined
  const key = QUOTED.exec(String(text))?.[1] ?? BARE.exec(String(text))?.[0]
  if (key === undefined) throw errors.IDEMPOTENCY_KEY_INVALID()
  return key
}
