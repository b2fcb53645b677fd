import { type Static, type TNull, type TObject, type TSchema, Type } from 'typebox'
import { isInTransaction } from '../database/current-transaction.ts'
import type { EnqueueOptions, Schedule } from '../task/types.ts'
import { type BulkOptions, type BulkSettled, bulk } from './bulk.ts'
import type { CacheMode, ResourceCache } from './cache-policy.ts'
import { callResource, invalidate } from './call.ts'
import type { Context } from './context.ts'
import { enqueue, type Task } from './enqueue.ts'
import type { TaskPlan } from './flow.ts'
import type { Security } from './security.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** How a resource runs as a task. */
export interface TaskOptions
  extends Pick<EnqueueOptions, 'attempts' | 'backoff' | 'priority' | 'queue'> {
  /**
   * Milliseconds that one try may take: then its signal aborts, and ten seconds later the try has failed, whatever it
   * still does. 0: as long as it takes. Default: the resource's `timeout`, else 15 minutes.
   */
  timeout?: number
}

/** What a resource is: `request` goes in, `response` comes out, `perform` is the business logic between. */
export interface ResourceDefinition<Req extends TSchema, Res extends TSchema> {
  /** A few words for lists and the API document. */
  summary: string
  /** Markdown for the API document. */
  description?: string
  /** Default `GET`. */
  method?: Method
  /** Below the module's prefix, with `:name` for path parameters; default `/`. */
  path?: string
  /** An object, or for a body an array; default: nothing is taken. */
  request?: Req
  /** Properties of the request that come from the query although the method has a body. */
  query?: readonly (keyof Static<Req> & string)[]
  /** Default `null`: nothing to tell but success. */
  response?: Res
  /** The HTTP status of success; default 200. */
  status?: 200 | 201 | 202
  /** Milliseconds until the call is given up and its signal aborted; default: the app's deadline. */
  timeout?: number
  /** The entity tag of what the request would find, without quotes; `undefined`: it has none (RFC 9110, 8.8.3). */
  etag?(request: Static<Req>, context: Context): Promise<string | undefined> | string | undefined
  /** When what the request would find was last changed (RFC 9110, 8.8.2). */
  lastModified?(
    request: Static<Req>,
    context: Context,
  ): Promise<Date | undefined> | Date | undefined
  /** How its results are cached; default: not at all. Calls that change something are `invalidate`d by tags. */
  cache?: ResourceCache<Static<Req>, Static<Res>>
  /** Whether it has a route, and is in the API document; default: as its module says, else true. It can be called in process anyway. */
  expose?: boolean
  /**
   * Whether clients may have it run as a task (header `X-Async-Task`); default: as its module says, else the service, else
   * not. Request and result are kept in Redis then: where one of them has a secret, only `true` here would do, and that
   * is refused.
   */
  async?: boolean
  /** How it runs as a task, where the caller says nothing else. */
  task?: TaskOptions
  /** When it runs by itself, as a task: cron, in five fields or six with seconds first. */
  schedule?: string | Schedule
  /**
   * The bodies that `perform` reads itself, from `context.request`, by their media types: an upload of
   * `multipart/form-data` or `application/octet-stream`. Described by these schemas, and not checked.
   */
  consumes?: Readonly<Record<string, TSchema>>
  /** How its clients authenticate, for the API document; default: as its module says. It enforces nothing. */
  security?: Security
  /** Shown in the API document. */
  examples?: { request?: Static<Req>; response?: Static<Res> }
  perform(request: Static<Req>, context: Context): Promise<Static<Res>> | Static<Res>
}

/** The argument list of a call: the request may be left out where it has no required property. */
export type CallArguments<Req extends TSchema, Last extends unknown[]> =
  Record<never, never> extends Static<Req>
    ? [request?: Given<Static<Req>>, ...Last]
    : [request: Static<Req>, ...Last]

// To TypeScript every object is also one without properties: it has to be told that there are none.
type Given<Request> = unknown extends Request
  ? Request
  : Request extends unknown
    ? [keyof Request] extends [never]
      ? Record<string, never>
      : Request
    : never

