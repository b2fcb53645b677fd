import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import Type, { type Static } from 'typebox'
import { count as countOf, milliseconds, PORT } from '../src/config/schema.ts'
import { secret } from '../src/config/secret.ts'
import { type Duration, TIMER, timeInWords, toMilliseconds } from '../src/duration.ts'
import { errors } from '../src/errors.ts'
import { found } from '../src/findings.ts'
import { giveContext } from '../src/http/request-context.ts'
import { definePlugin, type PluginContext, type PluginGiven } from '../src/plugin.ts'
import { assertFree, checkOptions, invalidOption, requirePackages } from '../src/plugin-guards.ts'
import { type AccessSettings, accessWithin, PUBLIC } from '../src/resource/access.ts'
import type { Observer } from '../src/resource/observer.ts'
import type { Place } from '../src/telemetry/group-metrics.ts'
import type { Metrics } from '../src/telemetry/metrics.ts'
import type { SamplerName, TracingOptions, TracingTls } from '../src/telemetry/tracing-options.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** What the process counts, where it does; `registry` is for metrics of the service's own. */
    telemetry?: Metrics
  }
}

declare module '../src/config/schema.ts' {
  interface KitConfig extends Env {}
}

const URL_OF_COLLECTOR = {
  format: 'uri',
  pattern: '^https?:',
  expected: 'http://localhost:4318',
  secret: 'password',
} as const

const PAIRS = {
  expected: 'name=value, with commas between several',
  pattern: '^\\s*[^=,\\s]+=[^,]*(,\\s*[^=,\\s]+=[^,]*)*$',
}

const pairs = (description: string) => Type.Optional(Type.String({ description, ...PAIRS }))

const file = (description: string) =>
  Type.Optional(Type.String({ description, expected: 'the path of a file', minLength: 1 }))

/** OpenTelemetry has all for traces alone, too. */
const OF_TRACES = 'The same of traces alone, which wins.'

const PROTOCOLS = ['http/protobuf', 'http/json'] as const
const COMPRESSIONS = ['gzip', 'none'] as const

/** How OpenTelemetry calls them. */
const SAMPLERS: readonly SamplerName[] = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
]

const env = Type.Object({
  METRICS: Type.Boolean({
    description:
      'Count what the process does, and serve it at /metrics, in the form of Prometheus.',
    default: false,
  }),
  METRICS_PORT: Type.Optional(
    Type.Integer({
      description: 'With METRICS: the port of HOST that serves it instead, and nothing else.',
      ...PORT,
    }),
  ),
  SLOW_CALL: milliseconds(
    'From how long on a call of a resource is logged, in ms; 0: never.',
    0,
    0,
  ),
  OTEL_EXPORTER_OTLP_ENDPOINT: Type.Optional(
    Type.String({
      description:
        'What takes spans by OTLP over HTTP, at /v1/traces; where neither this nor the next is set, nothing is traced.',
      ...URL_OF_COLLECTOR,
    }),
  ),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: Type.Optional(
    Type.String({ description: 'The same as a whole URL.', ...URL_OF_COLLECTOR }),
  ),
  OTEL_EXPORTER_OTLP_PROTOCOL: Type.Enum([...PROTOCOLS], {
    description: 'The form of what is sent there.',
    default: 'http/protobuf',
  }),
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: Type.Optional(
    Type.Enum([...PROTOCOLS], { description: OF_TRACES }),
  ),
  OTEL_EXPORTER_OTLP_HEADERS: secret(pairs('Headers that are sent with it.')),
  OTEL_EXPORTER_OTLP_TRACES_HEADERS: secret(
    pairs('Others with traces; of one that both have, this.'),
  ),
  OTEL_EXPORTER_OTLP_TIMEOUT: milliseconds('How long sending spans may take, in ms.', 10_000),
  OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: Type.Optional(
    milliseconds(OF_TRACES, { derived: 'that of the one before' }),
  ),
  OTEL_EXPORTER_OTLP_COMPRESSION: Type.Enum([...COMPRESSIONS], {
    description: 'How what is sent is made smaller.',
    default: 'none',
  }),
  OTEL_EXPORTER_OTLP_TRACES_COMPRESSION: Type.Optional(
    Type.Enum([...COMPRESSIONS], { description: OF_TRACES }),
  ),
  OTEL_EXPORTER_OTLP_CERTIFICATE: file(
    'By https: the authorities (PEM) one of which has to vouch for what takes spans.',
  ),
  OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE: file(OF_TRACES),
  OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: file('By https: who the service is there (PEM).'),
  OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE: file(OF_TRACES),
  OTEL_EXPORTER_OTLP_CLIENT_KEY: file('The private key of that (PEM).'),
  OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY: file(OF_TRACES),
  OTEL_SERVICE_NAME: Type.Optional(
    Type.String({
      description: 'What spans call the service; its name when not set.',
      minLength: 1,
    }),
  ),
  OTEL_RESOURCE_ATTRIBUTES: pairs('What else they say of it.'),
  OTEL_TRACES_SAMPLER: Type.Enum([...SAMPLERS], {
    description: 'Which traces are kept; parentbased: as whoever asks has decided.',
    default: 'parentbased_always_on',
  }),
  OTEL_TRACES_SAMPLER_ARG: Type.Number({
    description: 'With traceidratio: which part of the traces.',
    default: 1,
    minimum: 0,
    maximum: 1,
  }),
  OTEL_BSP_MAX_QUEUE_SIZE: countOf('How many spans wait to be sent; the others are lost.', 2048),
  OTEL_BSP_MAX_EXPORT_BATCH_SIZE: countOf('How many are sent at once.', 512),
  OTEL_BSP_SCHEDULE_DELAY: milliseconds('How long they wait at most for others, in ms.', 5000),
  OTEL_SDK_DISABLED: Type.Boolean({
    description: 'Trace nothing, whatever else is set.',
    default: false,
  }),
})
type Env = Static<typeof env>

