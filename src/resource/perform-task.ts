import { tracingChannel } from 'node:diagnostics_channel'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { errors, type PlinthError } from '../errors.ts'
import { toJson } from '../schema/json.ts'
import { taskTimeoutOf } from '../task/declared.ts'
import { TaskAgain, TaskFinal, TaskRetry, thrownIn } from '../task/errors.ts'
import { queueOf } from '../task/id.ts'
import type { StuckTries } from '../task/stuck.ts'
import type { TaskThreads } from '../task/threads.ts'
import { TryEnd } from '../task/try-end.ts'
import type { Perform, Progress, Run } from '../task/types.ts'
import { settles } from '../task/within.ts'
import { validateRequest } from './call.ts'
import { Context, type LoadUser, runInContext } from './context.ts'
import { type Answer, execute } from './execute.ts'
import { toPlinthError } from './failure.ts'
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
  /** Bytes of the largest result of a task, and of what it tells of its progress. */
  resultLimit: number
  /** How old a task of a resource that is not known gets before it has failed, in ms. */
  unknownAge: number
  /** Is told of tries that go on after their end. */
  stuck: StuckTries
  /** Has those that are under way. */
  underWay: Set<Run>
  /** Where resources run that say `thread`; without it they run in this one. */
  threads?: TaskThreads | undefined
}

/** Milliseconds that a hook of a resource may take: it is not waited for any longer. */
const HOOK_TIME = 10_000

/** Statuses below 500 that pass: another try may end otherwise. */
const PASSING: ReadonlySet<number> = new Set([408, 409, 423, 425, 429])

