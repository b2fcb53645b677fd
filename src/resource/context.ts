import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Kysely } from 'kysely'
import type { DatabaseTables } from '../database/types.ts'
import { errors } from '../errors.ts'
import type { Deadline } from './deadline.ts'

/** Who makes the call; a service adds its own fields with `declare module 'plinth'`. */
export interface User {
  /** The name that logs and records carry. */
  name: string
}

/**
 * What a resource may use beside its input: the attached resources, the request it serves and who asks.
 * Every call that a resource makes in process gets the same context, through `AsyncLocalStorage`.
 */
export class Context {
  readonly app: FastifyInstance
  /** Only where the call came by HTTP. */
  readonly request: FastifyRequest | undefined
  /** Only where the call came by HTTP: to set headers or cookies, or to answer with a stream. */
  readonly reply: FastifyReply | undefined
  user: User | undefined
  #requestId: string | undefined
  #signal: AbortSignal | undefined
  readonly #deadline: Deadline | undefined

  constructor(
    app: FastifyInstance,
    request?: FastifyRequest,
    reply?: FastifyReply,
    deadline?: Deadline,
  ) {
    this.app = app
    this.request = request
    this.reply = reply
    this.#deadline = deadline
  }

  /** The id of the request that started the work; outside of requests a new UUID. */
  get requestId(): string {
    this.#requestId ??= this.request?.id ?? randomUUID()
    return this.#requestId
  }

  get log(): FastifyBaseLogger {
    return this.request?.log ?? this.app.log
  }

  /** @throws {PlinthError} DATABASE_MISSING where the app has none */
  get db(): Kysely<DatabaseTables> {
    return this.app.db ?? raise()
  }

  /** Aborted when the client has gone, the deadline has passed or the caller gave up: hand it to what waits. */
  get signal(): AbortSignal {
    this.#signal ??= this.#deadline?.signal ?? new AbortController().signal
    return this.#signal
  }

  /** Does what `signal.throwIfAborted()` would, without making a signal that nobody has asked for. */
  throwIfAborted(): void {
    const source = this.#signal ?? this.#deadline
    source?.throwIfAborted()
  }

  /** This context with a signal that aborts with this one's or with `signal`, whichever is first. */
  withSignal(signal: AbortSignal): Context {
    const child = new Context(this.app, this.request, this.reply)
    child.#signal = AbortSignal.any([this.signal, signal])
    child.user = this.user
    child.#requestId = this.requestId
    return child
  }
}

function raise(): never {
  throw errors.DATABASE_MISSING()
}

const storage = new AsyncLocalStorage<Context>()

/** The context of the call under way, `undefined` outside of any. */
export function currentContext(): Context | undefined {
  return storage.getStore()
}

/** Calls `fn(a, b)` so that it and all it awaits see `context`. */
export function runInContext<A, B, R>(context: Context, fn: (a: A, b: B) => R, a: A, b: B): R {
  return storage.run(context, fn, a, b)
}
