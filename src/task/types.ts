import type { Duration, InMilliseconds } from '../duration.ts'

/** Where a task is: those from `succeeded` on are ends. `crashed`: it was given up, as the processes that ran it died. */
export type TaskState =
  | 'waiting'
  | 'delayed'
  | 'running'
  | 'succeeded'
  | 'failed'
  | 'crashed'
  | 'cancelled'

/** What a task tells of itself while it runs. */
export interface Progress {
  state?: string | null
  message?: string | null
  /** JSON. */
  data?: unknown
}

/** What `GET /tasks/:id` answers, in the original's form. */
export interface TaskResult {
  task_id: string
  is_completed: boolean
  /** As last reported, else where it is. */
  state: string
  /** While it runs: as last reported; when it has failed: why; else null. */
  message: string | null
  /** While it runs: as last reported; when it has succeeded: its result. */
  data: unknown
}

/** How long a task waits before it is tried again. */
export interface Backoff {
  type: 'exponential' | 'fixed'
  /** The first time; of an exponential one twice as long each further time. */
  delay: Duration
  /** At most; default: an hour, or `delay` where that is longer. */
  max?: Duration
}

/** How a task is enqueued. Times are milliseconds, or texts like `'30s'`. */
export interface EnqueueOptions {
  /** How long it waits before it may run; default 0. */
  delay?: Duration
  /** How often it is tried at most; default 1. */
  attempts?: number
  /**
   * How long it waits before it is tried again; half of it is random. Default: exponential, from 1000.
   */
  backoff?: Backoff
  /** 1 to 2,097,151, the lower the sooner; default: none, which is before all of them. */
  priority?: number
  /**
   * Idempotency: where there is a task with this key, of this resource and user, that one is meant and none is added; one with
   * another input is refused (TASK_KEY_REUSED).
   */
  key?: string
  /** How long `key` holds once its task has ended, at least; until then it holds anyway. Default: a day. */
  keyFor?: Duration
  /** While a task of this resource and user with an equal input has not ended, that one is meant and none is added. */
  unique?: boolean
  /** Of equal ones of this user none is added for so long after one was, whatever has become of that: that one is meant. */
  throttle?: Duration
  /**
   * It runs so long after the last of equal ones of this user was enqueued, once for all of them, with the request of the last:
   * that they come puts off the one that waits. One that runs by then is no longer put off: another is added.
   */
  debounce?: Duration
  /** What makes them equal, for `unique`, `throttle` and `debounce`, of one resource and user: `city:7`. Default: the request. */
  same?: string
  /** Default `default`. */
  queue?: string
  /** The id of the user it runs for, null: for the service itself; default: the caller's. */
  user?: string | null
}

/**
 * What becomes of a task that waits for one which has failed, crashed or was cancelled. `fail`: it fails, too. `ignore`: it runs when the others
 * have ended. `continue`: it runs at once, whatever the others do.
 */
export type ChildPolicy = 'fail' | 'ignore' | 'continue'

/** How long something is kept that has ended, and how many of its kind. */
export interface Retention {
  /** Milliseconds, or a text like `'7d'`. */
  age: Duration
  /** The last ones. */
  count: number
}

/** What is kept of the tasks of one resource once they have ended; what is not said is as of all others. */
export interface TaskKeep {
  succeeded?: Partial<Retention>
  /** With those that were cancelled. */
  failed?: Partial<Retention>
}

/** How tasks of a resource are kept, as it was read: times are milliseconds. */
export type KeepTasks = { [End in keyof TaskKeep]: Partial<InMilliseconds<Retention>> }

/** When a resource runs by itself. */
export interface Schedule {
  /** Five fields, or six with seconds first: `'0 3 * * *'`. */
  cron: string
  /** IANA, `Europe/Berlin`; default UTC. */
  timezone?: string
  /** At most how much later than its time it runs, another time each: milliseconds, or a text like `'30s'`; default 0. */
  jitter?: Duration
  /** Of the times at which no process was there: none runs (`skip`, default), or the last one does (`once`). */
  missed?: 'skip' | 'once'
  /**
   * Where its last run has not ended: this one is left out (`skip`, default), begins when that has ended (`queue`), or runs beside
   * it (`allow`).
   */
  overlap?: 'skip' | 'queue' | 'allow'
  /** The request that it runs with; default `{}`. */
  input?: unknown
}

