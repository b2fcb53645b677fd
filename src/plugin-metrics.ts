import type { FastifyInstance } from 'fastify'
import { whenLate } from './deadlines.ts'

export type MetricValue =
  | number
  | readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[]

/** What is told of a metric beside its value. */
interface About {
  /** With that of the use of a plugin before it: `sms_sent_total`. */
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge'
  readonly shared?: boolean
}

/** A metric, and what it is now. */
export interface Measured extends About {
  readonly values: Exclude<MetricValue, number>
  /** Why it is not known; it has no values then. */
  readonly problem?: unknown
}

type Measure = (limit: number) => Promise<Measured>

/** Those of the plugins of an app, which are the same in all of its contexts. */
const measuresOf = new WeakMap<object, Measure[]>()

/** Adds a metric to those of an app. @param collect tells what it is now */
export function addMetric(
  { server }: FastifyInstance,
  metric: About,
  collect: () => MetricValue | Promise<MetricValue>,
): void {
  const measures = measuresOf.get(server) ?? []
  measures.push(createMeasure(metric, collect))
  measuresOf.set(server, measures)
}

/**
 * The metrics of all plugins of an app, asked at once.
 *
 * @param limit milliseconds that one of them may take
 */
export function measurePlugins({ server }: FastifyInstance, limit: number): Promise<Measured[]> {
  return Promise.all((measuresOf.get(server) ?? []).map((measure) => measure(limit)))
}

/** What asks for a metric; not while it is still waited for since the last time: nothing piles up. */
function createMeasure(
  { name, help, type, shared }: About,
  collect: () => MetricValue | Promise<MetricValue>,
): Measure {
  const metric = { name, help, type, ...(shared && { shared }) }
  let isAsked = false
  const ask = async () => {
    isAsked = true
    try {
      return await collect()
    } finally {
      isAsked = false
    }
  }
  return async (limit) => {
    if (isAsked) return { ...metric, values: [], problem: new Error('it is still waited for') }
    const late = Promise.withResolvers<never>()
    const inTime = whenLate(limit, () => late.reject(new Error(`it took over ${limit} ms`)))
    const asked = ask()
    try {
      const value = await Promise.race([asked, late.promise])
      return { ...metric, values: typeof value === 'number' ? [{ labels: {}, value }] : value }
    } catch (problem) {
      // What it comes to later is of no interest.
      asked.catch(() => {})
      return { ...metric, values: [], problem }
    } finally {
      inTime()
    }
  }
}
