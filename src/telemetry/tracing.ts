import { randomFillSync } from 'node:crypto'
import { tracingChannel, channel as untypedChannel } from 'node:diagnostics_channel'
import {
  type Attributes,
  type ContextManager,
  context,
  type Context as OtelContext,
  ROOT_CONTEXT,
  SamplingDecision,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import { OTLPExporterBase } from '@opentelemetry/otlp-exporter-base'
import {
  createOtlpHttpExportDelegate,
  httpAgentFactoryFromOptions,
} from '@opentelemetry/otlp-exporter-base/node-http'
import {
  JsonTraceSerializer,
  ProtobufTraceSerializer,
  TraceExporterMetricsHelper,
} from '@opentelemetry/otlp-transformer'
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources'
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type ReadableSpan,
  type Sampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { symbols } from 'pino'
import type { SqlMessage } from '../database/sqlite/connection.ts'
import { currentContext } from '../resource/context.ts'
import { ending } from '../resource/execute.ts'
import type { Observer } from '../resource/observer.ts'
import type { TaskMessage } from '../resource/perform-task.ts'
import { TaskFinal } from '../task/errors.ts'
import { activeTrace, parseTraceparent, type Trace, type TraceParent } from '../trace.ts'
import { redactSql } from './redact-sql.ts'

/** How OpenTelemetry calls them. */
export type SamplerName =
  | 'always_on'
  | 'always_off'
  | 'traceidratio'
  | 'parentbased_always_on'
  | 'parentbased_always_off'
  | 'parentbased_traceidratio'

export interface TracingOptions {
  /** What takes spans by OTLP: the whole URL, `http://localhost:4318/v1/traces`. */
  endpoint: string
  /** Default `http/protobuf`. */
  protocol?: 'http/protobuf' | 'http/json'
  /** Sent with each batch: who this is. */
  headers?: Readonly<Record<string, string>>
  /** Milliseconds that sending a batch may take, all tries together; default 10,000. */
  timeout?: number
  /** Which traces are kept; default `parentbased_always_on`. */
  sampler?: SamplerName
  /** Of those with a ratio: the part of traces that is kept, 0 to 1; default 1. */
  ratio?: number
  /** What the spans are of: `service.name`, `service.version` and others. */
  attributes?: Readonly<Record<string, string>>
  /** How many spans wait at most, the others are lost; how many are sent at once, and how many ms they wait at most for that. */
  queue?: { readonly size?: number; readonly batch?: number; readonly delay?: number }
}

/** Milliseconds that spans may take to be sent when the app closes. */
const FLUSH_LIMIT = 2000

/** The traces of one app. */
class AppTracing {
  readonly tracer: Tracer
  readonly #app: FastifyInstance
  readonly #sampler: Sampler
  readonly #provider: TracerProvider
  /** Another SDK may be there for the code that uses the API: that stays. */
  readonly #isGlobal: boolean
  #given: string | undefined

  constructor(app: FastifyInstance, options: TracingOptions) {
    this.#app = app
    this.#sampler = createSampler(options)
    this.#provider = new TracerProvider({
      sampler: this.#sampler,
      // That of a request is known before its span is made.
      idGenerator: {
        generateTraceId: () => this.#given ?? newId(16),
        generateSpanId: () => newId(8),
      },
      resource: defaultResource().merge(resourceFromAttributes({ ...options.attributes })),
      spanProcessors: [createProcessor(options)],
    })
    this.tracer = this.#provider.getTracer('plinth')
    this.#isGlobal = trace.setGlobalTracerProvider(this.#provider)
    if (this.#isGlobal) context.setGlobalContextManager(manager)
  }

  /** Whether spans of a trace are kept. */
  keeps(traceId: string, parent: TraceParent | undefined, kind: SpanKind): boolean {
    const around = contextOf(parent)
    // None of the standard samplers looks at the name.
    const { decision } = this.#sampler.shouldSample(around, traceId, '', kind, NOTHING, NONE)
    return decision === SamplingDecision.RECORD_AND_SAMPLED
  }

  /** Begins the first span of this process in a trace that it keeps. */
  begin(
    traceId: string,
    parent: TraceParent | undefined,
    name: string,
    kind: SpanKind,
    attributes: Attributes,
  ): Work {
    const around = contextOf(parent)
    this.#given = traceId
    const span = this.tracer.startSpan(name, { kind, attributes }, around)
    this.#given = undefined
    return new Work(this.tracer, span, trace.setSpan(around, span))
  }

  isOf(app: FastifyInstance): boolean {
    return app.server === this.#app.server
  }

  async close(): Promise<void> {
    if (this.#isGlobal) {
      trace.disable()
      context.disable()
    }
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, FLUSH_LIMIT)
    })
    // What cannot be sent is lost.
    await Promise.race([this.#provider.shutdown().catch(() => {}), late])
    clearTimeout(timer)
  }
}

