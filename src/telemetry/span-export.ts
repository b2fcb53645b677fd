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
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type ReadableSpan,
  type Sampler,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace'

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

/** Which traces are kept. */
export function createSampler({
  sampler = 'parentbased_always_on',
  ratio = 1,
}: TracingOptions): Sampler {
  const [, isParentBased, name] = /^(parentbased_)?(.*)$/.exec(sampler) ?? []
  const roots: Record<string, () => Sampler> = {
    always_on: () => new AlwaysOnSampler(),
    always_off: () => new AlwaysOffSampler(),
    traceidratio: () => new TraceIdRatioBasedSampler(ratio),
  }
  const root = (roots[name ?? ''] as () => Sampler)()
  return isParentBased ? new ParentBasedSampler({ root }) : root
}

/** Sends spans, in batches. */
export function createProcessor({
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
