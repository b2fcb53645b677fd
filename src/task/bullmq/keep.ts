import type { KeepJobs } from 'bullmq'

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

/** The same for BullMQ: of a worker, or of a job. */
export function keepOptions({ succeeded, failed }: Keep) {
  return { removeOnComplete: succeeded as KeepJobs, removeOnFail: failed as KeepJobs }
}