export interface TelemetryOptions {
  /** Whether what the process does is counted; default false. */
  metrics?: boolean
  /** Where the app serves that; `false`: nowhere. Default `/metrics`. */
  path?: string | false
  /** Who may see it there; default: everybody. */
  access?: AccessSettings
  /** Where the commands of `manage` serve it instead. */
  place?: Place
  /** From how long on a call of a resource leaves a warning in the log: milliseconds, or a text like `'1s'`; 0: none does. Default 0. */
  slowCall?: Duration
  /** Where the spans of what the app does are sent; default: nothing is traced. */
  tracing?: TracingOptions
  /** Told of each request that was answered with 5xx, but for OVERLOADED, and each task that has failed for good. */
  onError?: Observer['failed']
}

/**
 * Counts what the process does (METRICS), traces it (OTEL_EXPORTER_OTLP_ENDPOINT), and tells what reports errors of them. What is off costs
 * nothing: no hook, no import. Register it before what is to be counted and traced.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE; PACKAGE_MISSING
 */
async function register(app: FastifyInstance, options: TelemetryOptions): Promise<void> {
  const read = checkOptions<TelemetryOptions>('telemetry', options, {
    metrics: 'flag?',
    path: 'route?',
    access: 'object?',
    place: 'object?',
    slowCall: 'time?',
    tracing: 'object?',
    onError: 'function?',
  })
  assertFree(app, 'telemetry', 'observer')
  const { slowCall = 0, tracing, onError } = read
  const observer: Observer = {}
  if (tracing) {
    assertTracing(tracing)
    if (tracing.tls) await assertTls(tracing.tls)
    const times = readTracingTimes(tracing)
    requirePackages('telemetry', TRACING)
    const { traceApp, tracedCall } = await import('../src/telemetry/tracing.ts')
    giveContext(app)
    traceApp(app, { ...tracing, ...times })
    observer.traced = tracedCall
  }
  const counted = options.metrics ? await count(app, options) : {}
  Object.assign(observer, counted)
  if (onError) observer.failed = guarded(app, onError)
  if (slowCall > 0) observer.called = warnOfSlow(slowCall, counted.called)
  if (Object.keys(observer).length > 0) app.decorate('observer', observer)
}

/** @throws {PlinthError} PLUGIN_OPTION_INVALID */
function assertTracing({ endpoint, compression, sampler, ratio = 1 }: TracingOptions): void {
  const refuse = (name: string, value: unknown, expected: string) =>
    invalidOption('telemetry', `tracing.${name}`, value, expected)
  if (!URL.canParse(endpoint)) throw refuse('endpoint', endpoint, 'http://localhost:4318/v1/traces')
  if (compression !== undefined && !COMPRESSIONS.includes(compression))
    throw refuse('compression', compression, COMPRESSIONS.join(' or '))
  if (sampler !== undefined && !SAMPLERS.includes(sampler))
    throw refuse('sampler', sampler, `one of ${SAMPLERS.join(', ')}`)
  if (!(ratio >= 0 && ratio <= 1)) throw refuse('ratio', ratio, 'a number from 0 to 1')
}

