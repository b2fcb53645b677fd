import { unlessAborted } from '../abort.ts'
import { LONGEST_TIMER } from '../deadlines.ts'
import { errors } from '../errors.ts'
import { backoffOf } from './backoff.ts'
import { type Clock, systemClock } from './clock.ts'
import {
  cancelled,
  childFailed,
  type Failure,
  failureOf,
  processEnds,
  TaskFinal,
  TaskRetry,
} from './errors.ts'
import { WORKER } from './id.ts'
import { EndedTasks } from './memory/ended.ts'
import { MemoryQueue } from './memory/queue.ts'
import { asJson, MemoryRun, MemoryTask } from './memory/task.ts'
import { WorkerSlots } from './memory/worker-slots.ts'
import type {
  NewTask,
  QueueCounts,
  TaskDriver,
  TaskRecord,
  TaskState,
  TaskTree,
  Working,
  WorkOptions,
} from './types.ts'
import { settles } from './within.ts'

/** How many that have ended are kept, and ids under which none was added. */
const KEPT = 10_000
// How long a task may take to end after its signal was aborted, in ms.
const GRACE = 500

/**
 * Tasks of one process, in memory: they are lost with it.
 *
 * @param onQueue called with the name of each queue when it gets its first task
 * @param kept how many that have ended are kept, of those that say nothing else
 * @param clock what delays pass by
 */
export function openMemory(
  onQueue: (queue: string) => void = () => {},
  kept = KEPT,
  clock: Clock = systemClock,
): TaskDriver {
  return new MemoryDriver(onQueue, kept, clock)
}

class MemoryDriver implements TaskDriver {
  readonly kind = 'memory'
  readonly #tasks = new Map<string, MemoryTask>()
  readonly #queues = new Map<string, MemoryQueue>()
  readonly #ended: EndedTasks
  /** Those that have not ended, by queue and text. */
  readonly #unique = new Map<string, MemoryTask>()
  /** Ids under which none was added, and of which tasks they are now. */
  readonly #aliases = new Map<string, string>()
  /** Queues that have or had a task. */
  readonly #used = new Set<string>()
  readonly #closing = new AbortController()
  readonly #onQueue: (queue: string) => void
  readonly #clock: Clock

  constructor(onQueue: (queue: string) => void, kept: number, clock: Clock) {
    this.#onQueue = onQueue
    this.#ended = new EndedTasks(kept, (task) => this.#forget(task))
    this.#clock = clock
  }

  async add(tasks: readonly NewTask[]): Promise<string[]> {
    this.#closing.signal.throwIfAborted()
    this.#ended.sweep()
    for (const task of tasks) this.#assertSame(task)
    return tasks.map((task) => {
      this.#assertSame(task)
      const same = this.#tasks.get(task.id) ?? this.#same(task)
      return same?.record.id ?? this.#add(task, []).record.id
    })
  }