function createSampler({ sampler = 'parentbased_always_on', ratio = 1 }: TracingOptions): Sampler {
  const [, isParentBased, name] = /^(parentbased_)?(.*)$/.exec(sampler) ?? []
  const roots: Record<string, () => Sampler> = {
    always_on: () => new AlwaysOnSampler(),
    always_off: () => new AlwaysOffSampler(),
    traceidratio: () => new TraceIdRatioBasedSampler(ratio),
  }
  const root = (roots[name ?? ''] as () => Sampler)()
  return isParentBased ? new ParentBasedSampler({ root }) : root
}

function createProcessor({
  endpoint: url,
  protocol,
  headers,
  timeout = 10_000,
  queue = {},
}: TracingOptions): BatchSpanProcessor {
  const isJson = protocol === 'http/json'
  const type = isJson ? 'application/json' : 'application/x-protobuf'
  const delegate = createOtlpHttpExportDelegate<ReadableSpan[], unknown>(
    {
      url,
      headers: async () => ({ ...headers, 'Content-Type': type }),
      timeoutMillis: timeout,
      compression: 'none',
      concurrencyLimit: 4,
      agentFactory: httpAgentFactoryFromOptions({ keepAlive: true }),
    } as Parameters<typeof createOtlpHttpExportDelegate>[0],
    isJson ? JsonTraceSerializer : ProtobufTraceSerializer,
    'otlp_http_span_exporter',
    TraceExporterMetricsHelper,
    undefined,
  )
  const { size = 2048, batch = 512, delay = 5000 } = queue
  return new BatchSpanProcessor({
    exporter: new OTLPExporterBase(delegate),
    maxQueueSize: size,
    maxExportBatchSize: Math.min(batch, size),
    scheduledDelayMillis: delay,
    exportTimeoutMillis: timeout,
  })
}

const NOTHING: Attributes = {}
const NONE: [] = []

function contextOf(parent: TraceParent | undefined): OtelContext {
  if (!parent) return ROOT_CONTEXT
  const { traceId, spanId, sampled } = parent
  const traceFlags = sampled ? TraceFlags.SAMPLED : TraceFlags.NONE
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true })
}

/** A span under way, for what is done within it. */
class Work implements Trace {
  readonly tracer: Tracer
  readonly span: Span
  readonly around: OtelContext

  constructor(tracer: Tracer, span: Span, around: OtelContext) {
    this.tracer = tracer
    this.span = span
    this.around = around
  }

  get traceId(): string {
    return this.span.spanContext().traceId
  }

  get traceparent(): string {
    const { traceId, spanId } = this.span.spanContext()
    return `00-${traceId}-${spanId}-01`
  }

  child(name: string, kind: SpanKind, attributes: Attributes): Work {
    const span = this.tracer.startSpan(name, { kind, attributes }, this.around)
    return new Work(this.tracer, span, trace.setSpan(this.around, span))
  }

  fail(error: unknown): void {
    const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown }
    const type = String(code ?? name ?? typeof error)
    // Not its message: that may have what nobody else is to know.
    this.span.setStatus({ code: SpanStatusCode.ERROR, message: type })
    this.span.setAttribute('error.type', type)
  }
}

/** The trace of a request of which no spans are kept: what it asks of others is not kept either. */
class Unkept implements Trace {
  readonly traceId: string
  readonly #parent: TraceParent | undefined
  #spanId: string | undefined

  constructor(traceId: string, parent: TraceParent | undefined) {
    this.traceId = traceId
    this.#parent = parent
  }

  get spanId(): string {
    this.#spanId ??= this.#parent?.spanId ?? newId(8)
    return this.#spanId
  }

