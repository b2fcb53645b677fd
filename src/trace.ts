import { AsyncLocalStorage } from 'node:async_hooks'

/** Which trace work is of, and what stands in the header `traceparent` of what it asks others to do. */
export interface Trace {
  readonly traceId: string
  readonly traceparent: string
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Where the app traces; also of a request of which no spans are kept. */
    trace?: Trace | null
  }
}

/** The work under way of which spans are kept. Where nothing is traced there is none, and this costs nothing. */
export const activeTrace = new AsyncLocalStorage<Trace>()

/** Who is told of all work, and not only of what is in a trace of which spans are kept. */
export const watchers = new Set<object>()

/** What the header `traceparent` says. */
export interface TraceParent {
  readonly traceId: string
  readonly spanId: string
  readonly sampled: boolean
}

// W3C Trace Context, 3.2: version, trace id, parent id, flags. Version ff and ids of zeros alone are not valid; later versions may
// say more at the end.
const TRACEPARENT =
  /^(?!ff)[\da-f]{2}-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(?:(?<!^00.*)-.*)?$/

/** `undefined` where it says nothing, or nothing valid. */
export function parseTraceparent(header: unknown): TraceParent | undefined {
  if (typeof header !== 'string') return undefined
  const [, traceId, spanId, flags = '00'] = TRACEPARENT.exec(header) ?? []
  if (!traceId || !spanId) return undefined
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 }
}
