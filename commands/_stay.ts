import { setFlagsFromString } from 'node:v8'
import type { FastifyInstance } from 'fastify'
import type { Ending } from '../src/process/shutdown.ts'
import { loadService } from './_service.ts'

/**
 * Runs the app of the service that the script belongs to until a signal ends the process.
 *
 * @param script the real path of the script that was started
 * @param begin makes the app, which is ready, do what the process is for
 * @throws {PlinthError} what `createApp` and `begin` throw, PORT_IN_USE of METRICS_PORT; the app is closed then
 */
export async function stay(
  script: string,
  begin: (app: FastifyInstance, ending: Ending) => Promise<void>,
): Promise<void> {
  startSmall()
  const { service, root, file } = await loadService(script)
  const { createApp } = await import('../src/service.ts')
  const app = (await createApp(service, { root, file })) as unknown as FastifyInstance
  const { endGracefully } = await import('../src/process/shutdown.ts')
  const manager = process.env.NOTIFY_SOCKET ? await findManager(app) : undefined
  // Before it begins: from the first request or task on, a signal must not end it at once.
  const ending = endGracefully(app, manager?.stopping)
  try {
    await app.ready()
    await begin(app, ending)
    await serveOwnMetrics(app)
    manager?.ready()
    growYoungBy(WHILE_SERVING)
  } catch (error) {
    ending.letGo()
    await app.close()
    throw error
  }
}

/** On the port that METRICS_PORT says. */
async function serveOwnMetrics({ telemetry }: FastifyInstance): Promise<void> {
  if (!telemetry?.place) return
  const { serveMetrics } = await import('./_metrics.ts')
  await serveMetrics(telemetry.place, telemetry.text)
}

async function findManager(app: FastifyInstance) {
  const { findServiceManager } = await import('../src/process/service-manager.ts')
  return findServiceManager(app.log)
}

/** Before anything is loaded: what is made while a server starts survives, and its room would be kept for nothing. */
export function startSmall(): void {
  growYoungBy(1)
}

/** At once to all that V8 allows: each request leaves garbage, and a small room is collected often. */
const WHILE_SERVING = 16

/** By how much V8 enlarges the room for young objects, when it does: where much in it survives. */
function growYoungBy(factor: number): void {
  setFlagsFromString(`--semi-space-growth-factor=${factor}`)
}
