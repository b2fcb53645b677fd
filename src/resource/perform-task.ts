import type { FastifyInstance } from 'fastify'
import { TaskFinal, TaskRetry } from '../task/errors.ts'
import type { Perform, Progress, Run } from '../task/types.ts'
import { assertData, validateRequest } from './call.ts'
import { Context, runInContext } from './context.ts'
import { toPlinthError } from './failure.ts'
import type { AnyResource } from './resource.ts'
import { toText } from './text.ts'

/** Milliseconds after which a task is looked at again that a newer release has enqueued. */
const UNKNOWN_DELAY = 30_000

/** The full names of the resources of `app`; none where plinth/plugins/resources is not registered. */
export function resourcesOf(app: FastifyInstance): FastifyInstance['resourceNames'] {
  return app.resourceNames ?? new Map()
}

/** What a worker of `app` does with a task: it calls the resource that the task names. */
export function createPerform(app: FastifyInstance): Perform {
  const byName = new Map(Array.from(resourcesOf(app), ([resource, name]) => [name, resource]))
  return async function performTask(run) {
    const { id, data } = run.record
    const log = app.log.child({ task_id: id, resource: data.resource, request_id: data.requestId })
    const resource = byName.get(data.resource)
    if (!resource) {
      log.warn('this release has no such resource: the task is handed back for one that has')
      throw new TaskRetry(UNKNOWN_DELAY)
    }
    const began = performance.now()
    try {
      const result = await perform(app, resource, run, log)
      log.info({ duration_ms: Math.round(performance.now() - began) }, 'task done')
      return result
    } catch (error) {
      throw toFailure(error, run, log)
    }
  }
}

async function perform(
  app: FastifyInstance,
  resource: AnyResource,
  run: Run,
  log: FastifyInstance['log'],
): Promise<unknown> {
  const { resource: name, input, user, requestId, traceparent } = run.record.data
  const task = {
    id: run.record.id,
    attempt: run.attempt,
    progress: (progress: Progress) => run.progress(progress),
    childResults: () => run.childResults(),
  }
  const caller = { user: user === null ? undefined : { name: user }, requestId, traceparent, log }
  const context = Context.ofTask(app, task, caller, run.signal)
  const valid = validateRequest(resource, name, input)
  const response = await runInContext(context, resource.definition.perform, valid, context)
  assertData(resource, name, response)
  return JSON.parse(toText(app, resource, response))
}

/** What the driver is told: errors that another try would not mend are final. */
function toFailure(error: unknown, { signal, attempt, record }: Run, log: FastifyInstance['log']) {
  if (error instanceof TaskRetry || signal.aborted) return error
  const told = toPlinthError(error)
  const last = told.statusCode < 500 || attempt >= record.attempts
  log[last ? 'error' : 'warn']({ err: error, code: told.code, attempt }, 'task failed')
  return told.statusCode < 500 ? new TaskFinal(told) : told
}
