import type { InMilliseconds } from '../../duration.ts'
import { steady } from '../../steady.ts'
import type { Retention } from '../types.ts'
import type { MemoryTask } from './task.ts'

/** Some of which the first that has ended is the first to be forgotten. */
interface Group extends InMilliseconds<Retention> {
  tasks: Map<MemoryTask, number>
  /** Whether they have a key that holds so long. */
  isHeld: boolean
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
    for (const isHeld of [true, false]) this.#groupOf(task, isHeld).tasks.delete(task)
  }

  /** The last one first. */
  newest(): MemoryTask[] {
    return [...this.#all].toReversed()
  }

  sweep(now = steady.now()): void {
    for (const { tasks, age, count, isHeld } of this.#groups.values()) {
      for (const [task, since] of tasks) {
        if (tasks.size <= count && now - since < age) break
        tasks.delete(task)
        if (isHeld && wishOf(task)) this.#groupOf(task, false).tasks.set(task, since)
        else this.#forget(task)
      }
    }
  }

  /** What it is kept with, as long as its key holds, or after that. */
  #groupOf(task: MemoryTask, isHeld = true): Group {
    const { keyFor } = task.options
    if (isHeld && keyFor !== undefined)
      return this.#group(`key ${keyFor}`, { age: keyFor, count: Number.POSITIVE_INFINITY }, true)
    const wish = wishOf(task)
    const name = wish ? `${kindOf(task)} ${task.record.data.resource}` : ''
    return this.#group(name, { ...this.#usual, ...wish }, false)
  }

  #group(name: string, retention: InMilliseconds<Retention>, isHeld: boolean): Group {
    const known = this.#groups.get(name)
    if (known) return known
    const made = { ...retention, tasks: new Map(), isHeld }
    this.#groups.set(name, made)
    return made
  }
}

const kindOf = ({ record }: MemoryTask) => (record.state === 'succeeded' ? 'succeeded' : 'failed')

const wishOf = (task: MemoryTask) => task.options.keep?.[kindOf(task)]
