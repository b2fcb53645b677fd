import { AsyncLocalStorage } from 'node:async_hooks'
import {
  type TracingChannel,
  tracingChannel,
  channel as untypedChannel,
} from 'node:diagnostics_channel'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { SqlMessage } from '../database/dialect/sqlite/connection.ts'
import { cacheSlot } from '../resource/cached.ts'
import { redact } from '../resource/call-log.ts'
import { toJson } from '../resource/json.ts'
import type { TaskMessage } from '../resource/perform-task.ts'
import type { JsonSchema } from '../resource/schema.ts'
import { type Call, channels, type StepMessage } from '../resource/steps.ts'
import { thrownIn } from '../task/errors.ts'
import { redactSql } from '../telemetry/redact-sql.ts'
import { watchers } from '../trace.ts'
import type { UpstreamMessage } from '../upstream/client.ts'

/** Something that was done for a request or a task. Times are milliseconds since that began. */
export interface DeveloperSpan {
  readonly kind: 'call' | 'step' | 'sql' | 'redis' | 'upstream'
  readonly name: string
  /** The number of the span that it was done in; -1: in none. */
  readonly parent: number
  readonly at: number
  /** How long; `undefined`: it is under way. */
  took?: number
  /** What was asked for, without what is secret: the input of a call, a statement, the key in the cache, a URL. */
  readonly detail?: string
  /** The code of what has failed it. */
  error?: string
  status?: number
}

/** A request or a task. */
export interface DeveloperRecord {
  readonly id: number
  readonly kind: 'request' | 'task'
  /** `GET /cities/:id`, or the resource of the task. */
  readonly name: string
  readonly path?: string
  readonly requestId: string
  /** Milliseconds since 1970. */
  readonly began: number
  took?: number
  /** Of a request; `aborted`: its client has gone. Of a task `succeeded` or `failed`. */
  status?: number | string
  readonly spans: DeveloperSpan[]
  /** How many were too many to be kept. */
  lost: number
  /** When it was last changed: greater than that of all changes before. */
  changed: number
}

/** How much is kept. */
const RECORDS = 200
const SPANS = 300
const BYTES = 8_000_000
const TEXT = 1000

/** Milliseconds after the last visit for which it goes on. */
const PATIENCE = 600_000

/** A record, and in which of its spans work is done. */
interface Place {
  readonly record: Kept
  readonly span: number
}

interface Kept extends DeveloperRecord {
  /** As `performance.now()` counts. */
  readonly start: number
  bytes: number
}

/**
 * Remembers the last requests and tasks of an app, with what was done for them. It begins with the first `watch` and ends ten minutes
 * after the last one: until then it listens to nothing.
 */
export class Recorder {
  /** When it was made, in milliseconds since 1970: what another process has told is not of this one. */
  readonly made = Date.now()
  readonly #app: FastifyInstance
  readonly #places = new AsyncLocalStorage<Place>()
  readonly #listeners: readonly Listener[]
  #records: Kept[] = []
  #bytes = 0
  #changes = 0
  #lastId = 0
  #until = 0
  #listens = false

