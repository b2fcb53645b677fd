import type { FastifyInstance } from 'fastify'
import { errors } from '../src/errors.ts'
import type { ScheduleControl } from '../src/task/schedule-control.ts'
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

/**
 * The schedules that all processes share.
 *
 * @throws {PlinthError} REDIS_MISSING
 */
export async function sharedSchedules(app: FastifyInstance): Promise<ScheduleControl> {
  await sharedTasks(app)
  return await app.tasks.schedules()
}

/**
 * Does something with each of some tasks.
 *
 * @param change whether it could be done
 * @param refused is told of those with which it could not
 * @returns with how many it was done; where those are not all, the process exits with 1
 * @throws {PlinthError} TASK_NOT_FOUND
 */
export async function changeEach(
  app: FastifyInstance,
  ids: readonly string[],
  change: (id: string) => Promise<boolean>,
  refused: (task: TaskRecord) => void,
): Promise<number> {
  let changed = 0
  for (const id of ids) {
    const task = await app.tasks.find(id)
    if (await change(id)) changed++
    else refused(task)
  }
  if (changed < ids.length) process.exitCode = 1
  return changed
}

/** What the list of tasks tells of one. */
export function taskRow({ id, state, data, attempts_made, attempts, enqueued_at }: TaskRecord) {
  return [id, state, data.resource, `${attempts_made}/${attempts}`, enqueued_at]
}
