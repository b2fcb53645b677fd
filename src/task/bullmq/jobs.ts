import type { DeduplicationOptions, FlowJob, JobsOptions } from 'bullmq'
import { backoffOf } from '../backoff.ts'
import type { ChildPolicy, NewTask, TaskTree } from '../types.ts'
import { wishesOf } from './kept.ts'
import { type JobData, toJobData } from './record.ts'

// BullMQ has strategies of its own under our names, which have no cap.
const OURS = 'capped-'

/** How long BullMQ is to wait before it tries a job again. */
export function waitBefore(
  failures: number,
  type = '',
  error?: Error,
  job?: { opts: { backoff?: unknown } },
): number {
  const given = job?.opts.backoff as NewTask['options']['backoff']
  const backoff = { ...given, type: type.slice(OURS.length) as typeof given.type }
  return backoffOf(backoff, failures, error?.cause)
}

/** How BullMQ is to treat a task. Each has its options in Redis, so what goes without saying is left out. */
function jobOptions({ id, options }: NewTask): JobsOptions {
  const { attempts, backoff, delay, priority } = options
  return {
    jobId: id,
    ...(attempts > 1 && { attempts, backoff: { ...backoff, type: OURS + backoff.type } }),
    ...(delay > 0 && { delay }),
    ...(priority && { priority }),
    ...(options.unique && { deduplication: deduplicationOf(options, options.unique) }),
  }
}

function deduplicationOf(
  { throttle, debounce }: NewTask['options'],
  id: string,
): DeduplicationOptions {
  if (throttle !== undefined) return { id, ttl: throttle }
  // When it is due nothing is put off any more.
  if (debounce !== undefined) return { id, ttl: debounce, extend: true, reschedule: true }
  return { id }
}

/** A task in BullMQ's form. */
export function toJob(task: NewTask) {
  return { name: task.data.resource, data: dataOf(task), opts: jobOptions(task) }
}

function dataOf({ data, options }: NewTask): JobData {
  const wishes = wishesOf(options)
  const { concurrencyKey } = options
  return {
    ...toJobData(data),
    ...(wishes && { wishes }),
    ...(concurrencyKey && { concurrencyKey }),
  }
}

const POLICIES = {
  fail: { failParentOnFailure: true },
  ignore: { ignoreDependencyOnFailure: true },
  continue: { continueParentOnFailure: true },
} as const satisfies Record<ChildPolicy, JobsOptions>

/** A tree in BullMQ's form; a child that fails lets its parent fail, unless it says otherwise. */
export function toFlow(tree: TaskTree, isChild = false): FlowJob {
  const { children, data, queue } = tree
  const kept = dataOf(tree)
  const { deduplication: _, ...options } = jobOptions(tree)
  return {
    name: data.resource,
    queueName: queue,
    data: children.length > 0 ? { ...kept, ...childrenOf(tree) } : kept,
    opts: { ...options, ...(isChild && POLICIES[tree.options.ifFails ?? 'fail']) },
    children: children.map((child) => toFlow(child, true)),
  }
}

function childrenOf({ children }: TaskTree): Pick<JobData, 'children' | 'hasty'> {
  const hasty = children.filter(({ options }) => options.ifFails === 'continue')
  return {
    children: children.map(({ id }) => id),
    ...(hasty.length > 0 && { hasty: hasty.map(({ id }) => id) }),
  }
}

/** The queues of all tasks of a tree. */
export function queuesOf({ queue, children }: TaskTree): string[] {
  return [...new Set([queue, ...children.flatMap(queuesOf)])]
}