/**
 * Node.js tells none of it before the first spans are to be sent.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID
 */
async function assertTls(tls: TracingTls): Promise<void> {
  const { X509Certificate } = await import('node:crypto')
  const { createSecureContext } = await import('node:tls')
  const { ca, cert, key } = tls
  const refuse = (name: keyof TracingTls, expected: string) =>
    invalidOption('telemetry', `tracing.tls.${name}`, tls[name], expected)
  try {
    if (ca !== undefined) new X509Certificate(ca)
  } catch {
    throw refuse('ca', 'certificates as PEM (OTEL_EXPORTER_OTLP_CERTIFICATE)')
  }
  if (cert === undefined && key === undefined) return
  const both =
    'cert and its key as PEM (OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE, OTEL_EXPORTER_OTLP_CLIENT_KEY)'
  if (cert === undefined) throw refuse('cert', both)
  if (key === undefined) throw refuse('key', both)
  try {
    createSecureContext({ cert, key })
  } catch {
    throw refuse('key', both)
  }
}

/** @throws {PlinthError} PLUGIN_OPTION_INVALID */
function readTracingTimes({ timeout = 10_000, queue = {} }: TracingOptions) {
  const read = (name: string, value: Duration) =>
    toMilliseconds(value, name, TIMER, () =>
      invalidOption('telemetry', `tracing.${name}`, value, timeInWords(TIMER)),
    )
  const { size = 2048, batch = 512, delay = 5000 } = queue
  return {
    timeout: read('timeout', timeout),
    queue: { size, batch, delay: read('queue.delay', delay) },
  }
}

const TRACING = [
  '@opentelemetry/api',
  '@opentelemetry/otlp-exporter-base',
  '@opentelemetry/otlp-transformer',
  '@opentelemetry/resources',
  '@opentelemetry/sdk-trace',
]

/** Counts, and serves what was counted. */
async function count(
  app: FastifyInstance,
  { path = '/metrics', access = {}, place }: TelemetryOptions,
): Promise<Observer> {
  assertFree(app, 'telemetry', 'telemetry')
  requirePackages('telemetry', ['prom-client'])
  const { Metrics, tellRequests } = await import('../src/telemetry/metrics.ts')
  const { TEXT_TYPE } = await import('../src/telemetry/families.ts')
  const { default: cluster } = await import('node:cluster')
  const { GROUP } = await import('../src/process/group.ts')
  // Of `manage serve --workers`: when it listens the process forgets that.
  const isMember = cluster.isWorker && process.env[GROUP] !== undefined
  const metrics = new Metrics(app, isMember ? undefined : place)
  app.decorate('telemetry', metrics)
  // That plugin sees each request once as it is, where there is a logger.
  if (!app.hasPlugin('request-log') || app.log.level === undefined)
    tellRequests(app, metrics.observer)
  if (isMember) {
    const { joinGroup } = await import('../src/telemetry/group-metrics.ts')
    app.addHook('onListen', async () => {
      metrics.join(joinGroup(() => metrics.families(), place))
    })
  }
  app.addHook('onClose', () => metrics.close())
  if (path && !place) {
    const decided = accessWithin(PUBLIC, access, `GET ${path}`) ?? PUBLIC
    const config = { kit: 'metrics', access: decided } as const
    app.get(path, { config, schema: { hide: true } as never }, async (_request, reply) => {
      reply.type(TEXT_TYPE).header('cache-control', 'no-store')
      return await metrics.text()
    })
  }
  return metrics.observer
}

/** Warns of a call that has taken as long, beside what else is told of it. */
function warnOfSlow(limit: number, called: Observer['called']): NonNullable<Observer['called']> {
  return (call, began, error) => {
    called?.(call, began, error)
    const took = performance.now() - began
    if (took < limit) return
    const { name: resource, mode, context } = call
    context.log.warn({ resource, mode, duration_ms: Math.round(took) }, 'slow call')
  }
}

/** What it throws, or rejects with, is no reason to fail anything else. */
function guarded(
  { log }: FastifyInstance,
  onError: NonNullable<Observer['failed']>,
): NonNullable<Observer['failed']> {
  const tell = (err: unknown) => log.error({ err }, 'onError of the service has failed itself')
  return (error, place) => {
    try {
      // It may be async.
      Promise.resolve(onError(error, place) as unknown).catch(tell)
    } catch (err) {
      tell(err)
    }
  }
}

