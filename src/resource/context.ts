import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Kysely } from 'kysely'
import type { Cache } from '../cache/types.ts'
import { currentTransaction } from '../database/current-transaction.ts'
import type { DatabaseTables } from '../database/types.ts'
import { errors } from '../errors.ts'
import type { Progress } from '../task/types.ts'
import type { Deadline } from './deadline.ts'

/** Who makes the call; a service adds its own fields with `declare module 'plinth'`. */
export interface User {
  /** The name that logs and records carry. */
  name: string
}

/** What a resource that runs as a task may know of that. */
export interface TaskContext {
  readonly id: string
  /** Which try this is, from 1. */
  readonly attempt: number
  progress(progress: Progress): Promise<void>
  /** The results of the tasks that this one has waited for, in order. */
  childResults(): Promise<unknown[]>
}

/** When the work has to end. */
type End = Pick<Deadline, 'signal' | 'throwIfAborted'>

/** On whose behalf something is done, and where that is told. */
type Caller = Pick<Context, 'user' | 'requestId' | 'traceparent' | 'log'>

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
  /** Only where it runs as a task. */
  readonly task: TaskContext | undefined
  #user: User | undefined
  #log: FastifyBaseLogger | undefined
  #caller: Caller | undefined
  #requestId: string | undefined
  #signal: AbortSignal | undefined
  readonly #end: End | undefined

  constructor(
    app: FastifyInstance,
    request?: FastifyRequest,
    reply?: FastifyReply,
    end?: End,
    task?: TaskContext,
  ) {
    this.app = app
    this.request = request
    this.reply = reply
    this.task = task
    this.#end = end
  }

  /** Who asks: as set here, else what a hook has put into `request.user`. */
  get user(): User | undefined {
    return this.#user ?? userOf(this.request)
  }

  set user(user: User | undefined) {
    this.#user = user
  }

  /** The id of the request that started the work; outside of requests a new UUID. */
  get requestId(): string {
    this.#requestId ??= this.#caller?.requestId ?? this.request?.id ?? randomUUID()
    return this.#requestId
  }

  get log(): FastifyBaseLogger {
    this.#log ??= this.#caller?.log ?? this.request?.log ?? this.app.log
    return this.#log
  }

  /** @throws {PlinthError} CACHE_MISSING where the app has none */
  get cache(): Cache {
    return this.app.cache ?? raise(errors.CACHE_MISSING)
  }

  /** Tells how far a task is; outside of one it does nothing. */
  get progress(): (progress: Progress) => Promise<void> {
    return async (progress) => await this.task?.progress(progress)
  }

  /**
   * The transaction of `app.db` that the code under way is in, else `app.db`.
   *
   * @throws {PlinthError} DATABASE_MISSING where the app has none
   */
  get db(): Kysely<DatabaseTables> {
    const db = this.app.db ?? raise(errors.DATABASE_MISSING)
    return currentTransaction(db) ?? db
  }

  /** The header of W3C Trace Context that came with the request. */
  get traceparent(): string | undefined {
    const header = this.request?.headers.traceparent
    return this.#caller?.traceparent ?? (typeof header === 'string' ? header : undefined)
  }

  /** Aborted when the client has gone, the deadline has passed or the caller gave up: hand it to what waits. */
  get signal(): AbortSignal {
    this.#signal ??= this.#end?.signal ?? new AbortController().signal
    return this.#signal
  }

  /** Does what `signal.throwIfAborted()` would, without making a signal that nobody has asked for. */
  throwIfAborted(): void {
    const source = this.#signal ?? this.#end
    source?.throwIfAborted()
  }

  /** This context with another signal. */
  withSignal(signal: AbortSignal): Context {
    const child = new Context(this.app, this.request, this.reply, undefined, this.task)
    child.#signal = signal
    return child.#for(this)
  }

  /** The same caller without the request: for work that others wait for, too, and that must not end with this one. */
  detach(signal: AbortSignal): Context {
    const child = new Context(this.app)
    child.#signal = signal
    return child.#for(this)
  }

  // Its user as of now, the rest when it is asked for.
  #for(caller: Caller): this {
    this.#caller = caller
    this.#user = caller.user
    return this
  }

  /** The context of a task: its request id is that of the call that enqueued it. */
  static ofTask(app: FastifyInstance, task: TaskContext, caller: Caller, end: End): Context {
    return new Context(app, undefined, undefined, end, task).#for(caller)
  }
}

function raise(error: () => Error): never {
  throw error()
}

/** The user that a hook of the service has found out, `@fastify/jwt`'s for one. */
export function userOf(request: FastifyRequest | undefined): User | undefined {
  return (request as { user?: User } | undefined)?.user
}

const storage = new AsyncLocalStorage<Context>()

/** The context of the call under way, `undefined` outside of any. */
export function currentContext(): Context | undefined {
  return storage.getStore()
}

/** Calls `fn(a, b)` so that it and all it awaits see `context`. */
export function runInContext<A, B, R>(context: Context, fn: (a: A, b: B) => R, a: A, b: B): R {
  // A resource that calls another mostly hands on what it has: there is nothing to be set then.
  return storage.getStore() === context ? fn(a, b) : storage.run(context, fn, a, b)
}
