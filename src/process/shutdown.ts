import { setTimeout as sleep } from 'node:timers/promises'
import { isatty } from 'node:tty'
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
  const unmerge = mergeInterrupts()
  const options = { delay, logger: app.log, ...(unmerge && { skip: ['SIGINT' as const] }) }
  const { uninstall } = closeWithGrace(options, async ({ err, signal }) => {
    if (err) app.log.fatal({ err }, 'the process ends because of an error that nobody caught')
    else app.log.info({ signal }, 'the process ends')
    await closeGracefully(app, connections, DRAIN_DELAY).finally(() => logWritten(app.log))
  })
  return () => {
    uninstall()
    unmerge?.()
  }
}

// npm passes a Ctrl-C on that the terminal has sent to this process as well: a moment later, it is the same one.
const SAME_INTERRUPT = 500

/**
 * Makes one signal of the two that come to a script of npm on a terminal, if this process is one.
 *
 * @returns takes that back
 */
function mergeInterrupts(): (() => void) | undefined {
  if (!process.env.npm_lifecycle_event || ![0, 1].some(isatty)) return undefined
  let last = Number.NEGATIVE_INFINITY
  const onInterrupt = () => {
    const now = performance.now()
    if (now - last < SAME_INTERRUPT) return
    last = now
    process.emit('SIGTERM', 'SIGINT')
  }
  process.on('SIGINT', onInterrupt)
  return () => process.off('SIGINT', onInterrupt)
}

/** Closes `app` without failing a request: see {@link endGracefully}. */
export async function closeGracefully(
  app: FastifyInstance,
  connections: Connections,
  drainDelay: number,
): Promise<void> {
  app.draining.since = new Date()
  connections.hangUp()
  // Without a server nobody sends anything to it.
  if (drainDelay > 0 && app.server.listening) await sleep(drainDelay)
  // Keep-alive connections become idle one by one, as their last request is answered.
  const reaper = setInterval(() => connections.closeIdle(), 50)
  try {
    await app.close()
  } finally {
    clearInterval(reaper)
  }
}
