import type { FastifyInstance } from 'fastify'
import { createTask } from '../task/new-task.ts'
import { parseSchedule, type Schedule, type ToTask } from '../task/schedule.ts'
import type { TaskSource } from '../task/task-process.ts'
import { validateRequest } from './call.ts'
import { Context } from './context.ts'
import { concurrencyKeyOf } from './enqueue.ts'
import { createPerform, type PerformOptions } from './perform-task.ts'
import type { Registered } from './registry.ts'

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
    concurrencyOf({ resource, serial }) {
      if (serial) return 1
      if (!app.registry?.has(resource)) return undefined
      return app.registry.find(resource).task.concurrency?.limit
    },
    hasSchedules: () => scheduledOf(app).length > 0,
    readSchedules: () => readSchedules(app, limit),
    readMade(name, { resource, ...given }) {
      const found = app.registry.find(resource)
      const parsed = parseSchedule(name, given, found.name)
      validateRequest(app, found.resource, resource, parsed.input)
      return parsed
    },
    runsHere: ({ resource }) => app.registry.find(resource).runsHere,
    isDeclared: (name) => app.registry?.has(name) ?? false,
  }
}

/** The schedules of `app`, and how they become tasks. @throws {PlinthError} SCHEDULE_INVALID, INVALID_REQUEST */
export function readSchedules(
  app: FastifyInstance,
  limit: number,
): ReturnType<TaskSource['readSchedules']> {
  return { schedules: collectSchedules(app), toTask: toTasks(app, limit) }
}

/** None where plinth/plugins/resources is not registered. */
export function resourcesOf(app: FastifyInstance): readonly Registered[] {
  return [...(app.registry ?? [])]
}

/** Those whose schedules this process runs. */
export function scheduledOf(app: FastifyInstance): readonly Registered[] {
  return resourcesOf(app).filter(
    ({ resource, runsHere }) => runsHere && resource.definition.schedule !== undefined,
  )
}

function collectSchedules(app: FastifyInstance): Schedule[] {
  return scheduledOf(app).map(({ name, resource }) => {
    const parsed = parseSchedule(name, resource.definition.schedule ?? '')
    // What takes nothing and is given nothing needs no validator, which would be compiled at boot.
    const isNothing = !resource.definition.request && JSON.stringify(parsed.input) === '{}'
    if (!isNothing) validateRequest(app, resource, name, parsed.input)
    return parsed
  })
}

/** How the times of schedules become tasks: as the resource says of itself, of no user. */
function toTasks(app: FastifyInstance, limit: number): ToTask {
  return ({ name, resource, input, overlap }, requestId) => {
    const entry = app.registry.find(resource)
    // Where one of the resource runs at a time anyway, that has its key.
    const serial = overlap === 'queue' && entry.task.concurrency?.limit !== 1
    const data = {
      resource,
      input,
      user: null,
      requestId,
      scheduled: true,
      ...(serial && { serial }),
    }
    const key = serial
      ? { concurrencyKey: `schedule ${name}` }
      : concurrencyKeyOf(entry, input, new Context(app))
    const given = { ...entry.task, ...key }
    const { id: _, ...task } = createTask(data, given, limit, '')
    return task
  }
}
