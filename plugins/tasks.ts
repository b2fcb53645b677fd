import type { FastifyInstance } from 'fastify'
import type { Redis } from 'ioredis'
import Type, { type Static } from 'typebox'
import { redisPrefix } from '../src/config/redis-prefix.ts'
import { count } from '../src/config/schema.ts'
import type { Database, DatabaseTables } from '../src/database/types.ts'
import type { Duration } from '../src/duration.ts'
import { errors } from '../src/errors.ts'
import { found, type PluginFinding } from '../src/findings.ts'
import { type Envelope, standardEnvelope } from '../src/http/envelope.ts'
import {
  definePlugin,
  type PluginContext,
  type PluginGiven,
  type PluginMetric,
} from '../src/plugin.ts'
import {
  assertFree,
  checkOptions,
  earlierRedis,
  fromEarlier,
  requirePackages,
} from '../src/plugin-guards.ts'
import { ReadinessProblem, readinessOf } from '../src/process/readiness.ts'
import type { LoadUser } from '../src/resource/context.ts'
import type { Clock } from '../src/task/clock.ts'
import { declaredQueues, readLimit } from '../src/task/declared.ts'
import { queueProblem } from '../src/task/new-task.ts'
import type { OutboxFigures } from '../src/task/outbox.ts'
import type { ScheduleControl, ScheduleInfo } from '../src/task/schedule-control.ts'
import { StuckTries } from '../src/task/stuck.ts'
import type { TaskStore, Tasks } from '../src/task/tasks.ts'
import { type ServicePlace, TaskThreads } from '../src/task/threads.ts'
import type { QueueLimit, Run, TaskDriver, WorkOptions } from '../src/task/types.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The tasks of this service: where `resource.enqueue` adds them. */
    tasks: Tasks
    /** The schedules of this service: those of its resources, and those that are made at run time. */
    schedules: Pick<ScheduleControl, 'set' | 'remove' | 'list'>
  }
}

declare module '../src/config/schema.ts' {
  interface KitConfig extends Env {}
}

const env = Type.Object({
  TASK_STORE: Type.Optional(
    Type.Enum(['redis', 'database', 'memory'], {
      description: 'Where tasks are kept.',
      derived:
        'redis where REDIS_URL is set, otherwise database where there is one that is a file or a server, otherwise memory',
    }),
  ),
  TASK_IN_SERVER: Type.Boolean({
    description:
      'Whether a server works on tasks that are kept in the database, beside manage worker.',
    default: true,
  }),
  TASK_CONCURRENCY: count('How many tasks of each queue a worker runs at once.', 10),
  TASK_MAX_CRASHES: count(
    'How often the process that runs a task may die before the task has failed.',
    5,
  ),
  TASK_MAX_STUCK: count(
    'How many tries of tasks a process bears that go on though their time is over; then it ends, to be started anew, unless the tasks are in its memory.',
    10,
  ),
  TASK_PAYLOAD_LIMIT: count('The largest request of a task, in bytes.', 1_048_576),
  TASK_RESULT_LIMIT: count(
    'The largest result of a task, and the most that it tells of its progress, in bytes.',
    1_048_576,
  ),
})
type Env = Static<typeof env>

