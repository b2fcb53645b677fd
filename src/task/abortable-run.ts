import { errors } from '../errors.ts'
import { WorkerEnding } from './errors.ts'

/** A task that this process runs, wherever it is kept: its signal, and why that is aborted. */
export abstract class AbortableRun {
  abstract readonly id: string
  /** Why it is aborted. */
  ending: 'cancelled' | 'handed back' | undefined
  // Made when asked for: most tasks never look.
  #controller: AbortController | undefined

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController()
      this.#abort()
    }
    return this.#controller.signal
  }

  /** The first ending counts. */
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
