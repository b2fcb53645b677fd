import type { InMilliseconds } from '../../duration.ts'
import { steady } from '../../steady.ts'
import type { Retention } from '../types.ts'
import type { MemoryTask } from './task.ts'

/** Some of which the first that has ended is the first to be forgotten. */
interface Group extends InMilliseconds<Retention> {
  tasks: Map<MemoryTask, number>
}

/** Those that have ended and are kept: those with a key as long as it holds, then all as their resources say. */
export class EndedTasks {
  /** The last one last. */
  readonly #all = new Set<MemoryTask>()
  /** By how long their keys hold, each with when it has ended. */
  readonly #held = new Map<number, Map<MemoryTask, number>>()
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
    this.#placeOf(task).set(task, now)
    this.sweep(now)
  }

  delete(task: MemoryTask): void {
    this.#all.delete(task)
    this.#placeOf(task).delete(task)
    this.#groupOf(task).delete(task)
  }

  /** The last one first. */
  newest(): MemoryTask[] {
    return [...this.#all].toReversed()
  }

  sweep(now = steady.now()): void {
    for (const [keyFor, tasks] of this.#held) {
      for (const [task, since] of tasks) {
        if (now - since < keyFor) break
        tasks.delete(task)
        if (wishOf(task)) this.#groupOf(task).set(task, since)
        else this.#forget(task)
      }
    }
    for (const { tasks, age, count } of this.#groups.values()) {
      for (const [task, since] of tasks) {
        if (tasks.size <= count && now - since < age) break
        this.#forget(task)
      }
    }
  }

  /** Where it is at first. */
  #placeOf(task: MemoryTask): Map<MemoryTask, number> {
    const { keyFor } = task.options
    if (keyFor === undefined) return this.#groupOf(task)
    const tasks = this.#held.get(keyFor) ?? new Map()
    this.#held.set(keyFor, tasks)
    return tasks
  }

  #groupOf(task: MemoryTask): Map<MemoryTask, number> {
    const wish = wishOf(task)
    const name = wish ? `${kindOf(task)} ${task.record.data.resource}` : ''
    const group = this.#groups.get(name) ?? { ...this.#usual, ...wish, tasks: new Map() }
    this.#groups.set(name, group)
    return group.tasks
  }
}

const kindOf = ({ record }: MemoryTask) => (record.state === 'succeeded' ? 'succeeded' : 'failed')

const wishOf = (task: MemoryTask) => task.options.keep?.[kindOf(task)]
