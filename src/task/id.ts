import { createHash, randomUUID } from 'node:crypto'

// A UUID, or a digest of 43 characters where the id follows from something.
const ID = /^([a-z0-9-]{1,40})\.(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[\w-]{43})$/

/** `QUEUE.UUID`: who has the id finds the task in one step. */
export function newTaskId(queue: string): string {
  return `${queue}.${randomUUID()}`
}

/** The id that is always the same for the same parts: adding its task twice is adding it once. */
export function derivedTaskId(queue: string, ...parts: readonly string[]): string {
  return `${queue}.${digest(...parts)}`
}

/** 43 characters of `A-Z a-z 0-9 _ -` (SHA-256). */
export function digest(...parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\0')).digest('base64url')
}

/** The queue of a task; `undefined` when `id` is no id of a task. */
export function queueOf(id: string): string | undefined {
  return ID.exec(id)?.[1]
}
