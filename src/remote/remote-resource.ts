import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type TSchema, Type } from 'typebox'
import { ACT_FOR } from '../auth/signature.ts'
import { errors, PlinthError } from '../errors.ts'
import { ASYNC, TASK_OPTIONS, writeTaskOptions } from '../http/as-task.ts'
import type { Envelope } from '../http/envelope.ts'
import { IDEMPOTENCY_KEY } from '../http/idempotency.ts'
import { TIMEOUT_HEADER } from '../http/request-context.ts'
import { CLIENT } from '../http/request-line.ts'
import { CACHE_MODE } from '../http/route.ts'
import { TaskAnswer } from '../http/task-routes.ts'
import { uploadFormOf } from '../http/upload.ts'
import type { CacheMode } from '../resource/cache-policy.ts'
import { type Context, currentContext } from '../resource/context.ts'
import type { AnyDefined } from '../resource/contract.ts'
import type { Task } from '../resource/enqueue.ts'
import { hasFiles, type ServerEvent, type StreamSchema } from '../resource/stream.ts'
import { crashed } from '../task/errors.ts'
import { readEnqueueOptions } from '../task/new-task.ts'
import type { EnqueueOptions, TaskResult } from '../task/types.ts'
import { createAddress } from './address-request.ts'
import {
  type ApiAuth,
  type ApiFailure,
  type ApiSettings,
  type CheckedSettings,
  checkSettings,
} from './api-settings.ts'
import type { Connection } from './connection.ts'
import { bodyOf, type ResourceContract } from './contract.ts'
import { followEvents } from './follow-events.ts'
import { authenticate, Performer, type PerformOptions, streamsOf } from './performer.ts'

/**
 * Who a service says it is to another one: as to any API; `caller`: whoever has made the request under way, by its `Authorization`; with
 * `actFor` the user of the call, for whom the app acts that signs it.
 */
export type RemoteAuth =
  | ApiAuth
  | 'caller'
  | { signature: { app: string; secret: string }; actFor: true }

/** How another service is called. */
export interface RemoteSettings
  extends Pick<
    ApiSettings,
    'breaker' | 'headers' | 'limit' | 'maxBytes' | 'retry' | 'timeout' | 'tls'
  > {
  /** Default: nobody. */
  auth?: RemoteAuth
  /** The form of its answers, where its contract calls it `own`. */
  envelope?: Pick<Envelope, 'parse'>
}

/** Another service, as its resources are called. */
export interface RemoteService {
  /** Its name. */
  readonly name: string
  readonly connection: Connection
  readonly settings: CheckedSettings<ApiSettings>
  /** Where its tasks are; null: nowhere. */
  readonly tasks: string | null
}

/** What is performed with the settings of a service. @throws {PlinthError} API_INVALID where one cannot be */
export function settingsOf(
  name: string,
  { auth, envelope, ...settings }: RemoteSettings,
  form: string,
): CheckedSettings<ApiSettings> {
  return checkSettings<ApiSettings>(name, {
    ...settings,
    envelope: envelope ?? (form === 'problem' ? 'problem' : 'standard'),
    ...(auth !== undefined && { auth: asApiAuth(auth) }),
  })
}

function asApiAuth(auth: RemoteAuth): ApiAuth {
  if (auth === 'caller')
    return (request, { context }) => {
      const { authorization } = context.request?.headers ?? {}
      if (authorization !== undefined) request.headers.authorization = authorization
    }
  if (typeof auth !== 'object' || !('actFor' in auth)) return auth
  const { signature } = auth
  return async (request, call) => {
    const { user } = call.context
    if (user) request.headers[ACT_FOR] = encodeURIComponent(user.id)
    await authenticate(request, call, { signature })
  }
}

/** What enqueues a task elsewhere is answered, and who asks for it. */
export const TASK_ID = {
  definition: { summary: 'Enqueue', perform: () => null },
  request: Type.Unknown(),
  response: Type.Object({ task_id: Type.String() }),
} as AnyDefined

export const TASK = {
  definition: { summary: 'A task', perform: () => null },
  request: Type.Object({ id: Type.String() }),
  response: TaskAnswer,
} as AnyDefined

/** A resource that another service performs. */
export class RemoteResource {
  readonly name: string
  readonly #service: RemoteService
  readonly #contract: ResourceContract
  readonly #resource: AnyDefined
  readonly #performer: Performer
  readonly #calls: PerformOptions
  readonly #follows: boolean
  /** Whether it answers again what was asked again, by a key. */
  readonly #keeps: boolean
  readonly #mayRepeat: boolean
  /** Whether it reads a body of which its request tells nothing. */
  readonly #isReadThere: boolean

