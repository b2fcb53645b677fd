import type { FastifyInstance } from 'fastify'
import { errors } from '../src/errors.ts'
import { stay } from './_stay.ts'

export interface Address {
  /** Default: HOST. */
  host?: string | undefined
  /** Default: PORT; 0 takes a free one. */
  port?: number | undefined
}

/**
 * Serves the service that the script belongs to, until a signal ends the process.
 *
 * @param script the real path of the script that was started
 * @throws {PlinthError} PORT_IN_USE, ADDRESS_UNUSABLE, and what `createApp` throws
 */
export async function serve(script: string, { host, port }: Address = {}): Promise<void> {
  await stay(script, async (app, ending) => {
    const { HOST, PORT } = app.config
    const { listenInGroup } = await import('../src/process/group.ts')
    await listenInGroup(app, ending, () => listen(app, host ?? HOST, port ?? PORT))
  })
}

async function listen(app: FastifyInstance, host: string, port: number): Promise<void> {
  try {
    await app.listen({ host, port })
  } catch (cause) {
    const { code, syscall, message } = cause as NodeJS.ErrnoException
    if (code === 'EADDRINUSE') throw errors.PORT_IN_USE.with({ cause }, `${host}:${port}`)
    if (syscall) throw errors.ADDRESS_UNUSABLE.with({ cause }, `${host}:${port}`, message)
    throw cause
  }
}
