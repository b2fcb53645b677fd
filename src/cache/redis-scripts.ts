import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'

/** What Redis does in one step. `run` answers texts as buffers. */
export interface Script {
  run(
    client: Redis,
    keys: readonly string[],
    args: readonly (string | number | Buffer)[],
  ): Promise<unknown>
}

/** Sent by its hash, as a whole where Redis does not know it yet. */
export function script(source: string): Script {
  const sha = createHash('sha1').update(source).digest('hex')
  return {
    async run(client, keys, args) {
      const rest = [keys.length, ...keys, ...args]
      try {
        return await client.callBuffer('EVALSHA', sha, ...rest)
      } catch (error) {
        if (!(error as Error).message.startsWith('NOSCRIPT')) throw error
        return await client.callBuffer('EVAL', source, ...rest)
      }
    },
  }
}

// A tag is a sorted set of ids by the time at which they end: what has ended leaves with the next that is added,
// and the set ends with the last of them. `life` is milliseconds.
const REMEMBER = `
local function remember(first, id, life)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  for i = first, #KEYS do
    local swept = redis.pcall('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
    if type(swept) == 'table' then redis.call('UNLINK', KEYS[i]) end
    local known = tonumber(redis.call('ZSCORE', KEYS[i], id) or 0)
    if known < now + life then redis.call('ZADD', KEYS[i], now + life, id) end
    if redis.call('PTTL', KEYS[i]) < life then redis.call('PEXPIRE', KEYS[i], life) end
  end
end
`

// KEYS: entry, lease, clears, tags…
// A lease is `until:token:clears`: it is lost when it is taken away, and when the cache has been cleared since. After
// \`until\` another process may take it; where none does it is still held, as by one whose event loop was blocked.
const LEASES = `${REMEMBER}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local clears = redis.call('GET', KEYS[3]) or '0'
local function hold(token, life, kept, id)
  redis.call('SET', KEYS[2], string.format('%d:%s:%s', now + life, token, clears), 'PX', kept)
  remember(4, id, tonumber(kept))
end
local function read()
  local held = redis.call('GET', KEYS[2])
  if not held then return nil end
  local till, token, cleared = string.match(held, '^(%d+):([^:]*):(%d+)$')
  if not till then return { mark = held } end
  return { till = tonumber(till), token = token, valid = cleared == clears }
end
`

/** ARGV: token, life of the lease, how long it is kept, id, mode. [whether it was got, what the entry is] */
export const ACQUIRE: Script = script(`${LEASES}
local entry = redis.call('GET', KEYS[1])
local held, mode = read(), ARGV[5]
local free = not held or mode == 'force'
if held and held.mark then free = free or (held.mark == 'failed' and mode == 'wait')
elseif held then free = free or not held.valid or held.till < now end
if not free then return {0, entry} end
hold(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
return {1, entry}
`)

/** ARGV: token, life of the lease, how long it is kept, id. Whether the lease is still held. */
export const RENEW: Script = script(`${LEASES}
local held = read()
if not held or held.token ~= ARGV[1] or not held.valid then return 0 end
hold(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
return 1
`)

/** KEYS: lease. ARGV: token, milliseconds during which nobody is to try again in the background. */
export const RELEASE: Script = script(`
local held = redis.call('GET', KEYS[1])
if not held or string.match(held, '^%d+:([^:]*):') ~= ARGV[1] then return 0 end
if tonumber(ARGV[2]) > 0 then redis.call('SET', KEYS[1], 'failed', 'PX', ARGV[2])
else redis.call('DEL', KEYS[1]) end
return 1
`)

/** ARGV: token, record, its life, id, channel, message or nothing. Whether it was stored: the lease is gone in any case. */
export const STORE: Script = script(`${LEASES}
local held = read()
if not held or held.token ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
if not held.valid then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
remember(4, ARGV[4], tonumber(ARGV[3]))
if ARGV[6] ~= '' then redis.call('PUBLISH', ARGV[5], ARGV[6]) end
return 1
`)

/** Stores whoever loads. ARGV: record, its life, id, channel, message. */
export const PUT: Script = script(`${REMEMBER}
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
remember(4, ARGV[3], tonumber(ARGV[2]))
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 1
`)

/** KEYS: entries and leases. ARGV: channel, message. */
export const DELETE: Script = script(`
for i = 1, #KEYS do redis.call('UNLINK', KEYS[i]) end
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 1
`)

/**
 * KEYS: tags. ARGV: what names of entries, and of leases, begin with, channel, message.
 * Whether it is done: a step takes a bounded number away, so that Redis is not held up.
 */
export const INVALIDATE: Script = script(`
local left = 500
for i = 1, #KEYS do
  if left == 0 then return 0 end
  local found = redis.pcall('ZPOPMIN', KEYS[i], left)
  if found.err then redis.call('UNLINK', KEYS[i]) found = {} end
  for n = 1, #found, 2 do redis.call('UNLINK', ARGV[1] .. found[n], ARGV[2] .. found[n]) end
  left = left - #found / 2
end
if left == 0 then return 0 end
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
`)

// It begins with the time, so that it grows even where Redis has forgotten it.
/** KEYS: lock, fence. ARGV: token, life. The fence, or nothing where it is held. */
export const LOCK: Script = script(`
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return false end
if redis.call('EXISTS', KEYS[2]) == 0 then
  local time = redis.call('TIME')
  redis.call('SET', KEYS[2], string.format('%.0f', time[1] * 1000000 + time[2]))
end
return redis.call('INCR', KEYS[2])
`)

/** KEYS: lock. ARGV: token, life, or 0 to give it back. Whether it was held. */
export const KEEP: Script = script(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then redis.call('DEL', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
`)
