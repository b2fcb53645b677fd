import { LRUCache } from 'lru-cache'
import { idOf } from '../cache/key.ts'
import {
  type ConnectionOptions,
  RedisConnection,
  script,
  UNAVAILABLE,
} from '../cache/redis-connection.ts'

/** Something that counts: under a name of its own, up to `max` within `duration` ms of the first. */
export interface Asked {
  readonly key: string
  readonly max: number
  readonly duration: number
}

/** How far it has come. */
export interface Count {
  /** Nothing was counted, because of this or of another that was asked with it. */
  readonly isOver: boolean
  readonly count: number
  /** Milliseconds until it begins anew. */
  readonly left: number
}

/** Counts in memory, for one process; of more than `maxKeys` those are forgotten that nobody has asked for longest. */
export class MemoryCounter {
  readonly #windows: LRUCache<string, { count: number; end: number }>
  readonly #now: () => number

  constructor(maxKeys: number, now = () => performance.now()) {
    this.#windows = new LRUCache({ max: maxKeys })
    this.#now = now
  }

  /** Counts one for all of them, or, where that is too many for one, for none. */
  take(asked: readonly Asked[]): Count[] {
    const now = this.#now()
    const windows = asked.map(({ key, duration }) => {
      const known = this.#windows.get(key)
      return known && known.end > now ? known : { count: 0, end: now + duration }
    })
    const isOver = windows.map(({ count }, at) => count >= (asked[at] as Asked).max)
    const isRefused = isOver.includes(true)
    return windows.map((window, at) => {
      if (!isRefused) {
        window.count++
        this.#windows.set((asked[at] as Asked).key, window)
      }
      return { isOver: isOver[at] as boolean, count: window.count, left: window.end - now }
    })
  }

  /** All of them begin anew. */
  clear(): void {
    this.#windows.clear()
  }
}

// KEYS: counters. ARGV: max and duration of each. Whether one of them is over, and of each its count and the milliseconds left.
const TAKE = script(`
local counts, refused = {}, 0
for i = 1, #KEYS do
  counts[i] = tonumber(redis.call('GET', KEYS[i]) or 0)
  if counts[i] >= tonumber(ARGV[2 * i - 1]) then refused = 1 end
end
local answer = {refused}
for i = 1, #KEYS do
  if refused == 0 then counts[i] = redis.call('INCR', KEYS[i]) end
  local left = redis.call('PTTL', KEYS[i])
  if left < 0 then
    left = tonumber(ARGV[2 * i])
    if counts[i] > 0 then redis.call('PEXPIRE', KEYS[i], left) end
  end
  answer[2 * i], answer[2 * i + 1] = counts[i], left
end
return answer
`)

type RedisOptions = Pick<ConnectionOptions, 'client' | 'command' | 'timeout' | 'log'>

/** Counts in Redis for all processes; as long as that does not answer, in memory. */
export class RedisCounter {
  readonly #connection: RedisConnection
  readonly #base: string
  readonly #memory: MemoryCounter

  /** @param prefix what names in Redis begin with, in braces */
  constructor(memory: MemoryCounter, prefix: string, options: RedisOptions) {
    this.#memory = memory
    this.#base = `{${prefix}}:rate:`
    this.#connection = new RedisConnection({
      ...options,
      owner: 'rate limiter',
      counts: { errors: 0 },
    })
  }

  take(asked: readonly Asked[]): Count[] | Promise<Count[]> {
    return this.#connection.isAway ? this.#memory.take(asked) : this.#take(asked)
  }

  async #take(asked: readonly Asked[]): Promise<Count[]> {
    const keys = asked.map(({ key }) => this.#base + idOf(key))
    const args = asked.flatMap(({ max, duration }) => [max, duration])
    const answer = await this.#connection.tryRun('change', TAKE, keys, args)
    if (answer === UNAVAILABLE) return this.#memory.take(asked)
    const [refused, ...numbers] = answer as number[]
    return asked.map(({ max }, at) => {
      const [count, left] = numbers.slice(2 * at) as [number, number]
      return { isOver: refused === 1 && count >= max, count, left }
    })
  }

  close(): void {
    this.#connection.close()
  }
}
