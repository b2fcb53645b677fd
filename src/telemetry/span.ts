import { randomFillSync } from 'node:crypto'
import {
  type Attributes,
  type Context as OtelContext,
  ROOT_CONTEXT,
  type Span,
  type SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import { activeTrace, type Trace, type TraceParent } from '../trace.ts'

// What is known of a trace while something is done within it.

/** A span under way, for what is done within it. */
export class Work implements Trace {
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
export class Unkept implements Trace {
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
export function newId(bytes: 8 | 16): string {
  if (used + bytes > POOL.length) {
    randomFillSync(POOL)
    used = 0
  }
  used += bytes
  return POOL.toString('hex', used - bytes, used)
}

export function contextOf(parent: TraceParent | undefined): OtelContext {
  if (!parent) return ROOT_CONTEXT
  const { traceId, spanId, sampled } = parent
  const traceFlags = sampled ? TraceFlags.SAMPLED : TraceFlags.NONE
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true })
}

/** What is under way; not what has ended: connections and timers that were made within it live on. */
export function current(): Work | undefined {
  const work = activeTrace.getStore()
  return work instanceof Work && work.span.isRecording() ? work : undefined
}
