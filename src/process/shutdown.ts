import { setTimeout as sleep } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import type { FastifyInstance } from 'fastify'
import { type Connections, watchConnections } from './connections.ts'
import { logWritten } from './log.ts'

/**
 * Ends the process in order on SIGTERM, SIGINT or an error that nobody caught: readiness fails, each answer asks its
 * client to close the connection, the drain delay passes while requests are still served, requests in flight finish,
 * connections close, the log is written, exit 0 (1 after an error, a second signal or SHUTDOWN_TIMEOUT).
 *
 * @returns takes that back
 */
export function endGracefully(app: FastifyInstance): () => void {
  const { SHUTDOWN_TIMEOUT, DRAIN_DELAY } = app.config
  const delay = DRAIN_DELAY + SHUTDOWN_TIMEOUT
  const connections = watchConnections(app.server)
  const { uninstall } = closeWithGrace({ delay, logger: app.log }, async ({ err, signal }) => {
    if (err) app.log.fatal({ err }, 'the process ends because of an error that nobody caught')
    else app.log.info({ signal }, 'the process ends')
    await closeGracefully(app, connections, DRAIN_DELAY).finally(() => logWritten(app.log))
  })
  return uninstall
}

/** Closes `app` without failing a request: see {@link endGracefully}. */
export async function closeGracefully(
  app: FastifyInstance,
  connections: Connections,
  drainDelay: number,
): Promise<void> {
  app.draining.since = new Date()
  connections.hangUp()
  if (drainDelay > 0) await sleep(drainDelay)
  // Keep-alive connections become idle one by one, as their last request is answered.
  const reaper = setInterval(() => connections.closeIdle(), 50)
  try {
    await app.close()
  } finally {
    clearInterval(reaper)
  }
}