  constructor(app: FastifyInstance) {
    this.#app = app
    this.#listeners = [
      ...Object.entries(channels).map(([name, channel]) => this.#within(channel, name)),
      this.#tasks(),
      this.#leaves<MysqlMessage>('mysql2:query', 'asyncStart', ({ query }) => sql(query, '`')),
      this.#leaves<MysqlMessage>('mysql2:execute', 'asyncStart', ({ query }) => sql(query, '`')),
      this.#leaves<SqlMessage>('plinth:sqlite', 'end', (message) => sql(message.sql, '"')),
      this.#leaves<RedisMessage>('ioredis:command', 'asyncStart', redis),
      this.#leaves<RedisMessage>('ioredis:batch', 'asyncStart', redis),
      this.#leaves<UpstreamMessage>('plinth:upstream', 'asyncStart', ({ api, operation }) => ({
        kind: 'upstream',
        name: `${api} ${operation}`,
      })),
      this.#requestsElsewhere(),
    ]
  }

  /** Somebody looks: it records from now on. */
  watch(): void {
    this.#until = performance.now() + PATIENCE
    if (this.#listens) return
    this.#listens = true
    watchers.add(this)
    for (const listener of this.#listeners) listener.subscribe()
  }

  /** What has changed since, the oldest first, and what is known no more. */
  since(change: number): { changes: number; oldest: number; records: DeveloperRecord[] } {
    const records = this.#records
      .filter(({ changed }) => changed > change)
      .map(({ start, bytes, ...record }): DeveloperRecord => record)
    return { changes: this.#changes, oldest: this.#records[0]?.id ?? this.#lastId + 1, records }
  }

  close(): void {
    if (!this.#listens) return
    this.#listens = false
    watchers.delete(this)
    for (const listener of this.#listeners) listener.unsubscribe()
  }

  /** Whether somebody has looked lately. */
  get isOn(): boolean {
    if (this.#listens && performance.now() > this.#until) this.close()
    return this.#listens
  }

  /** Goes on, `next`, within the record of the request that begins. */
  begin(request: FastifyRequest, reply: FastifyReply, next: () => void): void {
    const { method, url } = request
    const { url: route } = request.routeOptions
    const path = cut(shownPath(request) ?? (url.split('?', 1)[0] as string))
    const name = `${method} ${route ?? path}`
    const record = this.#add({ kind: 'request', name, path, requestId: request.id })
    const { raw } = reply
    raw.once('close', () => this.#end(record, raw.writableFinished ? raw.statusCode : 'aborted'))
    running.set(request, record)
    this.#places.run({ record, span: -1 }, next)
  }

  /** Goes on within it: what reads a body goes on outside. */
  resume(request: FastifyRequest, next: () => void): void {
    const record = running.get(request)
    if (record) this.#places.run({ record, span: -1 }, next)
    else next()
  }

  end(request: FastifyRequest, status: number): void {
    const record = running.get(request)
    if (record) this.#end(record, status)
  }

  #add(about: Pick<DeveloperRecord, 'kind' | 'name' | 'path' | 'requestId'>): Kept {
    this.#lastId += 1
    const bytes = 400 + about.name.length + (about.path?.length ?? 0)
    const record: Kept = {
      id: this.#lastId,
      ...about,
      began: Date.now(),
      start: performance.now(),
      spans: [],
      lost: 0,
      changed: 0,
      bytes: 0,
    }
    this.#records.push(record)
    this.#grow(record, bytes)
    return record
  }

  #end(record: Kept, status: number | string): void {
    if (record.took !== undefined) return
    record.took = since(record)
    record.status = status
    this.#touch(record)
  }

  #touch(record: Kept): void {
    this.#changes += 1
    record.changed = this.#changes
  }

  #grow(record: Kept, bytes: number): void {
    record.bytes += bytes
    this.#bytes += bytes
    this.#touch(record)
    // Its own is the last that goes.
    while (this.#records.length > RECORDS || (this.#bytes > BYTES && this.#records.length > 1)) {
      const gone = this.#records.shift() as Kept
      this.#bytes -= gone.bytes
      // What is done for it still is not added any more.
      gone.bytes = Number.NaN
    }
  }

  /** Begins a span within the one under way. */
  #open(describe: () => Described | undefined): Opened | undefined {
    const place = this.#places.getStore()
    // Connections and timers that were made for it live on.
    if (!place || place.record.took !== undefined || Number.isNaN(place.record.bytes))
      return undefined
    const { record, span: parent } = place
    if (record.spans.length >= SPANS) {
      record.lost += 1
      return undefined
    }
    const described = quietly(describe)
    if (!described) return undefined
    const span: DeveloperSpan = { ...described, parent, at: since(record) }
    record.spans.push(span)
    this.#grow(record, 200 + span.name.length + 2 * (span.detail?.length ?? 0))
    return { record, span, place: { record, span: record.spans.length - 1 } }
  }

  #finish({ record, span }: Opened): void {
    if (span.took !== undefined) return
    span.took = since(record) - span.at
    this.#touch(record)
  }

  /** What has others within it: a call, and its steps. */
  #within(channel: TracingChannel<unknown, StepMessage>, step: string): Listener {
    const begun = new WeakMap<StepMessage, Opened>()
    const begin = (message: StepMessage): Place => {
      const { call } = message
      const opened = this.#open(() => (step === 'call' ? describeCall(call) : describe(step, call)))
      if (opened) begun.set(message, opened)
      return opened?.place ?? (this.#places.getStore() as Place)
    }
    const over = (message: StepMessage) => {
      const opened = begun.get(message)
      if (opened) this.#finish(opened)
    }
    const subscribers = {
      ...NOTHING,
      asyncStart: over,
      error: (message: StepMessage) => fail(begun.get(message), message.error),
    }
    return {
      subscribe: () => {
        channel.start.bindStore(this.#places, begin)
        channel.subscribe(subscribers)
      },
      unsubscribe: () => {
        channel.unsubscribe(subscribers)
        channel.start.unbindStore(this.#places)
      },
    }
  }

  #tasks(): Listener {
    const channel = tracingChannel<unknown, TaskMessage>('plinth:task')
    const begun = new WeakMap<TaskMessage, Kept>()
    const begin = (message: TaskMessage): Place => {
      const { app, run } = message
      // The channel is that of all apps of the process.
      if (app.server !== this.#app.server) return undefined as never
      const { resource: name, requestId } = run.data
      const record = this.#add({ kind: 'task', name, path: run.id, requestId })
      begun.set(message, record)
      return { record, span: -1 }
    }
    const end = (message: TaskMessage, status: string) => {
      const record = begun.get(message)
      if (record) this.#end(record, status)
    }
    const subscribers = {
      ...NOTHING,
      error: (message: TaskMessage) => {
        const { error } = message
        end(message, codeOf(thrownIn(error)))
      },
      asyncStart: (message: TaskMessage) => end(message, 'succeeded'),
    }
    return {
      subscribe: () => {
        channel.start.bindStore(this.#places, begin)
        channel.subscribe(subscribers)
      },
      unsubscribe: () => {
        channel.unsubscribe(subscribers)
        channel.start.unbindStore(this.#places)
      },
    }
  }

  /** What has nothing within it. */
  #leaves<Message extends { error?: unknown }>(
    name: string,
    ends: 'end' | 'asyncStart',
    describe: (message: Message) => Described | undefined,
  ): Listener {
    const channel = tracingChannel<unknown, Message>(name)
    const begun = new WeakMap<object, Opened>()
    const subscribers = {
      ...NOTHING,
      start: (message: Message) => {
        const opened = this.#open(() => describe(message))
        if (opened) begun.set(message, opened)
      },
      error: (message: Message) => fail(begun.get(message), message.error),
      [ends]: (message: Message) => {
        const opened = begun.get(message)
        if (opened) this.#finish(opened)
      },
    }
    return {
      subscribe: () => void channel.subscribe(subscribers),
      unsubscribe: () => void channel.unsubscribe(subscribers),
    }
  }

  /** Each try of a call to another system, also by `fetch`. */
  #requestsElsewhere(): Listener {
    const begun = new WeakMap<object, Opened>()
    const over = (request: object) => {
      const opened = begun.get(request)
      if (opened) this.#finish(opened)
    }
    const subscribers: Record<string, (message: never) => void> = {
      create: ({ request }: { request: HttpRequest }) => {
        const { method = 'GET', origin = '', path } = request
        // Its query may have what is secret.
        const detail = cut(`${origin}${path.split('?', 1)[0]}`)
        const opened = this.#open(() => ({ kind: 'upstream', name: method, detail }))
        if (opened) begun.set(request, opened)
      },
      headers: ({ request, response }: { request: object; response: { statusCode: number } }) => {
        const opened = begun.get(request)
        if (opened) opened.span.status = response.statusCode
      },
      trailers: ({ request }: { request: object }) => over(request),
      error: ({ request, error }: { request: object; error: unknown }) => {
        fail(begun.get(request), error)
        over(request)
      },
    }
    const all = Object.entries(subscribers).map(
      ([name, subscriber]) => [untypedChannel(`undici:request:${name}`), subscriber] as const,
    )
    return {
      subscribe: () => {
        for (const [channel, subscriber] of all) channel.subscribe(subscriber as never)
      },
      unsubscribe: () => {
        for (const [channel, subscriber] of all) channel.unsubscribe(subscriber as never)
      },
    }
  }
}

interface Listener {
  subscribe(): void
  unsubscribe(): void
}

type Described = Pick<DeveloperSpan, 'kind' | 'name' | 'detail'>

interface Opened {
  readonly record: Kept
  readonly span: DeveloperSpan
  readonly place: Place
}

interface MysqlMessage {
  readonly query: string
  readonly error?: unknown
}

interface RedisMessage {
  readonly command?: string
  readonly error?: unknown
}

interface HttpRequest {
  readonly origin?: string | URL
  readonly method?: string
  readonly path: string
}

const running = new WeakMap<FastifyRequest, Kept>()

const nothing = () => {}
const NOTHING = {
  start: nothing,
  end: nothing,
  asyncStart: nothing,
  asyncEnd: nothing,
  error: nothing,
}

function since({ start }: Kept): number {
  return performance.now() - start
}

/** What a subscriber throws would end the process. */
function quietly<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}

function fail(opened: Opened | undefined, error: unknown): void {
  if (opened) opened.span.error = codeOf(error)
}

/** Not its message: that may have what is secret. */
export function codeOf(error: unknown): string {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown }
  return cut(String(code ?? name ?? typeof error))
}

