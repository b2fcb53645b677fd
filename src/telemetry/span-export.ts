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
import type { FastifyBaseLogger } from 'fastify'
import type { ReadTracing } from './tracing-options.ts'

/** Which traces are kept. */
export function createSampler({
  sampler = 'parentbased_always_on',
  ratio = 1,
}: ReadTracing): Sampler {
  const [, isParentBased, name] = /^(parentbased_)?(.*)$/.exec(sampler) ?? []
  const roots: Record<string, () => Sampler> = {
    always_on: () => new AlwaysOnSampler(),
    always_off: () => new AlwaysOffSampler(),
    traceidratio: () => new TraceIdRatioBasedSampler(ratio),
  }
  const root = (roots[name ?? ''] as () => Sampler)()
  return isParentBased ? new ParentBasedSampler({ root }) : root
}

/** Tells the log when spans cannot be sent, and when they can again: not for each batch. */
class Exporter extends OTLPExporterBase<ReadableSpan[]> {
  readonly #log: FastifyBaseLogger
  readonly #endpoint: string
  #isFailing = false

  constructor(
    delegate: ConstructorParameters<typeof OTLPExporterBase<ReadableSpan[]>>[0],
    url: string,
    log: FastifyBaseLogger,
  ) {
    super(delegate)
    const { origin, pathname } = new URL(url)
    this.#endpoint = origin + pathname
    this.#log = log
  }

  override export(
    spans: ReadableSpan[],
    done: Parameters<OTLPExporterBase<ReadableSpan[]>['export']>[1],
  ): void {
    super.export(spans, (result) => {
      this.#tell(result.error)
      done(result)
    })
  }

  #tell(error: (Error & { code?: string | number }) | undefined): void {
    if (this.#isFailing === (error !== undefined)) return
    this.#isFailing = !this.#isFailing
    const endpoint = this.#endpoint
    if (error) {
      const problem = [error.code, error.message].filter(Boolean).join(' ')
      this.#log.warn({ endpoint, problem }, 'spans are lost: what is to take them does not')
    } else {
      this.#log.info({ endpoint }, 'spans are sent again')
    }
  }
}

/** Sends spans, in batches. */
export function createProcessor(
  { endpoint: url, protocol, headers, timeout, compression = 'none', tls, queue }: ReadTracing,
  log: FastifyBaseLogger,
): BatchSpanProcessor {
  const { size, batch, delay } = queue
  const isJson = protocol === 'http/json'
  const type = isJson ? 'application/json' : 'application/x-protobuf'
  const delegate = createOtlpHttpExportDelegate<ReadableSpan[], unknown>(
    {
      url,
      headers: async () => ({ ...headers, 'Content-Type': type }),
      timeoutMillis: timeout,
      compression,
      concurrencyLimit: 4,
      agentFactory: httpAgentFactoryFromOptions({ keepAlive: true, ...tls }),
    } as Parameters<typeof createOtlpHttpExportDelegate>[0],
    isJson ? JsonTraceSerializer : ProtobufTraceSerializer,
    'otlp_http_span_exporter',
    TraceExporterMetricsHelper,
    undefined,
  )
  return new BatchSpanProcessor({
    exporter: new Exporter(delegate, url, log),
    maxQueueSize: size,
    maxExportBatchSize: Math.min(batch, size),
    scheduledDelayMillis: delay,
    exportTimeoutMillis: timeout,
  })
}
