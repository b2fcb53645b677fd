import { spawn } from 'node:child_process'
import type { FastifyBaseLogger } from 'fastify'

/** Tells the service manager how this process is. */
export interface ServiceManager {
  /** It does what it is for; from now on it says in time that it lives, where that is asked for. */
  ready(): void
  stopping(): void
}

const NOBODY: ServiceManager = { ready() {}, stopping() {} }

/**
 * The service manager that has started this process and waits for what it says (systemd: NOTIFY_SOCKET, WATCHDOG_USEC),
 * by its own program: Node.js has no datagrams of unix sockets. Nothing is said where nobody waits. What this process
 * starts is not told of it.
 */
export function findServiceManager(log: FastifyBaseLogger, env = process.env): ServiceManager {
  const { NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID } = env
  if (!NOTIFY_SOCKET) return NOBODY
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete env[name]
  const isWatched = WATCHDOG_PID === undefined || Number(WATCHDOG_PID) === process.pid
  // Twice in the time within which it has to be heard of; in ms.
  const interval = isWatched ? Number(WATCHDOG_USEC ?? 0) / 2000 : 0
  const say = (state: string) => notify(log, { ...env, NOTIFY_SOCKET }, state)
  return {
    ready() {
      say('READY=1')
      if (interval > 0) setInterval(() => say('WATCHDOG=1'), interval).unref()
    },
    stopping: () => say('STOPPING=1'),
  }
}

/** Begins at once, and is not waited for: this process may end before systemd has answered. */
function notify(log: FastifyBaseLogger, env: NodeJS.ProcessEnv, state: string): void {
  const child = spawn('systemd-notify', [state], { env, stdio: 'ignore' })
  child.unref()
  const tell = (problem: unknown) =>
    log.debug({ err: problem, state }, 'the service manager is not told: systemd-notify fails')
  child.once('error', tell)
  child.once('exit', (code) => {
    if (code) tell(new Error(`exit code ${code}`))
  })
}
