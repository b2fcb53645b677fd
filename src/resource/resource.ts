import { type Static, type TNull, type TObject, type TSchema, Type } from 'typebox'
import { isInTransaction } from '../database/current-transaction.ts'
import type { Value } from '../schema/value.ts'
import type { EnqueueOptions } from '../task/types.ts'
import { type BulkOptions, type BulkSettled, bulk } from './bulk.ts'
import type { CacheMode } from './cache-policy.ts'
import { type CallOptions, callResource, enqueue, enqueueMany, invalidate } from './call.ts'
import type { AnyDefined, Defined, ResourceDefinition } from './contract.ts'
import type { EnqueueManyOptions, Task } from './enqueue.ts'
import type { PlanOptions, TaskPlan } from './task-plan.ts'

/** The argument list of a call: the request may be left out where it has no required property. */
export type CallArguments<Req extends TSchema, Last extends unknown[]> =
  Record<never, never> extends Static<Req>
    ? [request?: Given<Value<Req>>, ...Last]
    : [request: Value<Req>, ...Last]

// To TypeScript every object is also one without properties: it has to be told that there are none.
type Given<Request> = unknown extends Request
  ? Request
  : Request extends unknown
    ? [keyof Request] extends [never]
      ? Record<string, never>
      : Request
    : never

/** A resource: called like a function it runs in process; a module serves it over HTTP. */
export interface Resource<
  in out Req extends TSchema = TSchema,
  in out Res extends TSchema = TSchema,
> extends Defined<Req, Res> {
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
   * @throws {PlinthError} INVALID_REQUEST, TASK_INVALID, PAYLOAD_TOO_LARGE, TASKS_UNAVAILABLE, TASKS_MISSING; TASK_KEY_REUSED
   *   where its `key` is that of another request
   */
  enqueue(...args: CallArguments<Req, [options?: EnqueueOptions]>): Promise<Task<Static<Res>>>
  /**
   * Adds a task for each of `requests` in one go, which takes a fraction of the time. All are checked before any is added; one
   * that cannot be kept is told as by `enqueue`. Returns them in order.
   *
   * @throws {PlinthError} as `enqueue`; where Redis is lost on the way, and no database keeps them, some may have been added: give
   *   each a `key`, and add them again
   */
  enqueueMany(
    requests: readonly Static<Req>[],
    options?: EnqueueManyOptions<Static<Req>>,
  ): Promise<Task<Static<Res>>[]>
  /** A task for `chain` and `group`. */
  task(...args: CallArguments<Req, [options?: PlanOptions]>): TaskPlan
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

/** How a resource is called: here, in the context of an app, or elsewhere. */
export interface Invoker {
  call(
    resource: AnyDefined,
    request: unknown,
    options: CallOptions | undefined,
    mode: CacheMode,
  ): Promise<unknown>
  invalidate(resource: AnyDefined, request: unknown): Promise<void>
  enqueue(
    resource: AnyDefined,
    request: unknown,
    options: EnqueueOptions | undefined,
  ): Promise<Task>
  enqueueMany(
    resource: AnyDefined,
    requests: readonly unknown[],
    options: EnqueueManyOptions | undefined,
  ): Promise<Task[]>
}

const local: Invoker = { call: callResource, invalidate, enqueue, enqueueMany }

/** Defines a resource. Its schemas are TypeBox schemas; the types of `perform` and of calls follow from them. */
export function defineResource<
  Req extends TSchema = TObject<Record<never, never>>,
  Res extends TSchema = TNull,
>(definition: ResourceDefinition<Req, Res>): Resource<Req, Res> {
  const { request, response } = definition
  return createResource<Req, Res>(local, {
    definition,
    request: request ?? (Type.Object({}) as TSchema as Req),
    response: response ?? (Type.Null() as TSchema as Res),
  })
}

/** The same resource, each call of which runs through `run`. */
export function bindResource(resource: AnyDefined, run: <T>(fn: () => T) => T): AnyResource {
  const invoker: Invoker = {
    call: (...args) => run(() => local.call(...args)),
    invalidate: (...args) => run(() => local.invalidate(...args)),
    enqueue: (...args) => run(() => local.enqueue(...args)),
    enqueueMany: (...args) => run(() => local.enqueueMany(...args)),
  }
  return createResource(invoker, resource, resource)
}

/**
 * What is called through `invoker`, in every way that a resource can be called in process.
 *
 * @param called the one that is listed in a module; default: the one that is made
 */
export function createResource<Req extends TSchema, Res extends TSchema>(
  invoker: Invoker,
  { definition, request, response }: Defined<Req, Res>,
  called?: AnyDefined,
): Resource<Req, Res> {
  const run = (mode: CacheMode) => (request?: unknown, options?: CallOptions) =>
    invoker.call(called ?? made, request, options, mode)
  const call = run('cached')
  const made: Resource<Req, Res> = Object.assign(call, {
    definition,
    request,
    response,
    refresh: run('refresh'),
    cacheless: run('cacheless'),
    invalidate: (request?: unknown) => invoker.invalidate(called ?? made, request),
    enqueue: (request?: unknown, options?: EnqueueOptions) =>
      invoker.enqueue(called ?? made, request, options),
    enqueueMany: (requests: readonly unknown[], options?: EnqueueManyOptions) =>
      invoker.enqueueMany(called ?? made, requests, options),
    task: (request?: unknown, options: PlanOptions = {}) => ({
      resource: called ?? made,
      request,
      options,
    }),
    // A transaction has one connection, and what one call undoes must not take along what another has done meanwhile.
    bulk: (requests: readonly unknown[], options?: BulkOptions) =>
      bulk(call, requests, isInTransaction() ? { ...options, concurrency: 1 } : options),
  }) as unknown as Resource<Req, Res>
  return made
}
