import type { Redis } from 'ioredis'
import type { TaskCrash } from '../types.ts'
import type { TaskQueue } from './record.ts'

/** In a job: which processes have died that ran it, a line each. */
export const DIED = 'died'

// Of those that run, as BullMQ saw when it looked last, and whose lock has run out: who had them, since when. Before they
// are given to others, whose name they have then. Several workers look, and one death is one line.
const NOTE = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local job = ARGV[1] .. id
  local worker, since, died = unpack(redis.call('HMGET', job, 'pb', 'processedOn', '${DIED}'))
  if worker and since and redis.call('EXISTS', job .. ':lock') == 0 then
    local line, known = worker .. ' ' .. since, died or ''
    if not string.find(known, line, 1, true) then
      local _, count = string.gsub(known, '\\n', '\\n')
      if count >= 20 then known = string.match(known, '\\n(.*)$') end
      redis.call('HSET', job, '${DIED}', known .. line .. ' ' .. now .. '\\n')
    end
  end
end
`

// How many of those that were given up are kept; what is kept no longer is forgotten.
const COUNT = `
local crashed, failed = unpack(KEYS)
local count = 0
for _, id in ipairs(redis.call('ZRANGE', crashed, 0, -1)) do
  if redis.call('ZSCORE', failed, id) then count = count + 1
  else redis.call('ZREM', crashed, id) end
end
return count
`

type Keys = Pick<TaskQueue, 'toKey'>

/** Notes which processes have died of what they ran: called before BullMQ puts that back. */
export async function noteCrashes(client: Redis, queue: Keys): Promise<void> {
  await client.eval(NOTE, 1, queue.toKey('stalled'), queue.toKey(''))
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
  const keys = [queue.toKey('crashed'), queue.toKey('failed')]
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
