import { AbortableRun } from '../abortable-run.ts'
import type { Failure } from '../errors.ts'
import type { NewTask, Progress, Run, TaskData, TaskRecord, TaskState } from '../types.ts'

/** What becomes of `value` on its way through Redis. */
export function asJson<T>(value: T): T {
  return JSON.parse(JSON.stringify(value) ?? 'null')
}

/** A task in memory. */
export class MemoryTask {
  readonly options: NewTask['options']
  readonly record: TaskRecord
  readonly parent: MemoryTask | undefined
  /** The tasks that it waits for, and what those that have succeeded gave. */
  readonly missing: Set<string>
  readonly results = new Map<string, unknown>()
  /** Why others of these have come to nothing. */
  readonly failures = new Map<string, Failure>()
  run: MemoryRun | undefined
  /** By the clock of the driver. */
  addedAt = 0
  /** When it is to run again or for the first time, if that is not now: for the order of lists. */
  due = 0
  /** Ends its waiting. */
  callOff = () => {}
  #over = Promise.withResolvers<void>()

  constructor(task: NewTask, children: readonly string[], parent?: MemoryTask) {
    const { id, queue, data, options } = task
    this.options = options
    this.parent = parent
    this.missing = new Set(children)
    const now = Date.now()
    this.record = {
      id,
      queue,
      data: asJson(children.length > 0 ? { ...data, children } : data),
      state: 'waiting',
      progress: null,
      result: null,
      failure: null,
      attempts: options.attempts,
      attempts_made: 0,
      worker: null,
      crashes: [],
      enqueued_at: new Date(now).toISOString(),
      due_at: new Date(now + options.delay).toISOString(),
      started_at: null,
      finished_at: null,
    }
  }

  get hasEnded(): boolean {
    return this.record.finished_at !== null
  }

  /** Resolves when it has ended, or is there no longer. */
  get over(): Promise<void> {
    return this.#over.promise
  }

  /** Its record, which nobody can change any more. */
  copy(): TaskRecord {
    return structuredClone(this.record)
  }

  end(state: TaskState, result: unknown, failure: Failure | null): void {
    Object.assign(this.record, { state, result, failure, finished_at: new Date().toISOString() })
    this.leave()
  }

  /** Lets nobody wait for it any longer. */
  leave(): void {
    this.callOff()
    this.#over.resolve()
  }

  /** As if it had never run. */
  reset(): void {
    this.#over = Promise.withResolvers()
    delete this.record.data.cancelled
    Object.assign(this.record, { state: 'waiting', failure: null, finished_at: null })
    this.record.attempts_made = 0
  }
}

/** A try of a task. */
export class MemoryRun extends AbortableRun implements Run {
  readonly attempt: number
  readonly #task: MemoryTask

  constructor(task: MemoryTask) {
    super()
    this.#task = task
    this.attempt = task.record.attempts_made + 1
  }

  get id(): string {
    return this.#task.record.id
  }

  get data(): TaskData {
    return this.#task.record.data
  }

  get due(): number {
    return Date.parse(this.#task.record.due_at)
  }

  get attempts(): number {
    return this.#task.record.attempts
  }

  async progress(progress: Progress): Promise<void> {
    this.#task.record.progress = asJson(progress)
  }

  async childResults(): Promise<unknown[]> {
    const { children = [] } = this.data
    return children.map((id) => structuredClone(this.#task.results.get(id) ?? null))
  }

  async childFailures(): Promise<(Failure | null)[]> {
    const { children = [] } = this.data
    return children.map((id) => this.#task.failures.get(id) ?? null)
  }
}
