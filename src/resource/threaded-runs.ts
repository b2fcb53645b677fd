import type { FastifyInstance } from 'fastify'
import {
  type FromThread,
  type Question,
  receiveError,
  sendError,
  type ThreadRun,
  type ToThread,
} from '../task/threads.ts'
import type { Run } from '../task/types.ts'
import type { LoadUser } from './context.ts'
import { performInThread } from './perform-task.ts'

/** A task that is run in this thread for the process that has it. */
class ThreadedRun implements Run {
  readonly #told: ThreadRun
  readonly #ask: (what: Question, value?: unknown) => Promise<unknown>
  readonly #controller = new AbortController()

  constructor(told: ThreadRun, ask: (what: Question, value?: unknown) => Promise<unknown>) {
    this.#told = told
    this.#ask = ask
  }

  get id() {
    return this.#told.id
  }

  get data() {
    return this.#told.data
  }

  get due() {
    return this.#told.due
  }

  get attempt() {
    return this.#told.attempt
  }

  get attempts() {
    return this.#told.attempts
  }

  get signal() {
    return this.#controller.signal
  }

  async progress(progress: Parameters<Run['progress']>[0]): Promise<void> {
    await this.#ask('progress', progress)
  }

  async childResults(): ReturnType<Run['childResults']> {
    return (await this.#ask('childResults')) as unknown[]
  }

  async childFailures(): ReturnType<Run['childFailures']> {
    return (await this.#ask('childFailures')) as Awaited<ReturnType<Run['childFailures']>>
  }

  abort(reason: Error): void {
    this.#controller.abort(reason)
  }
}

/** What a thread does of what it is told: one task at a time. */
export class ThreadedRuns {
  readonly #app: FastifyInstance
  readonly #loadUser: LoadUser | undefined
  readonly #tell: (message: FromThread) => void
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>()
  #run: ThreadedRun | undefined
  #last = 0

  constructor(
    app: FastifyInstance,
    loadUser: LoadUser | undefined,
    tell: (message: FromThread) => void,
  ) {
    this.#app = app
    this.#loadUser = loadUser
    this.#tell = tell
  }

  take(message: Exclude<ToThread, { type: 'close' }>): void {
    if (message.type === 'run') void this.#perform(message.run)
    else if (message.type === 'abort') this.#run?.abort(receiveError(message.error))
    else this.#answered(message)
  }

  async #perform(told: ThreadRun): Promise<void> {
    const run = new ThreadedRun(told, (what, value) => this.#ask(run, what, value))
    this.#run = run
    try {
      const result = await performInThread(this.#app, run, this.#loadUser)
      this.#tell({ type: 'done', result })
    } catch (error) {
      this.#tell({ type: 'failed', error: sendError(error) })
    } finally {
      this.#run = undefined
    }
  }

  #ask(run: ThreadedRun, what: Question, value?: unknown): Promise<unknown> {
    const asked = Promise.withResolvers<unknown>()
    // Of one that is over nobody waits for an answer: it would be that of the next one.
    if (this.#run !== run) return asked.promise
    const to = ++this.#last
    this.#asked.set(to, asked)
    this.#tell({ type: 'ask', to, what, value })
    return asked.promise
  }

  #answered({ to, value, error }: Extract<ToThread, { type: 'reply' }>): void {
    const asked = this.#asked.get(to)
    this.#asked.delete(to)
    if (error) asked?.reject(receiveError(error))
    else asked?.resolve(value)
  }
}
