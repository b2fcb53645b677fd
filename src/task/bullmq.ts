import { errors, PlinthError } from '../errors.ts'
import { cancelJob, STOPPING } from './bullmq/cancel.ts'
import {
  connectPatiently,
  PATIENCE,
  type Place,
  patientModel,
  TaskConnection,
} from './bullmq/connection.ts'
import { countCrashed, crashedIds, crashesOf, DIED } from './bullmq/crashes.ts'
import { joinJob } from './bullmq/debounce.ts'
import { Endings } from './bullmq/finished.ts'
import { toJob } from './bullmq/jobs.ts'
import { KEEP, type Keep, keepOptions } from './bullmq/keep.ts'
import { KeptTasks } from './bullmq/kept.ts'
import { listTasks } from './bullmq/list.ts'
import { Outages } from './bullmq/outages.ts'
import { Places } from './bullmq/places.ts'
import { Queues } from './bullmq/queues.ts'
import { failedStateOf, type TaskJob, type TaskQueue, toRecord } from './bullmq/record.ts'
import { Trees } from './bullmq/trees.ts'
import { Workers } from './bullmq/workers.ts'
import { cancelled as cancelledFailure, processEnds } from './errors.ts'
import { queueOf } from './id.ts'
import { hasEnded } from './state.ts'
import type {
  NewTask,
  QueueCounts,
  TaskDriver,
  TaskLog,
  TaskRecord,
  TaskState,
  TaskTree,
  Working,
  WorkOptions,
} from './types.ts'

export interface BullmqOptions {
  /** `redis://…`, or options of ioredis. */
  redis: Place
  /** What all keys begin with: of one service, in one environment. */
  prefix: string
  log: TaskLog
  /** After how long without a word from Redis what is asked fails, in ms: at least, and by default, {@link PATIENCE}. */
  patience?: number | undefined
  /** Default: {@link KEEP}. */
  keep?: Keep
  /** How long a task is its worker's without a sign of life, in ms; default 30,000. */
  lockDuration?: number
  /** How often tasks whose worker has died are looked for, in ms; default 30,000. */
  stalledInterval?: number
  /** How often the process that runs a task may die before the task has failed; default 5. */
  maxCrashes?: number
}

// In ms.
const LOCK = 30_000
// So many tasks at once are sent to Redis: more would keep it from others.
const CHUNK = 1000

/** Tasks on Redis, by BullMQ. Nothing waits for Redis here: it is connected to while the first is used. */
export function openBullmq(options: BullmqOptions): TaskDriver {
  return new BullmqDriver(options)
}

class BullmqDriver implements TaskDriver {
  readonly kind = 'redis'
  readonly #options: BullmqOptions
  readonly #keep: Keep
  readonly #patience: number
  readonly #outages: Outages
  readonly #connection: TaskConnection
  readonly #queues: Queues
  readonly #kept: KeptTasks
  readonly #endings: Endings
  #workers: Workers | undefined
  #trees: Trees | undefined
  #treeConnection: TaskConnection | undefined
  #closed: Promise<void> | undefined
  readonly #closing = new AbortController()

  constructor(options: BullmqOptions) {
    const { redis, prefix, patience = PATIENCE, keep = KEEP, log } = options
    this.#patience = Math.max(PATIENCE, patience)
    this.#options = options
    this.#keep = keep
    this.#outages = new Outages(log)
    this.#connection = new TaskConnection(redis, this.#outages, this.#patience)
    this.#queues = new Queues(this.#connection, prefix, this.#onError)
    this.#kept = new KeptTasks(this.#connection.client, prefix, keep)
    this.#endings = new Endings(patientModel(redis), prefix, this.#onError)
  }

