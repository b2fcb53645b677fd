import { setFlagsFromString } from 'node:v8'
import type { FastifyInstance } from 'fastify'
import { loadService } from './_service.ts'

/**
 * Runs the app of the service that the script belongs to until a signal ends the process.
 *
 * @param script the real path of the script that was started
 * @param begin makes the app, which is ready, do what the process is for
 * @throws {PlinthError} what `createApp` and `begin` throw; the app is closed then
 */
export async function stay(
  script: string,
  begin: (app: FastifyInstance) => Promise<void>,
): Promise<void> {
  growYoungBy(1)
  const { service, root } = await loadService(script)
  const { createApp } = await import('../src/service.ts')
  const app = (await createApp(service, { root })) as unknown as FastifyInstance
  const { endGracefully } = await import('../src/process/shutdown.ts')
  // Before it begins: from the first request or task on, a signal must not end it at once.
  const letGo = endGracefully(app)
  try {
    await app.ready()
    await begin(app)
    growYoungBy(2)
  } catch (error) {
    letGo()
    await app.close()
    throw error
  }
}

/**
 * V8 doubles the room for young objects when much of it survives, as nearly all does while modules are loaded. A server
 * never needs that room again for as much, and keeps it: 20 MB. It may grow once requests come.
 */
function growYoungBy(factor: 1 | 2): void {
  setFlagsFromString(`--semi-space-growth-factor=${factor}`)
}
