import type { Redis } from 'ioredis'
import type { JobData, TaskQueue } from './record.ts'

// One that is still to become due takes the input: 1. Else no other is to be taken in by it, and the key is free, unless it is
// somebody else's by now: 0. In one step, so that it cannot begin in between.
const JOIN = `
local job, delayed, key = unpack(KEYS)
local id, data = unpack(ARGV)
if redis.call('ZSCORE', delayed, id) then
  redis.call('HSET', job, 'data', data)
  return 1
end
if redis.call('GET', key) == id then redis.call('DEL', key) end
return 0
`

/** Has the task `id`, which stands for all that are `unique`, run with `data`. Whether it will: it may have begun. */
export async function joinJob(
  client: Redis,
  queue: Pick<TaskQueue, 'toKey'>,
  id: string,
  { unique, data }: { unique: string; data: JobData },
): Promise<boolean> {
  const keys = [id, 'delayed', `de:${unique}`].map((type) => queue.toKey(type))
  return (await client.eval(JOIN, keys.length, ...keys, id, JSON.stringify(data))) === 1
}
