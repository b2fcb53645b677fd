import type { FlowJob, JobsOptions } from 'bullmq'
import { JITTER } from '../backoff.ts'
import type { NewTask, TaskTree } from '../types.ts'
import { toJobData } from './record.ts'

/** How BullMQ is to treat a task. Each has its options in Redis, so what goes without saying is left out. */
function jobOptions({ id, options }: NewTask): JobsOptions {
  const { attempts, backoff, delay, priority, unique } = options
  return {
    jobId: id,
    ...(attempts > 1 && { attempts, backoff: { ...backoff, jitter: JITTER } }),
    ...(delay > 0 && { delay }),
    ...(priority && { priority }),
    ...(unique && { deduplication: { id: unique } }),
  }
}

/** A task in BullMQ's form. */
export function toJob(task: NewTask) {
  const { data } = task
  return { name: data.resource, data: toJobData(data), opts: jobOptions(task) }
}

/** A tree in BullMQ's form; a child that fails lets its parent fail. */
export function toFlow(tree: TaskTree, isChild = false): FlowJob {
  const { children, data, queue } = tree
  const kept = toJobData(data)
  const { deduplication: _, ...options } = jobOptions(tree)
  return {
    name: data.resource,
    queueName: queue,
    data: children.length > 0 ? { ...kept, children: children.map(({ id }) => id) } : kept,
    opts: { ...options, ...(isChild && { failParentOnFailure: true }) },
    children: children.map((child) => toFlow(child, true)),
  }
}

/** The queues of all tasks of a tree. */
export function queuesOf({ queue, children }: TaskTree): string[] {
  return [...new Set([queue, ...children.flatMap(queuesOf)])]
}
