import { createHash, randomFillSync } from 'node:crypto'
import { hostname } from 'node:os'

// 128 random bits, or a digest where the id follows from something. Redis keeps an id in many places: it is short.
const ID = /^([a-z0-9-]{1,40})\.(?:[\w-]{22}|[\w-]{43})$/

/** This process, as those that run tasks are called. */
export const WORKER = `${hostname()}:${process.pid}`

/** `QUEUE.RANDOM`: who has the id finds the task in one step. */
export function newTaskId(queue: string): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += BYTES
  return `${queue}.${pool.toString('base64url', used - BYTES, used)}`
}

const BYTES = 16
// Many at once: each time that random bits are fetched takes longer than all the rest.
const pool = Buffer.alloc(256 * BYTES)
let used = pool.length

/** Whether nobody can have worked out `id`, a task's, from what they know. */
export function isRandomId(id: string): boolean {
  return id.length - id.lastIndexOf('.') - 1 === 22
}

/** The id that is always the same for the same parts: adding its task twice is adding it once. */
export function derivedTaskId(queue: string, ...parts: readonly string[]): string {
  return `${queue}.${digest(...parts)}`
}

/** 43 characters of `A-Z a-z 0-9 _ -` (SHA-256), others for every other list of parts, whatever is in them. */
export function digest(...parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url')
}

/** The queue of a task; `undefined` when `id` is no id of a task. */
export function queueOf(id: string): string | undefined {
  return ID.exec(id)?.[1]
}
