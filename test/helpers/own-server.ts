import { once } from 'node:events'
import type { Logged } from '../servers/sandbox.ts'

/** A server of a test's own, which it may kill, freeze and start again; it keeps its data. */
export interface OwnServer {
  readonly url: string
  kill(): Promise<void>
  /** With the same data on the same port, and waits until it answers. */
  restart(): Promise<void>
  /** Connections stay, and nothing is answered until it goes on. */
  freeze(): void
  goOn(): void
}

/**
 * One that is started by the first `restart`.
 *
 * @param ready waits until it answers
 */
export function ownServer(
  url: string,
  spawn: () => Logged,
  ready: (server: Logged) => Promise<void>,
): OwnServer {
  let server: Logged | undefined
  const current = () => {
    if (!server) throw new Error('it has been started')
    return server.process
  }
  return {
    url,
    async restart() {
      server = spawn()
      await ready(server)
    },
    async kill() {
      const ended = once(current(), 'exit')
      current().kill('SIGKILL')
      await ended
    },
    freeze: () => void current().kill('SIGSTOP'),
    goOn: () => void current().kill('SIGCONT'),
  }
}
