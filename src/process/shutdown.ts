import cluster from 'node:cluster'
import { Server as NetServer } from 'node:net'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import type { FastifyInstance } from 'fastify'
import { type Connections, watchConnections } from './connections.ts'
import { onInterrupt } from './interrupts.ts'
import { logWritten } from './log.ts'

/** How a process ends, beside by signals and errors. */
export interface Ending {
  /** Milliseconds that it may take. */
  readonly patience: number
  /** Ends it while others take its place; `hurried`: clients get no time to notice. */
  retire(hurried: boolean): void
  /** Ends it as a signal does. */
  end(): void
  /**
   * Ends it as `signal` does, which has come to its supervisor; `isSecond`: at once. No other process accepts connections any more: it does
   * not wait for those that are kept open.
   */
  endWithOthers(signal: NodeJS.Signals, isSecond: boolean): void
  /** Signals and errors do what they do by default again. */
  letGo(): void
}

/** Those that end a process in order; SIGINT does, too. */
const SIGNALS = ['SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2'] as const

/**
 * Ends the process in order on SIGTERM, SIGINT or an error that nobody caught: readiness fails, each answer asks its
 * client to close the connection, the drain delay passes while requests are still served, requests in flight finish,
 * connections close, the log is written, exit 0 (1 after an error, a second signal or SHUTDOWN_TIMEOUT: the log says what was left).
 *
 * @param exit ends the process at once
 * @param onEnd is called when its end begins
 */
export function endGracefully(
  app: FastifyInstance,
  { exit, onEnd = () => {} }: { exit: (code: number) => void; onEnd?: (() => void) | undefined },
): Ending {
  const { SHUTDOWN_TIMEOUT, DRAIN_DELAY } = app.config
  const delay = DRAIN_DELAY + SHUTDOWN_TIMEOUT
  let hasBegun = false
  let isRetired = false
  let endedBy: NodeJS.Signals | undefined
  // Others accept connections on the same port.
  let linger = cluster.isWorker ? LINGER : 0
  const connections = watchConnections(app.server)
  const giveUp = (why: string) => app.log.error({ left: leftOf(app, connections) }, why)
  const options = {
    delay,
    logger: app.log,
    onTimeout: () => giveUp(`killed by timeout (${delay}ms)`),
    skip: [...SIGNALS, 'SIGINT' as const],
  }
  const { close, uninstall } = closeWithGrace(options, async ({ err, signal = endedBy }) => {
    hasBegun = true
    onEnd()
    if (err) app.log.fatal({ err }, 'the process ends because of an error that nobody caught')
    else
      app.log.info(
        { signal },
        isRetired ? 'another takes over, the process ends' : 'the process ends',
      )
    const drainDelay = isRetired ? 0 : DRAIN_DELAY
    await closeGracefully(app, connections, drainDelay, () => linger).finally(() =>
      logWritten(app.log),
    )
  })
  const end = (signal?: NodeJS.Signals) => {
    if (hasBegun) return
    endedBy = signal
    void close()
  }
  const endAtOnce = (signal: NodeJS.Signals) => {
    giveUp(`second ${signal}, exiting`)
    exit(1)
  }
  // What a supervisor tells is not counted: the system may send the same signal to all processes of a group.
  let hasHeard = false
  const hear = (signal: NodeJS.Signals) => {
    if (hasHeard) endAtOnce(signal)
    hasHeard = true
    end(signal)
  }
  for (const signal of SIGNALS) process.on(signal, hear)
  const unhear = onInterrupt(() => hear('SIGINT'))
  return {
    patience: delay,
    retire(hurried) {
      if (hasBegun) return
      isRetired = true
      if (hurried) linger = 0
      end()
    },
    end,
    endWithOthers(signal, isSecond) {
      if (isSecond) endAtOnce(signal)
      linger = 0
      end(signal)
    },
    letGo() {
      uninstall()
      unhear()
      for (const signal of SIGNALS) process.off(signal, hear)
    },
  }
}

/** So many of what is left are named. */
const NAMED = 20

/** What a process that cannot wait any longer leaves undone: counts, and some by name. */
function leftOf(app: FastifyInstance, connections: Connections): object {
  const requests = connections.underWay()
  const tasks = app.hasDecorator('tasks')
    ? Array.from(app.tasks.underWay, ({ id, data }) => `${data.resource} ${id}`)
    : []
  return {
    connections: connections.count(),
    requests: requests.length,
    tasks: tasks.length,
    names: [...requests, ...tasks].slice(0, NAMED),
  }
}

/** Milliseconds in which clients may still send a request on a connection that they have kept open. */
const LINGER = 1500

/**
 * Closes `app` without failing a request: see {@link endGracefully}.
 *
 * @param drainDelay for how many ms it still accepts connections, until whoever sends them has heard that it ends
 * @param linger for how many ms it serves what is connected then while it accepts nothing: others do on the same port. Asked again and again
 */
export async function closeGracefully(
  app: FastifyInstance,
  connections: Connections,
  drainDelay: number,
  linger = () => 0,
): Promise<void> {
  // Before those answer that wait for the signal.
  connections.hangUp()
  app.draining.begin()
  // Without a server nobody sends anything to it.
  if (app.server.listening) {
    if (drainDelay > 0) {
      await sleep(drainDelay)
      // Where this process stood still, what has come meanwhile is read first.
      await turn()
    }
    if (linger() > 0) await finish(app.server, connections, linger)
  }
  // Keep-alive connections become idle one by one, as their last request is answered. Again what has come is read first.
  const reaper = setInterval(() => setImmediate(() => connections.closeIdle()), 50)
  try {
    await app.close()
  } finally {
    clearInterval(reaper)
  }
}

/** Accepts no connections, and serves those that there are until they are closed, which the next answer asks for, or it is late. */
async function finish(
  server: FastifyInstance['server'],
  connections: Connections,
  linger: () => number,
): Promise<void> {
  const began = performance.now()
  // Only this: what `http.Server` does besides closes connections on which a request may be on its way.
  NetServer.prototype.close.call(server)
  while (connections.count() > 0 && performance.now() < began + linger()) {
    await sleep(20)
    // Again what has come is read first.
    await turn()
  }
}
