import { errors } from '../errors.ts'
import type { TaskRecord, TaskState } from './types.ts'

const ENDS: readonly TaskState[] = ['succeeded', 'failed', 'crashed', 'cancelled']

/** Whether a task in this state runs no more. */
export function hasEnded(state: TaskState): boolean {
  return ENDS.includes(state)
}

/** How a task has ended that comes to no result. */
export function endOf({
  code,
}: NonNullable<TaskRecord['failure']>): 'failed' | 'crashed' | 'cancelled' {
  if (code === errors.TASK_CANCELLED.code) return 'cancelled'
  return code === errors.TASK_CRASHED.code ? 'crashed' : 'failed'
}