/** What a worker of `app` does with a task: it calls the resource that the task names. */
export function createPerform(app: FastifyInstance, options: PerformOptions): Perform {
  return async function performTask(run) {
    if (!channel.hasSubscribers) return await tryTask(run)
    return await channel.tracePromise(tryTask, { app, run }, undefined, run)
  }

  async function tryTask(run: Run): Promise<unknown> {
    // Missing where plinth/plugins/resources is not registered.
    if (!app.registry?.has(run.data.resource)) {
      const { unknownAge } = options
      if (Date.now() - run.due > unknownAge) {
        const error = errors.TASK_UNKNOWN(run.data.resource, Math.round(unknownAge / 3_600_000))
        app.log.error(fieldsOf(run), error.message)
        throw new TaskFinal(error)
      }
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
    const end = new TryEnd(run, taskTimeoutOf(entry), options.grace, options.stuck)
    const context = contextOf(app, run, end, options)
    const { onSuccess, onFailure } = entry.task
    const { underWay } = options
    underWay.add(run)
    try {
      const result = await perform(entry, run, { end, context, options })
      const duration_ms = Math.round(tell('succeeded'))
      app.log.info({ ...fieldsOf(run), duration_ms }, 'task done')
      if (onSuccess) await callHook(context, 'onSuccess', onSuccess, result)
      return result
    } catch (error) {
      const { failure, outcome, told } = toFailure(error, run, app)
      tell(outcome)
      if (onFailure && told) await callHook(context, 'onFailure', onFailure, told)
      throw failure
    } finally {
      underWay.delete(run)
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
  text: ({ text }) => JSON.parse(text),
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

/** @throws {PlinthError} TASK_TOO_LARGE */
function bounded<T>(what: 'result' | 'progress', value: T, limit: number): T {
  const text = JSON.stringify(value) ?? ''
  // At most three bytes for each unit of UTF-16.
  const bytes = text.length * 3 > limit ? Buffer.byteLength(text) : 0
  if (bytes > limit) throw errors.TASK_TOO_LARGE(what, bytes, limit)
  return value
}

/** What comes after the end of a task changes nothing of it: a hook that fails is only told. */
async function callHook<T>(
  context: Context,
  name: string,
  hook: (outcome: T, context: Context) => unknown,
  outcome: T,
): Promise<void> {
  const call = async () => await hook(outcome, context)
  const told = runInContext(context, call, undefined, undefined).catch((err) =>
    context.log.error({ err }, `${name} of the task has failed`),
  )
  if (!(await settles(told, HOOK_TIME)))
    context.log.error(
      {},
      `${name} of the task takes longer than ${HOOK_TIME} ms: nobody waits for it`,
    )
}

function contextOf(
  app: FastifyInstance,
  run: Run,
  end: Pick<TryEnd, 'signal' | 'throwIfAborted' | 'isOver'>,
  { resultLimit }: Pick<PerformOptions, 'resultLimit'>,
): Context {
  const task = {
    id: run.id,
    attempt: run.attempt,
    progress: async (progress: Progress) => {
      if (!end.isOver) await run.progress(bounded('progress', progress, resultLimit))
    },
    childResults: () => run.childResults(),
    childFailures: () => run.childFailures(),
  }
  return Context.ofTask(app, task, new Enqueuer(app, run), end)
}

async function perform(
  entry: Registered,
  run: Run,
  { end, context, options }: { end: TryEnd; context: Context; options: PerformOptions },
): Promise<unknown> {
  const { loadUser, resultLimit, threads } = options
  const result = await end.bound(async () => {
    const call = await prepare(entry, run, context, loadUser)
    if (entry.task.thread && threads) return await threads.run(run, end.signal)
    // Before the work, and not between it and its end: what dies then does it once more.
    context.app.compiled.of(entry.resource).prepareResponse()
    return await execute(call, asTask)
  })
  try {
    return bounded('result', result, resultLimit)
  } catch (error) {
    // The work is done: another try would do it once more.
    throw new TaskFinal(error)
  }
}

/** What a task asks for, by whom it does. */
async function prepare(
  { name, resource }: Registered,
  { data }: Run,
  context: Context,
  loadUser: LoadUser | undefined,
) {
  const { user, nobody = false } = data
  const input = validateRequest(context.app, resource, name, data.input)
  if (nobody) context.user = undefined
  if (user !== null) await actForUser(context, user, loadUser)
  return { resource, name, input, context, mode: 'cacheless' } as const
}

/** Does in a thread what a task asks for; what comes of it is told by the process that has it. */
export async function performInThread(
  app: FastifyInstance,
  run: Run,
  loadUser: LoadUser | undefined,
): Promise<unknown> {
  const { signal } = run
  const end = { signal, throwIfAborted: () => signal.throwIfAborted(), isOver: false }
  const context = contextOf(app, run, end, { resultLimit: Number.POSITIVE_INFINITY })
  const entry = app.registry.find(run.data.resource)
  try {
    return await execute(await prepare(entry, run, context, loadUser), asTask)
  } finally {
    end.isOver = true
  }
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

/** What the driver is told, and clients where it has failed for good: errors that another try would not mend are final. */
function toFailure(
  error: unknown,
  run: Run,
  app: FastifyInstance,
): { failure: unknown; outcome: TaskOutcome; told?: PlinthError } {
  const { id, data, signal, attempt, attempts } = run
  if (error instanceof TaskRetry || signal.aborted)
    return { failure: error, outcome: 'handed back' }
  const thrown = thrownIn(error)
  const told = toPlinthError(thrown, app)
  const again = error instanceof TaskAgain
  const isLasting = told.statusCode < 500 && !PASSING.has(told.statusCode)
  const final = error instanceof TaskFinal || (isLasting && !again)
  const isOver = final || attempt >= attempts
  const level = isOver ? 'error' : 'warn'
  app.log.child(fieldsOf(run))[level]({ err: thrown, code: told.code, attempt }, 'task failed')
  if (isOver) {
    const { resource, requestId, user } = data
    const place = { task: { id, resource, attempt }, requestId, user: user ?? undefined }
    app.observer?.failed?.(thrown, place)
  }
  const failure = final ? new TaskFinal(told) : again ? new TaskAgain(told, error.delay) : told
  return isOver ? { failure, outcome: 'failed', told } : { failure, outcome: 'tried again' }
}