/** A schedule that is made at run time: `app.schedules.set(name, …)`. */
export interface MadeSchedule extends Schedule {
  /** Full name of what runs then, `reports.send`. */
  resource: string
}

/** What travels with a task. JSON. */
export interface TaskData {
  /** Full name, `cities.importAll`. */
  resource: string
  input: unknown
  /** The id of the one that it runs for. */
  user: string | null
  /** Set where a client has enqueued it that has no user; else one without is of the service itself. */
  nobody?: boolean
  requestId: string
  traceparent?: string
  /** Set where no call has enqueued it: it is nobody's, and none of what clients may see. */
  scheduled?: boolean
  /** Of those with its `concurrencyKey` one runs at a time, whatever its resource says. */
  serial?: boolean
  /** Ids of the tasks that it waits for, in order. */
  children?: readonly string[]
  /** Somebody has cancelled it: it is not to run (again). */
  cancelled?: boolean
}

/** What is known of a process that died while it ran a task. Times are ISO 8601. */
export interface TaskCrash {
  /** `HOST:PID`. */
  worker: string
  /** When it began with the task. */
  began_at: string
  /** When others found that it gave no sign of life any more. */
  noticed_at: string
}

/** A task as drivers see it. */
export interface TaskRecord {
  id: string
  queue: string
  data: TaskData
  state: TaskState
  progress: Progress | null
  /** JSON, where it has succeeded. */
  result: unknown
  /** Where it has failed, crashed or was cancelled: code and message of the error, as clients may see it. */
  failure: { code: string; message: string } | null
  attempts: number
  attempts_made: number
  /** Who runs it, or ran it, `HOST:PID`; null: nobody has, or it is to run again. */
  worker: string | null
  /** The processes that died of it, or beside it, the last one last: the last twenty of them. */
  crashes: readonly TaskCrash[]
  /** ISO 8601. */
  enqueued_at: string
  /** When it could run first. */
  due_at: string
  started_at: string | null
  finished_at: string | null
}

/** A task to add: ids are given by who enqueues (see id.ts), so that adding twice is adding once. */
export interface NewTask {
  id: string
  /** That of its id: 1 to 40 of `a-z 0-9 -`. */
  queue: string
  data: TaskData
  options: {
    attempts: number
    backoff: InMilliseconds<Backoff>
    delay: number
    priority?: number
    /** While a task of this queue with the same text has not ended, none is added. Not for trees. */
    unique?: string
    /** With `unique`: for so many ms, instead of until it ends. */
    throttle?: number
    /** With `unique`: while it is delayed it is delayed anew, by so many ms, and gets the data of the one that is not added. */
    debounce?: number
    /**
     * At most 43 of `A-Z a-z 0-9 _ -`, of one resource and queue: of tasks with the same one only so many run at once, see
     * `concurrencyOf` of {@link WorkOptions}.
     */
    concurrencyKey?: string
    /** What becomes of the one that waits for it where it comes to nothing; default `fail`. */
    ifFails?: ChildPolicy
    /** Of its input, where its id follows from a key: with another one it is another task, and refused. */
    print?: string
    /** How long it is found by its id once it has ended, in ms, however many others end. */
    keyFor?: number
    keep?: KeepTasks
  }
}

/**
 * A task and those that have to succeed before it runs; their results are handed to it in order.
 * When one of them fails or is cancelled, it fails too, and its failure names that one, unless that one says otherwise (`ifFails`).
 */
export interface TaskTree extends NewTask {
  children: TaskTree[]
}

/** What a worker gives to the one who runs a task. */
export interface Run {
  readonly id: string
  readonly data: TaskData
  /** When it could run first, in milliseconds since 1970. */
  readonly due: number
  /** How often it is tried at most. */
  readonly attempts: number
  /** Which try this is, from 1. */
  readonly attempt: number
  /** Aborted when the task is cancelled or the worker has to end. */
  readonly signal: AbortSignal
  progress(progress: Progress): Promise<void>
  /** The results of its children, in order; null of those that have none. */
  childResults(): Promise<unknown[]>
  /** Why children have come to nothing, in their order; null of the others. */
  childFailures(): Promise<TaskRecord['failure'][]>
}

/**
 * Runs one task and returns its result (JSON; `undefined` becomes null).
 * Throws `TaskRetry` (errors.ts) to hand it back without using up a try, `TaskFinal` to fail without another try,
 * `TaskAgain` to say when the next one is, a `PlinthError` to fail with what clients may see; any other error fails as `INTERNAL`.
 */
