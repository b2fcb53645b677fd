import type { JobType } from 'bullmq'
import type { TaskRecord, TaskState } from '../types.ts'
import { type TaskJob, type TaskQueue, toRecord } from './record.ts'

/** BullMQ's states by ours. */
const TYPES: Record<TaskState, JobType[]> = {
  running: ['active'],
  waiting: ['waiting', 'prioritized', 'waiting-children'],
  delayed: ['delayed'],
  succeeded: ['completed'],
  failed: ['failed'],
  crashed: ['failed'],
  cancelled: ['failed'],
}
// So many are looked through at once for those that were cancelled.
const PAGE = 500

/** See `list` of {@link TaskDriver}. */
export async function listTasks(
  queue: TaskQueue,
  state: TaskState,
  start: number,
  end: number,
): Promise<TaskRecord[]> {
  if (state === 'failed' || state === 'cancelled') return await sift(queue, state, start, end)
  const types = TYPES[state]
  if (types.length === 1) return await read(queue, types, state, start, end)
  // Each type is counted on its own.
  const lists = await Promise.all(types.map((type) => read(queue, [type], state, 0, end)))
  return lists.flat().slice(start, end + 1)
}

async function read(
  queue: TaskQueue,
  [type]: JobType[],
  state: TaskState,
  start: number,
  end: number,
): Promise<TaskRecord[]> {
  const nextFirst = state === 'waiting' || state === 'delayed'
  const jobs: TaskJob[] = await queue.getJobs([type as JobType], start, end, nextFirst)
  return jobs.map((job) => toRecord(job, type as string))
}

/** BullMQ has those that failed and those that were cancelled in one list; as many of it are kept as options say. */
async function sift(
  queue: TaskQueue,
  state: TaskState,
  start: number,
  end: number,
): Promise<TaskRecord[]> {
  const found: TaskRecord[] = []
  for (let at = 0; found.length <= end; at += PAGE) {
    const page = await read(queue, ['failed'], state, at, at + PAGE - 1)
    found.push(...page.filter((record) => record.state === state))
    if (page.length < PAGE) break
  }
  return found.slice(start, end + 1)
}
