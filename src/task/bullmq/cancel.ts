import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { cancelled } from '../errors.ts'
import { type TaskJob, type TaskQueue, toThrow } from './record.ts'

/** On which the workers hear of running tasks that are to be aborted. */
export function cancelChannel(prefix: string): string {
  return `${prefix}:cancel`
}

const LOCK = 30_000
// How long a worker may take to say that it has heard, in ms.
const PATIENCE = 2000
/** In a job: its worker has heard that it is cancelled, and will end it so. */
export const STOPPING = 'stopping'

// One that does not run becomes ours, as if we ran it: 1. Of one that runs the workers are told: 2, until its worker has said
// that it heard: 3. Else 0. In one step, so that no worker can take it in between.
const TAKE = `
local job, wait, prioritized, delayed, children, active = unpack(KEYS)
local id, token, ttl, channel = unpack(ARGV)
if redis.call('EXISTS', job) == 0 then return 0 end
local taken = redis.call('LREM', wait, 1, id)
for _, set in ipairs({ prioritized, delayed, children }) do taken = taken + redis.call('ZREM', set, id) end
if taken > 0 then
  redis.call('LPUSH', active, id)
  redis.call('SET', job .. ':lock', token, 'PX', ttl)
  return 1
end
if not redis.call('LPOS', active, id) then return 0 end
if redis.call('HEXISTS', job, '${STOPPING}') == 1 then return 3 end
redis.call('PUBLISH', channel, id)
return 2
`
const STATES = ['wait', 'prioritized', 'delayed', 'waiting-children', 'active']

// The lock of a worker that says nothing is taken from it: what it may still come to is not taken.
const FENCE = `
local job, active = unpack(KEYS)
local id, token, ttl = unpack(ARGV)
if not redis.call('LPOS', active, id) then return 0 end
redis.call('SET', job .. ':lock', token, 'PX', ttl)
return 1
`

const HEARD = `
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], '${STOPPING}', 1) end
`

export interface Cancelling {
  client: Redis
  queue: TaskQueue
  job: TaskJob
  prefix: string
  /** How long its worker may say nothing before others take it, in ms. */
  lockDuration: number
  /** Whether it has ended as one that was cancelled. */
  hasEnded: () => Promise<boolean>
  /** Called before one is ended that no worker has. */
  onTaken: () => Promise<void>
}

/** Ends a task that does not run yet, or lets its worker abort it. Whether it is cancelled. */
export async function cancelJob(cancelling: Cancelling): Promise<boolean> {
  const { client, queue, job, prefix, lockDuration, hasEnded, onTaken } = cancelling
  const id = job.id as string
  // First of all: whoever takes it from now on, after a try that fails or a crash, does not run it.
  await job.updateData({ ...job.data, cancelled: true })
  const keys = [id, ...STATES].map((type) => queue.toKey(type))
  const token = randomUUID()
  // Not by the clock: where this process, or Redis, stands still nobody can say anything.
  for (let [wait, waited] = [5, 0]; waited < PATIENCE; wait = Math.min(2 * wait, 100)) {
    const taken = await client.eval(
      TAKE,
      keys.length,
      ...keys,
      ...[id, token, LOCK, cancelChannel(prefix)],
    )
    if (taken === 1) {
      await onTaken()
      await job.moveToFailed(cancelledError(id), token, false)
    }
    if (taken !== 2) return taken === 0 ? await hasEnded() : true
    await delay(wait)
    waited += wait
  }
  const [key, active] = [queue.toKey(id), queue.toKey('active')]
  const fenced = await client.eval(FENCE, 2, key, active, id, token, lockDuration)
  return fenced === 1 || (await hasEnded())
}

/** Says that this process, which runs a task, has heard that it is cancelled. @param key of its job */
export async function confirmCancel(client: Redis, key: string): Promise<void> {
  await client.eval(HEARD, 1, key)
}

export function cancelledError(id: string): Error {
  return toThrow(cancelled(id), { final: true })
}
