import type { Redis } from 'ioredis'
import { errors } from '../errors.ts'
import type { ScheduleStore } from './schedule.ts'

// Some come once a year, or only in leap years.
const KEPT = 5 * 366 * 24 * 3600

// One hash a schedule: `paused` of it, `done:VERSION` and `last:VERSION` of its ticks, and which version was opened last.
const BEGIN = `
local key, version = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function raise(field, value)
  local known = redis.call('HGET', key, field)
  if not known or tonumber(known) < tonumber(value) then
    redis.call('HSET', key, field, string.format('%d', value))
    redis.call('EXPIRE', key, ${KEPT})
  end
end
`
const OPEN = `${BEGIN}
if redis.call('HEXISTS', key, 'done:' .. version) == 0 then
  raise('done:' .. version, ARGV[2] == '' and now or ARGV[2])
end
local opened = redis.call('HGET', key, 'opened')
if ARGV[2] == '' and opened and opened ~= version then raise('done:' .. version, now) end
redis.call('HSET', key, 'opened', version)
local known = redis.call('HMGET', key, 'done:' .. version, 'last:' .. version, 'paused')
return { known[1], known[2], known[3], string.format('%d', now) }`

const ADVANCE = `${BEGIN}
raise('done:' .. version, ARGV[2])
if ARGV[3] ~= '' then raise('last:' .. version, ARGV[3]) end`

const PAUSE = `${BEGIN}
redis.call('HSET', key, 'paused', 1)
redis.call('EXPIRE', key, ${KEPT})`

const RESUME = `${BEGIN}
if redis.call('HDEL', key, 'paused') == 1 then raise('done:' .. version, now) end`

type Known = [done: string, last: string | null, paused: string | null, now: string]

/**
 * What all processes know of schedules, in Redis.
 *
 * @param client of a Redis that keeps what it has: where that is lost, ticks of the time of the loss may be lost
 * @param prefix what its keys begin with
 */
export function redisSchedules(client: Redis, prefix: string): ScheduleStore {
  async function run(script: string, name: string, ...args: (string | number)[]): Promise<unknown> {
    try {
      return await client.eval(script, 1, `${prefix}schedule:${name}`, ...args)
    } catch (cause) {
      throw errors.TASKS_UNAVAILABLE.with({ cause }, 'Redis keeps no schedules')
    }
  }

  return {
    async open({ name, version }, start) {
      const known = (await run(OPEN, name, version, start ?? '')) as Known
      const [done, last, paused, now] = known
      return {
        done: Number(done),
        last: last === null ? null : Number(last),
        paused: paused !== null,
        now: Number(now),
      }
    },
    async advance({ name, version }, done, last) {
      await run(ADVANCE, name, version, done, last ?? '')
    },
    async pause({ name, version }, paused) {
      await run(paused ? PAUSE : RESUME, name, version)
    },
  }
}