export interface TasksPluginOptions {
  /** Where tasks are looked up and cancelled, by their ids; `false`: nowhere. Default `/` and its name: `/tasks`. */
  path?: string | false
  /**
   * Where tasks are kept. Default: `redis` where `app.redis` is there, else `database` where `app.db` is and lasts longer than
   * its process, else `memory`.
   */
  store?: TaskStore
  /** In a database: whether a server works on them, beside `manage worker`; default true. */
  inServer?: boolean
  /** What all keys in Redis begin with; default `{plinth}:` and its name: `{plinth}:tasks`. */
  prefix?: string
  /** The largest request of a task, in bytes; default 1 MiB. */
  payloadLimit?: number
  /** The largest result of a task, and the most that it tells of its progress, in bytes; default 1 MiB. */
  resultLimit?: number
  /**
   * After how long a task of a resource that no release has had by then has failed (TASK_UNKNOWN): milliseconds, or a text like
   * `'2d'`; default a day.
   */
  unknownAge?: Duration
  /** Queues beside `default`, those of `limits` and those that resources name in `task.queue`. */
  queues?: readonly string[]
  /**
   * By queue, in all processes together: at most `max` tasks start in any `duration` (a sliding window), and `concurrency` run at once.
   */
  limits?: Readonly<Record<string, QueueLimit>>
  /** In a server: how many tasks of each queue run at once; default 10. */
  concurrency?: number
  /** In Redis or a database: how often the process that runs a task may die before the task has failed; default 5. */
  maxCrashes?: number
  /** How long running tasks may take to finish when the app closes: milliseconds, or a text like `'20s'`; default 8000. */
  stopTimeout?: Duration
  /**
   * How long a task whose time is over may take to end once its signal was aborted, likewise; then the try has failed,
   * whatever it still does. Default 10,000.
   */
  abortGrace?: Duration
  /** Makes the user of a task where it runs; without it none can be enqueued for a user. */
  loadUser?: LoadUser
  /** In memory: what delays pass by, for tests; default: the system's clock. */
  clock?: Clock
  /** Where the code of the service is: for what runs in a thread (`task: { thread: true }`). Without it that runs beside the others. */
  service?: ServicePlace
  /** The service whose tables they are, where several share a database: `plinth_task_billing`. Default: there is one. */
  tablesOf?: string
}

/**
 * Tasks: in Redis where `app.redis` is there already, else in the database of `app.db`, else in this process, which runs them then.
 * Within transactions of `app.db` those of Redis go through an outbox. Serves `GET` and `DELETE /tasks/:id`. Those
 * of another name, `mails`, are `app.mails`, and have tables of their own, `plinth_task__mails`; resources are enqueued in `app.tasks`, which alone
 * has schedules.
 *
 * @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_TWICE, PLUGIN_ORDER; PLUGIN_MISSING where `store` is not there; REDIS_UNUSABLE where
 * `app.redis` has a keyPrefix, or is of a cluster; PACKAGE_MISSING without `bullmq`, which tasks in Redis need
 * @throws {TypeError} where a queue cannot be called, or limited, so
 */
async function register(
  app: FastifyInstance,
  options: TasksPluginOptions,
  { name }: PluginContext,
): Promise<void> {
  const read = checkOptions<TasksPluginOptions>('tasks', options, {
    path: 'route?',
    store: 'text?',
    inServer: 'flag?',
    prefix: 'text?',
    payloadLimit: 'count?',
    resultLimit: 'count?',
    unknownAge: 'time?',
    limits: 'object?',
    concurrency: 'count?',
    stopTimeout: 'timer?',
    abortGrace: 'timer?',
    loadUser: 'function?',
    queues: 'texts?',
    maxCrashes: 'number?',
    clock: 'object?',
    service: 'object?',
    tablesOf: 'text?',
  })
  assertFree(app, name, name)
  const redis = earlierRedis<Redis>(app, 'tasks')
  const db = fromEarlier<Database>(app, 'tasks', { plugin: 'database', decorator: 'db' })
  const { prefix = `{plinth}:${name}`, payloadLimit = 1_048_576, concurrency = 10 } = read
  const { stopTimeout = 8000, abortGrace = 10_000, maxCrashes = 5, loadUser } = read
  const { resultLimit = 1_048_576, unknownAge = 86_400_000, clock } = read
  const limits = readLimits(read.limits)
  const more = [...(read.queues ?? []), ...Object.keys(limits)]
  for (const queue of more) {
    const problem = queueProblem(queue)
    if (problem) throw new TypeError(`Of the tasks a ${problem}`)
  }
  const store = options.store ?? (await chooseStore(redis, db))
  assertStore(store, redis, db)
  if (store === 'redis') requirePackages('tasks', ['bullmq', 'ioredis'])
  const { DatabaseOutbox } = await import('../src/task/outbox.ts')
  const { serveTasks } = await import('../src/http/task-routes.ts')
  const { resourcesOf, taskSource } = await import('../src/resource/task-source.ts')
  const { TaskProcess } = await import('../src/task/task-process.ts')
  const { Tasks } = await import('../src/task/tasks.ts')
  const isMain = name === 'tasks'
  const tables = db && (await inTablesOf(db, options, isMain ? undefined : name))
  const outbox = tables ? new DatabaseOutbox<DatabaseTables>(tables, () => own.poke()) : undefined
  const stuck = new StuckTries()
  const underWay = new Set<Run>()
  const threads = options.service && threadsOf(options.service, abortGrace)
  const source = taskSource(app, {
    ...{ grace: abortGrace, loadUser, limit: payloadLimit },
    ...{ resultLimit, unknownAge, stuck, underWay, threads },
  })
  const queues = () => declaredQueues(resourcesOf(app), more)
  const bounds = { concurrency, stopTimeout, maxCrashes, limits, clock }
  const own = new TaskProcess({
    ...{ source, log: app.log, store, redis, db: tables, outbox, prefix, ...bounds },
    worksInServer: options.inServer ?? true,
    schedules: isMain,
    queues: () => queues().own,
  })
  const { driver, work, schedules } = own
  const loadsUsers = loadUser !== undefined
  const parts = { store, driver, work, schedules, outbox, stuck, underWay }
  const tasks = new Tasks({ ...parts, payloadLimit, loadsUsers, queues })
  app.decorate(name, tasks)
  if (isMain) app.decorate('schedules', schedulesOf(tasks))
  const { path = `/${name}` } = options
  if (path) {
    const envelope =
      fromEarlier<Envelope>(app, 'tasks', { plugin: 'envelope', decorator: 'envelope' }) ??
      standardEnvelope
    serveTasks(app, { name, path, tasks, envelope })
  }
  if (outbox && store === 'redis') {
    const check = async () => assertFlows(await outbox.figures())
    const key = isMain ? 'outbox' : `${name}-outbox`
    readinessOf(app).set(key, Object.assign(check, { optional: true }))
  }
  app.addHook('onReady', async () => own.check())
  app.addHook('onListen', async () => own.serve())
  app.addHook('onClose', async () => {
    await own.close()
    await threads?.close()
  })
}

