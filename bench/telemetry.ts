import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Sandbox } from '../test/servers/sandbox.ts'
import { type BareRatio, type BareRoute, compareSides } from './bare.ts'
import type { Options } from './options.ts'
import { commands, copyDatabase } from './prepare.ts'
import { routes } from './routes.ts'
import { startServer } from './server.ts'

const READING = ['ping', 'one', 'list']

/** Loads Atlas with telemetry beside Atlas without: metrics, a line of the log for each request besides, and traces. */
export async function measureTelemetry(
  { sandbox, wrk, database }: { sandbox: Sandbox; wrk: string; database: string },
  options: Options,
): Promise<BareRatio[]> {
  const collector = await serveCollector()
  const tracing = {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
  }
  const variants: Record<string, Record<string, string>> = {
    metrics: { METRICS: 'true' },
    'metrics and log': { METRICS: 'true', LOG_LEVEL: 'info' },
    'traces, none kept': { ...tracing, OTEL_TRACES_SAMPLER_ARG: '0' },
    'traces, 1 % kept': { ...tracing, OTEL_TRACES_SAMPLER_ARG: '0.01' },
  }
  const results: BareRatio[] = []
  try {
    for (const [variant, env] of Object.entries(variants)) {
      const start = (name: string, more: Record<string, string>) =>
        startServer(sandbox, commands.plinth, {
          DATABASE_URL: copyDatabase(database, name),
          ...more,
        })
      const measured = new Map<string, BareRoute>(
        READING.map((name) => [`${name}: ${variant}`, routes.get(name) as BareRoute]),
      )
      const sides = async () => ({
        bare: await start('off', {}),
        control: await start('control', {}),
        plinth: await start('on', env),
      })
      results.push(...(await compareSides(wrk, options, measured, sides)))
    }
  } finally {
    collector.close()
  }
  return results
}

/** Takes spans, and looks at none. */
async function serveCollector() {
  const server = createServer((request, response) => {
    request.resume().once('end', () => response.writeHead(200).end())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}