  get traceparent(): string {
    return `00-${this.traceId}-${this.spanId}-00`
  }
}

const POOL = Buffer.alloc(4096)
let used = POOL.length

/** So many random bytes, as hexadecimal digits. */
function newId(bytes: 8 | 16): string {
  if (used + bytes > POOL.length) {
    randomFillSync(POOL)
    used = 0
  }
  used += bytes
  return POOL.toString('hex', used - bytes, used)
}

/** What code sees that uses the API of OpenTelemetry. */
const manager: ContextManager = {
  active() {
    const work = activeTrace.getStore()
    if (work instanceof Work) return work.around
    const unkept = currentContext()?.request?.trace
    if (!(unkept instanceof Unkept)) return ROOT_CONTEXT
    const { traceId, spanId } = unkept
    return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: TraceFlags.NONE })
  },
  with(around, work, self, ...args) {
    const span = trace.getSpan(around)
    const now = activeTrace.getStore()
    const tracer = now instanceof Work ? now.tracer : trace.getTracer('plinth')
    const store = span?.isRecording() ? new Work(tracer, span, around) : undefined
    return activeTrace.run(store as Trace, () => work.call(self as never, ...args))
  },
  bind(around, target) {
    if (typeof target !== 'function') return target
    const bound = (...args: unknown[]) => manager.with(around, target as never, undefined, ...args)
    return bound as never
  },
  enable: () => manager,
  disable: () => manager,
}

/** The apps of this process that trace: its channels are those of all. */
const apps = new Set<AppTracing>()

/**
 * Traces what `app` does: its requests and tasks, and within them calls of resources, statements, commands of Redis and calls of
 * other systems. Of a trace that is not kept nothing but that is remembered.
 */
export function traceApp(app: FastifyInstance, options: TracingOptions): void {
  const tracing = new AppTracing(app, options)
  if (apps.size === 0) for (const listener of listeners) listener.subscribe()
  apps.add(tracing)
  traceRequests(app, tracing)
  tellInLog(app)
  app.addHook('onClose', async () => {
    apps.delete(tracing)
    if (apps.size === 0) for (const listener of listeners) listener.unsubscribe()
    await tracing.close()
  })
}

/** Of which of the kit's own routes no spans are kept. */
const ASKING = new Set<unknown>(['developer', 'health', 'metrics'])

function traceRequests(app: FastifyInstance, tracing: AppTracing): void {
  const end = (reply: FastifyReply, status: number | undefined) => {
    const { trace: work } = reply.request
    if (!(work instanceof Work) || !work.span.isRecording()) return
    if (status === undefined) work.fail({ code: 'aborted' })
    else {
      work.span.setAttribute('http.response.status_code', status)
      if (status >= 500) work.fail({ code: String(status) })
    }
    work.span.end()
  }
  app.decorateRequest('trace', null)
  app.addHook('onRequest', function beginTrace(request, reply, done) {
    const parent = parseTraceparent(request.headers.traceparent)
    const traceId = parent?.traceId ?? newId(16)
    if (!tracing.keeps(traceId, parent, SpanKind.SERVER)) {
      request.trace = new Unkept(traceId, parent)
      return done()
    }
    const { method } = request
    const { url: route, config } = request.routeOptions
    // Whoever looks after the process asks all the time.
    if (ASKING.has(config.kit)) {
      request.trace = new Unkept(traceId, parent)
      return done()
    }
    const name = route === undefined ? method : `${method} ${route}`
    const work = tracing.begin(traceId, parent, name, SpanKind.SERVER, {
      'http.request.method': method,
      ...(route !== undefined && { 'http.route': route }),
      // Not its query, which may have what is secret.
      'url.path': request.url.split('?', 1)[0] as string,
      'plinth.request_id': request.id,
    })
    request.trace = work
    const { raw } = reply
    raw.on('close', () => end(reply, raw.writableFinished ? raw.statusCode : undefined))
    activeTrace.run(work, done)
  })
  // What reads a body goes on outside of it.
  app.addHook('preValidation', function resumeTrace(request, _reply, done) {
    const { trace: work } = request
    if (work instanceof Work) activeTrace.run(work, done)
    else done()
  })
  app.addHook('onResponse', function endTrace(_request, reply, done) {
    end(reply, reply.statusCode)
    done()
  })
}

