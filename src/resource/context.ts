import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Kysely } from 'kysely'
import type { Cache } from '../cache/types.ts'
import { currentTransaction } from '../database/current-transaction.ts'
import type { DatabaseTables } from '../database/types.ts'
import { errors } from '../errors.ts'
import type { Progress } from '../task/types.ts'
import { activeTrace } from '../trace.ts'

/** Who makes the call; a service adds its own fields with `declare module 'plinth'`. */
export interface User {
  /** Who it is: what is cached, enqueued or written down for one id is another's for no other. Never empty. */
  id: string
  /** For people to read; nothing depends on it. */
  name?: string
  /**
   * Who looks after the service, and may do all that `isSuperuser` asks for. Where nothing is said here, SUPERUSERS says it; false: not by
   * these credentials.
   */
  superuser?: boolean
}

/** Finds out who makes a request, `undefined` or null where nobody has authenticated. */
export type Identify = (request: FastifyRequest) => User | null | undefined

/**
 * Makes the user of a task in the worker that runs it; `undefined` or null where there is none any more. It is called in the
 * context of the task, which has no user yet.
 */
export type LoadUser = (
  id: string,
  context: Context,
) => Promise<User | null | undefined> | User | null | undefined

declare module 'fastify' {
  interface FastifyInstance {
    /** Who makes a request of this app; where there is none, {@link defaultIdentify} tells. */
    identify: Identify
    /** The ids of those who are superusers by the configuration. */
    superusers?: ReadonlySet<string>
  }
}

/** What a resource that runs as a task may know of that. */
export interface TaskContext {
  readonly id: string
  /** Which try this is, from 1. */
  readonly attempt: number
  progress(progress: Progress): Promise<void>
  /** The results of the tasks that this one has waited for, in order. */
  childResults(): Promise<unknown[]>
  /** Why tasks that it waited for have come to nothing (`ifFails`), in their order; null of the others. */
  childFailures(): Promise<({ code: string; message: string } | null)[]>
}

/** When the work has to end. */
interface End {
  readonly signal: AbortSignal
  /** @throws the reason, where the signal is or would be aborted */
  throwIfAborted(): void
  /** As `performance.now()` counts; default: never. */
  readonly expires?: number
}