function cut(text: string): string {
  return text.length > TEXT ? `${text.slice(0, TEXT)}…` : text
}

/** The route where its path has what is secret by the schema; `undefined`: nothing of it is. */
function shownPath({ routeOptions, params, server }: FastifyRequest): string | undefined {
  const { config, schema, url } = routeOptions
  const name = config.resource
  const described =
    name === undefined
      ? (schema?.params as JsonSchema | undefined)
      : server.compiled.of(server.registry.find(name).resource).request
  if (!described) return undefined
  const isPlain = JSON.stringify(redact(params, described)) === JSON.stringify(params)
  return isPlain ? undefined : url
}

function describeCall(call: Call): Described {
  const { name, mode, task } = call
  const how = task ? ' (enqueue)' : mode === 'cached' ? '' : ` (${mode})`
  const detail = quietly(() => cut(JSON.stringify(shownInput(call))))
  return { kind: 'call', name: name + how, ...(detail !== undefined && { detail }) }
}

function describe(step: string, call: Call): Described {
  const detail = step === 'cache' ? quietly(() => cacheKey(call)) : undefined
  return { kind: 'step', name: step, ...(detail !== undefined && { detail }) }
}

function shownInput({ resource, input, context }: Call): unknown {
  return redact(toJson(input), context.app.compiled.of(resource).request)
}

/** Where the result is kept; what is made of a secret is left out. */
function cacheKey(call: Call): string | undefined {
  const { resource, name, input, context } = call
  const key = cacheSlot(resource, name, input, context)?.key
  if (key === undefined) return undefined
  const isPlain = JSON.stringify(shownInput(call)) === JSON.stringify(toJson(input))
  return cut(isPlain ? key : `${name}:[redacted]`)
}

function sql(statement: string, quote: '`' | '"'): Described {
  const detail = redactSql(statement, quote)
  const [verb = 'SQL'] = /[a-z]+/i.exec(detail) ?? []
  return { kind: 'sql', name: verb.toUpperCase(), detail: cut(detail) }
}

/** Neither keys nor values: the id of a session is a key. */
function redis({ command = 'multi' }: RedisMessage): Described {
  return { kind: 'redis', name: command.toUpperCase() }
}