/** @throws {TypeError} where a queue cannot be limited so */
function readLimits(limits: TasksPluginOptions['limits'] = {}): NonNullable<WorkOptions['limits']> {
  const read = Object.entries(limits).map(([queue, limit]) => {
    const refuse = (problem: string) => new TypeError(`Of limits.${queue} ${problem}`)
    return [queue, readLimit(limit, refuse)] as const
  })
  return Object.fromEntries(read)
}

/** Threads for what says so, started when the first of it runs. */
function threadsOf(service: ServicePlace, abortGrace: number): TaskThreads {
  // Before the try is given up, for which nobody waits any more then.
  return new TaskThreads({
    entry: import.meta.resolve('#task-thread'),
    service,
    grace: abortGrace / 2,
  })
}

function schedulesOf(tasks: Tasks): FastifyInstance['schedules'] {
  return {
    set: async (name, schedule) => await (await tasks.schedules()).set(name, schedule),
    remove: async (name) => await (await tasks.schedules()).remove(name),
    list: async () => await (await tasks.schedules()).list(),
  }
}

/** Seconds that a task may wait to be moved to Redis before somebody should look. */
const LATE = 60

/** @throws {ReadinessProblem} where tasks wait for long, or were refused for good */
function assertFlows({ waiting, refused, oldest }: OutboxFigures): void {
  const problems = [
    ...(oldest > LATE ? [`${waiting} tasks wait, the oldest for ${Math.round(oldest)} s`] : []),
    ...(refused > 0 ? [`${refused} tasks were refused for good`] : []),
  ]
  if (problems.length > 0) throw new ReadinessProblem(problems.join('; '))
}

async function chooseStore(redis: Redis | undefined, db: Database | undefined): Promise<TaskStore> {
  if (redis) return 'redis'
  if (!db) return 'memory'
  const { isInMemory } = await import('../src/task/database/tables.ts')
  return (await isInMemory(db)) ? 'memory' : 'database'
}

/** @throws {PlinthError} PLUGIN_OPTION_INVALID, PLUGIN_MISSING */
function assertStore(store: string, redis: unknown, db: unknown): void {
  const wants = 'redis, database or memory'
  if (!['redis', 'database', 'memory'].includes(store))
    throw errors.PLUGIN_OPTION_INVALID('tasks', 'store', JSON.stringify(store), wants)
  if (store === 'redis' && !redis)
    throw errors.PLUGIN_MISSING('tasks', 'redis', 'set REDIS_URL, or another TASK_STORE')
  if (store === 'database' && !db)
    throw errors.PLUGIN_MISSING('tasks', 'database', 'set DATABASE_URL, or another TASK_STORE')
}

