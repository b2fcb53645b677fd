import { tracingChannel } from 'node:diagnostics_channel'
import { constants, monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks'
import type { FastifyInstance, FastifyReply } from 'fastify'
/** @ts-ignore: there where it is installed */
import { Registry } from 'prom-client'
import { measurePlugins } from '../plugin-metrics.ts'
import { toPlinthError } from '../resource/failure.ts'
import type { Observer, TaskOutcome } from '../resource/observer.ts'
import type { UpstreamMessage } from '../upstream/client.ts'
import { type Family, gauge, Histogram, put, type Series, shared, writeText } from './families.ts'
import type { GroupMember, Place } from './group-metrics.ts'

// Seconds.
const ANSWERS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const TASKS = [0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600]
const COLLECTIONS = [0.001, 0.01, 0.1, 1]

/** Milliseconds that a number may take which somebody has to be asked for: what a Redis that hangs knows is left out. */
const LIMIT = 150

/** What a process counts of itself, and what it was asked to tell besides. */
export class Metrics {
  /** A registry of prom-client for those of the service: `new Counter({ …, registers: [app.telemetry.registry] })`. */
  readonly registry: Registry = new Registry()
  /** Where `manage` serves the text, beside the app; of a group its supervisor does. */
  readonly place: Place | undefined
  /** Told of requests, calls and tasks. */
  readonly observer: Observer
  readonly #app: FastifyInstance
  readonly #read: (() => readonly Family[])[] = []
  readonly #ends: (() => void)[] = []
  #group: GroupMember | undefined

  constructor(app: FastifyInstance, place?: Place) {
    this.#app = app
    this.place = place
    const { asked, answered, read } = countRequests()
    const calls = countCalls()
    const tasks = countTasks()
    this.observer = { asked, answered, called: calls.called, worked: tasks.worked }
    this.#read.push(read, calls.read, tasks.read, readProcess())
    for (const { read, end } of [countUpstream(), watchLoop(), watchCollections()]) {
      this.#read.push(read)
      this.#ends.push(end)
    }
  }

  /** In the form of Prometheus, of all processes of the group that this one is of. Who asks often gets the same for 100 ms. */
  readonly text: () => Promise<string> = shared(async () => {
    return (await this.#group?.sum()) ?? (await writeText(await this.families()))
  })

  /** Those of this process. */
  async families(): Promise<Family[]> {
    const own = this.#read.flatMap((read) => read())
    const measured = await measurePlugins(this.#app, LIMIT)
    const registered = await readRegistry(this.registry)
    const missing =
      registered.missing + measured.filter(({ problem }) => problem !== undefined).length
    const told = measured.map(({ shared, name, help, type, values }): Family => {
      return { name, help, type, aggregator: shared ? 'max' : 'sum', values }
    })
    return [
      ...own,
      ...told,
      gauge('telemetry_processes', 'Processes that are counted together', 1),
      gauge('telemetry_processes_missing', 'Those that did not tell theirs in time', 0),
      gauge('telemetry_metrics_missing', 'Metrics that could not be found out in time', missing),
      ...registered.families,
    ]
  }

  /** From now on the text is that of a group. */
  join(group: GroupMember): void {
    this.#group = group
  }

  async close(): Promise<void> {
    await this.#group?.leave()
    for (const end of this.#ends) end()
  }
}

/** What a registry knows; a metric that cannot be read takes no other with it. */
async function readRegistry(registry: Registry): Promise<{ families: Family[]; missing: number }> {
  const metrics = registry.getMetricsAsArray() as unknown as { get(): Promise<unknown> }[]
  const found = await Promise.allSettled(metrics.map(async (metric) => await metric.get()))
  const known = found.filter((one) => one.status === 'fulfilled')
  // It adds the labels that are those of all.
  const readable: Registry = Object.create(registry, {
    getMetricsAsArray: { value: () => known.map(({ value }) => ({ get: () => value })) },
  })
  const families = (await readable.getMetricsAsJSON()) as unknown as Family[]
  return { families, missing: found.length - known.length }
}

/** What `status` says of a request whose client has gone before it was answered. */
const ABORTED = 'aborted'

/** By method, route and status: never by what a client makes up. */
function countRequests(): Required<Pick<Observer, 'asked' | 'answered'>> & Pick<Watch, 'read'> {
  const durations = new Histogram(
    'http_request_duration_seconds',
    'How long requests took until they were answered',
    ANSWERS,
  )
  const known = new Map<object, Map<string, Series[]>>()
  let inFlight = 0
  return {
    asked: () => void inFlight++,
    answered(reply, status = 0) {
      inFlight--
      const { method, routeOptions } = reply.request
      // Once: each access makes an object.
      const { url: route = '', config } = routeOptions
      const byMethod = known.get(config) ?? put(known, config, new Map<string, Series[]>())
      const byStatus = byMethod.get(method) ?? put(byMethod, method, [])
      byStatus[status] ??= durations.add({ method, route, status: status || ABORTED })
      byStatus[status].observe(reply.elapsedTime / 1000)
    },
    read: () => [
      durations.read(),
      gauge('http_requests_in_flight', 'Requests that are being answered', inFlight),
    ],
  }
}

const STATE = Symbol('plinth.asked')
type Asked = FastifyReply & { [STATE]: boolean }

/** Tells of the requests of an app in which plinth/plugins/request-log does not. */
export function tellRequests(app: FastifyInstance, { asked, answered }: Observer): void {
  const end = (reply: Asked, status: number | undefined) => {
    if (!reply[STATE]) return
    reply[STATE] = false
    answered?.(reply, status)
  }
  app.decorateReply(STATE, false)
  app.addHook('onRequest', function beginRequest(_request, reply, done) {
    asked?.()
    ;(reply as Asked)[STATE] = true
    const { raw } = reply
    // Of a reply that was taken over there is no other sign.
    raw.on('close', () => end(reply as Asked, raw.writableFinished ? raw.statusCode : undefined))
    done()
  })
  app.addHook('onResponse', function endRequest(_request, reply, done) {
    end(reply as Asked, reply.statusCode)
    done()
  })
}

const MODES = ['cached', 'refresh', 'cacheless', 'enqueue', 'task']
const OUTCOMES = ['ok', 'refused', 'failed'] as const

/** Calls of resources, whichever way they come. */
function countCalls(): { called: Required<Observer>['called']; read: () => Family[] } {
  const durations = new Histogram(
    'resource_duration_seconds',
    'How long calls of resources took, by how they were called and what came of it',
    ANSWERS,
  )
  const known = new Map<string, Series[]>()
  return {
    called(call, began, error) {
      const { name, context, task } = call
      const mode = task ? 'enqueue' : context.task ? 'task' : call.mode
      const outcome = error === undefined ? 0 : isRefusal(error, context.app) ? 1 : 2
      const series = known.get(name) ?? put(known, name, [])
      const at = MODES.indexOf(mode) * OUTCOMES.length + outcome
      series[at] ??= durations.add({ resource: name, mode, outcome: OUTCOMES[outcome] as string })
      series[at].observe((performance.now() - began) / 1000)
    },
    read: () => [durations.read()],
  }
}

function isRefusal(error: unknown, app: FastifyInstance): boolean {
  return toPlinthError(error, app).statusCode < 500
}

/** Tries of tasks that this process has made. */
function countTasks(): { worked: Required<Observer>['worked']; read: () => Family[] } {
  const durations = new Histogram(
    'task_duration_seconds',
    'How long tries of tasks took, and what came of them',
    TASKS,
  )
  const waits = new Histogram(
    'task_wait_seconds',
    'How long tasks waited from when they could run until they did',
    TASKS,
  )
  const byResource = new Map<string, Map<TaskOutcome, Series>>()
  const byQueue = new Map<string, Series>()
  return {
    worked({ queue, resource, waited, took }, outcome) {
      const series = byResource.get(resource) ?? put(byResource, resource, new Map())
      const duration =
        series.get(outcome) ?? put(series, outcome, durations.add({ resource, outcome }))
      duration.observe(took / 1000)
      if (waited === undefined) return
      const wait = byQueue.get(queue) ?? put(byQueue, queue, waits.add({ queue }))
      wait.observe(waited / 1000)
    },
    read: () => [durations.read(), waits.read()],
  }
}

/** What has a beginning and an end. */
interface Watch {
  readonly read: () => readonly Family[]
  readonly end: () => void
}

/** Calls of other systems, tries and waiting included. */
function countUpstream(): Watch {
  const durations = new Histogram(
    'upstream_duration_seconds',
    'How long calls of other systems took, by their status or the code of their failure',
    ANSWERS,
  )
  const known = new Map<string, Map<string | number, Series>>()
  const began = new WeakMap<object, number>()
  const subscribers = {
    start: (message: UpstreamMessage) => void began.set(message, performance.now()),
    asyncEnd(message: UpstreamMessage) {
      const { api, result, error } = message
      const status = result?.status ?? (error as { code?: string })?.code ?? 'ended'
      const series = known.get(api) ?? put(known, api, new Map())
      const duration = series.get(status) ?? put(series, status, durations.add({ api, status }))
      duration.observe((performance.now() - (began.get(message) ?? 0)) / 1000)
    },
    end() {},
    asyncStart() {},
    error() {},
  }
  const channel = tracingChannel<unknown, UpstreamMessage>('plinth:upstream')
  channel.subscribe(subscribers)
  return { read: () => [durations.read()], end: () => void channel.unsubscribe(subscribers) }
}

/** Milliseconds between two looks at the event loop. */
const RESOLUTION = 20

/** How late the event loop is, and how busy, since the last time that it was asked. */
function watchLoop(): Watch {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION })
  delays.enable()
  let before = performance.eventLoopUtilization()
  const lateness = (percentile: number) => ({
    labels: { percentile },
    value: Math.max(0, delays.percentile(percentile) / 1e9 - RESOLUTION / 1000),
  })
  return {
    read() {
      const now = performance.eventLoopUtilization()
      const { utilization } = performance.eventLoopUtilization(now, before)
      before = now
      const values = [50, 99, 100].map(lateness)
      delays.reset()
      return [
        {
          name: 'nodejs_eventloop_lag_seconds',
          help: 'How late the event loop was; of several processes the latest',
          type: 'gauge',
          aggregator: 'max',
          values,
        },
        gauge(
          'nodejs_eventloop_utilization',
          'Which part of the time the event loop was busy; of several processes the mean',
          utilization,
          'average',
        ),
      ]
    },
    end: () => void delays.disable(),
  }
}

const KINDS: Readonly<Record<number, string>> = {
  [constants.NODE_PERFORMANCE_GC_MAJOR]: 'major',
  [constants.NODE_PERFORMANCE_GC_MINOR]: 'minor',
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL]: 'incremental',
  [constants.NODE_PERFORMANCE_GC_WEAKCB]: 'weakcb',
}

function watchCollections(): Watch {
  const durations = new Histogram(
    'nodejs_gc_duration_seconds',
    'How long collections of garbage took',
    COLLECTIONS,
  )
  const known = new Map<string, Series>()
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { duration, detail } = entry as typeof entry & { detail: { kind: number } }
      const kind = KINDS[detail.kind] ?? 'other'
      const series = known.get(kind) ?? put(known, kind, durations.add({ kind }))
      series.observe(duration / 1000)
    }
  })
  observer.observe({ entryTypes: ['gc'] })
  return { read: () => [durations.read()], end: () => observer.disconnect() }
}

function readProcess(): () => Family[] {
  const started = Date.now() / 1000 - process.uptime()
  let memory = { rss: 0, heapUsed: 0 }
  return () => {
    const { user, system } = process.cpuUsage()
    const cpu = { labels: {}, value: (user + system) / 1e6 }
    try {
      memory = process.memoryUsage()
    } catch {
      // Out of descriptors: that reads a file.
    }
    return [
      {
        name: 'process_cpu_seconds_total',
        help: 'Seconds of CPU',
        type: 'counter',
        values: [cpu],
      },
      gauge('process_resident_memory_bytes', 'Bytes of memory (RSS)', memory.rss),
      gauge('nodejs_heap_size_used_bytes', 'Bytes of the heap that are in use', memory.heapUsed),
      gauge('process_start_time_seconds', 'When the first began, since 1970', started, 'min'),
    ]
  }
}
