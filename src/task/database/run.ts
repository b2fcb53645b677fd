import { errors } from '../../errors.ts'
import { type Failure, WorkerEnding } from '../errors.ts'
import type { NewTask, Progress, Run, TaskData } from '../types.ts'
import { failureKey, readData, readOptions } from './record.ts'
import type { TaskRow } from './tables.ts'

/** What is read of a task to run it. */
export type ClaimedRow = Pick<
  TaskRow,
  | 'position'
  | 'id'
  | 'queue'
  | 'parent'
  | 'data'
  | 'options'
  | 'attempts_made'
  | 'crashes'
  | 'cancelled'
  | 'due'
  | 'died'
  | 'worker'
  | 'started'
>

/** What a run asks its table. */
export interface RunTable {
  progress(position: number, progress: Progress): Promise<void>
  results(position: number): Promise<Record<string, unknown>>
}

/** A task that this process runs. */
export class DatabaseRun implements Run {
  readonly row: ClaimedRow
  readonly options: NewTask['options']
  readonly data: TaskData
  /** When it was begun, by `performance.now()`. */
  readonly since = performance.now()
  /** Why it is aborted. */
  ending: 'cancelled' | 'handed back' | undefined
  /** It is others' by now: what it still comes to is of no interest. */
  isGivenBack = false
  readonly #table: RunTable
  // Made when asked for: most tasks never look.
  #controller: AbortController | undefined

  constructor(row: ClaimedRow, table: RunTable) {
    this.row = row
    this.#table = table
    this.options = readOptions(row)
    this.data = readData(row)
  }

  get id(): string {
    return this.row.id
  }

  get due(): number {
    return this.row.due
  }

  get attempts(): number {
    return this.options.attempts
  }

  get attempt(): number {
    return this.row.attempts_made + 1
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController()
      this.#abort()
    }
    return this.#controller.signal
  }

  async progress(progress: Progress): Promise<void> {
    await this.#table.progress(this.row.position, progress)
  }

  async childResults(): Promise<unknown[]> {
    const { children = [] } = this.data
    if (children.length === 0) return []
    const results = await this.#table.results(this.row.position)
    return children.map((id) => results[id] ?? null)
  }

  async childFailures(): Promise<(Failure | null)[]> {
    const { children = [] } = this.data
    if (children.length === 0) return []
    const results = await this.#table.results(this.row.position)
    return children.map((id) => (results[failureKey(id)] as Failure | undefined) ?? null)
  }

  end(ending: 'cancelled' | 'handed back'): void {
    this.ending ??= ending
    this.#abort()
  }

  #abort(): void {
    if (!this.ending) return
    const isCancelled = this.ending === 'cancelled'
    this.#controller?.abort(isCancelled ? errors.TASK_CANCELLED(this.id) : new WorkerEnding())
  }
}
