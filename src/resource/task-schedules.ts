import type { FastifyInstance } from 'fastify'
import { createTask } from '../task/new-task.ts'
import { parseSchedule, type Schedule, type ToTask } from '../task/schedule.ts'
import { validateRequest } from './call.ts'
import { resourcesOf } from './perform-task.ts'
import type { AnyResource } from './resource.ts'

/**
 * The schedules of an app's resources.
 *
 * @throws {PlinthError} SCHEDULE_INVALID; INVALID_REQUEST where the input of one does not fit its resource
 */
export function collectSchedules(app: FastifyInstance): Schedule[] {
  return Array.from(resourcesOf(app)).flatMap(([resource, name]) => {
    const { schedule } = resource.definition
    if (schedule === undefined) return []
    const parsed = parseSchedule(name, schedule)
    validateRequest(resource, name, parsed.input)
    return [parsed]
  })
}

/** How the times of schedules become tasks: as the resource says of itself, of no user. */
export function scheduledTasks(app: FastifyInstance, limit: number): ToTask {
  const byName = new Map<string, AnyResource>(
    Array.from(resourcesOf(app), ([one, name]) => [name, one]),
  )
  return ({ name, input }, requestId) => {
    const data = { resource: name, input, user: null, requestId, scheduled: true }
    const { id: _, ...task } = createTask(data, byName.get(name)?.definition.task ?? {}, limit, '')
    return task
  }
}
