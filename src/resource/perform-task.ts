import { tracingChannel } from 'node:diagnostics_channel'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { taskTimeoutOf } from '../task/declared.ts'
import { TaskFinal, TaskRetry } from '../task/errors.ts'
import { queueOf } from '../task/id.ts'
import { TryEnd } from '../task/try-end.ts'
import type { Perform, Progress, Run } from '../task/types.ts'
import { validateRequest } from './call.ts'
import { Context, type LoadUser } from './context.ts'
import { type Answer, execute } from './execute.ts'
import { toPlinthError } from './failure.ts'
import { toJson } from './json.ts'
import { actForUser } from './load-user.ts'
import type { TaskOutcome } from './observer.ts'
import type { Registered } from './registry.ts'

/** What subscribers of the tracing channel `plinth:task` get: one object for the beginning and the end of a try. */
export interface TaskMessage {
  readonly app: FastifyInstance
  readonly run: Run
  error?: unknown
}

const channel = tracingChannel<unknown, TaskMessage>('plinth:task')

/** Milliseconds after which a task is looked at again that a newer release has enqueued. */
const UNKNOWN_DELAY = 30_000

export interface PerformOptions {
  /** Milliseconds that a task whose time is over may take to end once its signal was aborted. */
  grace: number
  /** Makes the user of a task; without it those of users fail. */
  loadUser?: LoadUser | undefined
}

/** What a worker of `app` does with a task: it calls the resource that the task names. */
export function createPerform(app: FastifyInstance, options: PerformOptions): Perform {
  return async function performTask(run) {
    if (!channel.hasSubscribers) return await tryTask(run)
    return await channel.tracePromise(tryTask, { app, run }, undefined, run)
  }

  async function tryTask(run: Run): Promise<unknown> {
    // Missing where plinth/plugins/resources is not registered.
    if (!app.registry?.has(run.data.resource)) {
      app.log.warn(
        fieldsOf(run),
        'this release has no such resource: the task is handed back for one that has',
      )
      throw new TaskRetry(UNKNOWN_DELAY)
    }
    const entry = app.registry.find(run.data.resource)
    const began = performance.now()
    const waited = run.attempt > 1 ? undefined : Math.max(0, Date.now() - run.due)
    const tell = (outcome: TaskOutcome) => {
      const took = performance.now() - began
      const { resource } = run.data
      app.observer?.worked?.({ queue: queueOf(run.id) ?? '', resource, took, waited }, outcome)
      return took
    }
    try {
      const result = await perform(app, entry, run, options)
      const duration_ms = Math.round(tell('succeeded'))
      app.log.info({ ...fieldsOf(run), duration_ms }, 'task done')
      return result
    } catch (error) {
      const { failure, outcome } = toFailure(error, run, app)
      tell(outcome)
      throw failure
    }
  }
}

/** What log lines say of a task. */
function fieldsOf({ id, data }: Run): object {
  const { resource, requestId: request_id, user } = data
  return { task_id: id, resource, request_id, ...(user !== null && { user }) }
}

const asTask: Answer<unknown> = {
  // Nothing is cached of what a task does.
  text: (json) => JSON.parse(json),
  data: (value) => value,
  /**
   * What is kept of `response`.
   *
   * @throws {TaskFinal} where it does not fit, or is a stream: the work is done, and another try would do it once more
   */
  check(response, { resource, name, context: { app } }) {
    try {
      return toJson(app.responses.accept(resource, name, response).value)
    } catch (error) {
      throw new TaskFinal(error)
    }
  },
}

function perform(
  app: FastifyInstance,
  { name, resource }: Registered,
  run: Run,
  { grace, loadUser }: PerformOptions,
): Promise<unknown> {
  const { input, user, nobody = false } = run.data
  const end = new TryEnd(run, taskTimeoutOf(resource.definition), grace)
  const task = {
    id: run.id,
    attempt: run.attempt,
    progress: async (progress: Progress) => {
      if (!end.isOver) await run.progress(progress)
    },
    childResults: () => run.childResults(),
  }
  const context = Context.ofTask(app, task, new Enqueuer(app, run), end)
  const valid = validateRequest(app, resource, name, input)
  return end.bound(async () => {
    if (nobody) context.user = undefined
    if (user !== null) await actForUser(context, user, loadUser)
    return await execute({ resource, name, input: valid, context, mode: 'cacheless' }, asTask)
  })
}

/** The call that has enqueued a task. */
class Enqueuer {
  readonly #app: FastifyInstance
  readonly #run: Run

  constructor(app: FastifyInstance, run: Run) {
    this.#app = app
    this.#run = run
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

/** What the driver is told: errors that another try would not mend are final. */
function toFailure(
  error: unknown,
  run: Run,
  app: FastifyInstance,
): { failure: unknown; outcome: TaskOutcome } {
  const { id, data, signal, attempt, attempts } = run
  if (error instanceof TaskRetry || signal.aborted)
    return { failure: error, outcome: 'handed back' }
  const thrown = error instanceof TaskFinal ? error.cause : error
  const told = toPlinthError(thrown, app)
  const final = thrown !== error || told.statusCode < 500
  const isOver = final || attempt >= attempts
  const level = isOver ? 'error' : 'warn'
  app.log.child(fieldsOf(run))[level]({ err: thrown, code: told.code, attempt }, 'task failed')
  if (isOver) {
    const { resource, requestId, user } = data
    const place = { task: { id, resource, attempt }, requestId, user: user ?? undefined }
    app.observer?.failed?.(thrown, place)
  }
  const failure = final ? new TaskFinal(told) : told
  return { failure, outcome: isOver ? 'failed' : 'tried again' }
}