  /** @param resource what its results are held to */
  constructor(
    service: RemoteService,
    name: string,
    contract: ResourceContract,
    resource: AnyDefined,
  ) {
    this.name = name
    this.#service = service
    this.#contract = contract
    this.#keeps = contract.idempotency !== undefined
    this.#resource = resource
    this.#calls = {
      operation: name,
      addHeaders: (headers, context) => this.#addHeaders(headers, context),
    }
    const { method, path, query, request, response, errors: own, consumes } = contract
    const body = bodyOf(contract)
    this.#isReadThere = consumes !== undefined && Object.keys(body.properties ?? {}).length === 0
    const statuses = new Map(own.map(({ code, status }) => [code, status]))
    const { events } = response as StreamSchema
    const isRepeatable = method === 'GET' || method === 'PUT' || method === 'DELETE' || this.#keeps
    this.#follows = events !== undefined
    // What is asked with a file is read as it goes there.
    this.#mayRepeat = isRepeatable && !hasFiles(request)
    this.#performer = new Performer(service.connection, {
      ...(service.settings as CheckedSettings<ApiSettings<never>>),
      method,
      idempotent: isRepeatable,
      exact: true,
      body: uploadFormOf(body)?.form ?? 'json',
      streams: streamsOf(response as TSchema),
      ...(events && { silence: SILENT_BEATS * events.heartbeat }),
      statusOf: (code) => statuses.get(code) ?? statusInKit(code),
      tell: (failure) => rehydrate(failure, statuses),
      address: createAddress({
        name,
        method,
        path: path.replaceAll(/:(\w+)/g, '{$1}'),
        query,
        request,
        hasBody: method !== 'GET',
      }),
    })
  }

  /** @throws {PlinthError} what the resource throws; UPSTREAM_* for what is no answer of it; REMOTE_INVALID */
  perform(input: unknown, context: Context, mode: CacheMode = 'cached'): Promise<unknown> {
    if (this.#isReadThere)
      throw errors.REMOTE_INVALID(
        this.name,
        'it reads its body itself (consumes), which no request of it has; let it take a file()',
      )
    const more = {
      ...(mode !== 'cached' && { [CACHE_MODE]: mode }),
      ...this.#key(),
    }
    const options = mode === 'cached' && !this.#keeps ? this.#calls : this.#with(more)
    return this.#follows
      ? this.#follow(input, context, options)
      : this.#performer.perform(this.#resource, input as never, context, options)
  }

  /** Its events, when the first answer has begun; a failure before that is one of the call. */
  async #follow(
    input: unknown,
    context: Context,
    options: PerformOptions,
  ): Promise<AsyncIterable<ServerEvent>> {
    const ask = async (lastEventId: string | undefined, isAgain: boolean) => {
      const addHeaders = (headers: Record<string, string>, context: Context) => {
        options.addHeaders?.(headers, context)
        // The time that the call had is over.
        if (isAgain) delete headers[TIMEOUT_HEADER]
        // It is UTF-8, byte by byte.
        if (lastEventId !== undefined)
          headers['last-event-id'] = Buffer.from(lastEventId).toString('latin1')
      }
      const as = { ...options, addHeaders }
      const events = await this.#performer.perform(this.#resource, input as never, context, as)
      return events as AsyncIterable<ServerEvent>
    }
    const { signalIfAny: signal, app, lastEventId: last } = context
    return followEvents(await ask(last, false), {
      last,
      again: this.#mayRepeat ? (lastEventId) => ask(lastEventId, true) : undefined,
      signals: [app.upstream.closing, ...(signal ? [signal] : [])],
    })
  }

  /**
   * Has the other service run it as a task.
   *
   * @throws {PlinthError} REMOTE_INVALID where clients may not, or `options` has a user; TASK_INVALID; TASK_REFUSED where the other service
   *   does not take such options of this one
   */
  async enqueue(input: unknown, context: Context, options: EnqueueOptions = {}): Promise<Task> {
    const { user, ...told } = options
    if (!this.#contract.async)
      throw errors.REMOTE_INVALID(this.name, 'its service says nowhere async: true of it')
    if (user !== undefined)
      throw errors.REMOTE_INVALID(this.name, 'for whom its task runs is said by auth, not by user')
    const read = readEnqueueOptions(told, (problem) => errors.TASK_INVALID(this.name, problem))
    const isPlain = Object.keys(told).length === 0
    const headers = {
      [ASYNC]: '1',
      ...(!isPlain && { [TASK_OPTIONS]: writeTaskOptions(read) }),
      ...this.#key(),
    }
    // Once more would be one more task, unless there is a key.
    const as = { ...this.#with(headers), idempotent: this.#keeps || told.key !== undefined }
    const made = await this.#performer.perform(TASK_ID, input as never, context, as)
    return this.#handle((made as { task_id: string }).task_id, context)
  }

  /** What all tries of a call have in common, and no other call. */
  #key(): Record<string, string> {
    return this.#keeps ? { [IDEMPOTENCY_KEY]: `"${randomUUID()}"` } : {}
  }

  /** The options of a call with more headers. */
  #with(more: Record<string, string>): PerformOptions {
    return {
      ...this.#calls,
      addHeaders: (headers, context) => {
        const { [IDEMPOTENCY_KEY]: own } = headers
        Object.assign(headers, more, own !== undefined && { [IDEMPOTENCY_KEY]: own })
        this.#calls.addHeaders?.(headers, context)
      },
    }
  }

  #addHeaders(headers: Record<string, string>, { expires, app }: Context): void {
    const { timeout = 10_000 } = this.#service.settings
    const left = Math.min(timeout || Number.POSITIVE_INFINITY, expires - performance.now())
    if (left < Number.POSITIVE_INFINITY)
      headers[TIMEOUT_HEADER] = String(Math.max(1, Math.floor(left)))
    const { remotes } = app
    if (!remotes) return
    headers[CLIENT] = remotes.client
    remotes.record(this.#service.name, this.name)
  }

  #handle(id: string, made: Context): Task {
    const ask = async (method: 'GET' | 'DELETE', signal?: AbortSignal): Promise<TaskResult> => {
      const context = currentContext() ?? made
      const bounded = signal ? context.withSignal(signal) : context
      const performer = this.#tasks(method)
      return (await performer.perform(TASK, { id } as never, bounded, this.#calls)) as TaskResult
    }
    return {
      task_id: id,
      status: () => ask('GET'),
      result: async ({ signal = (currentContext() ?? made).signal } = {}) => {
        for (let wait = 50; ; wait = Math.min(wait * 1.5, 2000)) {
          const { is_completed, state, message, data } = await ask('GET', signal)
          if (!is_completed) {
            await delay(wait, undefined, { signal }).catch(() => {})
            signal.throwIfAborted()
          } else if (state === 'succeeded') return data
          else if (state === 'cancelled') throw errors.TASK_CANCELLED(id)
          else if (state === 'crashed' && message) throw crashed(message)
          else throw errors.TASK_FAILED(id, message ?? 'it does not say why')
        }
      },
      cancel: async () => {
        const { is_completed } = await ask('GET')
        if (!is_completed) await ask('DELETE')
        return !is_completed
      },
    }
  }

  #tasks(method: 'GET' | 'DELETE'): Performer {
    const { connection, settings, tasks } = this.#service
    if (tasks === null)
      throw errors.REMOTE_INVALID(this.name, 'its service does not tell where its tasks are')
    return new Performer(connection, {
      ...(settings as CheckedSettings<ApiSettings<never>>),
      method,
      idempotent: true,
      exact: true,
      body: 'json',
      streams: false,
      tell: (failure) => rehydrate(failure, new Map()),
      address: createAddress({
        name: this.name,
        method,
        path: `${tasks}/{id}`,
        query: [],
        request: { type: 'object', properties: { id: {} } },
        hasBody: method !== 'GET',
      }),
    })
  }
}