  async addTree(tree: TaskTree): Promise<void> {
    this.#closing.signal.throwIfAborted()
    this.#ended.sweep()
    this.#assertSame(tree)
    if (this.#tasks.has(tree.id)) return
    this.#assertNew(tree.children)
    this.#addTree(tree)
  }

  async alias(id: string, of: string): Promise<void> {
    this.#aliases.set(id, of)
    const [oldest] = this.#aliases.keys()
    if (oldest !== undefined && this.#aliases.size > KEPT) this.#aliases.delete(oldest)
  }

  async get(id: string): Promise<TaskRecord | undefined> {
    return this.#find(id)?.copy()
  }

  async cancel(id: string): Promise<boolean> {
    const task = this.#tasks.get(id)
    if (!task || task.hasEnded) return false
    task.record.data.cancelled = true
    if (task.run) task.run.end('cancelled')
    else this.#end(task, 'cancelled', null, cancelled(id))
    for (const child of task.record.data.children ?? []) await this.cancel(child)
    return true
  }

  async retry(id: string): Promise<boolean> {
    this.#closing.signal.throwIfAborted()
    const task = this.#tasks.get(id)
    if (!task?.record.failure) return false
    for (const child of task.record.data.children ?? []) await this.retry(child)
    this.#ended.delete(task)
    task.reset()
    this.#enter(task)
    return true
  }

  async remove(id: string): Promise<boolean> {
    const task = this.#tasks.get(id)
    if (!task || task.run) return false
    this.#forget(task)
    task.leave()
    this.#fulfil(task, null)
    return true
  }

  async list(queue: string, state: TaskState, start: number, end: number): Promise<TaskRecord[]> {
    this.#ended.sweep()
    const found = this.#inOrder(state).filter(({ record }) => record.queue === queue)
    return found.slice(start, end + 1).map((task) => task.copy())
  }

  async counts(queue: string): Promise<QueueCounts> {
    this.#ended.sweep()
    const counts = { waiting: 0, delayed: 0, running: 0, succeeded: 0, failed: 0, crashed: 0 }
    for (const { record } of this.#tasks.values()) {
      if (record.queue === queue) counts[record.state === 'cancelled' ? 'failed' : record.state]++
    }
    return { ...counts, paused: this.#queues.get(queue)?.isPaused ?? false }
  }

  async queues(): Promise<string[]> {
    return [...this.#used].toSorted()
  }

  async pause(name: string, paused: boolean): Promise<void> {
    const queue = this.#queue(name)
    queue.isPaused = paused
    queue.look()
  }

  async work(options: WorkOptions): Promise<Working> {
    this.#closing.signal.throwIfAborted()
    const allSlots = new Map<MemoryQueue, WorkerSlots>()
    for (const name of new Set(options.queues)) {
      const queue = this.#queue(name)
      allSlots.set(queue, new WorkerSlots(options))
      queue.allSlots.add(allSlots.get(queue) as WorkerSlots)
      queue.look()
    }
    let stopped: Promise<number> | undefined
    return {
      stop: async (timeout) => {
        stopped ??= this.#stop(allSlots, timeout)
        return { handedBack: await stopped }
      },
    }
  }

  async finished(id: string, signal?: AbortSignal): Promise<TaskRecord> {
    const task = this.#find(id)
    if (!task) throw errors.TASK_NOT_FOUND(id)
    await unlessAborted(task.over, this.#closing.signal, signal)
    if (!task.hasEnded) throw errors.TASK_NOT_FOUND(id)
    return task.copy()
  }

  async close(): Promise<void> {
    this.#closing.abort(processEnds())
    for (const queue of this.#queues.values()) queue.close()
    for (const task of this.#tasks.values()) {
      task.callOff()
      task.run?.end('handed back')
    }
  }

  #add(added: NewTask, children: readonly string[], parent?: MemoryTask): MemoryTask {
    const task = new MemoryTask(added, children, parent)
    task.addedAt = this.#clock.now()
    this.#tasks.set(added.id, task)
    if (!this.#used.has(added.queue)) {
      this.#used.add(added.queue)
      this.#onQueue(added.queue)
    }
    if (added.options.unique !== undefined) this.#unique.set(uniqueKey(added), task)
    this.#enter(task)
    return task
  }

  /** @throws {PlinthError} TASK_KEY_REUSED */
  #assertSame({ id, data, options }: NewTask): void {
    const print = this.#tasks.get(id)?.options.print
    if (print && print !== options.print) throw errors.TASK_KEY_REUSED(data.resource, id)
  }

  /** The one that is meant where `added` is not to be a second one. */
  #same(added: NewTask): MemoryTask | undefined {
    const { throttle, debounce } = added.options
    const same = this.#unique.get(uniqueKey(added))
    if (!same) return undefined
    const age = this.#clock.now() - same.addedAt
    if (throttle !== undefined && age >= throttle) return undefined
    if (debounce === undefined) return same
    if (same.record.state !== 'delayed') return undefined
    same.callOff()
    same.record.data = asJson(added.data)
    this.#delay(same, debounce)
    return same
  }

  #find(id: string): MemoryTask | undefined {
    this.#ended.sweep()
    return this.#tasks.get(id) ?? this.#tasks.get(this.#aliases.get(id) ?? '')
  }

  #assertNew(trees: readonly TaskTree[]): void {
    for (const { id, children } of trees) {
      if (this.#tasks.has(id)) throw errors.TASK_EXISTS(id)
      this.#assertNew(children)
    }
  }

  #addTree(tree: TaskTree, parent?: MemoryTask): void {
    const ids = tree.children.map(({ id }) => id)
    const task = this.#add(tree, ids, parent)
    for (const child of tree.children) this.#addTree(child, task)
  }

  /** It waits for its turn: after others, after its delay. */
  #enter(task: MemoryTask): void {
    if (task.missing.size > 0 || this.#closing.signal.aborted) return
    if (task.options.delay > 0 && task.record.started_at === null) {
      this.#delay(task, task.options.delay)
    } else this.#queue(task.record.queue).push(task)
  }

  #delay(task: MemoryTask, milliseconds: number): void {
    task.record.state = 'delayed'
    task.due = this.#clock.now() + milliseconds
    // By timers alone: the clock may be set meanwhile.
    const wait = (left: number) => {
      if (left > 0) {
        const part = Math.min(left, LONGEST_TIMER)
        task.callOff = this.#clock.after(part, () => wait(left - part))
        return
      }
      task.record.state = 'waiting'
      this.#queue(task.record.queue).push(task)
    }
    wait(milliseconds)
  }