/** Of one call in process. */
export interface CallOptions {
  /** Gives the call up when it aborts. */
  signal?: AbortSignal
  /** Milliseconds until the call is given up; default: the definition's, else what is left of the request. */
  timeout?: number
}

/** A resource: called like a function it runs in process; a module serves it over HTTP. */
export interface Resource<Req extends TSchema = TSchema, Res extends TSchema = TSchema> {
  /**
   * @throws {PlinthError} INVALID_REQUEST, INVALID_RESPONSE, DEADLINE_EXCEEDED, CONTEXT_MISSING
   *   (outside of a request and of `app.run`), and whatever `perform` throws
   */
  (...args: CallArguments<Req, [options?: CallOptions]>): Promise<Static<Res>>
  /** As a call, past the cache: runs, and stores the result. */
  refresh(...args: CallArguments<Req, [options?: CallOptions]>): Promise<Static<Res>>
  /** As a call, without the cache: runs, and stores nothing. */
  cacheless(...args: CallArguments<Req, [options?: CallOptions]>): Promise<Static<Res>>
  /** Takes away what is cached for this request (of the caller, where each user has results of its own). */
  invalidate(...args: CallArguments<Req, []>): Promise<void>
  /**
   * Adds a task that runs it later, elsewhere. Within a transaction of `app.db` it is added when, and only if, that
   * commits.
   *
   * @throws {PlinthError} INVALID_REQUEST, TASK_INVALID, PAYLOAD_TOO_LARGE, TASKS_UNAVAILABLE, TASKS_MISSING
   */
  enqueue(...args: CallArguments<Req, [options?: EnqueueOptions]>): Promise<Task<Static<Res>>>
  /** A task for `chain` and `group`. */
  task(...args: CallArguments<Req, [options?: EnqueueOptions]>): TaskPlan
  readonly definition: ResourceDefinition<Req, Res>
  readonly request: Req
  readonly response: Res
  /**
   * Runs many calls, a bounded number at once; results keep the order of `requests`.
   * All finish before the first failure by position is thrown. Within a transaction they run one after the other.
   */
  bulk(
    requests: readonly Static<Req>[],
    options: BulkOptions & { settled: true },
  ): Promise<BulkSettled<Static<Res>>[]>
  bulk(
    requests: readonly Static<Req>[],
    options: BulkOptions & { ignoreErrors: true },
  ): Promise<(Static<Res> | null)[]>
  bulk(requests: readonly Static<Req>[], options?: BulkOptions): Promise<Static<Res>[]>
}

// biome-ignore lint/suspicious/noExplicitAny: a table of resources has to take every kind, and only `any` is both in- and output
export type AnyResource = Resource<any, any>

/** Defines a resource. Its schemas are TypeBox schemas; the types of `perform` and of calls follow from them. */
export function defineResource<
  Req extends TSchema = TObject<Record<never, never>>,
  Res extends TSchema = TNull,
>(definition: ResourceDefinition<Req, Res>): Resource<Req, Res> {
  const run = (mode: CacheMode) => (request?: unknown, options?: CallOptions) =>
    callResource(resource, request, options, mode)
  const call = run('cached')
  const resource: Resource<Req, Res> = Object.assign(call, {
    definition,
    request: definition.request ?? (Type.Object({}) as TSchema as Req),
    response: definition.response ?? (Type.Null() as TSchema as Res),
    refresh: run('refresh'),
    cacheless: run('cacheless'),
    invalidate: (request?: unknown) => invalidate(resource, request),
    enqueue: (request?: unknown, options?: EnqueueOptions) => enqueue(resource, request, options),
    task: (request?: unknown, options: EnqueueOptions = {}) => ({ resource, request, options }),
    // A transaction has one connection, and what one call undoes must not take along what another has done meanwhile.
    bulk: (requests: readonly unknown[], options?: BulkOptions) =>
      bulk(call, requests, isInTransaction() ? { ...options, concurrency: 1 } : options),
  }) as unknown as Resource<Req, Res>
  return resource
}
