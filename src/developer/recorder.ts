import { AsyncLocalStorage } from 'node:async_hooks'
import { tracingChannel, channel as untypedChannel } from 'node:diagnostics_channel'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { SqlMessage } from '../database/dialect/sqlite/driver.ts'
import { cacheSlot } from '../resource/cached.ts'
import { redact } from '../resource/call-log.ts'
import type { TaskMessage } from '../resource/perform-task.ts'
import type { Call, StepName, Watcher } from '../resource/steps.ts'
import { toJson } from '../schema/json.ts'
import type { JsonSchema } from '../schema/json-schema.ts'
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
  readonly spans: readonly DeveloperSpan[]
  /** How many were too many to be kept. */
  readonly lost: number
  /** When it was last changed: greater than that of all changes before. */
  readonly changed: number
}

/** How much is kept. */
const RECORDS = 200
const SPANS = 300
/** Of those that begin within one second so many are recorded: no more are kept, and under load the rest cost next to nothing. */
const PER_SECOND = RECORDS
const BYTES = 8_000_000
const TEXT = 1000
/** About so many of that each takes, beside its texts. */
const RECORD_BYTES = 400
const SPAN_BYTES = 200

/** Milliseconds after the last visit for which it goes on. */
const PATIENCE = 600_000

type Told = Pick<DeveloperSpan, 'kind' | 'name' | 'detail'>

/** What is told of a span, by what it was about: put together when somebody looks at it. */
type Describe<About> = (about: About) => Told

/** Something that is done for a record, and what others are done in. */
class Span {
  readonly record: Kept
  readonly number: number
  readonly parent: number
  readonly at: number
  took: number | undefined
  error: string | undefined
  status: number | undefined
  #about: unknown
  readonly #describe: Describe<never>
  #told: Told | undefined

  constructor(record: Kept, parent: number, describe: Describe<never>, about: unknown) {
    this.record = record
    this.number = record.spans.length
    this.parent = parent
    this.at = performance.now() - record.start
    this.#describe = describe
    this.#about = about
  }

  /** From now on what it was about is not held any more. */
  tell(): DeveloperSpan {
    this.#told ??= quietly(() => this.#describe(this.#about as never)) ?? UNTOLD
    this.#about = undefined
    const { parent, at, took, error, status } = this
    return {
      ...this.#told,
      ...{ parent, at },
      ...(took !== undefined && { took }),
      ...(error !== undefined && { error }),
      ...(status !== undefined && { status }),
    }
  }
}

const UNTOLD: Told = { kind: 'step', name: '?' }

type About = Pick<DeveloperRecord, 'kind' | 'name' | 'path' | 'requestId'>

/** A request or a task, as long as it is kept, and what is done in it at first. */
class Kept {
  readonly record = this
  readonly number = -1
  readonly id: number
  readonly start = performance.now()
  readonly spans: Span[] = []
  lost = 0
  changed = 0
  bytes = 0
  took: number | undefined
  status: number | string | undefined
  /** Of a request whose answer has not ended: that of one whose client goes has no other end. */
  reply: FastifyReply | undefined
  #about: (() => About) | About

  constructor(id: number, about: (() => About) | About) {
    this.id = id
    this.#about = about
  }

  tell(): DeveloperRecord {
    if (typeof this.#about === 'function') this.#about = this.#about()
    const { id, lost, changed, took, status, spans, start } = this
    return {
      id,
      ...this.#about,
      began: Math.round(performance.timeOrigin + start),
      ...(took !== undefined && { took }),
      ...(status !== undefined && { status }),
      spans: spans.map((span) => span.tell()),
      ...{ lost, changed },
    }
  }
}

/**
 * Remembers the last requests and tasks of an app, with what was done for them. It begins with the first `watch` and ends ten minutes
 * after the last one: until then it listens to nothing. What it costs a request is to note times, and what something was about; texts are made
 * of that, without what is secret, when the page asks.
 */
export class Recorder implements Watcher {
  /** When it was made, in milliseconds since 1970: what another process has told is not of this one. */
  readonly made = Date.now()
  readonly #app: FastifyInstance
  readonly #places = new AsyncLocalStorage<Span | Kept>()
  readonly #listeners: readonly Listener[]
  #records: Kept[] = []
  /** Those of them that have not ended. */
  readonly #underWay = new Set<Kept>()
  #bytes = 0
  #changes = 0
  #lastId = 0
  #until = 0
  #listens = false
  #second = -1
  #inSecond = 0
  #left = 0

