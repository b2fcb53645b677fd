import { createHash } from 'node:crypto'

/** What Redis does in one step. It is sent by its hash, as a whole where Redis does not know it yet. */
export interface Script {
  readonly sha: string
  readonly source: string
}

export function script(source: string): Script {
  return { sha: createHash('sha1').update(source).digest('hex'), source }
}

// Each tag has a generation, and an entry those that its tags had when it began to be loaded: it counts as long as they are the
// same. `0:token` begins with the first entry, `time:token` with an invalidation. One that Redis has evicted, or that has ended, is
// none: what was stored under it is loaded again. So nothing that is forgotten makes anything old live on.
// `life` is milliseconds. What a script writes first is something that a full Redis refuses: behind another write it would let it through, and take
// now this and now that.
const GENERATIONS = `
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local function generation(key)
  local found = redis.pcall('GET', key)
  if type(found) ~= 'table' then return found end
  redis.call('UNLINK', key)
  return false
end
local function begin(key, found, token, life)
  if found then
    if redis.call('PTTL', key) < life then redis.call('SET', key, found, 'PX', life) end
    return found
  end
  redis.call('SET', key, '0:' .. token, 'PX', life)
  return '0:' .. token
end
`

// KEYS: entry, lease, clears, tags…
// A lease is `until:token:since:generations`: it is lost when it is taken away, and when a tag, or all, has a new generation. After
// `until` another process may take it; where none does it is still held, as by one whose event loop was blocked.
const LEASES = `${GENERATIONS}
local now = math.floor(micros / 1000)
local function generations(last, token, life)
  local all = {}
  for i = 3, last do
    local found = generation(KEYS[i])
    if token then found = begin(KEYS[i], found, token, life) end
    all[i - 2] = found or '-'
  end
  return table.concat(all, ' ')
end
local function hold(token, life, kept, since, current)
  redis.call('SET', KEYS[2], string.format('%d:%s:%s:%s', now + life, token, since, current), 'PX', kept)
end
local function read(last)
  local found = redis.call('GET', KEYS[2])
  if not found then return nil end
  local till, token, since, held = string.match(found, '^(%d+):([^:]*):(%d+):(.*)$')
  if not till then return { mark = found } end
  return { till = tonumber(till), token = token, since = since, valid = held == generations(last) }
end
`

/** ARGV: token, life of the lease, how long it is kept, mode. [whether it was got, what the entry is, generations of the tags…] */
export const ACQUIRE: Script = script(`${LEASES}
local entry = redis.pcall('GET', KEYS[1])
if type(entry) == 'table' then redis.call('UNLINK', KEYS[1]) entry = '' end
local held, mode = read(#KEYS), ARGV[4]
local free = not held or mode == 'force'
if held and held.mark then free = free or (held.mark == 'failed' and mode == 'wait')
elseif held then free = free or not held.valid or held.till < now end
if free then
  local current = generations(#KEYS, ARGV[1], tonumber(ARGV[3]))
  hold(ARGV[1], tonumber(ARGV[2]), ARGV[3], string.format('%.0f', micros), current)
end
local answer = {free and 1 or 0, entry}
for i = 4, #KEYS do answer[i - 1] = generation(KEYS[i]) end
return answer
`)

