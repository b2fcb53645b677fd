import { follow } from '../abort.ts'
import { errors } from '../errors.ts'
import type { StuckTries } from './stuck.ts'
import type { Run } from './types.ts'

/**
 * When a try has to end: when its driver says so, or its time is over. Its signal is made for those that ask for it.
 */
export class TryEnd {
  readonly #run: Run
  readonly #timeout: number
  readonly #grace: number
  readonly #stuck: StuckTries
  #controller: AbortController | undefined
  #leave = () => {}
  #timer: NodeJS.Timeout | undefined
  #late: Error | undefined
  #isOver = false

  /**
   * @param timeout milliseconds; 0: as long as it takes
   * @param grace milliseconds that the work may take once its signal was aborted
   * @param stuck is told of work that goes on nevertheless
   */
  constructor(run: Run, timeout: number, grace: number, stuck: StuckTries) {
    this.#run = run
    this.#timeout = timeout
    this.#grace = grace
    this.#stuck = stuck
  }

  /** Nobody waits for the work any more: what it tells from now on is of no interest. */
  get isOver(): boolean {
    return this.#isOver
  }

  get signal(): AbortSignal {
    if (this.#controller) return this.#controller.signal
    const controller = new AbortController()
    this.#controller = controller
    if (this.#late) controller.abort(this.#late)
    else this.#leave = follow(controller, [this.#run.signal])
    return controller.signal
  }

  throwIfAborted(): void {
    if (this.#late) throw this.#late
    this.#run.signal.throwIfAborted()
  }

  /** Waits for the work of the try. @throws what it throws, DEADLINE_EXCEEDED where it was late */
  async bound<T>(work: () => T): Promise<Awaited<T>> {
    try {
      return await (this.#timeout === 0 ? work() : this.#race(work))
    } catch (error) {
      throw this.#late ?? error
    } finally {
      this.#isOver = true
      clearTimeout(this.#timer)
      this.#leave()
    }
  }

  #race<T>(work: () => T): Promise<Awaited<T>> {
    return new Promise((resolve, reject) => {
      const giveUp = (late: Error) => {
        this.#stuck.add(done)
        reject(late)
      }
      this.#timer = setTimeout(() => {
        this.#late = errors.DEADLINE_EXCEEDED(this.#timeout)
        this.#timer = setTimeout(giveUp, this.#grace, this.#late)
        this.#controller?.abort(this.#late)
      }, this.#timeout)
      const done = Promise.resolve(work())
      done.then(resolve, reject)
    })
  }
}
