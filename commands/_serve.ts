import { resolve } from 'node:path'
import { stay } from './_stay.ts'

export interface Where {
  /** Default: HOST. */
  host?: string | undefined
  /** Default: PORT; 0 takes a free one. */
  port?: number | undefined
  /** The path of a unix socket in place of them. */
  socket?: string | undefined
}

/**
 * Serves the service that the script belongs to, until a signal ends the process: where it is told, else on the socket that
 * systemd passes, else at HOST and PORT.
 *
 * @param script the real path of the script that was started
 * @throws {PlinthError} PORT_IN_USE, ADDRESS_UNUSABLE, SOCKET_IN_USE, SOCKET_UNUSABLE, and what `createApp` throws
 */
export async function serve(script: string, where: Where = {}): Promise<void> {
  await stay(script, async (app, ending) => {
    const { listenInGroup } = await import('../src/process/group.ts')
    const { listen } = await import('./_listen.ts')
    const { HOST, PORT } = app.config
    const { host = HOST, port = PORT } = where
    const own = (await socketOf(where)) ?? { host, port }
    await listenInGroup(app, ending, (shared) => listen(app, shared ?? own))
  })
}

/** The socket that `where` or systemd says. @throws {PlinthError} SOCKET_UNUSABLE */
export async function socketOf({ host, port, socket }: Where) {
  if (socket !== undefined) return { path: resolve(socket) }
  if (host !== undefined || port !== undefined || !process.env.LISTEN_PID) return undefined
  const { passedSocket } = await import('./_listen.ts')
  return passedSocket()
}
