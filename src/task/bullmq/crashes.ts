import type { Redis } from 'ioredis'
import type { TaskCrash } from '../types.ts'
import type { TaskQueue } from './record.ts'

/** In a job: which processes have died that ran it, a line each. */
export const DIED = 'died'

// Of those that run, as BullMQ saw when it looked last, and whose lock has run out: who had them, since when. Before they
// are given to others, whose name they have then. Several workers look, and one death is one line. Those that have their
// lock are left to the next time: it may run out before BullMQ looks, which would give them to others unnoted. Returns
// whether BullMQ looks now: one worker does for all of them.
const NOTE = `
local looks = redis.call('EXISTS', KEYS[2]) == 0
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local job = ARGV[1] .. id
  local worker, since, died = unpack(redis.call('HMGET', job, 'pb', 'processedOn', '${DIED}'))
  if redis.call('EXISTS', job .. ':lock') == 1 then
    if looks then redis.call('SREM', KEYS[1], id) end
  elseif worker and since then
    local line, known = worker .. ' ' .. since, died or ''
    if not string.find(known, line, 1, true) then
      local _, count = string.gsub(known, '\\n', '\\n')
      if count >= 20 then known = string.match(known, '\\n(.*)$') end
      redis.call('HSET', job, '${DIED}', known .. line .. ' ' .. now .. '\\n')
    end
  end
end
return looks and 1 or 0
`

// How many of those that were given up are kept; what is kept no longer is forgotten, not what is about to fail.
const COUNT = `
local crashed, failed, active = unpack(KEYS)
local count = 0
for _, id in ipairs(redis.call('ZRANGE', crashed, 0, -1)) do
  if redis.call('ZSCORE', failed, id) then count = count + 1
  elseif not redis.call('LPOS', active, id) then redis.call('ZREM', crashed, id) end
end
return count
`

type Keys = Pick<TaskQueue, 'toKey'>

/** Notes which processes have died of what they ran, before BullMQ puts that back. Whether it may do so now. */
export async function noteCrashes(client: Redis, queue: Keys): Promise<boolean> {
  const keys = [queue.toKey('stalled'), queue.toKey('stalled-check')]
  return (await client.eval(NOTE, keys.length, ...keys, queue.toKey(''))) === 1
}

export async function crashesOf(client: Redis, queue: Keys, id: string): Promise<TaskCrash[]> {
  const lines = ((await client.hget(queue.toKey(id), DIED)) ?? '').split('\n')
  return lines.filter(Boolean).map((line) => {
    const [worker = '', began, noticed] = line.split(' ')
    return { worker, began_at: toIso(began), noticed_at: toIso(noticed) }
  })
}

/** Lists a task among those of its queue that were given up, which BullMQ has among those that have failed. */
export async function listCrashed(client: Redis, queue: Keys, id: string): Promise<void> {
  await client.zadd(queue.toKey('crashed'), Date.now(), id)
}

export async function countCrashed(client: Redis, queue: Keys): Promise<number> {
  const keys = ['crashed', 'failed', 'active'].map((type) => queue.toKey(type))
  return Number(await client.eval(COUNT, keys.length, ...keys))
}

/** The ids of those that were given up, the last one first. */
export async function crashedIds(
  client: Redis,
  queue: Keys,
  start: number,
  end: number,
): Promise<string[]> {
  await countCrashed(client, queue)
  return await client.zrevrange(queue.toKey('crashed'), start, end)
}

function toIso(milliseconds: string | undefined): string {
  return new Date(Number(milliseconds)).toISOString()
}
