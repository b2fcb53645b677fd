import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import type { StartLimit } from '../types.ts'

// The times of the last starts, by the clock of Redis. How many ms until one may start; 0: it has.
const START = `
local max, duration, id = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - duration)
if redis.call('ZCARD', KEYS[1]) < max then
  redis.call('ZADD', KEYS[1], now, id)
  redis.call('PEXPIRE', KEYS[1], duration)
  return 0
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return math.max(1, math.ceil(first[2] + duration - now))
`

/**
 * How many tasks of a queue start in any stretch of time, in all processes. BullMQ's own limiter counts anew from time to
 * time: it lets all of them start at the end of one stretch, and all of the next right after.
 */
export class StartWindow {
  readonly #client: Redis
  readonly #key: string
  readonly #limit: StartLimit

  constructor(client: Redis, key: string, limit: StartLimit) {
    this.#client = client
    this.#key = key
    this.#limit = limit
  }

  /** Whether one starts now: 0, else in how many ms it may be asked again. */
  async start(): Promise<number> {
    const { max, duration } = this.#limit
    return Number(await this.#client.eval(START, 1, this.#key, max, duration, randomUUID()))
  }
}
