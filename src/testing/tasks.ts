import { tracingChannel } from 'node:diagnostics_channel'
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import type { TaskMessage } from '../resource/perform-task.ts'
import { readSchedules } from '../resource/task-source.ts'
import { countOutbox } from '../task/outbox.ts'
import { type Schedule, scheduledTask } from '../task/schedule.ts'
import { hasEnded } from '../task/state.ts'
import type { NewTask, TaskDriver, TaskRecord, TaskState, TaskTree } from '../task/types.ts'
import type { Followers } from './clock.ts'

/** A task as tests look at it. */
export interface TestTask {
  readonly id: string
  /** Full name, `cities.importAll`. */
  readonly resource: string
  readonly input: unknown
  /** The id of the user that it runs for; null: nobody, or the service itself. */
  readonly user: string | null
  readonly queue: string
  readonly state: TaskState
  /** How often it has been tried. */
  readonly attempts: number
  /** Where it has succeeded. */
  readonly result: unknown
  /** Where it has failed or was cancelled. */
  readonly failure: { readonly code: string; readonly message: string } | null
}

/** What tests do with the tasks of an app, beside what it does itself. */
export interface TaskControl {
  /** From now on, until the app is reset, tasks are kept and none runs but by `drain`. */
  fake(): Promise<void>
  /** What has been enqueued since `fake()`, in order, with how many ms each was to wait. What a transaction has added is there when that has committed. */
  enqueued(): Promise<(TestTask & { readonly delay: number })[]>
  /**
   * Runs in this process all that is due, and what that enqueues; what was to wait waits, also to be tried again.
   *
   * @returns all that have run since this was called last, in the order in which they began first
   */
  drain(): Promise<TestTask[]>
}

/** The end of a try, which goes on for this long at most once it was cancelled, in ms. */
const PATIENCE = 5000

export class TestTasks implements TaskControl, Followers {
  readonly #app: FastifyInstance
  readonly #added = new Map<string, number>()
  readonly #ran = new Set<string>()
  readonly #unsubscribe: () => void
  #isFake = false
  #isUsed = false
  #watched: TaskDriver | undefined
  #scheduled: ReturnType<typeof readSchedules> | undefined

  constructor(app: FastifyInstance) {
    this.#app = app
    const channel = tracingChannel<unknown, TaskMessage>('plinth:task')
    const begun = (message: unknown) => {
      const { app: of, run } = message as TaskMessage
      if (of === app) this.#ran.add(run.id)
    }
    channel.start.subscribe(begun)
    this.#unsubscribe = () => void channel.start.unsubscribe(begun)
    const { tasks } = app
    const { driver } = tasks
    const submit = tasks.submit.bind(tasks)
    const submitMany = tasks.submitMany.bind(tasks)
    Object.assign(tasks, {
      driver: () => {
        this.#isUsed = true
        return driver()
      },
      submit: (tree: TaskTree) => {
        this.#isUsed = true
        return submit(tree)
      },
      submitMany: (many: readonly NewTask[]) => {
        this.#isUsed = true
        return submitMany(many)
      },
      fake: () => this.fake(),
      enqueued: () => this.enqueued(),
      drain: () => this.drain(),
    })
  }

  async fake(): Promise<void> {
    const driver = await this.#driver()
    this.#watch(driver)
    this.#isFake = true
    await this.#pause(driver, true)
  }

  async enqueued(): Promise<(TestTask & { delay: number })[]> {
    if (!this.#isFake) throw new Error('tasks.enqueued() tells what there is since tasks.fake()')
    await this.#delivered()
    const driver = await this.#driver()
    const found = Array.from(this.#added, async ([id, delay]) => {
      const record = await driver.get(id)
      return record ? [{ ...toTask(record), delay }] : []
    })
    return (await Promise.all(found)).flat()
  }

