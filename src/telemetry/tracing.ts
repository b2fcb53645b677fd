import { tracingChannel } from 'node:diagnostics_channel'
import {
  type Attributes,
  type ContextManager,
  context,
  ROOT_CONTEXT,
  SamplingDecision,
  SpanKind,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources'
import { type Sampler, TracerProvider } from '@opentelemetry/sdk-trace'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { symbols } from 'pino'
import { currentContext } from '../resource/context.ts'
import { ending } from '../resource/execute.ts'
import type { Observer } from '../resource/observer.ts'
import type { TaskMessage } from '../resource/perform-task.ts'
import { thrownIn } from '../task/errors.ts'
import { activeTrace, parseTraceparent, type Trace, type TraceParent } from '../trace.ts'
import { type Listener, leafListeners } from './leaf-spans.ts'
import { contextOf, current, newId, Unkept, Work } from './span.ts'
import { createProcessor, createSampler } from './span-export.ts'
import type { ReadTracing } from './tracing-options.ts'

const NOTHING: Attributes = {}
const NONE: [] = []

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

  constructor(app: FastifyInstance, options: ReadTracing) {
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
      spanProcessors: [createProcessor(options, app.log)],
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
export function traceApp(app: FastifyInstance, options: ReadTracing): void {
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
      begun.get(message)?.fail(thrownIn(error))
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

const listeners: readonly Listener[] = [createTasks(), ...leafListeners]
