import type { TSchema } from 'typebox'
import type { Duration } from '../duration.ts'
import type { PlinthError } from '../errors.ts'
import type { Value } from '../schema/value.ts'
import type { EnqueueOptions, Schedule, TaskKeep } from '../task/types.ts'
import type { AccessSettings } from './access.ts'
import type { ResourceCache } from './cache-policy.ts'
import type { Context } from './context.ts'
import type { RateLimitSettings } from './rate-limit.ts'
import type { Security } from './security.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

/** How many tasks of a resource run at once, in all processes together. */
export interface TaskConcurrency<Request = never> {
  /** At least 1. As the release says that runs them. */
  limit: number
  /**
   * Of which so many run at once, a tenant for example: 1 to 200 characters. Asked when a task is enqueued, in the context of whoever does
   * that; schedules do so without a user. Default: all tasks of the resource together.
   */
  key?(request: Request, context: Context): string
}

/** How a resource, which is given `Request`, runs as a task, what comes of which is `Result`. */
export interface TaskOptions<Result = never, Request = never>
  extends Pick<EnqueueOptions, 'attempts' | 'backoff' | 'priority' | 'queue'> {
  /**
   * How many of its tasks, or of those with the same key, run at once, of each queue. The others wait for these, in their order, and others
   * overtake them. Default: any number.
   */
  concurrency?: TaskConcurrency<Request>
  /**
   * How long one try may take, milliseconds or a text like `'5m'`: then its signal aborts, and ten seconds later the try has failed,
   * whatever it still does. 0: as long as it takes. Default: the resource's `timeout`, else 15 minutes.
   */
  timeout?: Duration
  /**
   * It runs in a thread of the worker, with an app of its own there: it takes the processor without keeping the event loop from others. What does not
   * heed its signal is ended with its thread five seconds later. Where the file of the service is not known it runs beside the others.
   */
  thread?: true
  /**
   * How long its tasks are kept once they have ended, and how many of them. Default: succeeded ones for a day, others for two
   * weeks, and of each queue the last 10,000. What is kept shorter is found by its id alone, in no list, and cannot be run
   * again; what is kept longer is after the usual time.
   */
  keep?: TaskKeep
  /**
   * Called in the worker when it has succeeded, before that is told; in a worker that dies at this moment both happen again. It is
   * waited for, at most 10 s, and where it fails only the log tells it.
   */
  onSuccess?(result: Result, context: Context): unknown
  /** Called when it has failed for good, as `onSuccess`; not where it was cancelled, or ends the processes that run it. */
  onFailure?(error: PlinthError, context: Context): unknown
}

/** How calls of a resource are told in the log, with their arguments and results. */
export interface CallLog {
  /** Which part of the calls; 0.01 is one of a hundred. Default 1. */
  sample?: number
  /** After how many characters arguments and results are cut, each; 0: never. Default 1024. */
  limit?: number
}

/** What the callers of a resource know of it, wherever it is performed: here, in another service, at an upstream system. */
export interface Contract<Req extends TSchema, Res extends TSchema> {
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
  query?: readonly (keyof Value<Req> & string)[]
  /** Default `null`: nothing to tell but success. */
  response?: Res
  /** The HTTP status of success; default 200. 204 has no body: there is no `response` then. */
  status?: 200 | 201 | 202 | 204
  /** The errors of its own that its callers may meet; in the API document. */
  errors?: readonly { readonly code: string; readonly statusCode: number }[]
  /**
   * The bodies that `perform` reads itself, from `context.request`, by their media types: an upload of
   * `multipart/form-data` or `application/octet-stream`. Described by these schemas, and not checked.
   */
  consumes?: Readonly<Record<string, TSchema>>
  /** How its clients authenticate, for the API document; default: as its module says. It enforces nothing. */
  security?: Security
  /** Shown in the API document. */
  examples?: { request?: Value<Req>; response?: Value<Res> }
}

/**
 * Whether requests that change something (POST, PUT, PATCH, DELETE) and come again with the same header `Idempotency-Key` get the answer of
 * the first, and nothing is done twice; `required`: there is none without it.
 */
export type Idempotency = boolean | 'required'

/** How files of a request come over HTTP. */
export interface UploadSettings {
  /** Bytes that one request may send in all; default: BODY_LIMIT, and for each file its `maxBytes`. */
  maxBytes?: number
  /**
   * Where files of a form lie until the request has been answered, each in a folder of its own; default: that of the system for what is temporary.
   * On the disk where `saveFile` keeps them they are not written twice.
   */
  folder?: string
}

/** What a resource is: `request` goes in, `response` comes out, `perform` is the business logic between. */
export interface ResourceDefinition<out Req extends TSchema, out Res extends TSchema>
  extends Contract<Req, Res>,
    AccessSettings,
    RateLimitSettings {
  /**
   * After how long the call is given up and its signal aborted: milliseconds, or a text like `'5s'`; 0: never. Default: the app's
   * deadline.
   */
  timeout?: Duration
  /** The entity tag of what the request would find, without quotes; `undefined`: it has none (RFC 9110, 8.8.3). */
  etag?(request: Value<Req>, context: Context): Promise<string | undefined> | string | undefined
  /** When what the request would find was last changed (RFC 9110, 8.8.2). */
  lastModified?(request: Value<Req>, context: Context): Promise<Date | undefined> | Date | undefined
  /** How files come that are in its request, where it has a `file()`. */
  upload?: UploadSettings
  /** How its results are cached; default: not at all. Calls that change something are `invalidate`d by tags. */
  cache?: ResourceCache<Value<Req>, Value<Res>>
  /**
   * Which rows each caller has, by `defineScope`; what is cached has to be of each user alone then. It is said here for all to
   * know: `perform` applies it, `scope(context, query)`.
   */
  scope?: RowScope
  /** Whether it has a route, and is in the API document; default: as its module says, else true. It can be called in process anyway. */
  expose?: boolean
  /**
   * Whether clients may have it run as a task (header `X-Async-Task`); default: as its module says, else the service, else
   * not. Request and result are kept in Redis then: where one of them has a secret, only `true` here would do, and that
   * is refused.
   */
  async?: boolean
  /** How it takes the header `Idempotency-Key`; default: as its module says, else the service, else not at all. */
  idempotency?: Idempotency
  /**
   * Has each call that is performed leave a line in the log, with its arguments and its result, without what is secret by the schemas
   * (`secret()`, `writeOnly`, `format: 'password'`) or not in them; default: none.
   */
  log?: true | CallLog
  /** How it runs as a task, where the caller says nothing else. */
  task?: TaskOptions<Value<Res>, Value<Req>>
  /** Full names that it had in earlier releases, `cities.import`: tasks that were enqueued under them are its own. */
  aliases?: readonly string[]
  /** When it runs by itself, as a task: cron, in five fields or six with seconds first. */
  schedule?: string | Schedule
  perform(request: Value<Req>, context: Context): Promise<Value<Res>> | Value<Res>
}

/** Adds to a query of a table the conditions under which its rows are the caller's. */
export type RowScope = <Query extends { where(...conditions: never[]): unknown }>(
  context: Context,
  query: Query,
) => Query

/** What is known of a resource without calling it. */
export interface Defined<Req extends TSchema = TSchema, Res extends TSchema = TSchema> {
  readonly definition: ResourceDefinition<Req, Res>
  readonly request: Req
  readonly response: Res
}

// biome-ignore lint/suspicious/noExplicitAny: every kind has to fit, and only `any` is both in- and output
export type AnyDefined = Defined<any, any>
