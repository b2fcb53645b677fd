import type { FastifyInstance } from 'fastify'
import { errors } from '../src/errors.ts'
import type { TaskDriver, TaskRecord } from '../src/task/types.ts'

/**
 * The tasks of all processes.
 *
 * @throws {PlinthError} REDIS_MISSING
 */
export async function sharedTasks(app: FastifyInstance): Promise<TaskDriver> {
  const driver = await app.tasks.driver()
  if (driver.kind === 'memory') throw errors.REDIS_MISSING('The tasks')
  return driver
}

/** What the list of tasks tells of one. */
export function taskRow({ id, state, data, attempts_made, attempts, enqueued_at }: TaskRecord) {
  return [id, state, data.resource, `${attempts_made}/${attempts}`, enqueued_at]
}