/** How many heartbeats in a row may be late: one may have been lost in a pause of the other process. */
const SILENT_BEATS = 3

function statusInKit(code: string): number | undefined {
  return Object.values(errors).find((one) => one.code === code)?.statusCode
}

/** Statuses and codes that tell of this service, of the network or of another contract, and not of what the resource found. */
const NOT_OF_RESOURCES: readonly (number | string)[] = [
  ...[401, 405, 407, 408, 415, 417, 421, 425, 426, 429, 431],
  'ROUTE_NOT_FOUND',
  errors.IDEMPOTENCY_KEY_RUNNING.code,
]

/** The error of the other service, as it was thrown there; `undefined`: it is not one for who calls this one. */
function rehydrate(failure: ApiFailure, own: ReadonlyMap<string, number>): Error | undefined {
  const { code, status, message, errors: details, data } = failure
  if (code === undefined) return undefined
  const isOwn = own.has(code)
  // It had the time that this call has.
  const isLate = code === errors.DEADLINE_EXCEEDED.code && isOver(failure)
  const isTold = status < 500 && ![status, code].some((one) => NOT_OF_RESOURCES.includes(one))
  if (!isOwn && !isTold && !isLate) return undefined
  return new PlinthError(code, status, message ?? '', { data, ...(details && { errors: details }) })
}

/** Whether the time of the request under way is nearly over. */
function isOver({ context }: ApiFailure): boolean {
  return context.expires - performance.now() < 50
}