  async drain(): Promise<TestTask[]> {
    const driver = await this.#driver()
    if (this.#isFake) await this.#pause(driver, false)
    // In memory this process works already.
    const { tasks } = this.#app
    const wanted = { queues: [...tasks.queues], concurrency: 10, schedules: false }
    const working = driver.kind === 'memory' ? undefined : await tasks.work(wanted)
    try {
      await this.#idle(driver)
    } finally {
      await working?.stop(PATIENCE)
      if (this.#isFake) await this.#pause(driver, true)
    }
    const ids = [...this.#ran]
    this.#ran.clear()
    const records = await Promise.all(ids.map((id) => driver.get(id)))
    return records.flatMap((record) => (record ? [toTask(record)] : []))
  }

  next(after: number): number {
    return Math.min(...this.#schedules.map((schedule) => schedule.next(after)))
  }

  async run(at: number): Promise<void> {
    const { tasks } = this.#app
    const control = await tasks.schedules()
    const paused = new Set(
      (await control.list()).filter((one) => one.paused).map(({ name }) => name),
    )
    const isDue = ({ name, next }: Schedule) => next(at - 1) === at && !paused.has(name)
    const toTask = this.#scheduled?.toTask
    if (!toTask) return
    const due = this.#schedules.filter(isDue).map((one) => scheduledTask(one, at, 0, toTask))
    if (due.length > 0) await (await this.#driver()).add(due)
  }

  async settle(): Promise<void> {
    if (this.#isFake || !this.#isUsed) return
    const driver = await this.#driver()
    if (driver.kind === 'memory') await this.#idle(driver)
  }

  /** There are none any more, and they run as in the service. */
  async clear(): Promise<void> {
    if (!this.#isUsed) return
    const driver = await this.#driver()
    for (const state of ['delayed', 'waiting', 'running'] as const)
      await this.#each(driver, state, ({ id }) => driver.cancel(id))
    const patience = AbortSignal.timeout(PATIENCE)
    await this.#each(driver, 'running', ({ id }) => driver.finished(id, patience).catch(() => {}))
    for (const state of ['succeeded', 'failed', 'crashed', 'cancelled'] as const)
      await this.#each(driver, state, ({ id }) => driver.remove(id))
    if (this.#isFake) await this.#pause(driver, false)
    this.#isFake = false
    this.#added.clear()
    this.#ran.clear()
    this.#isUsed = false
  }

  close(): void {
    this.#unsubscribe()
  }

  #driver(): Promise<TaskDriver> {
    return this.#app.tasks.driver()
  }

  get #schedules(): readonly Schedule[] {
    this.#scheduled ??= readSchedules(this.#app, this.#app.tasks.payloadLimit)
    return this.#scheduled.schedules
  }

  /** Notes what is added, in order: those that others wait for first. */
  #watch(driver: TaskDriver): void {
    if (this.#watched) return
    this.#watched = driver
    const note = ({ id, options }: NewTask) => {
      if (this.#isFake && !this.#added.has(id)) this.#added.set(id, options.delay)
    }
    const noteTree = (tree: TaskTree) => {
      tree.children.forEach(noteTree)
      note(tree)
    }
    const add = driver.add.bind(driver)
    const addTree = driver.addTree.bind(driver)
    driver.add = async (tasks) => {
      const ids = await add(tasks)
      for (const [index, task] of tasks.entries()) if (ids[index] === task.id) note(task)
      return ids
    }
    driver.addTree = async (tree) => {
      await addTree(tree)
      noteTree(tree)
    }
  }

  async #pause(driver: TaskDriver, paused: boolean): Promise<void> {
    for (const queue of this.#app.tasks.queues) await driver.pause(queue, paused)
  }

  async #each(
    driver: TaskDriver,
    state: TaskState,
    work: (task: TaskRecord) => Promise<unknown>,
  ): Promise<void> {
    for (const queue of this.#app.tasks.queues)
      await Promise.all((await driver.list(queue, state, 0, 100_000)).map(work))
  }

  /**
   * Waits until nothing is due, twice: what one queue has done may be in another that was looked at before.
   *
   * @throws {Error} where that does not come
   */
  async #idle(driver: TaskDriver): Promise<void> {
    const wait = waiting()
    for (let idle = 0; idle < 2; ) {
      await this.#delivered()
      if (await this.#isBusy(driver)) idle = 0
      else idle++
      if (idle < 2) await wait(() => this.#open(driver))
    }
  }

  /** What has not ended. */
  async #open(driver: TaskDriver): Promise<string> {
    const open: string[] = []
    for (const state of ['running', 'waiting'] as const)
      await this.#each(driver, state, async ({ id, data: { resource } }) =>
        open.push(`${resource} (${id}, ${state})`),
      )
    return open.join(', ')
  }

  async #isBusy(driver: TaskDriver): Promise<boolean> {
    for (const queue of this.#app.tasks.queues) {
      const { running, waiting, paused } = await driver.counts(queue)
      if (running > 0) return true
      if (waiting === 0 || paused) continue
      const found = await driver.list(queue, 'waiting', 0, waiting - 1)
      // In Redis one may have begun meanwhile.
      if (found.length < waiting) return true
      for (const { data } of found) if (!(await this.#waitsForOthers(driver, data))) return true
    }
    return false
  }

  async #waitsForOthers(
    driver: TaskDriver,
    { children = [] }: TaskRecord['data'],
  ): Promise<boolean> {
    const records = await Promise.all(children.map((id) => driver.get(id)))
    return records.some((record) => record && !hasEnded(record.state))
  }

  /** Waits until what transactions have added is where tasks are. @throws {Error} where that does not come */
  async #delivered(): Promise<void> {
    if (!this.#app.hasDecorator('db')) return
    for (const wait = waiting(); ; ) {
      // Before the first message there is no table.
      const { waiting } = await countOutbox(this.#app.db).catch(() => ({ waiting: 0 }))
      if (waiting === 0) return
      await wait(async () => `${waiting} messages of the outbox`)
    }
  }
}

/** Milliseconds for which a test waits for tasks. */
const LONGEST_WAIT = 20_000

/** Makes what waits for a moment, again and again: what is waited for mostly takes no time. */
function waiting(): (what: () => Promise<string>) => Promise<void> {
  const end = performance.now() + LONGEST_WAIT
  let looks = 0
  return async (what) => {
    if (performance.now() > end)
      throw new Error(`After ${LONGEST_WAIT / 1000} s this has not ended: ${await what()}`)
    await (looks++ < 20 ? turn() : delay(2))
  }
}

function toTask({ id, data, queue, state, attempts_made, result, failure }: TaskRecord): TestTask {
  const { resource, input, user } = data
  return { id, resource, input, user, queue, state, attempts: attempts_made, result, failure }
}
