import { stay } from './_stay.ts'
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
 * @throws {PlinthError} REDIS_MISSING, and what `createApp` throws
 */
export async function work(script: string, { concurrency, ...wanted }: Work): Promise<void> {
  await stay(script, async (app) => {
    await sharedTasks(app)
    await app.tasks.work({ ...wanted, concurrency: concurrency ?? app.config.TASK_CONCURRENCY })
    app.log.info({ queues: wanted.queues }, 'working on tasks')
  })
}
