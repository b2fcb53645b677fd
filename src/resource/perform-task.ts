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
    const { id, data } = run
    const fields = { task_id: id, resource: data.resource, request_id: data.requestId }
    const resource = byName.get(data.resource)
    if (!resource) {
      app.log.warn(
        fields,
        'this release has no such resource: the task is handed back for one that has',
      )
      throw new TaskRetry(UNKNOWN_DELAY)
    }
    const began = performance.now()
    try {
      const result = await perform(app, resource, run, fields)
      const duration_ms = Math.round(performance.now() - began)
      app.log.info({ ...fields, duration_ms }, 'task done')
      return result
    } catch (error) {
      throw toFailure(error, run, app.log.child(fields))
    }
  }
}

async function perform(
  app: FastifyInstance,
  resource: AnyResource,
  run: Run,
  fields: object,
): Promise<unknown> {
  const { resource: name, input, user, requestId, traceparent } = run.data
  const task = {
    id: run.id,
    attempt: run.attempt,
    progress: (progress: Progress) => run.progress(progress),
    childResults: () => run.childResults(),
  }
  const caller = {
    user: user === null ? undefined : { name: user },
    requestId,
    traceparent,
    // Made for those that log.
    get log() {
      return app.log.child(fields)
    },
  }
  const context = Context.ofTask(app, task, caller, new RunEnd(run))
  const valid = validateRequest(resource, name, input)
  const response = await runInContext(context, resource.definition.perform, valid, context)
  assertData(resource, name, response)
  return response == null ? null : JSON.parse(toText(app, resource, response))
}

/** When a run has to end: its signal is made for those that ask for it. */
class RunEnd {
  readonly #run: Run

  constructor(run: Run) {
    this.#run = run
  }

  get signal(): AbortSignal {
    return this.#run.signal
  }

  throwIfAborted(): void {
    this.signal.throwIfAborted()
  }
}

/** What the driver is told: errors that another try would not mend are final. */
function toFailure(
  error: unknown,
  { signal, attempt, attempts }: Run,
  log: FastifyInstance['log'],
) {
  if (error instanceof TaskRetry || signal.aborted) return error
  const told = toPlinthError(error)
  const last = told.statusCode < 500 || attempt >= attempts
  log[last ? 'error' : 'warn']({ err: error, code: told.code, attempt }, 'task failed')
  return told.statusCode < 500 ? new TaskFinal(told) : told
}
