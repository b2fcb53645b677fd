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
  const ending = endGracefully(app, {
    exit: (code) => process.exit(code),
    onEnd: manager?.stopping,
  })
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

/**
 * Calls `end`, so that the process is started anew, where too many tries of tasks go on in it though their time is over (TASK_MAX_STUCK):
 * what those hold is free only with the process. Not where its memory has the tasks: those that wait would be lost.
 */
export async function endWhenStuck({ config, log, tasks }: FastifyInstance, end: () => void) {
  const most = config.TASK_MAX_STUCK
  await tasks.stuck.reach(most)
  const problem = 'too many tasks go on though their time is over'
  if (tasks.store === 'memory') {
    const advice = 'start the process anew, which loses those that wait in its memory'
    log.error({ tasks: most }, `${problem}: ${advice}`)
  } else {
    log.fatal({ tasks: most }, `${problem}: the process ends`)
    end()
  }
}

/** Ends the process as a signal does, but with exit code 1: also who starts only what has failed starts it anew. */
export function fail(ending: Ending): void {
  process.once('exit', () => {
    process.exitCode = 1
  })
  ending.end()
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
