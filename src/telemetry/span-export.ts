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
import type { TracingOptions } from './tracing-options.ts'

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