/** Each line of the log tells its trace. */
function tellInLog({ log }: FastifyInstance): void {
  const { mixinSym } = symbols as unknown as { mixinSym: symbol }
  // Fastify's own that logs nothing is none of pino's.
  if (log.level === undefined) return
  const known = (log as never as Record<symbol, unknown>)[mixinSym] as
    | ((...args: unknown[]) => object)
    | undefined
  const mixin = (...args: unknown[]): object => {
    const { traceId: trace_id } = activeTrace.getStore() ?? currentContext()?.request?.trace ?? {}
    return { ...known?.(...args), ...(trace_id && { trace_id }) }
  }
  Object.assign(log, { [mixinSym]: mixin })
}

/** A task continues the trace of the call that has enqueued it. */
function createTasks(): Listener {
  const channel = tracingChannel<unknown, TaskMessage>('plinth:task')
  const begun = new WeakMap<TaskMessage, Work>()
  const begin = (message: TaskMessage): Trace => {
    const { app, run } = message
    const parent = parseTraceparent(run.data.traceparent)
    const tracing = [...apps].find((one) => one.isOf(app))
    const traceId = parent?.traceId ?? newId(16)
    // Nothing is under way that is traced.
    if (!tracing?.keeps(traceId, parent, SpanKind.CONSUMER)) return undefined as never
    const { resource, requestId } = run.data
    const work = tracing.begin(traceId, parent, `task ${resource}`, SpanKind.CONSUMER, {
      'plinth.resource': resource,
      'plinth.task_id': run.id,
      'plinth.task_attempt': run.attempt,
      'plinth.request_id': requestId,
    })
    begun.set(message, work)
    return work
  }
  const subscribers = {
    start() {},
    end() {},
    asyncStart(message: TaskMessage) {
      const work = begun.get(message)
      if (!work) return
      work.span.end()
    },
    asyncEnd() {},
    error(message: TaskMessage) {
      const { error } = message
      begun.get(message)?.fail(error instanceof TaskFinal ? error.cause : error)
    },
  }
  return {
    subscribe() {
      channel.start.bindStore(activeTrace, begin)
      channel.subscribe(subscribers)
    },
    unsubscribe() {
      channel.unsubscribe(subscribers)
      channel.start.unbindStore(activeTrace)
    },
  }
}

/** What is under way; not what has ended: connections and timers that were made within it live on. */
function current(): Work | undefined {
  const work = activeTrace.getStore()
  return work instanceof Work && work.span.isRecording() ? work : undefined
}

/** What is begun within a span. */
interface Listener {
  subscribe(): void
  unsubscribe(): void
}

/** Does the work of a call of a resource in a span of its own: what it does is within that. */
export const tracedCall: NonNullable<Observer['traced']> = ({ name, mode, task }, work) => {
  const around = current()
  if (!around) return work()
  const attributes = { 'plinth.resource': name, 'plinth.mode': task ? 'enqueue' : mode }
  const own = around.child(name, task ? SpanKind.PRODUCER : SpanKind.INTERNAL, attributes)
  return ending(
    () => activeTrace.run(own, work),
    (error) => {
      if (error !== undefined) own.fail(error)
      own.span.end()
    },
  )
}

/** What has nothing within it. */
function leaves<Message extends { error?: unknown }>(
  name: string,
  ends: 'end' | 'asyncStart',
  describe: (message: Message) => { name: string; attributes: Attributes } | undefined,
): Listener {
  const channel = tracingChannel<unknown, Message>(name)
  const begun = new WeakMap<object, Work>()
  const end = (message: Message) => void begun.get(message)?.span.end()
  const nothing = () => {}
  const subscribers = {
    start(message: Message) {
      const around = current()
      if (!around) return
      const told = describe(message)
      if (told) begun.set(message, around.child(told.name, SpanKind.CLIENT, told.attributes))
    },
    end: ends === 'end' ? end : nothing,
    asyncStart: ends === 'asyncStart' ? end : nothing,
    asyncEnd: nothing,
    error: (message: Message) => void begun.get(message)?.fail(message.error),
  }
  return {
    subscribe: () => void channel.subscribe(subscribers),
    unsubscribe: () => void channel.unsubscribe(subscribers),
  }
}

interface MysqlMessage {
  readonly query: string
  readonly database: string
  readonly serverAddress: string
  readonly serverPort?: number
  readonly error?: unknown
}

