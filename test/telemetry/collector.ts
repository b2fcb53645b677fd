import type { Test } from 'tap'
import { poll } from '../helpers/network.ts'
import { serveUpstream } from '../helpers/upstream.ts'

/** A span as OTLP has it, in JSON. */
export interface Span {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  kind: number
  attributes: Record<string, unknown>
  failed: boolean
  service: string
}

interface Attribute {
  key: string
  value: Record<string, unknown>
}

const read = (attributes: readonly Attribute[]) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))

/** A collector of the test: what it has got, and how it is set. */
export async function collector(t: Test) {
  const spans: Span[] = []
  const { url, got } = await serveUpstream(t, (response, { body }) => {
    for (const { resource, scopeSpans } of JSON.parse(body.toString()).resourceSpans)
      for (const { spans: some } of scopeSpans)
        for (const { attributes, status, ...span } of some)
          spans.push({
            ...span,
            attributes: read(attributes),
            failed: status.code === 2,
            service: read(resource.attributes)['service.name'] as string,
          })
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  })
  return {
    url,
    /** The bytes that it got. */
    sent: () => got.map(({ body }) => body.toString()).join('\n'),
    requests: got,
    spans,
    variables: {
      OTEL_EXPORTER_OTLP_ENDPOINT: url,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_BSP_SCHEDULE_DELAY: '20',
    },
    /** Waits for the spans of a trace until `isThere`. */
    async trace(traceId: string, isThere: (spans: Span[]) => boolean): Promise<Span[]> {
      const own = () => spans.filter((span) => span.traceId === traceId)
      await poll(async () => isThere(own()))
      return own()
    },
  }
}

/** A trace as a tree of names, children in the order in which they began to be told. */
export type Tree = { [name: string]: Tree }

/** Of several spans with one name below one span one is shown. */
export function treeOf(spans: readonly Span[], parent: string | undefined): Tree {
  const below = spans.filter(({ parentSpanId = '' }) => parentSpanId === (parent ?? ''))
  const tree: Tree = {}
  for (const { name, spanId } of below) tree[name] = { ...tree[name], ...treeOf(spans, spanId) }
  return tree
}
