import { AbortableRun } from '../abortable-run.ts'
import type { Failure } from '../errors.ts'
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
export class DatabaseRun extends AbortableRun implements Run {
  readonly row: ClaimedRow
  readonly options: NewTask['options']
  readonly data: TaskData
  /** When it was begun, by `performance.now()`. */
  readonly since = performance.now()
  /** It is others' by now: what it still comes to is of no interest. */
  isGivenBack = false
  /** What it has come to is settled, and on its way to the database. */
  told: Promise<void> | undefined
  readonly #table: RunTable

  constructor(row: ClaimedRow, table: RunTable) {
    super()
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
}