export type Perform = (run: Run) => Promise<unknown>

export interface QueueCounts {
  /** With those that wait for other tasks. */
  waiting: number
  delayed: number
  running: number
  succeeded: number
  /** With those that were cancelled. */
  failed: number
  crashed: number
  /** Whether it takes no new tasks to run. */
  paused: boolean
}

export interface WorkOptions {
  queues: readonly string[]
  /** How many tasks of each queue run at once, in this process; at least 1. */
  concurrency: number
  perform: Perform
  /** By queue. */
  limits?: Readonly<Record<string, InMilliseconds<QueueLimit>>>
  /**
   * How many tasks with the `concurrencyKey` of this one run at once, in all processes together; `undefined`: any number. The
   * others wait, use up no slot of a worker and no try, and those with another key pass them; the first that came goes on first.
   */
  concurrencyOf?: (data: TaskData) => number | undefined
}

/** At most `max` tasks start in any `duration` ms, in all processes together: a sliding window. */
export interface StartLimit {
  max: number
  duration: number
}

/** What holds for a queue in all processes together. */
export interface QueueLimit {
  /** So many of its tasks start in any `duration`, at most: a sliding window. */
  max?: number
  /** Milliseconds, or a text like `'1m'`; with `max`. */
  duration?: Duration
  /** So many of its tasks run at once, at most. */
  concurrency?: number
}

/** Tasks that are being worked on; `stop` takes no more of them. */
export interface Working {
  /**
   * Waits for what runs, at most `timeout` ms; what is left then is aborted and handed back, to run again elsewhere
   * without having used up a try. In memory it also waits for what could run, and what is left is lost.
   * Takes at most some seconds longer, whatever Redis does. Never rejects.
   */
  stop(timeout: number): Promise<{ handedBack: number }>
}

/**
 * What all drivers do: in memory for one process, in a database or on Redis (BullMQ) for any number.
 * An id that is none is simply not there. Everything but `work` throws when Redis (TASKS_UNAVAILABLE), or the database, cannot be
 * used, within some seconds. Where it is closed nothing is added, tried again or worked on: that throws it, too.
 */
export interface TaskDriver {
  readonly kind: 'memory' | 'redis' | 'database'
  /**
   * Adding an id that there is does nothing. Returns the ids that count, in order: another one where `unique` had one.
   *
   * @throws {PlinthError} TASK_KEY_REUSED where one is there whose `print` is another
   */
  add(tasks: readonly NewTask[]): Promise<string[]>
  /** All of it or nothing. */
  addTree(tree: TaskTree): Promise<void>
  get(id: string): Promise<TaskRecord | undefined>
  /**
   * Whether it is cancelled: it was still to be run (it ends at once), or is running (it is aborted and ends when it has
   * settled, whatever it comes to). So are the tasks that it waits for.
   */
  cancel(id: string): Promise<boolean>
  /** Lets `id`, under which no task was added, find the task `of`: for as long as those that fail are kept. */
  alias(id: string, of: string): Promise<void>
  /** Puts one that has failed or was cancelled back, with all its tries, and those it waited for that have failed. */
  retry(id: string): Promise<boolean>
  /** Not one that runs. */
  remove(id: string): Promise<boolean>
  /** From the `start`th to the `end`th, both included, from 0: the next to run first, the last to have ended first. */
  list(queue: string, state: TaskState, start: number, end: number): Promise<TaskRecord[]>
  counts(queue: string): Promise<QueueCounts>
  /** Every queue that has or had a task, sorted. */
  queues(): Promise<string[]>
  /** Tasks that run go on. */
  pause(queue: string, paused: boolean): Promise<void>
  /** Does not wait for Redis: it begins, or goes on after an outage, when Redis is there. */
  work(options: WorkOptions): Promise<Working>
  /**
   * Resolves when the task has ended, however; outages of Redis only delay it.
   *
   * @throws {PlinthError} TASK_NOT_FOUND when there is none, or it is removed
   * @throws the reason of `signal`
   */
  finished(id: string, signal?: AbortSignal): Promise<TaskRecord>
  /** Within some seconds, whatever Redis does. What is being worked on has to be stopped before. */
  close(): Promise<void>
}

/** The part of a pino logger that drivers use. */
export interface TaskLog {
  info(data: object, message: string): void
  warn(data: object, message: string): void
  error(data: object, message: string): void
}
