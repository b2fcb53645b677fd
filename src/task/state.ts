import type { TaskState } from './types.ts'

const ENDS: readonly TaskState[] = ['succeeded', 'failed', 'cancelled']

/** Whether a task in this state runs no more. */
export function hasEnded(state: TaskState): boolean {
  return ENDS.includes(state)
}