/** ARGV: token, life of the lease, how long it is kept. Whether the lease is still held. */
export const RENEW: Script = script(`${LEASES}
local held = read(#KEYS)
if not held or held.token ~= ARGV[1] or not held.valid then return 0 end
hold(ARGV[1], tonumber(ARGV[2]), ARGV[3], held.since, generations(#KEYS, ARGV[1], tonumber(ARGV[3])))
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

/** Milliseconds for which it is known that a tag was invalidated: longer than nearly every load. */
export const MARKED = 600_000

/**
 * KEYS: as above, with the tags that were known when the lease was taken, then all tags of the entry. ARGV: token, number of the
 * first, epoch, record, its life, channel, message or nothing. Whether it was stored: the lease is gone in any case.
 */
export const STORE: Script = script(`${LEASES}
local last = 3 + tonumber(ARGV[2])
local held = read(last)
if not held or held.token ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
if not held.valid then return 0 end
local all, since = {ARGV[3]}, tonumber(held.since)
for i = last + 1, #KEYS do
  local found = generation(KEYS[i])
  if not found and micros - since > ${MARKED}000 then return 0 end
  if found and (tonumber(string.match(found, '^(%d+):')) or 0) > since then return 0 end
  all[#all + 1] = begin(KEYS[i], found, ARGV[1], tonumber(ARGV[5]))
end
redis.call('SET', KEYS[1], table.concat(all, ' ') .. '\\n' .. ARGV[4], 'PX', ARGV[5])
if ARGV[7] ~= '' then redis.call('PUBLISH', ARGV[6], ARGV[7]) end
return 1
`)

/** Stores whoever loads. KEYS: entry, lease, tags… ARGV: token, epoch, record, its life, channel, message. */
export const PUT: Script = script(`${GENERATIONS}
local all = {ARGV[2]}
for i = 3, #KEYS do all[i - 1] = begin(KEYS[i], generation(KEYS[i]), ARGV[1], tonumber(ARGV[4])) end
redis.call('SET', KEYS[1], table.concat(all, ' ') .. '\\n' .. ARGV[3], 'PX', ARGV[4])
redis.call('DEL', KEYS[2])
redis.call('PUBLISH', ARGV[5], ARGV[6])
return 1
`)

/** KEYS: what is taken away. ARGV: channel, message or nothing. */
export const DELETE: Script = script(`
for i = 1, #KEYS do redis.call('UNLINK', KEYS[i]) end
if ARGV[2] ~= '' then redis.call('PUBLISH', ARGV[1], ARGV[2]) end
return 1
`)

/** KEYS: tags. ARGV: token, channel, message. A Redis that is full can do it, too: without a generation it is none as well. */
export const INVALIDATE: Script = script(`${GENERATIONS}
for i = 1, #KEYS do
  local done = redis.pcall('SET', KEYS[i], string.format('%.0f:%s', micros, ARGV[1]), 'PX', ${MARKED})
  if done.err then redis.call('UNLINK', KEYS[i]) end
end
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1
`)

/** Milliseconds that it is known who was the last one: each sign of life begins them anew. */
const KNOWN = 7 * 24 * 60 * 60 * 1000
/** The same of one who has said that Redis has been told everything. */
export const ENDED = 30 * 24 * 60 * 60 * 1000

/**
 * A sign of life. KEYS: state. ARGV: which run of Redis this is, the epoch that is known here or nothing, a new one, milliseconds
 * without a sign after which somebody may have died who had something to tell. [milliseconds since 1970, epoch]
 *
 * Entries of another epoch are none: it is a new one when Redis was started anew, or is another after a failover, as it may have
 * lost invalidations then, and when nobody has reached it for a while and the last one has not said that it had told everything.
 * One that is full takes the sign, too.
 */
export const BEAT: Script = script(`
local state = redis.pcall('HMGET', KEYS[1], 'run', 'epoch')
if state.err then redis.call('UNLINK', KEYS[1]) state = {} end
local run, epoch, left = state[1] or '', state[2], redis.call('PTTL', KEYS[1])
local own = ARGV[1] ~= '' and ARGV[1] or run
local silent = left > 0 and ${KNOWN} - left > tonumber(ARGV[4])
local known = ARGV[2] ~= '' and ARGV[2] or ARGV[3]
local wanted = (silent or run ~= '' and run ~= own) and ARGV[3] or epoch or known
if wanted ~= epoch or run ~= own then
  local done = redis.pcall('HSET', KEYS[1], 'run', own, 'epoch', wanted)
  if type(done) == 'table' and done.err then wanted = known end
end
redis.call('PEXPIRE', KEYS[1], ${KNOWN})
local time = redis.call('TIME')
return {string.format('%d%03d', time[1], math.floor(time[2] / 1000)), wanted}
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
