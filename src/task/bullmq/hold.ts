import type { Redis } from 'ioredis'
import { DIED } from './crashes.ts'
import type { TaskQueue } from './record.ts'

// Whether it is, or is again, the task of who has run it. Where the lock has run out, others were given it, or will be:
// the first that ends it counts. Not where it has ended or was cancelled meanwhile. Who can say so has not died of it.
const HOLD = `
local job, lock, wait, active, stalled = unpack(KEYS)
local id, token, ttl = unpack(ARGV)
if redis.call('GET', lock) ~= token then
  local data = redis.call('HGET', job, 'data')
  if not data then return 0 end
  local known, read = pcall(cjson.decode, data)
  if known and read.cancelled then return 0 end
  if redis.call('LREM', wait, 1, id) > 0 then redis.call('LPUSH', active, id)
  elseif not redis.call('LPOS', active, id) then return 0 end
  redis.call('HDEL', job, 'stc', 'begun', '${DIED}')
end
redis.call('SET', lock, token, 'PX', ttl)
redis.call('SREM', stalled, id)
return 1
`

/** Makes sure that a task which this process has run can be ended by it. Whether it can. */
export async function holdJob(
  client: Redis,
  queue: Pick<TaskQueue, 'toKey'>,
  id: string,
  { token, lockDuration }: { token: string; lockDuration: number },
): Promise<boolean> {
  const keys = [id, `${id}:lock`, 'wait', 'active', 'stalled'].map((type) => queue.toKey(type))
  return (await client.eval(HOLD, keys.length, ...keys, ...[id, token, lockDuration])) === 1
}