function tracingOf(
  env: Env,
  { name, version = '0.0.0' }: PluginGiven['service'],
): Pick<TelemetryOptions, 'tracing'> {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: base } = env
  const ownPath = base && `${base.replace(/\/$/, '')}/v1/traces`
  const endpoint = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? ownPath
  if (endpoint === undefined || env.OTEL_SDK_DISABLED) return {}
  return {
    tracing: {
      endpoint,
      protocol: env.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL ?? env.OTEL_EXPORTER_OTLP_PROTOCOL,
      headers: {
        ...readPairs(env.OTEL_EXPORTER_OTLP_HEADERS),
        ...readPairs(env.OTEL_EXPORTER_OTLP_TRACES_HEADERS),
      },
      timeout: env.OTEL_EXPORTER_OTLP_TRACES_TIMEOUT ?? env.OTEL_EXPORTER_OTLP_TIMEOUT,
      compression: env.OTEL_EXPORTER_OTLP_TRACES_COMPRESSION ?? env.OTEL_EXPORTER_OTLP_COMPRESSION,
      ...tlsOf(env),
      sampler: env.OTEL_TRACES_SAMPLER satisfies SamplerName,
      ratio: env.OTEL_TRACES_SAMPLER_ARG,
      attributes: {
        'service.version': version,
        'service.name': name,
        ...readPairs(env.OTEL_RESOURCE_ATTRIBUTES),
        ...(env.OTEL_SERVICE_NAME !== undefined && { 'service.name': env.OTEL_SERVICE_NAME }),
      },
      queue: {
        size: env.OTEL_BSP_MAX_QUEUE_SIZE,
        batch: env.OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
        delay: env.OTEL_BSP_SCHEDULE_DELAY,
      },
    },
  }
}

/** @throws {PlinthError} CONFIG_INVALID: a file cannot be read */
function tlsOf(env: Env): Pick<TracingOptions, 'tls'> {
  const ca = readPem(env, 'CERTIFICATE')
  const cert = readPem(env, 'CLIENT_CERTIFICATE')
  const key = readPem(env, 'CLIENT_KEY')
  const tls = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) }
  return Object.keys(tls).length > 0 ? { tls } : {}
}

function readPem(env: Env, name: 'CERTIFICATE' | 'CLIENT_CERTIFICATE' | 'CLIENT_KEY') {
  const ofTraces = `OTEL_EXPORTER_OTLP_TRACES_${name}` as const
  const variable = env[ofTraces] === undefined ? (`OTEL_EXPORTER_OTLP_${name}` as const) : ofTraces
  const path = env[variable]
  if (path === undefined) return undefined
  try {
    return readFileSync(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw errors.CONFIG_INVALID(`  ${variable}: ${path} cannot be read (${code})`)
  }
}

/** `a=b,c=d`, in which the values may be percent-encoded. */
function readPairs(text = ''): Record<string, string> {
  const pairs = text.split(',').flatMap((pair) => {
    const [, name, value = ''] = /^\s*([^=\s]+)=(.*)$/.exec(pair) ?? []
    return name ? [[name, decode(value.trim())] as const] : []
  })
  return Object.fromEntries(pairs)
}

function decode(value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}

export default definePlugin({
  name: 'telemetry',
  env,
  after: ['config', 'request-log'],
  decorators: ['telemetry', 'observer'],
  checks: [
    (app, { options, production }: PluginContext & { readonly production: boolean }) => {
      const { metrics, path, access, place } = options as TelemetryOptions
      const isOpen = app.hasDecorator('telemetry') && metrics && path !== false && !place && !access
      const message =
        'METRICS is on: anybody can read /metrics; set METRICS_PORT, or auth: { routes: { metrics: … } }'
      return production && isOpen ? [found('metrics-open', message)] : []
    },
  ],
  options({ env, read, service }: PluginGiven<Env>): TelemetryOptions {
    const { METRICS: metrics, METRICS_PORT: port } = env
    const { metrics: path } = service.routes ?? {}
    const access = service.auth && service.auth !== true && service.auth.routes?.metrics
    return {
      metrics,
      slowCall: env.SLOW_CALL,
      ...(path !== undefined && { path }),
      ...(access && { access }),
      ...(port !== undefined && { place: { host: read.values.HOST, port } }),
      ...tracingOf(env, service),
    }
  },
  register,
})
