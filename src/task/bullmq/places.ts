import type { Redis } from 'ioredis'
import type { TaskJob, TaskQueue } from './record.ts'

// Of a concurrency key: `held:KEY`, who has its places; `parked:KEY`, who waits for one, in their order. `parked` knows the keys with any of
// these, and how many places they have. A parked job stands among those that wait for their children, where BullMQ, the page of the queues
// and all that lists, cancels and removes look for it; only FILL puts it back.
//
// A place is of a job that runs as long as that has its lock, so that it comes free as soon as its task may be given to others. Who was
// let go on (`granted`) has one until it runs: in its queue it is next, and none that comes later is before it.
const PLACES = `
local queue = KEYS[1]
local function lives(id)
  if redis.call('EXISTS', queue .. id .. ':lock') == 1 then return true end
  local job = redis.call('HMGET', queue .. id, 'granted', 'finishedOn')
  return job[1] and not job[2]
end
local function free(key, limit)
  local held = queue .. 'held:' .. key
  if redis.call('SCARD', held) < limit then return true end
  for _, id in ipairs(redis.call('SMEMBERS', held)) do
    if not lives(id) then redis.call('SREM', held, id) end
  end
  return redis.call('SCARD', held) < limit
end
local function grant(key, id)
  redis.call('SADD', queue .. 'held:' .. key, id)
  redis.call('HSET', queue .. id, 'granted', 1)
  local priority = tonumber(redis.call('HGET', queue .. id, 'priority')) or 0
  if priority > 0 then redis.call('ZADD', queue .. 'prioritized', priority * 0x100000000, id)
  else redis.call('RPUSH', queue .. 'wait', id) end
  redis.call('ZADD', queue .. 'marker', 0, '0')
end
local function fill(key)
  local limit = tonumber(redis.call('ZSCORE', queue .. 'parked', key))
  while limit and free(key, limit) do
    local first = redis.call('ZPOPMIN', queue .. 'parked:' .. key)[1]
    if not first then
      redis.call('ZREM', queue .. 'parked', key)
      return
    end
    local id = string.match(first, '^%d+ %d+ (.*)$')
    if redis.call('ZREM', queue .. 'waiting-children', id) == 1 then grant(key, id) end
  end
end
`

// Takes a place: 1. Where there is none, or others have the job by now: 0, and it is no longer ours. Who waits does so by priority, then since
// when it could run, then in the order in which they were looked at first (`turn`).
const TAKE = `${PLACES}
local id, key, limit, token, due = unpack(ARGV)
local job, held = queue .. id, queue .. 'held:' .. key
if redis.call('GET', job .. ':lock') ~= token then return 0 end
local turn = redis.call('HGET', job, 'turn')
if not turn then
  turn = redis.call('INCR', queue .. 'turn')
  redis.call('HSET', job, 'turn', turn)
end
if redis.call('SISMEMBER', held, id) == 0 then
  redis.call('ZADD', queue .. 'parked', 'XX', limit, key)
  fill(key)
  if not free(key, tonumber(limit)) then
    local priority = tonumber(redis.call('HGET', job, 'priority')) or 0
    redis.call('ZADD', queue .. 'parked:' .. key, priority, string.format('%015d %015d %s', due, turn, id))
    redis.call('ZADD', queue .. 'parked', limit, key)
    redis.call('LREM', queue .. 'active', 1, id)
    redis.call('ZADD', queue .. 'waiting-children', turn, id)
    redis.call('DEL', job .. ':lock')
    redis.call('SREM', queue .. 'stalled', id)
    if redis.call('HEXISTS', job, 'atm') == 0 then redis.call('HDEL', job, 'processedOn', 'pb') end
    return 0
  end
  redis.call('SADD', held, id)
end
redis.call('HDEL', job, 'granted')
return 1
`

// Gives a place back, unless somebody else has the job by now, and has it.
const LEAVE = `${PLACES}
local id, key, token = unpack(ARGV)
local lock = redis.call('GET', queue .. id .. ':lock')
if lock and lock ~= token then return end
redis.call('HDEL', queue .. id, 'granted')
redis.call('SREM', queue .. 'held:' .. key, id)
fill(key)
`

const KEEP = `if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'granted', 1) end`

const FILL = `${PLACES}
fill(ARGV[1])
`

// One worker does it for all.
const FILL_ALL = `${PLACES}
if redis.call('EXISTS', queue .. 'parked') == 0 then return end
if not redis.call('SET', queue .. 'parked-check', 1, 'NX', 'PX', ARGV[1]) then return end
for _, key in ipairs(redis.call('ZRANGE', queue .. 'parked', 0, -1)) do fill(key) end
`

/** The places of concurrency keys in a queue: how many of the tasks with one run at once, in all processes. */
export class Places {
  readonly #client: Redis
  readonly #queue: Pick<TaskQueue, 'toKey'>

  constructor(client: Redis, queue: Pick<TaskQueue, 'toKey'>) {
    this.#client = client
    this.#queue = queue
  }

  /** Whether it may run now; if not it waits until {@link leave} lets it go on, and is not the worker's any more. */
  async take(job: TaskJob, token: string, limit: number): Promise<boolean> {
    const { id, data, timestamp, opts } = job
    const due = timestamp + (opts.delay ?? 0)
    return (await this.#run(TAKE, id, data.concurrencyKey, limit, token, due)) === 1
  }

  /** It does not run any more. */
  async leave({ id, data }: TaskJob, token: string): Promise<void> {
    await this.#run(LEAVE, id, data.concurrencyKey, token)
  }

  /** It keeps its place, though it is put back. */
  async keep({ id }: TaskJob): Promise<void> {
    await this.#client.eval(KEEP, 1, this.#queue.toKey(id as string))
  }

  /** Lets those go on for which there is a place: where one was cancelled or removed that had it. */
  async fill(key: string): Promise<void> {
    await this.#run(FILL, key)
  }

  /**
   * The same for all keys, where nobody has done it for `interval` ms: a place whose job is gone comes free by itself, and nobody
   * says so.
   */
  async fillAll(interval: number): Promise<void> {
    await this.#run(FILL_ALL, interval)
  }

  #run(script: string, ...args: (string | number | undefined)[]): Promise<unknown> {
    return this.#client.eval(script, 1, this.#queue.toKey(''), ...(args as string[]))
  }
}
