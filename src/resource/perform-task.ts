import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { TaskFinal, TaskRetry } from '../task/errors.ts'
import type { Perform, Progress, Run } from '../task/types.ts'
import { assertData, validateRequest } from './call.ts'
import { Context, runInContext, type User } from './context.ts'
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
    const resource = byName.get(run.data.resource)
    if (!resource) {
      app.log.warn(
        fieldsOf(run),
        'this release has no such resource: the task is handed back for one that has',
      )
      throw new TaskRetry(UNKNOWN_DELAY)
    }
    const began = performance.now()
    try {
      const response = await perform(app, resource, run)
      assertData(resource, run.data.resource, response)
      const result = response == null ? null : JSON.parse(toText(app, resource, response))
      const duration_ms = Math.round(performance.now() - began)
      app.log.info({ ...fieldsOf(run), duration_ms }, 'task done')
      return result
    } catch (error) {
      throw toFailure(error, run, app.log.child(fieldsOf(run)))
    }
  }
}

/** What log lines say of a task. */
function fieldsOf({ id, data }: Run): object {
  return { task_id: id, resource: data.resource, request_id: data.requestId }
}

function perform(app: FastifyInstance, resource: AnyResource, run: Run): unknown {
  const { resource: name, input } = run.data
  const task = {
    id: run.id,
    attempt: run.attempt,
    progress: (progress: Progress) => run.progress(progress),
    childResults: () => run.childResults(),
  }
  const context = Context.ofTask(app, task, new Enqueuer(app, run), new RunEnd(run))
  const valid = validateRequest(resource, name, input)
  return runInContext(context, resource.definition.perform, valid, context)
}

/** On whose behalf a task runs: whoever enqueued it. */
class Enqueuer {
  readonly #app: FastifyInstance
  readonly #run: Run

  constructor(app: FastifyInstance, run: Run) {
    this.#app = app
    this.#run = run
  }

  get user(): User | undefined {
    const { user } = this.#run.data
    return user === null ? undefined : { name: user }
  }

  get requestId(): string {
    return this.#run.data.requestId
  }

  get traceparent(): string | undefined {
    return this.#run.data.traceparent
  }

  get log(): FastifyBaseLogger {
    return this.#app.log.child(fieldsOf(this.#run))
  }
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
