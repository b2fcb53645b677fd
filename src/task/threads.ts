import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { PlinthError } from '../errors.ts'
import { TaskAgain, TaskFinal, TaskRetry } from './errors.ts'
import type { Progress, Run, TaskData } from './types.ts'

/** Where the code of a service is. */
export interface ServicePlace {
  /** The file whose default export is the service. */
  file: string
  root: string
}

/** What a thread is told of a task. */
export interface ThreadRun {
  id: string
  data: TaskData
  attempt: number
  attempts: number
  due: number
}

/** What a thread asks of the run, which is in the process. */
export type Question = 'progress' | 'childResults' | 'childFailures'

/** An error on its way between threads. */
export interface SentError {
  kind: 'final' | 'again' | 'retry' | 'plain'
  delay?: number | undefined
  code?: string | undefined
  statusCode?: number | undefined
  errors?: PlinthError['errors'] | undefined
  data?: unknown
  message: string
  stack?: string | undefined
}

export type ToThread =
  | { type: 'run'; run: ThreadRun }
  | { type: 'abort'; error: SentError }
  | { type: 'reply'; to: number; value?: unknown; error?: SentError }
  | { type: 'close' }

export type FromThread =
  | { type: 'ask'; to: number; what: Question; value: unknown }
  | { type: 'done'; result: unknown }
  | { type: 'failed'; error: SentError }

export interface ThreadsOptions {
  /** What the threads run, by its URL. */
  entry: string
  service: ServicePlace
  /** Milliseconds that what was aborted may take to end: then its thread is ended. */
  grace: number
  /** How many at most; default: one for each processor but one. */
  most?: number
}

/** How long a thread may take to close its app, in ms. */
const GOODBYE = 2000

/**
 * Threads of this process, each with the app of the service, for tasks that would keep the event loop from others. Each runs one at a time;
 * they are started as they are needed, and stay.
 */
export class TaskThreads {
  readonly #options: ThreadsOptions
  readonly #idle: Worker[] = []
  readonly #all = new Set<Worker>()
  readonly #waiting: ((worker: Worker) => void)[] = []

  constructor(options: ThreadsOptions) {
    this.#options = options
  }

  /** Runs a task in a thread. @throws what it throws there, and the reason of `signal` where it does not end by that */
  async run(run: Run, signal: AbortSignal): Promise<unknown> {
    const worker = await this.#take()
    try {
      signal.throwIfAborted()
      return await this.#runIn(worker, run, signal)
    } finally {
      this.#free(worker)
    }
  }

  async close(): Promise<void> {
    const all = [...this.#all]
    this.#all.clear()
    await Promise.all(
      all.map(async (worker) => {
        const ended = new Promise((resolve) => worker.once('exit', resolve))
        worker.postMessage({ type: 'close' } satisfies ToThread)
        const timer = setTimeout(() => worker.terminate(), GOODBYE)
        await ended
        clearTimeout(timer)
      }),
    )
  }

  #runIn(worker: Worker, run: Run, signal: AbortSignal): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    let timer: NodeJS.Timeout | undefined
    const send = (message: ToThread) => worker.postMessage(message)
    const abort = () => {
      send({ type: 'abort', error: sendError(signal.reason) })
      // It may never look at its signal.
      timer = setTimeout(() => {
        reject(signal.reason)
        this.#end(worker)
      }, this.#options.grace)
    }
    const onMessage = (message: FromThread) => {
      if (message.type === 'done') resolve(message.result)
      else if (message.type === 'failed') reject(receiveError(message.error))
      else answer(run, message).then(send)
    }
    const onError = (error: Error) => reject(error)
    const onExit = () => reject(new Error('the thread of the task has ended'))
    worker.on('message', onMessage).on('error', onError).on('exit', onExit)
    signal.addEventListener('abort', abort)
    const { id, data, attempt, attempts, due } = run
    send({ type: 'run', run: { id, data, attempt, attempts, due } })
    return promise.finally(() => {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      worker.off('message', onMessage).off('error', onError).off('exit', onExit)
    })
  }

  async #take(): Promise<Worker> {
    const idle = this.#idle.pop()
    if (idle) return idle
    const { most = Math.max(1, availableParallelism() - 1) } = this.#options
    if (this.#all.size < most) return this.#start()
    return await new Promise((resolve) => this.#waiting.push(resolve))
  }

  #free(worker: Worker): void {
    if (!this.#all.has(worker)) return
    const next = this.#waiting.shift()
    if (next) next(worker)
    else this.#idle.push(worker)
  }

  #start(): Worker {
    const { entry, service } = this.#options
    const worker = new Worker(new URL(entry), { workerData: service })
    this.#all.add(worker)
    worker.on('error', () => this.#left(worker))
    worker.on('exit', () => this.#left(worker))
    return worker
  }

  #end(worker: Worker): void {
    this.#left(worker)
    void worker.terminate()
  }

  /** It has ended: others are started where somebody waits. */
  #left(worker: Worker): void {
    if (!this.#all.delete(worker)) return
    const index = this.#idle.indexOf(worker)
    if (index >= 0) this.#idle.splice(index, 1)
    const next = this.#waiting.shift()
    if (next) next(this.#start())
  }
}

async function answer(
  run: Run,
  { to, what, value }: Extract<FromThread, { type: 'ask' }>,
): Promise<ToThread> {
  try {
    const asked = what === 'progress' ? run.progress(value as Progress) : run[what]()
    return { type: 'reply', to, value: await asked }
  } catch (error) {
    return { type: 'reply', to, error: sendError(error) }
  }
}

export function sendError(error: unknown): SentError {
  if (error instanceof TaskRetry)
    return { kind: 'retry', delay: error.delay, message: error.message }
  if (error instanceof TaskFinal) return { ...sendError(error.cause), kind: 'final' }
  if (error instanceof TaskAgain)
    return { ...sendError(error.cause), kind: 'again', delay: error.delay }
  if (!(error instanceof Error)) return { kind: 'plain', message: String(error) }
  const { message, stack } = error
  const known = PlinthError.is(error) ? error : undefined
  const { code, statusCode, errors, data } = known ?? {}
  return { kind: 'plain', message, stack, code, statusCode, ...(known && { errors, data }) }
}

export function receiveError({ kind, delay, message, ...sent }: SentError): Error {
  if (kind === 'retry') return new TaskRetry(delay ?? 0, message)
  const { code, statusCode, errors, data } = sent
  const error =
    code !== undefined && statusCode !== undefined
      ? new PlinthError(code, statusCode, message, { ...(errors && { errors }), data })
      : new Error(message)
  if (sent.stack !== undefined) error.stack = sent.stack
  if (kind === 'final') return new TaskFinal(error)
  return kind === 'again' ? new TaskAgain(error, delay) : error
}
