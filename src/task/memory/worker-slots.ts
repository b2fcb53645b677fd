import type { WorkOptions } from '../types.ts'
import type { MemoryTask } from './task.ts'

/** How many tasks of one queue a worker runs at once, and which. */
export class WorkerSlots {
  readonly options: WorkOptions
  readonly running = new Set<MemoryTask>()
  isStopped = false
  #change = Promise.withResolvers<void>()

  constructor(options: WorkOptions) {
    this.options = options
  }

  get isFree(): boolean {
    return !this.isStopped && this.running.size < this.options.concurrency
  }

  leave(task: MemoryTask): void {
    this.running.delete(task)
    this.#change.resolve()
    this.#change = Promise.withResolvers()
  }

  /** Waits until it runs nothing, and has nothing to run. */
  async idle(hasMore: () => boolean): Promise<void> {
    while (this.running.size > 0 || hasMore()) await this.#change.promise
  }
}
