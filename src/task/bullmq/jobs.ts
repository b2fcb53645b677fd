import type { FlowJob, JobsOptions, KeepJobs } from 'bullmq'
import { JITTER } from '../backoff.ts'
import type { NewTask, TaskTree } from '../types.ts'
import { toJobData } from './record.ts'

/** What is kept of tasks that have ended, of each queue: `age` in s, `count` at most. */
export interface Keep {
  succeeded: { age: number; count: number }
  /** With those that were cancelled. */
  failed: { age: number; count: number }
}

export const KEEP: Keep = {
  succeeded: { age: 86_400, count: 10_000 },
  failed: { age: 14 * 86_400, count: 10_000 },
}

/** How BullMQ is to treat a task. */
function jobOptions({ id, options }: NewTask, keep: Keep): JobsOptions {
  const { attempts, backoff, delay, priority, unique } = options
  return {
    jobId: id,
    attempts,
    removeOnComplete: keep.succeeded as KeepJobs,
    removeOnFail: keep.failed as KeepJobs,
    // The failure is kept; where it came from is in the log of the worker.
    stackTraceLimit: 0,
    ...(attempts > 1 && { backoff: { ...backoff, jitter: JITTER } }),
    ...(delay > 0 && { delay }),
    ...(priority && { priority }),
    ...(unique && { deduplication: { id: unique } }),
  }
}

/** A task in BullMQ's form. */
export function toJob(task: NewTask, keep: Keep) {
  const { data } = task
  return { name: data.resource, data: toJobData(data), opts: jobOptions(task, keep) }
}

/** A tree in BullMQ's form; a child that fails lets its parent fail. */
export function toFlow(tree: TaskTree, keep: Keep, isChild = false): FlowJob {
  const { children, data, queue } = tree
  const kept = toJobData(data)
  const { deduplication: _, ...options } = jobOptions(tree, keep)
  return {
    name: data.resource,
    queueName: queue,
    data: children.length > 0 ? { ...kept, children: children.map(({ id }) => id) } : kept,
    opts: { ...options, ...(isChild && { failParentOnFailure: true }) },
    children: children.map((child) => toFlow(child, keep, true)),
  }
}

/** The queues of all tasks of a tree. */
export function queuesOf({ queue, children }: TaskTree): string[] {
  return [...new Set([queue, ...children.flatMap(queuesOf)])]
}