  constructor(app: FastifyInstance) {
    this.#app = app
    this.#listeners = [
      this.#tasks(),
      this.#leaves<MysqlMessage>('mysql2:query', 'asyncStart', mysql, sizeOfQuery),
      this.#leaves<MysqlMessage>('mysql2:execute', 'asyncStart', mysql, sizeOfQuery),
      this.#leaves<SqlMessage>('plinth:sqlite', 'end', sqlite, ({ sql }) => sql.length),
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

  /** What has changed since, the oldest first, what is known no more, and how many were too many in their second to be recorded. */
  since(change: number): {
    changes: number
    oldest: number
    left: number
    records: DeveloperRecord[]
  } {
    for (const record of this.#records) this.#endIfGone(record)
    const records = this.#records
      .filter(({ changed }) => changed > change)
      .map((record) => {
        const told = record.tell()
        // What it was about is not held any more, the texts are.
        this.#bytes += sizeOf(told) - record.bytes
        record.bytes = sizeOf(told)
        return told
      })
    const oldest = this.#records[0]?.id ?? this.#lastId + 1
    return { changes: this.#changes, oldest, left: this.#left, records }
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

  /** Whether what begins now is one too many in its second: it is counted, and costs a look at the clock. */
  leavesOut(): boolean {
    const second = Math.floor(performance.now() / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#inSecond = 0
      watchers.add(this)
    }
    if (this.#inSecond < PER_SECOND) return false
    this.#left += 1
    return true
  }

  /** The record of a request that begins; `undefined`: of its second there are enough. */
  begin(request: FastifyRequest, reply: FastifyReply): Kept | undefined {
    const record = this.#add(() => describeRequest(request), sizeOfBody(request))
    if (record) record.reply = reply
    return record
  }

  /** Goes on, `next`, within it. */
  resume(record: Kept, next: () => void): void {
    if (this.#places.getStore() === record) next()
    else this.#places.run(record, next)
  }

  end(record: Kept, status: number | string): void {
    if (record.took !== undefined) return
    record.took = performance.now() - record.start
    record.status = status
    record.reply = undefined
    this.#touch(record)
    this.#forget(record)
  }

  within<T>(step: StepName, work: (call: Call) => T | Promise<T>, call: Call): T | Promise<T> {
    const span = this.#open(DESCRIBE[step], call, 0)
    if (!span) return work(call)
    let outcome: T | Promise<T>
    try {
      outcome = this.#places.run(span, work, call)
    } catch (error) {
      this.#finish(span, error)
      throw error
    }
    if (outcome instanceof Promise) return this.#afterwards(outcome, span)
    this.#finish(span)
    return outcome
  }

  async #afterwards<T>(outcome: Promise<T>, span: Span): Promise<T> {
    try {
      const value = await outcome
      this.#finish(span)
      return value
    } catch (error) {
      this.#finish(span, error)
      throw error
    }
  }

  /** One whose client has gone, or that was answered past Fastify, is told by its answer alone. */
  #endIfGone(record: Kept): void {
    const { raw } = record.reply ?? {}
    if (raw?.closed) this.end(record, raw.writableFinished ? raw.statusCode : 'aborted')
  }

  #add(about: (() => About) | About, bytes: number): Kept | undefined {
    if (this.leavesOut()) return undefined
    this.#inSecond += 1
    this.#lastId += 1
    const record = new Kept(this.#lastId, about)
    this.#records.push(record)
    this.#underWay.add(record)
    this.#grow(record, RECORD_BYTES + bytes)
    return record
  }

  /** Nothing is added to it any more. Where that is so of all, and no more are recorded, nobody looks on until the second is over. */
  #forget(record: Kept): void {
    this.#underWay.delete(record)
    if (this.#underWay.size === 0 && this.#inSecond === PER_SECOND) watchers.delete(this)
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
      this.#forget(gone)
    }
  }

  /** Begins a span within the one under way. */
  #open<A>(describe: Describe<A>, about: A, bytes: number): Span | undefined {
    const place = this.#places.getStore()
    if (!place) return undefined
    const { record, number } = place
    // Connections and timers that were made for it live on.
    if (record.took !== undefined || Number.isNaN(record.bytes)) return undefined
    if (record.spans.length >= SPANS) {
      record.lost += 1
      return undefined
    }
    const span = new Span(record, number, describe as Describe<never>, about)
    record.spans.push(span)
    this.#grow(record, SPAN_BYTES + bytes)
    return span
  }

  #finish(span: Span, error?: unknown): void {
    if (error !== undefined) span.error ??= codeOf(error)
    if (span.took !== undefined) return
    const { record } = span
    span.took = performance.now() - record.start - span.at
    this.#touch(record)
  }

  #tasks(): Listener {
    const channel = tracingChannel<unknown, TaskMessage>('plinth:task')
    const begun = new WeakMap<TaskMessage, Kept>()
    const begin = (message: TaskMessage): Kept => {
      const { app, run } = message
      // The channel is that of all apps of the process.
      if (app.server !== this.#app.server) return undefined as never
      const { resource: name, requestId } = run.data
      const record = this.#add({ kind: 'task', name, path: run.id, requestId }, 0)
      if (record) begun.set(message, record)
      return record as never
    }
    const end = (message: TaskMessage, status: string) => {
      const record = begun.get(message)
      if (record) this.end(record, status)
    }
    const subscribers = {
      ...NOTHING,
      error: (message: TaskMessage) => end(message, codeOf(thrownIn(message.error))),
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

  /** What has nothing within it. @param sizeOf about how many bytes it holds until it is told */
  #leaves<Message extends { error?: unknown }>(
    name: string,
    ends: 'end' | 'asyncStart',
    describe: Describe<Message>,
    sizeOf: (message: Message) => number = () => 0,
  ): Listener {
    const channel = tracingChannel<unknown, Message>(name)
    const begun = new WeakMap<object, Span>()
    const subscribers = {
      ...NOTHING,
      start: (message: Message) => {
        const span = this.#open(describe, message, sizeOf(message))
        if (span) begun.set(message, span)
      },
      error: (message: Message) => {
        const span = begun.get(message)
        if (span) span.error = codeOf(message.error)
      },
      [ends]: (message: Message) => {
        const span = begun.get(message)
        if (span) this.#finish(span)
      },
    }
    return {
      subscribe: () => void channel.subscribe(subscribers),
      unsubscribe: () => void channel.unsubscribe(subscribers),
    }
  }

  /** Each try of a call to another system, also by `fetch`. */
  #requestsElsewhere(): Listener {
    const begun = new WeakMap<object, Span>()
    const over = (request: object, error?: unknown) => {
      const span = begun.get(request)
      if (span) this.#finish(span, error)
    }
    const subscribers: Record<string, (message: never) => void> = {
      create: ({ request }: { request: HttpRequest }) => {
        const span = this.#open(describeHttp, request, 0)
        if (span) begun.set(request, span)
      },
      headers: ({ request, response }: { request: object; response: { statusCode: number } }) => {
        const span = begun.get(request)
        if (span) span.status = response.statusCode
      },
      trailers: ({ request }: { request: object }) => over(request),
      error: ({ request, error }: { request: object; error: unknown }) => over(request, error),
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

function sizeOf({ name, path = '', spans }: DeveloperRecord): number {
  const sizes = spans.map(({ detail = '' }) => SPAN_BYTES + 2 * detail.length)
  return sizes.reduce((sum, size) => sum + size, RECORD_BYTES + name.length + path.length)
}

export type { Kept }

interface Listener {
  subscribe(): void
  unsubscribe(): void
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

const nothing = () => {}
const NOTHING = {
  start: nothing,
  end: nothing,
  asyncStart: nothing,
  asyncEnd: nothing,
  error: nothing,
}

/** What is told of something must not fail who asks for the rest. */
function quietly<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}

/** Not its message: that may have what is secret. */
export function codeOf(error: unknown): string {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown }
  return cut(String(code ?? name ?? typeof error))
}

function cut(text: string): string {
  return text.length > TEXT ? `${text.slice(0, TEXT)}…` : text
}

function describeRequest(request: FastifyRequest): About {
  const { method, url, id: requestId, routeOptions } = request
  const path = cut(quietly(() => shownPath(request)) ?? (url.split('?', 1)[0] as string))
  return { kind: 'request', name: `${method} ${routeOptions.url ?? path}`, path, requestId }
}

/** What it says that its body has: that is held until it is told. */
function sizeOfBody({ headers }: FastifyRequest): number {
  const { 'content-length': length } = headers
  return length === undefined ? 0 : Number(length) || 0
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

function describeCall(call: Call): Told {
  const { name, mode, task } = call
  const how = task ? ' (enqueue)' : mode === 'cached' ? '' : ` (${mode})`
  const detail = quietly(() => cut(JSON.stringify(shownInput(call))))
  return { kind: 'call', name: name + how, ...(detail !== undefined && { detail }) }
}

const describeStep = (name: string) => (): Told => ({ kind: 'step', name })

const DESCRIBE: Readonly<Record<StepName, Describe<Call>>> = {
  call: describeCall,
  authorize: describeStep('authorize'),
  precondition: describeStep('precondition'),
  perform: describeStep('perform'),
  check: describeStep('check'),
  cache(call) {
    const detail = quietly(() => cacheKey(call))
    return { kind: 'step', name: 'cache', ...(detail !== undefined && { detail }) }
  },
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

function describeSql(statement: string, quote: '`' | '"'): Told {
  const detail = redactSql(statement, quote)
  const [verb = 'SQL'] = /[a-z]+/i.exec(detail) ?? []
  return { kind: 'sql', name: verb.toUpperCase(), detail: cut(detail) }
}

const mysql = ({ query }: MysqlMessage): Told => describeSql(query, '`')
const sizeOfQuery = ({ query }: MysqlMessage): number => query.length
const sqlite = ({ sql }: SqlMessage): Told => describeSql(sql, '"')

/** Neither keys nor values: the id of a session is a key. */
function redis({ command = 'multi' }: RedisMessage): Told {
  return { kind: 'redis', name: command.toUpperCase() }
}

/** Without its query, which may have what is secret. */
function describeHttp({ method = 'GET', origin = '', path }: HttpRequest): Told {
  return { kind: 'upstream', name: method, detail: cut(`${origin}${path.split('?', 1)[0]}`) }
}
