import { type Job, type Queue, UnrecoverableError } from 'bullmq'
import { errors } from '../../errors.ts'
import { childFailed, type Failure } from '../errors.ts'
import { endOf } from '../state.ts'
import type { KeepTasks, Progress, TaskData, TaskRecord, TaskState } from '../types.ts'

/** How a task is kept once it has ended, where that is not as of every other one. */
export interface KeepWishes extends KeepTasks {
  print?: string
  keyFor?: number
}

/** The data of a task as a job has it: its name is the job's, and what is not there takes no place. */
export type JobData = Omit<TaskData, 'resource' | 'user'> & {
  user?: string
  wishes?: KeepWishes
  concurrencyKey?: string
  /** Those of its children with whose failure it goes on at once. */
  hasty?: readonly string[]
}
export type TaskJob = Job<JobData>
export type TaskQueue = Queue<JobData>

export function toJobData({ resource: _, user, ...data }: TaskData): JobData {
  return user === null ? data : { ...data, user }
}

export function readJobData({ name, data }: TaskJob): TaskData {
  const { wishes: _, hasty: __, concurrencyKey: ___, ...rest } = data
  return { ...rest, user: data.user ?? null, resource: name }
}

/** Our states by BullMQ's; one that was cancelled has failed there. */
const STATES: Record<string, TaskState> = {
  waiting: 'waiting',
  prioritized: 'waiting',
  'waiting-children': 'waiting',
  delayed: 'delayed',
  active: 'running',
  completed: 'succeeded',
  failed: 'failed',
}

/** Without the processes that died of it, which are elsewhere. @param state BullMQ's */
export function toRecord(job: TaskJob, state: string): TaskRecord {
  const ours = STATES[state] ?? 'waiting'
  const failure = ours === 'failed' ? readFailure(job.failedReason) : null
  return {
    id: job.id as string,
    queue: job.queueName,
    data: readJobData(job),
    state: failure ? endOf(failure) : ours,
    progress: typeof job.progress === 'object' ? (job.progress as Progress) : null,
    result: ours === 'succeeded' ? (job.returnvalue ?? null) : null,
    failure,
    attempts: job.opts.attempts || 1,
    // BullMQ counts the cancelling of one that has never run.
    attempts_made: job.processedOn ? job.attemptsMade : 0,
    worker: job.processedBy ?? null,
    crashes: [],
    enqueued_at: toIso(job.timestamp),
    due_at: toIso(job.timestamp + (job.opts.delay ?? 0)),
    started_at: job.processedOn ? toIso(job.processedOn) : null,
    finished_at: job.finishedOn ? toIso(job.finishedOn) : null,
  }
}

function toIso(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}

/** How BullMQ is told of a failure; `final`: whatever tries are left; `cause`: which may say when the next one is. */
export function toThrow(
  { code, message }: Failure,
  { final, cause }: { final: boolean; cause?: unknown },
): Error {
  const text = JSON.stringify({ code, message })
  const error = final ? new UnrecoverableError(text) : new Error(text, { cause })
  // BullMQ would keep it. It is in the log of the worker.
  error.stack = ''
  return error
}

/** What a job that BullMQ has among those that have failed has come to; undefined: it has not failed. */
export function failedStateOf({
  failedReason,
}: Pick<TaskJob, 'failedReason'>): TaskState | undefined {
  return failedReason ? endOf(readFailure(failedReason)) : undefined
}

export function readFailure(text = ''): Failure {
  if (text.startsWith('{')) return JSON.parse(text)
  const child = /^child .*:([^:]+) failed$/.exec(text)?.[1]
  if (child) return childFailed(child)
  // BullMQ's own words: a result that is no JSON, for example.
  const { code, message } = errors.INTERNAL()
  return { code, message }
}
