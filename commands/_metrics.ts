import { once } from 'node:events'
import { createServer } from 'node:http'
import { errors } from '../src/errors.ts'
import { TEXT_TYPE } from '../src/telemetry/families.ts'
import type { Place } from '../src/telemetry/group-metrics.ts'

/**
 * Serves metrics at `/metrics` of a port of their own. It keeps no process from ending.
 *
 * @throws {PlinthError} PORT_IN_USE, ADDRESS_UNUSABLE
 */
export async function serveMetrics(
  { host, port }: Place,
  text: () => Promise<string>,
): Promise<void> {
  const server = createServer((request, response) => {
    // Whoever scrapes comes again in some seconds: a process that ends would have to wait for the connection.
    response.setHeader('connection', 'close')
    if (request.url?.split('?', 1)[0] !== '/metrics') response.writeHead(404).end()
    else
      text().then(
        (told) => response.writeHead(200, { 'content-type': TEXT_TYPE }).end(told),
        () => response.writeHead(500).end(),
      )
  })
  server.requestTimeout = 5000
  server.headersTimeout = 5000
  try {
    server.listen({ host, port })
    await once(server, 'listening')
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === 'EADDRINUSE') throw errors.PORT_IN_USE.with({ cause }, `${host}:${port}`)
    throw errors.ADDRESS_UNUSABLE.with({ cause }, `${host}:${port}`, message)
  }
  server.unref()
}
