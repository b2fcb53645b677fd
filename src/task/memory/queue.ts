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
    return [...this.#inOrder()]
  }

  *#inOrder(): Generator<MemoryTask> {
    const priorities = [...this.#waiting.keys()].toSorted((one, other) => one - other)
    for (const priority of priorities) yield* this.#waiting.get(priority) ?? []
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
      const task = this.#first(slots)
      if (!task || !this.#mayStart(task, slots)) return
      this.delete(task)
      this.#start(task, slots)
    }
  }

  /** The first one that waits for none with its `concurrencyKey`. */
  #first({ options }: WorkerSlots): MemoryTask | undefined {
    const full = new Set<string>()
    for (const task of this.#inOrder()) {
      const { concurrencyKey: key } = task.options
      if (key === undefined) return task
      if (full.has(key)) continue
      const most = options.concurrencyOf?.(task.record.data) ?? Number.POSITIVE_INFINITY
      if (this.#running(key) < most) return task
      full.add(key)
    }
    return undefined
  }

  /** How many run, of all or with a `concurrencyKey`. */
  #running(key?: string): number {
    const running = [...this.allSlots].flatMap((slots) => [...slots.running])
    if (key === undefined) return running.length
    return running.filter(({ options }) => options.concurrencyKey === key).length
  }

  #mayStart({ record }: MemoryTask, { options }: WorkerSlots): boolean {
    const { [record.queue]: limits } = options.limits ?? {}
    const { concurrency = Number.POSITIVE_INFINITY } = limits ?? {}
    // Whoever leaves has it looked again.
    if (this.#running() >= concurrency) return false
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