  async add(tasks: readonly NewTask[]): Promise<string[]> {
    const [task] = tasks
    if (task && tasks.length === 1) return [await this.#connection.use(() => this.#addOne(task))]
    const ids: string[] = []
    for (let start = 0; start < tasks.length; start += CHUNK) {
      const chunk = tasks.slice(start, start + CHUNK)
      ids.push(...(await this.#connection.use(() => this.#add(chunk))))
    }
    return ids
  }

  async addTree(tree: TaskTree): Promise<void> {
    // Where this connection is lost the other one need not be waited for.
    await this.#connection.use(async () => {
      this.#trees ??= this.#openTrees()
      await this.#trees.add(tree)
    })
  }

  async alias(id: string, of: string): Promise<void> {
    const { age } = this.#keep.failed
    await this.#connection.use(() => this.#connection.client.set(this.#aliasKey(id), of, 'EX', age))
  }

  async get(id: string): Promise<TaskRecord | undefined> {
    const found = await this.#read(id)
    if (found || queueOf(id) === undefined) return found
    const [other, kept] = await this.#connection.use(() =>
      Promise.all([this.#connection.client.get(this.#aliasKey(id)), this.#kept.find(id)]),
    )
    if (kept || other === null) return kept
    return (await this.#read(other)) ?? (await this.#connection.use(() => this.#kept.find(other)))
  }

  async #read(id: string): Promise<TaskRecord | undefined> {
    return await this.#on(id, async (job, queue) => {
      const state = await queue.getJobState(id)
      if (state === 'unknown') return undefined
      const ended = state === 'completed' || state === 'failed'
      // It may have ended in between.
      const settled = ended && !job.finishedOn ? ((await queue.getJob(id)) ?? job) : job
      return await this.#withCrashes(queue, settled, toRecord(settled, state))
    })
  }

