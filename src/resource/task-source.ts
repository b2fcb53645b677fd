import type { FastifyInstance } from 'fastify'
import { assertTaskOptions } from '../task/declared.ts'
import { createTask } from '../task/new-task.ts'
import { parseSchedule, type Schedule, type ToTask } from '../task/schedule.ts'
import type { TaskSource } from '../task/task-process.ts'
import { validateRequest } from './call.ts'
import { createPerform, type PerformOptions, resourcesOf } from './perform-task.ts'

/**
 * The resources of `app` as what its worker runs.
 *
 * @param limit bytes of the largest request of a task
 */
export function taskSource(
  app: FastifyInstance,
  { limit, ...options }: PerformOptions & { limit: number },
): TaskSource {
  let perform: TaskSource['perform'] | undefined
  return {
    // The names of the resources are known when the first task runs.
    perform: (run) => {
      perform ??= createPerform(app, options)
      return perform(run)
    },
    check() {
      for (const [{ definition }, name] of resourcesOf(app)) assertTaskOptions(name, definition)
    },
    hasSchedules: () =>
      Array.from(resourcesOf(app).keys()).some(
        ({ definition }) => definition.schedule !== undefined,
      ),
    readSchedules: () => ({ schedules: collectSchedules(app), toTask: toTasks(app, limit) }),
  }
}

function collectSchedules(app: FastifyInstance): Schedule[] {
  return Array.from(resourcesOf(app)).flatMap(([resource, name]) => {
    const { schedule } = resource.definition
    if (schedule === undefined) return []
    const parsed = parseSchedule(name, schedule)
    validateRequest(resource, name, parsed.input)
    return [parsed]
  })
}

/** How the times of schedules become tasks: as the resource says of itself, of no user. */
function toTasks(app: FastifyInstance, limit: number): ToTask {
  const byName = new Map(
    Array.from(resourcesOf(app), ([{ definition }, name]) => [name, definition]),
  )
  return ({ name, input }, requestId) => {
    const data = { resource: name, input, user: null, requestId, scheduled: true }
    const { id: _, ...task } = createTask(data, byName.get(name)?.task ?? {}, limit, '')
    return task
  }
}