function mysql({ query, database, serverAddress, serverPort }: MysqlMessage) {
  const { name, attributes } = statement('mysql', query)
  attributes['db.namespace'] = database
  attributes['server.address'] = serverAddress
  if (serverPort !== undefined) attributes['server.port'] = serverPort
  return { name, attributes }
}

function statement(system: 'mysql' | 'sqlite', sql: string) {
  const text = redactSql(sql, system === 'mysql' ? '`' : '"')
  const [verb = 'SQL'] = /[a-z]+/i.exec(text) ?? []
  const attributes: Attributes = { 'db.system.name': system, 'db.query.text': text }
  return { name: verb.toUpperCase(), attributes }
}

interface RedisMessage {
  readonly command?: string
  readonly batchSize?: number
  readonly serverAddress: string
  readonly error?: unknown
}

/** What a connection does for itself when it is made, which may be while something asks for it. */
const OWN = new Set<unknown>(['auth', 'client', 'hello', 'info', 'readonly', 'select'])

/** Neither keys nor values: the id of a session is a key. */
function redis({ command, batchSize, serverAddress }: RedisMessage) {
  if (OWN.has(command)) return undefined
  const attributes: Attributes = { 'db.system.name': 'redis', 'server.address': serverAddress }
  if (batchSize !== undefined) attributes['db.operation.batch.size'] = batchSize
  return { name: command?.toUpperCase() ?? 'MULTI', attributes }
}

/** As undici tells of it: that of Node.js, `fetch`, too. */
interface HttpRequest {
  readonly origin?: string | URL
  readonly method?: string
  readonly path: string
  readonly headers: unknown
  addHeader?(name: string, value: string): void
}

/** Requests to other systems, each try by itself. Who is asked continues the trace. */
function upstream(): Listener {
  const begun = new WeakMap<HttpRequest, Work>()
  const subscribers: Record<string, (message: never) => void> = {
    create({ request }: { request: HttpRequest }) {
      const around = current()
      if (!around) return
      const { method = 'GET', origin = '', path } = request
      const work = around.child(method, SpanKind.CLIENT, {
        'http.request.method': method,
        'url.full': `${origin}${path.split('?', 1)[0]}`,
      })
      begun.set(request, work)
      setHeader(request, 'traceparent', work.traceparent)
    },
    headers({ request, response }: { request: HttpRequest; response: { statusCode: number } }) {
      const work = begun.get(request)
      work?.span.setAttribute('http.response.status_code', response.statusCode)
      if (response.statusCode >= 400) work?.fail({ code: String(response.statusCode) })
    },
    trailers: ({ request }: { request: HttpRequest }) => void begun.get(request)?.span.end(),
    error({ request, error }: { request: HttpRequest; error: unknown }) {
      const work = begun.get(request)
      work?.fail(error)
      work?.span.end()
    },
  }
  const all = Object.entries(subscribers).map(
    ([name, subscriber]) => [untypedChannel(`undici:request:${name}`), subscriber] as const,
  )
  return {
    subscribe() {
      for (const [channel, subscriber] of all) channel.subscribe(subscriber as never)
    },
    unsubscribe() {
      for (const [channel, subscriber] of all) channel.unsubscribe(subscriber as never)
    },
  }
}

/** In place of one that is there: of the span around this one. */
function setHeader(request: HttpRequest, name: string, value: string): void {
  const { headers } = request
  const at = Array.isArray(headers) ? headers.indexOf(name) : -1
  if (at >= 0 && at % 2 === 0) (headers as string[])[at + 1] = value
  else request.addHeader?.(name, value)
}

/** What is listened to while an app traces. Of what is done in no trace that is kept only that is looked at. */
const listeners: readonly Listener[] = [
  createTasks(),
  leaves<MysqlMessage>('mysql2:query', 'asyncStart', mysql),
  leaves<MysqlMessage>('mysql2:execute', 'asyncStart', mysql),
  leaves<SqlMessage>('plinth:sqlite', 'end', ({ sql }) => statement('sqlite', sql)),
  leaves<RedisMessage>('ioredis:command', 'asyncStart', redis),
  leaves<RedisMessage>('ioredis:batch', 'asyncStart', redis),
  upstream(),
]