  async #run(task: MemoryTask, slots: WorkerSlots): Promise<void> {
    const run = new MemoryRun(task)
    task.run = run
    slots.running.add(task)
    Object.assign(task.record, {
      ...{ state: 'running', worker: WORKER },
      started_at: new Date().toISOString(),
    })
    try {
      const result = asJson(await slots.options.perform(run))
      if (run.ending === 'cancelled') throw run.ending
      if (task.run === run) this.#succeed(task, result)
    } catch (error) {
      if (task.run === run) this.#settle(task, run, error)
    }
    slots.leave(task)
    this.#queue(task.record.queue).look()
  }

  #succeed(task: MemoryTask, result: unknown): void {
    task.run = undefined
    task.record.attempts_made++
    this.#end(task, 'succeeded', result, null)
  }

  /** What comes after a try that has failed, or was aborted. */
  #settle(task: MemoryTask, run: MemoryRun, error: unknown): void {
    const { record, options } = task
    task.run = undefined
    if (run.ending === 'handed back') {
      this.#handBack(task)
    } else if (run.ending === 'cancelled') {
      record.attempts_made++
      this.#end(task, 'cancelled', null, cancelled(record.id))
    } else if (error instanceof TaskRetry) {
      this.#delay(task, error.delay)
    } else if (++record.attempts_made < options.attempts && !(error instanceof TaskFinal)) {
      this.#delay(task, backoffOf(options.backoff, record.attempts_made, error))
    } else this.#end(task, 'failed', null, failureOf(error))
  }

  #handBack(task: MemoryTask): void {
    task.run = undefined
    task.record.state = 'waiting'
    if (!this.#closing.signal.aborted) this.#queue(task.record.queue).push(task, true)
  }

  #end(task: MemoryTask, state: TaskState, result: unknown, failure: Failure | null): void {
    this.#queue(task.record.queue).delete(task)
    this.#release(task)
    task.end(state, result, failure)
    this.#ended.add(task)
    if (state === 'succeeded') this.#fulfil(task, result)
    else this.#failParent(task)
  }

  /** The one that waits for it has one less to wait for. */
  #fulfil({ parent, record }: MemoryTask, result: unknown): void {
    if (!parent) return
    if (!parent.results.has(record.id)) parent.results.set(record.id, result)
    if (!parent.missing.delete(record.id)) return
    if (!parent.hasEnded && this.#has(parent)) this.#enter(parent)
  }

  #failParent({ parent, record, options }: MemoryTask): void {
    if (!parent || parent.hasEnded || !this.#has(parent)) return
    const { ifFails = 'fail' } = options
    if (ifFails === 'fail') {
      this.#end(parent, 'failed', null, childFailed(record.id))
      return
    }
    if (!parent.missing.delete(record.id)) return
    parent.failures.set(record.id, record.failure as Failure)
    if (ifFails === 'continue') parent.missing.clear()
    this.#enter(parent)
  }

  #forget(task: MemoryTask): void {
    this.#queue(task.record.queue).delete(task)
    this.#release(task)
    this.#ended.delete(task)
    this.#tasks.delete(task.record.id)
  }

  /** Lets another one with its `unique` in. */
  #release({ record, options, addedAt }: MemoryTask): void {
    const { throttle = 0 } = options
    const left = addedAt + throttle - this.#clock.now()
    // Until then it keeps others out, whatever has become of it.
    if (left > 0 && this.#tasks.has(record.id)) return
    const key = uniqueKey({ queue: record.queue, options })
    if (this.#unique.get(key)?.record.id === record.id) this.#unique.delete(key)
  }

  /** How many are left. */
  async #stop(allSlots: Map<MemoryQueue, WorkerSlots>, timeout: number): Promise<number> {
    const idle = Array.from(allSlots, ([queue, slots]) => slots.idle(() => queue.hasMore))
    await settles(Promise.all(idle), timeout)
    for (const [queue, slots] of allSlots) {
      slots.isStopped = true
      queue.allSlots.delete(slots)
      for (const { run } of slots.running) run?.end('handed back')
    }
    await settles(
      Promise.all([...allSlots.values()].map((slots) => slots.idle(() => false))),
      GRACE,
    )
    for (const task of [...allSlots.values()].flatMap(({ running }) => [...running])) {
      this.#handBack(task)
    }
    const open = [...this.#tasks.values()].filter(({ hasEnded }) => !hasEnded)
    return open.filter(({ record }) => allSlots.has(this.#queue(record.queue))).length
  }

  #inOrder(state: TaskState): MemoryTask[] {
    if (state === 'waiting') {
      const next = [...this.#queues.values()].flatMap((queue) => queue.waiting())
      return [...next, ...[...this.#tasks.values()].filter(waitsForOthers)]
    }
    const tasks = [...this.#tasks.values()].filter(({ record }) => record.state === state)
    if (state === 'running') return tasks
    if (state === 'delayed') return tasks.toSorted((one, other) => one.due - other.due)
    return this.#ended.newest().filter(({ record }) => record.state === state)
  }

  #has(task: MemoryTask): boolean {
    return this.#tasks.get(task.record.id) === task
  }

  #queue(name: string): MemoryQueue {
    const found = this.#queues.get(name)
    if (found) return found
    const made = new MemoryQueue((task, slots) => void this.#run(task, slots))
    this.#queues.set(name, made)
    return made
  }
}

function waitsForOthers({ missing, hasEnded }: MemoryTask): boolean {
  return missing.size > 0 && !hasEnded
}

function uniqueKey({ queue, options }: Pick<NewTask, 'queue' | 'options'>): string {
  return JSON.stringify([queue, options.unique])
}
