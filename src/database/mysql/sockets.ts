import { connect, type Socket } from 'node:net'

// Milliseconds until the first probe, so that firewalls keep idle connections and dead ones are noticed.
const KEEP_ALIVE = 10_000

/**
 * The sockets of a pool. mysql2 ends a connection politely: it says goodbye and waits for the server to hang up.
 * One that has gone silent would keep the process alive, hence this.
 */
export class Sockets {
  readonly #open = new Set<Socket>()

  /** mysql2's option `stream`. */
  connect(host: string, port: number): Socket {
    const socket = connect({
      host,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE,
    })
    this.#open.add(socket)
    socket.once('close', () => this.#open.delete(socket))
    return socket
  }

  destroy(): void {
    for (const socket of this.#open) socket.destroy()
  }

  /** Leaves the server some time to hang up. */
  destroyAfter(milliseconds: number): void {
    setTimeout(() => this.destroy(), milliseconds).unref()
  }
}
