import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { cancelled } from '../errors.ts'
import { type TaskJob, type TaskQueue, toThrow } from './record.ts'

/** On which the workers hear of running tasks that are to be aborted. */
export function cancelChannel(prefix: string): string {
  return `${prefix}:cancel`
}

const LOCK = 30_000

// One that does not run becomes ours, as if we ran it: 1. Of one that runs the workers are told: 2. Else 0.
// In one step, so that no worker can take it in between.
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
redis.call('PUBLISH', channel, id)
return 2
`
const STATES = ['wait', 'prioritized', 'delayed', 'waiting-children', 'active']

/** Ends a task that does not run yet, or lets its worker abort it. Whether it was one of them. */
export async function cancelJob(
  client: Redis,
  queue: TaskQueue,
  job: TaskJob,
  prefix: string,
): Promise<boolean> {
  const id = job.id as string
  // First of all: whoever takes it from now on, after a try that fails or a crash, does not run it.
  await job.updateData({ ...job.data, cancelled: true })
  const keys = [id, ...STATES].map((type) => queue.toKey(type))
  const token = randomUUID()
  const taken = await client.eval(
    TAKE,
    keys.length,
    ...keys,
    ...[id, token, LOCK, cancelChannel(prefix)],
  )
  if (taken === 1) await job.moveToFailed(cancelledError(id), token, false)
  return taken !== 0
}

export function cancelledError(id: string): Error {
  return toThrow(cancelled(id), { final: true })
}
