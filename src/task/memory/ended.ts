import type { InMilliseconds } from '../../duration.ts'
import { steady } from '../../steady.ts'
import type { Retention } from '../types.ts'
import type { MemoryTask } from './task.ts'

/** Some of which the first that has ended is the first to be forgotten. */
interface Group extends InMilliseconds<Retention> {
  tasks: Map<MemoryTask, number>
}

/** Those that have ended and are kept: as their resources say, and those with a key as long as it holds. */
export class EndedTasks {
  /** The last one last. */
  readonly #all = new Set<MemoryTask>()
  readonly #groups = new Map<string, Group>()
  readonly #usual: InMilliseconds<Retention>
  readonly #forget: (task: MemoryTask) => void

  /**
   * @param count how many are kept of those that nothing is said of
   * @param forget called with those that are kept no longer
   */
  constructor(count: number, forget: (task: MemoryTask) => void) {
    this.#usual = { age: Number.POSITIVE_INFINITY, count }
    this.#forget = forget
  }

  add(task: MemoryTask, now = steady.now()): void {
    this.#all.add(task)
    this.#groupOf(task).tasks.set(task, now)
    this.sweep(now)
  }

  delete(task: MemoryTask): void {
    this.#all.delete(task)
    this.#groupOf(task).tasks.delete(task)
  }

  /** The last one first. */
  newest(): MemoryTask[] {
    return [...this.#all].toReversed()
  }

  sweep(now = steady.now()): void {
    for (const { tasks, age, count } of this.#groups.values()) {
      for (const [task, since] of tasks) {
        if (tasks.size <= count && now - since < age) break
        this.#forget(task)
      }
    }
  }

  #groupOf({ record, options }: MemoryTask): Group {
    const kind = record.state === 'succeeded' ? 'succeeded' : 'failed'
    const wish = options.keep?.[kind]
    const { age, count } = { ...this.#usual, ...wish }
    const { keyFor } = options
    const life = keyFor === undefined ? age : Math.max(wish ? age : 0, keyFor)
    const name =
      keyFor === undefined ? (wish ? `${kind} ${record.data.resource}` : '') : `key ${life}`
    const group = this.#groups.get(name)
    if (group) return group
    const most = keyFor === undefined ? count : Number.POSITIVE_INFINITY
    const made = { tasks: new Map(), age: life, count: most }
    this.#groups.set(name, made)
    return made
  }
}