/** The database with the tables of whom the options name, and of the plugin where it is a second one. */
async function inTablesOf(
  db: Database,
  { tablesOf }: TasksPluginOptions,
  plugin: string | undefined,
): Promise<Database> {
  if ((tablesOf ?? plugin) === undefined) return db
  const { withTablesOf } = await import('../src/database/own-tables.ts')
  return withTablesOf(db, { name: tablesOf ?? '', sharesDatabase: tablesOf !== undefined }, plugin)
}

/** Whether all that waits in Redis is in queues that the workers of this service work on. */
async function checkTasks(
  app: FastifyInstance,
  { name, production }: PluginContext & { readonly production: boolean },
): Promise<PluginFinding[]> {
  const tasks = app.getDecorator<Tasks>(name)
  const all: PluginFinding[] = production ? checkMemory(app, tasks) : []
  if (tasks.store === 'memory') return all
  const driver = await tasks.driver()
  // That Redis, or the database, does not answer is told by its readiness.
  const known = await driver.queues().catch(() => undefined)
  if (!known) return all
  if (production && tasks.store === 'redis') all.push(...(await checkRedis(app.redis)))
  for (const queue of known.filter((name) => !tasks.queues.has(name))) {
    const { waiting, delayed } = await driver.counts(queue)
    if (waiting + delayed === 0) continue
    const message = `${waiting + delayed} tasks wait in the queue ${queue}, which the service does not declare: no worker of it runs them`
    all.push(found('tasks-orphaned', message, { subject: queue }))
  }
  return all.length > 0
    ? all
    : [{ level: 'ok', message: `queues: ${[...tasks.ownQueues].join(', ')}` }]
}

/** Whether their Redis keeps what it is given. */
async function checkRedis(redis: Redis): Promise<PluginFinding[]> {
  const info = await redis.info().catch(() => undefined)
  // Who may not ask is told no more than which Redis it is.
  if (!info?.includes('maxmemory_policy:')) return []
  const isSet = (line: string) => info.includes(`${line}\r\n`)
  const evicts = 'the maxmemory-policy of Redis is not noeviction: it may forget tasks'
  const forgets = 'Redis keeps no append-only file (appendonly yes): a restart may lose tasks'
  return [
    ...(isSet('maxmemory_policy:noeviction') ? [] : [found('redis-evicts', evicts)]),
    ...(isSet('aof_enabled:1') ? [] : [found('redis-not-durable', forgets)]),
  ]
}

/** What nobody shares is lost with its process. */
function checkMemory(app: FastifyInstance, { store }: Tasks): PluginFinding[] {
  const uses = Array.from(app.registry, ({ resource }) => resource.definition)
  const all: PluginFinding[] = []
  if (store === 'memory' && uses.some(({ task, schedule }) => task || schedule)) {
    const message =
      'neither Redis nor a database keeps tasks: they are in the memory of each process'
    all.push(found('tasks-in-memory', message))
  }
  if (!app.hasDecorator('redis') && uses.some(({ cache }) => cache)) {
    const message = 'REDIS_URL is not set: cached results are in the memory of each process'
    all.push(found('cache-in-memory', message))
  }
  return all
}

function optionsOf({ env, read, service, name, ...at }: PluginGiven<Env>): TasksPluginOptions {
  const path = name === 'tasks' ? service.routes?.tasks : undefined
  return {
    ...(path !== undefined && { path }),
    ...(env.TASK_STORE && { store: env.TASK_STORE }),
    inServer: env.TASK_IN_SERVER,
    prefix: `{${redisPrefix(service.name, read.values)}}:${name}`,
    payloadLimit: env.TASK_PAYLOAD_LIMIT,
    resultLimit: env.TASK_RESULT_LIMIT,
    concurrency: env.TASK_CONCURRENCY,
    maxCrashes: env.TASK_MAX_CRASHES,
    ...(service.taskQueues && { queues: service.taskQueues }),
    ...(service.limits && { limits: service.limits }),
    ...(at.file !== undefined && { service: { file: at.file, root: at.root } }),
    ...(service.loadUser && { loadUser: service.loadUser }),
    ...(service.sharesDatabase && { tablesOf: service.name }),
    // The rest is for the connections.
    stopTimeout: read.values.SHUTDOWN_TIMEOUT * 0.8,
  }
}

