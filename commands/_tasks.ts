import type { FastifyInstance } from 'fastify'
import { errors } from '../src/errors.ts'
import type { ScheduleControl } from '../src/task/schedule-control.ts'
import type { QueueCounts, TaskDriver, TaskRecord } from '../src/task/types.ts'

/**
 * The tasks of all processes.
 *
 * @throws {PlinthError} REDIS_MISSING
 */
export async function sharedTasks(app: FastifyInstance): Promise<TaskDriver> {
  if (app.tasks.store === 'memory')
    throw errors.REDIS_MISSING('The tasks', 'REDIS_URL or DATABASE_URL')
  return await app.tasks.driver()
}

/**
 * Lets nothing more of queues run, or runs what waits in them.
 *
 * @throws {PlinthError} NOT_FOUND where the service does not declare one of them, and there never was a task in it; REDIS_MISSING
 */
export async function pauseQueues(
  app: FastifyInstance,
  queues: readonly string[],
  paused: boolean,
): Promise<void> {
  const driver = await sharedTasks(app)
  const known = new Set([...app.tasks.queues, ...(await driver.queues())])
  const unknown = queues.find((queue) => !known.has(queue))
  if (unknown !== undefined) throw errors.NOT_FOUND('queue', unknown)
  for (const queue of queues) await driver.pause(queue, paused)
}

/** The last so many that have succeeded tell how long tasks of a queue wait. */
const SAMPLE = 100

/** What is told of a queue. Times are seconds. */
export interface QueueStats extends QueueCounts {
  /** How long the next one to run has waited since it could; null: none waits. */
  oldest: number | null
  /** How long the last ones waited until they began: half of them less; null: none has succeeded. */
  latency: number | null
}

export async function statsOf(driver: TaskDriver, queue: string): Promise<QueueStats> {
  const [counts, [next], ended] = await Promise.all([
    driver.counts(queue),
    driver.list(queue, 'waiting', 0, 0),
    driver.list(queue, 'succeeded', 0, SAMPLE - 1),
  ])
  // Of those that were tried again it is not known when they began first.
  const waits = ended
    .filter(({ attempts_made }) => attempts_made === 1)
    .map(({ started_at, due_at }) => secondsBetween(due_at, Date.parse(started_at ?? due_at)))
    .toSorted((one, other) => one - other)
  const oldest = next ? secondsBetween(next.due_at, Date.now()) : null
  return { ...counts, oldest, latency: waits[Math.floor(waits.length / 2)] ?? null }
}

const secondsBetween = (from: string, to: number) => Math.max(0, to - Date.parse(from)) / 1000

/**
 * The schedules that all processes share.
 *
 * @throws {PlinthError} REDIS_MISSING
 */
export async function sharedSchedules(app: FastifyInstance): Promise<ScheduleControl> {
  await sharedTasks(app)
  return await app.tasks.schedules()
}

/**
 * Does something with each of some tasks.
 *
 * @param change whether it could be done
 * @param refused is told of those with which it could not
 * @returns with how many it was done; where those are not all, the process exits with 1
 * @throws {PlinthError} TASK_NOT_FOUND
 */
export async function changeEach(
  app: FastifyInstance,
  ids: readonly string[],
  change: (id: string) => Promise<boolean>,
  refused: (task: TaskRecord) => void,
): Promise<number> {
  let changed = 0
  for (const id of ids) {
    const task = await app.tasks.find(id)
    if (await change(id)) changed++
    else refused(task)
  }
  if (changed < ids.length) process.exitCode = 1
  return changed
}

/** What the list of tasks tells of one. */
export function taskRow({ id, state, data, attempts_made, attempts, enqueued_at }: TaskRecord) {
  return [id, state, data.resource, `${attempts_made}/${attempts}`, enqueued_at]
}

/** A task, and those that it waits for or has waited for. */
export interface ShownTask extends TaskRecord {
  /** Not there: it waits for none. Those that are kept no longer are left out. */
  tree?: readonly ShownTask[]
}

/** `record` with all that it waits for, down to those that wait for nothing. */
export async function treeOf(app: FastifyInstance, record: TaskRecord): Promise<ShownTask> {
  const { children } = record.data
  if (!children) return record
  const driver = await app.tasks.driver()
  const found = await Promise.all(children.map((id) => driver.get(id)))
  const known = found.filter((child) => child !== undefined)
  return { ...record, tree: await Promise.all(known.map((child) => treeOf(app, child))) }
}

/** A line for each task, below the one that waits for it. */
export function formatTree(flow: ShownTask): string {
  return linesOf(flow).join('\n')
}

function linesOf({ id, state, data, failure, tree = [] }: ShownTask): string[] {
  const why = failure ? `: ${failure.message}` : ''
  const below = tree.flatMap((child, index) => {
    const isLast = index === tree.length - 1
    const [first, ...rest] = linesOf(child)
    const [branch, stem] = isLast ? ['└─ ', '   '] : ['├─ ', '│  ']
    return [branch + first, ...rest.map((line) => stem + line)]
  })
  return [`${data.resource} ${state} ${id}${why}`, ...below]
}