  /** With the processes that died of it: only few have any. */
  async #withCrashes(queue: TaskQueue, job: TaskJob, record: TaskRecord): Promise<TaskRecord> {
    if (job.stalledCounter === 0 && record.state !== 'crashed') return record
    return { ...record, crashes: await crashesOf(this.#connection.client, queue, record.id) }
  }

  async cancel(id: string): Promise<boolean> {
    const { client } = this.#connection
    const { prefix, lockDuration = LOCK } = this.#options
    let children: readonly string[] = []
    const cancelled = await this.#on(id, async (job, queue) => {
      const own = job.data.children ?? []
      if (job.finishedOn) {
        // The call before may not have come so far.
        if (failedStateOf(job) === 'cancelled') children = own
        return false
      }
      // It is no worker that ends it.
      Object.assign(job.opts, keepOptions(this.#keep))
      const onTaken = () => {
        const end = { state: 'cancelled', result: null, failure: cancelledFailure(id) } as const
        return this.#kept.store(job, toRecord(job, 'waiting'), end)
      }
      const hasEnded = async () => (await this.get(id))?.state === 'cancelled'
      const done = await cancelJob({ client, queue, job, prefix, lockDuration, hasEnded, onTaken })
      await this.#fill(job, queue)
      if (done) children = own
      return done
    })
    // After it: else it would run, or fail, with one of them.
    for (const child of children) await this.cancel(child)
    return cancelled ?? false
  }

  async retry(id: string): Promise<boolean> {
    const job = await this.#on(id, async (job, queue) => {
      if ((await queue.getJobState(id)) !== 'failed') return undefined
      // How often processes have died of it.
      const { client } = this.#connection
      await Promise.all([
        client.hdel(queue.toKey(id), 'stc', 'begun', DIED, STOPPING),
        client.zrem(queue.toKey('crashed'), id),
      ])
      return job
    })
    if (!job) return false
    for (const child of job.data.children ?? []) await this.retry(child)
    const { cancelled: _, ...data } = job.data
    return await this.#connection.use(async () => {
      const retried = job
        .updateData(data)
        .then(() => job.retry('failed', { resetAttemptsMade: true }))
      return await happens(retried)
    })
  }

  async remove(id: string): Promise<boolean> {
    const removed = await this.#on(id, async (job, queue) => {
      const done = await queue.remove(id, { removeChildren: false })
      await this.#fill(job, queue)
      return done
    })
    if (removed === 0 || queueOf(id) === undefined) return false
    const wasKept = await this.#connection.use(() => this.#kept.remove(id))
    return wasKept || removed === 1
  }

  /** What it does not need any more others may have: see {@link Places}. */
  async #fill({ data: { concurrencyKey } }: TaskJob, queue: TaskQueue): Promise<void> {
    if (concurrencyKey === undefined) return
    await new Places(this.#connection.client, queue).fill(concurrencyKey)
  }

  async list(queue: string, state: TaskState, start: number, end: number): Promise<TaskRecord[]> {
    const found = await this.#in(queue, (queue) =>
      state === 'crashed'
        ? this.#listCrashed(queue, start, end)
        : listTasks(queue, state, start, end),
    )
    return found ?? []
  }

  async #listCrashed(queue: TaskQueue, start: number, end: number): Promise<TaskRecord[]> {
    const ids = await crashedIds(this.#connection.client, queue, start, end)
    const found = await Promise.all(
      ids.map(async (id) => {
        const job = await queue.getJob(id)
        // It may be about to fail.
        if (!job?.finishedOn) return undefined
        return await this.#withCrashes(queue, job, toRecord(job, 'failed'))
      }),
    )
    return found.filter((record) => record !== undefined)
  }

  async counts(queue: string): Promise<QueueCounts> {
    const counts = await this.#in(queue, async (queue) => {
      const [counts, paused, crashed] = await Promise.all([
        queue.getJobCounts(),
        queue.isPaused(),
        countCrashed(this.#connection.client, queue),
      ])
      const of = (...types: string[]) => types.reduce((sum, type) => sum + (counts[type] ?? 0), 0)
      return {
        waiting: of('waiting', 'prioritized', 'waiting-children'),
        delayed: of('delayed'),
        running: of('active'),
        succeeded: of('completed'),
        failed: of('failed') - crashed,
        crashed,
        paused,
      }
    })
    return counts ?? NONE
  }

  async queues(): Promise<string[]> {
    return await this.#connection.use(() => this.#queues.names())
  }

  async pause(name: string, paused: boolean): Promise<void> {
    await this.#connection.use(async () => {
      const queue = await this.#queues.ensure(name)
      await (paused ? queue.pause() : queue.resume())
    })
  }

  async work(options: WorkOptions): Promise<Working> {
    this.#closing.signal.throwIfAborted()
    this.#workers ??= this.#openWorkers()
    return this.#workers.work(options)
  }

  #openWorkers(): Workers {
    const { prefix, lockDuration = LOCK, stalledInterval = 30_000, log } = this.#options
    const { maxCrashes = 5 } = this.#options
    const connection = this.#connect()
    return new Workers(
      {
        connection,
        prefix,
        lockDuration,
        stalledInterval,
        maxCrashes,
        patience: this.#patience,
        suspects: new Set(),
        kept: new KeptTasks(connection, prefix, this.#keep),
        log,
        ...keepOptions(this.#keep),
        onError: this.#onError,
      },
      this.#connect(),
    )
  }

  async finished(id: string, signal?: AbortSignal): Promise<TaskRecord> {
    const found = await this.#get(id)
    if (hasEnded(found.state)) return found
    const signals = [this.#closing.signal, ...(signal ? [signal] : [])]
    return await this.#endings.wait(
      found.queue,
      found.id,
      async () => {
        const record = await this.#get(found.id).catch(ignoreOutage)
        return record && hasEnded(record.state) ? record : undefined
      },
      signals,
    )
  }

  async close(): Promise<void> {
    this.#closed ??= this.#close()
    await this.#closed
  }

  async #close(): Promise<void> {
    this.#outages.over()
    this.#closing.abort(processEnds())
    await Promise.all([this.#workers?.close(), this.#endings.close()])
    await Promise.all([this.#connection.close(), this.#treeConnection?.close()])
  }

  async #get(id: string): Promise<TaskRecord> {
    const found = await this.get(id)
    if (!found) throw errors.TASK_NOT_FOUND(id)
    return found
  }

  async #addOne(task: NewTask): Promise<string> {
    if (mayBeKept(task) && (await this.#kept.isThere(task))) return task.id
    const queue = await this.#queues.ensure(task.queue)
    const { name, data, opts } = toJob(task)
    const id = await this.#joined(queue, task, (await queue.add(name, data, opts)).id as string)
    // Somebody may have been quicker by so little, with another input.
    if (isKeyed(task)) await this.#kept.isThere(task)
    return id
  }

  async #add(tasks: readonly NewTask[]): Promise<string[]> {
    const looked = tasks.filter(mayBeKept)
    const there = await Promise.all(looked.map((task) => this.#kept.isThere(task)))
    const known = new Set(looked.filter((_, index) => there[index]))
    const ids = new Map<NewTask, string>()
    const fresh = known.size > 0 ? tasks.filter((task) => !known.has(task)) : tasks
    for (const [name, ofQueue] of Map.groupBy(fresh, ({ queue }) => queue)) {
      const queue = await this.#queues.ensure(name)
      const added = await queue.addBulk(ofQueue.map((task) => toJob(task)))
      for (const [index, task] of ofQueue.entries())
        ids.set(task, await this.#joined(queue, task, added[index]?.id ?? task.id))
    }
    await Promise.all(tasks.filter(isKeyed).map((task) => this.#kept.isThere(task)))
    return tasks.map((task) => ids.get(task) ?? task.id)
  }

  /**
   * The one that stands for `task`, by what BullMQ says: where that is put off by others, it runs with what the last one
   * brings. BullMQ counts the time of its key from later than the delay, so for a moment one that runs would take others in.
   */
  async #joined(queue: TaskQueue, task: NewTask, id: string): Promise<string> {
    const { unique, debounce } = task.options
    if (id === task.id || debounce === undefined || unique === undefined) return id
    const { name, data, opts } = toJob(task)
    if (await joinJob(this.#connection.client, queue, id, { unique, data })) return id
    return await this.#joined(queue, task, (await queue.add(name, data, opts)).id as string)
  }

  /** Does something in a queue; `undefined` when there is none of this name. */
  async #in<T>(name: string, work: (queue: TaskQueue) => Promise<T>): Promise<T | undefined> {
    return await this.#connection.use(async () => {
      const queue = await this.#queues.find(name)
      return queue && (await work(queue))
    })
  }

  /** Does something with a task; `undefined` when there is none. */
  async #on<T>(
    id: string,
    work: (job: TaskJob, queue: TaskQueue) => T | Promise<T>,
  ): Promise<T | undefined> {
    const name = queueOf(id)
    if (name === undefined) return undefined
    return await this.#in(name, async (queue) => {
      const job = await queue.getJob(id)
      return job && (await work(job, queue))
    })
  }

  #openTrees(): Trees {
    const { redis, prefix } = this.#options
    const connection = new TaskConnection(redis, this.#outages, this.#patience)
    this.#treeConnection = connection
    const kept = new KeptTasks(connection.client, prefix, this.#keep)
    return new Trees(connection, new Queues(connection, prefix, this.#onError), kept, prefix)
  }

  // No queue is called so.
  #aliasKey(id: string): string {
    return `${this.#options.prefix}:same_as:${id}`
  }

  #connect() {
    return connectPatiently(this.#options.redis, this.#outages)
  }

  readonly #onError = (error: unknown) => this.#outages.report(error)
}

function isKeyed({ options }: NewTask): boolean {
  return options.print !== undefined
}

/** Whether it may be there, ended, where BullMQ does not look when it is added again. */
function mayBeKept(task: NewTask): boolean {
  return isKeyed(task) || task.options.keep !== undefined
}

/** Whether BullMQ could do it: not when the task was not, or no longer, in the state that it takes. */
async function happens(done: Promise<unknown>): Promise<boolean> {
  try {
    await done
    return true
  } catch (error) {
    if (typeof (error as { code?: unknown }).code === 'number') return false
    throw error
  }
}

function ignoreOutage(error: unknown): undefined {
  if (!PlinthError.is(error) || error.code !== errors.TASKS_UNAVAILABLE.code) throw error
}

const NONE = {
  ...{ waiting: 0, delayed: 0, running: 0, succeeded: 0, failed: 0, crashed: 0 },
  paused: false,
}
