import { randomUUID } from 'node:crypto'

// A UUID, or a digest of 43 characters where an idempotency key was given.
const ID = /^([a-z0-9-]{1,40})\.(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[\w-]{43})$/

/** `QUEUE.UUID`: who has the id finds the task in one step. */
export function newTaskId(queue: string): string {
  return `${queue}.${randomUUID()}`
}

/** The queue of a task; `undefined` when `id` is no id of a task. */
export function queueOf(id: string): string | undefined {
  return ID.exec(id)?.[1]
}