/** For which call something is done, and where that is told. */
type Caller = Pick<Context, 'requestId' | 'traceparent' | 'log'> & Partial<Pick<Context, 'headers'>>

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
  // Null: it is set that there is none.
  #user: User | null | undefined
  #log: FastifyBaseLogger | undefined
  #caller: Caller | undefined
  #requestId: string | undefined
  #signal: AbortSignal | undefined
  #expires: number | undefined
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

  /**
   * Who asks: as set here, else as `identify` finds it, which until a resource is called may still change.
   *
   * @throws {PlinthError} USER_INVALID where it is a user without an id
   */
  get user(): User | undefined {
    if (this.#user !== undefined) return this.#user ?? undefined
    return this.request ? userOf(this.app, this.request) : undefined
  }

  set user(user: User | undefined) {
    this.#user = user === undefined ? null : ranked(this.app, assertUser(user))
  }

  /**
   * Whether the service itself does it, for no user and no request: a schedule, a command, what is called in `app.run`. Work that
   * several wait for (a cached result that is not `perUser`) and tasks that a client has enqueued without a user are nobody's.
   */
  get isSystem(): boolean {
    return this.request === undefined && this.#user === undefined
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

  /** The header of W3C Trace Context for what is asked of others: of the span under way, else as it came with the request. */
  get traceparent(): string | undefined {
    const trace = activeTrace.getStore() ?? this.request?.trace
    const header = this.request?.headers.traceparent
    const came = typeof header === 'string' ? header : undefined
    return trace?.traceparent ?? this.#caller?.traceparent ?? came
  }

  /**
   * What the client has sent with the request, for those who hand on something of it: credentials, a language. Also where its result is
   * cached for its user alone; of tasks, of shared results and of nobody's there is none.
   */
  get headers(): FastifyRequest['headers'] | undefined {
    if (this.request) return this.request.headers
    return this.#user ? this.#caller?.headers : undefined
  }

  /** The `id` of the last event that the client has got before it lost its connection: header `Last-Event-ID`. */
  get lastEventId(): string | undefined {
    const header = this.request?.headers['last-event-id']
    // It is UTF-8, which Node.js reads byte by byte.
    return typeof header === 'string' ? Buffer.from(header, 'latin1').toString() : undefined
  }

  /** Aborted when the client has gone, the deadline has passed or the caller gave up: hand it to what waits. */
  get signal(): AbortSignal {
    this.#signal ??= this.#end?.signal ?? new AbortController().signal
    return this.#signal
  }

  /** The signal; `undefined` where nothing can abort it, and none has to be made: what is called in `app.run`. */
  get signalIfAny(): AbortSignal | undefined {
    return this.#signal ?? this.#end?.signal
  }

  /** Does what `signal.throwIfAborted()` would, without making a signal that nobody has asked for. */
  throwIfAborted(): void {
    const source = this.#signal ?? this.#end
    source?.throwIfAborted()
  }

  /** When the time of the work is over, as `performance.now()` counts: nothing waits longer for a database. */
  get expires(): number {
    return this.#expires ?? this.#end?.expires ?? Number.POSITIVE_INFINITY
  }

  /** This context with another signal, and `timeout` ms at most. */
  withSignal(signal: AbortSignal, timeout = Number.POSITIVE_INFINITY): Context {
    const child = new Context(this.app, this.request, this.reply, undefined, this.task)
    child.#signal = signal
    child.#expires = Math.min(this.expires, performance.now() + timeout)
    return child.#for(this)
  }

  /**
   * The same caller without the request: for work that others wait for, too, and that must not end with this one.
   *
   * @param shared whether those others are other users: then it is done for none of them
   */
  detach(signal: AbortSignal, shared: boolean): Context {
    const child = new Context(this.app)
    child.#signal = signal
    child.#for(this)
    if (shared) child.#user = null
    return child
  }

  /** From now on its user stays the one that is known now. @throws {PlinthError} USER_INVALID */
  settleUser(): void {
    this.#user = this.user ?? null
  }

  // Its user as of now, the rest when it is asked for.
  #for(caller: Context): this {
    this.#caller = caller
    this.#user = caller.isSystem ? undefined : (caller.user ?? null)
    return this
  }

  /** The context of a task: its request id is that of the call that enqueued it; its user has to be set. */
  static ofTask(app: FastifyInstance, task: TaskContext, caller: Caller, end: End): Context {
    const context = new Context(app, undefined, undefined, end, task)
    context.#caller = caller
    return context
  }
}

function raise(error: () => Error): never {
  throw error()
}

/**
 * Who makes `request`: the one place that asks.
 *
 * @throws {PlinthError} USER_INVALID
 */
export function userOf(app: FastifyInstance, request: FastifyRequest): User | undefined {
  const user = (app.identify ?? defaultIdentify)(request)
  return user === undefined || user === null ? undefined : ranked(app, assertUser(user))
}

/** `user`, who is a superuser where the configuration says so and nothing else has said it. */
export function ranked({ superusers }: FastifyInstance, user: User): User {
  const isNamed = superusers?.has(user.id) && user.superuser === undefined
  return isNamed ? { ...user, superuser: true } : user
}

/** The id that log lines have of who makes `request`; `undefined` also where that cannot be told. */
export function userIdOf(request: FastifyRequest): string | undefined {
  try {
    return userOf(request.server, request)?.id
  } catch {
    return undefined
  }
}

/** What a hook of the service has put into `request.user`; the claims of a token have their `sub` as id (RFC 7519, 4.1.2). */
export const defaultIdentify: Identify = (request) => {
  const { user } = request as { user?: (User & { sub?: unknown }) | null }
  if (user === undefined || user === null || isId(user.id) || !isId(user.sub)) return user
  return { ...user, id: user.sub }
}

function isId(id: unknown): id is string {
  return typeof id === 'string' && id !== ''
}

/** @throws {PlinthError} USER_INVALID, whose cause names what there is: never its values, which may be secrets */
export function assertUser(user: User): User {
  if (isId(user.id)) return user
  const what =
    typeof user === 'object'
      ? `has ${Object.keys(user).join(', ') || 'nothing'}`
      : `is a ${typeof user}`
  throw errors.USER_INVALID.with({
    cause: new TypeError(`what was found out about the user ${what}`),
  })
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
