import type { FastifyInstance } from 'fastify'
import { loadService } from './_service.ts'
import { sharedTasks } from './_tasks.ts'

export interface Work {
  queues: readonly string[]
  /** Default: TASK_CONCURRENCY. */
  concurrency: number | undefined
  schedules: boolean
}

/**
 * Works on the tasks of the service that the script belongs to, until a signal ends the process.
 *
 * @param script the real path of the script that was started
 * @throws {PlinthError} REDIS_MISSING, TASK_INVALID for a queue that can be none, and what `createApp` throws
 */
export async function work(script: string, { concurrency, ...wanted }: Work): Promise<void> {
  const { service, root } = await loadService(script)
  const { createApp } = await import('../src/service.ts')
  const app = (await createApp(service, { root })) as unknown as FastifyInstance
  const { endGracefully } = await import('../src/process/shutdown.ts')
  // Before it takes a task: from then on, a signal must not end it at once.
  const letGo = endGracefully(app)
  try {
    await app.ready()
    await sharedTasks(app)
    await app.tasks.work({ ...wanted, concurrency: concurrency ?? app.config.TASK_CONCURRENCY })
    app.log.info({ queues: wanted.queues }, 'working on tasks')
  } catch (error) {
    letGo()
    await app.close()
    throw error
  }
}