/** Of each queue, where all processes have them: what one has in memory is nobody else's. */
async function ofQueues(
  app: FastifyInstance,
  name: string,
  tell: (driver: TaskDriver, queue: string) => Promise<Told[]>,
): Promise<Told[]> {
  const tasks = app.getDecorator<Tasks>(name)
  if (tasks.store === 'memory') return []
  const driver = await tasks.driver()
  return (await Promise.all(Array.from(tasks.queues, (queue) => tell(driver, queue)))).flat()
}

interface Told {
  labels: Record<string, string>
  value: number
}

const COUNTED = ['waiting', 'delayed', 'running', 'failed', 'crashed'] as const

/** Seconds since an instant, ISO 8601; of none 0. */
const ageOf = (instant: string | undefined) =>
  instant === undefined ? 0 : Math.max(0, Date.now() - Date.parse(instant)) / 1000

/** What all processes tell alike. */
const metrics: readonly PluginMetric[] = [
  {
    name: 'in_queue',
    help: 'Tasks of a queue, by their state',
    type: 'gauge',
    shared: true,
    collect: (app, { name }) =>
      ofQueues(app, name, async (driver, queue) => {
        const counts = await driver.counts(queue)
        return COUNTED.map((state) => ({ labels: { queue, state }, value: counts[state] }))
      }),
  },
  {
    name: 'oldest_seconds',
    help: 'How long ago the task was enqueued that runs next of a queue; 0: none waits',
    type: 'gauge',
    shared: true,
    collect: (app, { name }) =>
      ofQueues(app, name, async (driver, queue) => {
        const [oldest] = await driver.list(queue, 'waiting', 0, 0)
        return [{ labels: { queue }, value: ageOf(oldest?.enqueued_at) }]
      }),
  },
  {
    name: 'outbox_messages',
    help: 'Messages of the outbox: that wait, and that were refused for good',
    type: 'gauge',
    shared: true,
    async collect(app, { name }) {
      const found = await app.getDecorator<Tasks>(name).outbox?.figures()
      if (!found) return []
      const { waiting, refused } = found
      return Object.entries({ waiting, refused }).map(([state, value]) => {
        return { labels: { state }, value }
      })
    },
  },
  {
    name: 'outbox_oldest_seconds',
    help: 'How long the oldest message of the outbox has waited; 0: none waits',
    type: 'gauge',
    shared: true,
    collect: async (app, { name }) =>
      (await app.getDecorator<Tasks>(name).outbox?.figures())?.oldest ?? [],
  },
  {
    name: 'schedule_last_timestamp_seconds',
    help: 'The newest time of a schedule for which a task was added, since 1970',
    type: 'gauge',
    shared: true,
    collect: (app, { name }) =>
      ofSchedules(app, name, ({ last }) => (last === null ? undefined : Date.parse(last) / 1000)),
  },
  {
    name: 'schedule_paused',
    help: 'Whether a schedule is paused: 1',
    type: 'gauge',
    shared: true,
    collect: (app, { name }) => ofSchedules(app, name, ({ paused }) => (paused ? 1 : 0)),
  },
]

/** Of each schedule, where all processes know of them. */
async function ofSchedules(
  app: FastifyInstance,
  name: string,
  tell: (schedule: ScheduleInfo) => number | undefined,
): Promise<Told[]> {
  const tasks = app.getDecorator<Tasks>(name)
  if (tasks.store === 'memory') return []
  const schedules = await (await tasks.schedules()).list()
  return schedules.flatMap((schedule) => {
    const value = tell(schedule)
    return value === undefined ? [] : [{ labels: { schedule: schedule.name }, value }]
  })
}

export default definePlugin({
  name: 'tasks',
  env,
  after: ['redis', 'database', 'cache', 'docs', 'deadline', 'envelope'],
  decorators: ['tasks', 'schedules'],
  checks: [checkTasks],
  metrics,
  options: optionsOf,
  register,
})
