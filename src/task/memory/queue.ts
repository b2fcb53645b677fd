import { startLimitOf } from '../declared.ts'
import type { MemoryTask } from './task.ts'
import type { WorkerSlots } from './worker-slots.ts'

/** One queue: which of its tasks is next, and whether it may run now. */
export class MemoryQueue {
  isPaused = false
  readonly allSlots = new Set<WorkerSlots>()
  /** By priority, 0 for those without, which are first; in the order in which they came. */
  readonly #waiting = new Map<number, Set<MemoryTask>>()
  readonly #start: (task: MemoryTask, slots: WorkerSlots) => void
  /** When the last ones started, where there is a limit: the first one first. */
  readonly #starts: number[] = []
  #timer: NodeJS.Timeout | undefined
  #looking: NodeJS.Immediate | undefined

  constructor(start: (task: MemoryTask, slots: WorkerSlots) => void) {
    this.#start = start
  }

  /** @param first before those of its priority that wait already */
  push(task: MemoryTask, first = false): void {
    const { priority = 0 } = task.options
    const same = this.#waiting.get(priority) ?? new Set()
    this.#waiting.set(priority, first ? new Set([task, ...same]) : same.add(task))
    this.look()
  }

  delete(task: MemoryTask): void {
    const { priority = 0 } = task.options
    const same = this.#waiting.get(priority)
    same?.delete(task)
    if (same?.size === 0) this.#waiting.delete(priority)
  }

  /** In the order in which they run. */
  waiting(): MemoryTask[] {
    const inOrder = [...this.#waiting].toSorted(([one], [other]) => one - other)
    return inOrder.flatMap(([, tasks]) => [...tasks])
  }

  /** Whether there is something that could run. */
  get hasMore(): boolean {
    return !this.isPaused && this.#waiting.size > 0
  }

  /** Starts what may run: soon, not before the one who asks goes on. */
  look(): void {
    this.#looking ??= setImmediate(() => {
      this.#looking = undefined
      this.#startAll()
    })
  }

  close(): void {
    clearTimeout(this.#timer)
    clearImmediate(this.#looking)
    for (const task of this.waiting()) this.delete(task)
  }

  #startAll(): void {
    while (this.hasMore) {
      const slots = [...this.allSlots].find(({ isFree }) => isFree)
      if (!slots) return
      const task = this.#first()
      if (!this.#mayStart(task, slots)) return
      this.delete(task)
      this.#start(task, slots)
    }
  }

  #first(): MemoryTask {
    const [task] = this.#waiting.get(Math.min(...this.#waiting.keys())) ?? []
    return task as MemoryTask
  }

  #mayStart({ record }: MemoryTask, { options }: WorkerSlots): boolean {
    const { [record.queue]: limits } = options.limits ?? {}
    const { concurrency = Number.POSITIVE_INFINITY } = limits ?? {}
    let running = 0
    for (const slots of this.allSlots) running += slots.running.size
    // Whoever leaves has it looked again.
    if (running >= concurrency) return false
    const limit = startLimitOf(limits)
    if (!limit) return true
    const now = performance.now()
    while (this.#starts.length >= limit.max) {
      const left = (this.#starts[0] as number) + limit.duration - now
      if (left > 0) {
        clearTimeout(this.#timer)
        this.#timer = setTimeout(() => this.look(), left)
        return false
      }
      this.#starts.shift()
    }
    this.#starts.push(now)
    return true
  }
}
