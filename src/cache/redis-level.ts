import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
/** @ts-ignore: there where it is installed */
import type { Command, Redis } from 'ioredis'
import { steady } from '../steady.ts'
import { decode, encode, type Item } from './entries.ts'
import { literal, patternOf, RedisNames } from './key.ts'
import {
  type Change,
  type Log,
  NotSentError,
  type Purpose,
  RedisBus,
  RedisConnection,
  type Script,
  script,
  UNAVAILABLE,
  Untold,
} from './redis-connection.ts'
import type { CacheCounts, CacheSize } from './types.ts'

export interface RedisLevelOptions {
  client: Redis
  command: typeof Command
  prefix: string
  /** Milliseconds that one command may take. */
  timeout: number
  counts: CacheCounts
  log: Log
  onChange: (change: Change) => void
  /** Told when level 1 may hold what has been changed elsewhere. */
  onGap: () => void
}

/** `wait`: who asks waits for it; `background`: something is served meanwhile; `force`: others are to stop. */
export type LeaseMode = 'wait' | 'background' | 'force'

/** Milliseconds after which the lease of a process that has died is free. */
const LEASE = 2000
/** Milliseconds after which a lease that nobody has taken meanwhile is lost all the same. */
const LEASE_KEPT = 60_000
/** Milliseconds between two signs of life. */
const BEAT_PERIOD = 1000
/** Milliseconds without one, of anybody, after which nothing counts that was stored before. */
const SILENCE = 5000
/** So many signs of life, and what was counted is told. */
const COUNTS_PERIOD = 5
/** Milliseconds in which a process that ends tells what it could not tell before: as long as that silence. */
const FAREWELL = SILENCE
/** How much one command is about at most, so that Redis is not held up. */
const BATCH = 500

/**
 * Level 2: what all processes share. A Redis that is away is no error. What it could not be told it is told before anything is read
 * from it again: until then this level is not used.
 */
export class RedisLevel {
  readonly connection: RedisConnection
  readonly names: RedisNames
  readonly #bus: RedisBus
  readonly #counts: CacheCounts
  readonly #log: Log
  readonly #onGap: () => void
  readonly #untold = new Untold()
  /** How many of them it is being told just now: they count until it has taken them. */
  #beingTold = 0
  /** By token: what Redis may have given without our knowing, and how it is given back. */
  readonly #orphans = new Map<string, readonly [back: Script, name: string]>()
  /** Whether there may be anything in level 1: not before changes are heard, unless Redis was away. */
  #used = false
  /** Whether it may not have heard of what Redis refused: not known before Redis takes a sign of life again. */
  #isDeaf = false
  // What goes on keeps what it was begun in, which would be the first request of many.
  readonly #outside = AsyncLocalStorage.snapshot()
  #started: Promise<unknown> | undefined
  /** Which run of Redis was the last one known, and under what entries count; `undefined`: not known. */
  #run: string | undefined
  #epoch: string | undefined
  /** How many milliseconds the time of Redis is ahead of `steady`. */
  #ahead = 0
  #beat: NodeJS.Timeout | undefined
  #beats = 0
  #telling: NodeJS.Timeout | undefined
  #told: CacheCounts
  #closed = false
  #ended = false

  constructor(options: RedisLevelOptions) {
    const { client, command, timeout, counts, log, onGap, onChange } = options
    this.names = new RedisNames(options.prefix, client.options.keyPrefix)
    this.#onGap = onGap
    this.#counts = counts
    this.#told = { ...counts }
    this.#log = log
    this.connection = new RedisConnection({
      owner: 'cache',
      client,
      command,
      timeout,
      counts,
      log,
      recover: () => this.#recover(),
      onAway: () => {
        this.#used = true
      },
      onBack: () => {
        if (!this.#bus.hears) onGap()
        // What has changed while it was told of the rest.
        if (this.isBehind) this.#tellSoon()
        this.#giveBack('change').catch(() => {})
      },
    })
    this.#bus = new RedisBus({
      client,
      channel: this.names.channel,
      timeout,
      onChange: (change, untold) => {
        if (untold) this.#remember(change)
        onChange(change)
      },
      onHears: () => {
        if (this.#used) {
          onGap()
          this.#isDeaf = true
          this.#live('change').catch(() => {})
        }
        this.#used = true
      },
      onLost: () => {
        if (!this.connection.isAway) onGap()
      },
    })
  }

  /** Whether level 1 may be used: it would hear of every change, or there is nobody to hear of. */
  get trusted(): boolean {
    return this.#bus.hears || this.connection.isAway
  }

  /** Whether there are changes that it has not been told. */
  get isBehind(): boolean {
    return this.#behind > 0
  }

  get #behind(): number {
    return this.#untold.size + this.#beingTold
  }

  /** What is stored under `key`, fresh or stale. `tags` are those that it probably has. */
  async read(key: string, tags: readonly string[] = []): Promise<Item | undefined> {
    if (!(await this.#isUsable())) return undefined
    const names = [this.names.entry(key), ...tags.map(this.names.tag)]
    const answer = await this.connection.try('read', 'mget', ...names)
    if (answer === UNAVAILABLE) return undefined
    const [stored, ...generations] = answer as (Buffer | null)[]
    return stored ? await this.#valid(key, stored, tags, generations as Buffer[]) : undefined
  }

  /**
   * The right to load and store. `held`: another process has it; an entry: it has stored it already; `undefined`:
   * Redis is away.
   */
  async acquire(
    key: string,
    tags: readonly string[],
    mode: LeaseMode,
  ): Promise<Lease | Item | 'held' | undefined> {
    if (!(await this.#isUsable())) return undefined
    const token = randomUUID()
    const keys = this.#keysOf(key, tags)
    const lease = this.names.lease(key)
    const onUnknown = () => this.orphan(token, RELEASE, lease)
    const args = [token, LEASE, LEASE_KEPT, mode]
    const answer = await this.connection.run('store', ACQUIRE, keys, args).catch((error) => {
      if (!(error instanceof NotSentError)) onUnknown()
      return UNAVAILABLE
    })
    if (answer === UNAVAILABLE) return undefined
    const [got, stored, ...generations] = answer as [number, Buffer | null, ...Buffer[]]
    if (got) this.connection.accept()
    const item =
      stored && mode !== 'force' ? await this.#valid(key, stored, tags, generations) : undefined
    const fresh = item !== undefined && steady.now() < item.fresh
    if (!got) return fresh ? item : 'held'
    const held = new Lease(this.connection, { keys, token, onUnknown }, (item, ...how) =>
      this.#store(key, tags, token, item, ...how),
    )
    if (!fresh) return held
    await held.release()
    return item
  }

  async put(key: string, item: Item, compress?: boolean): Promise<void> {
    const isStored = (await this.#isUsable()) && (await this.#put(key, item, compress))
    // What was there before is not to be served again.
    if (!isStored) await this.change(['key', key])
  }

  /** Makes a change now, or when Redis takes it. How many entries were cleared, where it is known. */
  async change(change: Change): Promise<number | undefined> {
    try {
      return await this.#apply(change, 'change')
    } catch {
      this.#remember(change)
      // Others could read what is there: they are told all the same, where that much can be done.
      const { channel } = this.names
      await this.connection.try('change', 'publish', channel, this.#bus.message(change, true))
      return undefined
    }
  }

  /** Entries and the bytes they take; `undefined` where Redis is away. */
  async size(): Promise<CacheSize | undefined> {
    let [entries, bytes] = [0, 0]
    try {
      for await (const found of this.#scan('', 'change')) {
        const asked = found.map((name) => this.connection.send('change', 'strlen', name))
        const lengths = await Promise.all(asked)
        entries += found.length
        bytes += lengths.reduce<number>((sum, length) => sum + Number(length), 0)
      }
      return { entries, bytes }
    } catch {
      return undefined
    }
  }

  /** What all processes have counted; `undefined` where Redis is away. */
  async counts(): Promise<CacheCounts | undefined> {
    try {
      await this.#tellCounts()
      const names = Object.keys(this.#counts)
      const told = await this.connection.send('change', 'hmget', this.names.counts, ...names)
      const total = names.map((name, at) => [name, Number((told as unknown[])[at]) || 0])
      return Object.fromEntries(total)
    } catch {
      return undefined
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const end = performance.now() + FAREWELL
    while (this.isBehind && performance.now() < end) await delay(50)
    if (this.isBehind) {
      const message =
        'Redis was not told of changes: what is cached there may be out of date, until it ends'
      this.#log.warn({ changes: this.#behind }, message)
    }
    this.#ended = true
    clearInterval(this.#beat)
    clearTimeout(this.#telling)
    await this.#tellCounts().catch(() => {})
    if (this.#epoch !== undefined && !this.isBehind)
      await this.connection.try('change', 'pexpire', this.names.state, ENDED)
    this.connection.close()
    this.#bus.close()
  }

  async #isUsable(): Promise<boolean> {
    if (!this.#bus.hears || this.#epoch === undefined) await this.#start()
    const { isAway } = this.connection
    return !isAway && !this.isBehind && !this.#isDeaf && this.#epoch !== undefined
  }

  /** With the first use: what has to be known before anything is read. */
  #start(): Promise<unknown> {
    this.#started ??= this.#outside(() => Promise.all([this.#bus.start(), this.#begin()]))
    return this.#started
  }

  async #begin(): Promise<void> {
    // The last one is a sign of life, too: without it a process that ends could not say that it has told all.
    this.#beat = setInterval(() => this.#live('change').catch(() => {}), BEAT_PERIOD).unref()
    await this.#live('change').catch(() => {})
  }

  /** Learns the time and the epoch, and says that this process can still tell Redis what it has to. */
  async #live(purpose: Purpose): Promise<void> {
    const known = this.#epoch
    const isKnown = this.#run !== undefined && purpose !== 'recover'
    const run = isKnown ? this.#run : await this.#runOf()
    if (this.#run !== undefined && run !== undefined && run !== this.#run) this.#epoch = undefined
    this.#run = run ?? this.#run
    const args = [this.#run ?? '', this.#epoch ?? '', randomUUID().slice(0, 8), SILENCE]
    const asked = steady.now()
    const answer = await this.connection.run(purpose, BEAT, [this.names.state], args)
    if (run === undefined) throw new Error('it does not say which run of Redis it is')
    const [now, epoch] = answer as [Buffer, Buffer]
    this.#ahead = Number(now) - (asked + steady.now()) / 2
    this.#epoch = String(epoch)
    this.#isDeaf = false
    // What level 1 has may have been read from Redis.
    if (known !== undefined && known !== this.#epoch) this.#onGap()
    if (++this.#beats % COUNTS_PERIOD === 0) await this.#tellCounts()
  }

  /** Which run of a Redis it is: another one may have forgotten what it was told last. '': it does not say; `undefined`: not now. */
  async #runOf(): Promise<string | undefined> {
    try {
      // Not every user may ask for it: that is no refusal to be told of.
      const info = await this.connection.send('recover', 'info', 'server')
      return /run_id:(\w+)/.exec(String(info))?.[1] ?? ''
    } catch (error) {
      return (error as Error).name === 'ReplyError' ? '' : undefined
    }
  }

  async #valid(
    key: string,
    stored: Buffer,
    tags: readonly string[],
    generations: readonly (Buffer | null)[],
  ): Promise<Item | undefined> {
    const end = stored.indexOf(0x0a)
    const item = decode(stored.subarray(end + 1), this.#ahead)
    if (item?.key !== key) return this.#discard(key)
    const [epoch, ...wanted] = stored.toString('latin1', 0, end).split(' ')
    if (epoch !== this.#epoch || steady.now() >= item.until) return undefined
    const known = new Map(tags.map((tag, at) => [tag, generations[at]]))
    const others = item.tags.filter((tag) => !known.has(tag))
    if (others.length > 0) {
      const answer = await this.connection.try('read', 'mget', ...others.map(this.names.tag))
      if (answer === UNAVAILABLE) return undefined
      for (const [at, tag] of others.entries()) known.set(tag, (answer as Buffer[])[at])
    }
    const isCurrent = item.tags.every(
      (tag, at) => known.get(tag)?.toString('latin1') === wanted[at],
    )
    return isCurrent ? item : undefined
  }

  #discard(key: string): undefined {
    this.#counts.garbage++
    void this.connection.try('change', 'unlink', this.names.entry(key))
  }

  async #store(
    key: string,
    tags: readonly string[],
    token: string,
    item: Item,
    compress?: boolean,
    announce?: boolean,
  ): Promise<unknown | typeof UNAVAILABLE> {
    const keys = [...this.#keysOf(key, tags), ...item.tags.map(this.names.tag)]
    const record = encode(key, item, this.#ahead, compress)
    const message = announce ? this.#bus.message(['key', key]) : ''
    const [epoch, { channel }] = [this.#epoch ?? '', this.names]
    const args = [token, tags.length, epoch, record, lifeOf(item), channel, message]
    return await this.connection.tryRun('store', STORE, keys, args)
  }

  async #put(key: string, item: Item, compress?: boolean): Promise<boolean> {
    const { entry, lease, tag, channel } = this.names
    const keys = [entry(key), lease(key), ...item.tags.map(tag)]
    const record = encode(key, item, this.#ahead, compress)
    const message = this.#bus.message(['key', key])
    const args = [randomUUID(), this.#epoch ?? '', record, lifeOf(item), channel, message]
    const stored = await this.connection.tryRun('store', PUT, keys, args)
    if (stored !== UNAVAILABLE) this.connection.accept()
    return stored !== UNAVAILABLE
  }

  /** What the scripts of leases are given: the entry, its lease, the generation of all, those of the tags. */
  #keysOf(key: string, tags: readonly string[]): string[] {
    const { entry, lease, clears, tag } = this.names
    return [entry(key), lease(key), clears, ...tags.map(tag)]
  }

  async #apply(change: Change, purpose: Purpose): Promise<number> {
    const [kind, ...names] = change
    const { channel } = this.names
    const message = this.#bus.message(change)
    if (kind === 'prefix') return await this.#clear(names[0] as string, message, purpose)
    for (let start = 0; start < names.length; start += BATCH) {
      const batch = names.slice(start, start + BATCH)
      if (kind === 'tag') {
        const args = [randomUUID(), channel, message]
        await this.connection.run(purpose, INVALIDATE, batch.map(this.names.tag), args)
      } else {
        const keys = batch.flatMap((key) => [this.names.entry(key), this.names.lease(key)])
        await this.connection.run(purpose, DELETE, keys, [channel, message])
      }
    }
    return 0
  }

  /** How many entries there were. What is being loaded is not stored: it began under another generation of all. */
  async #clear(prefix: string, message: string, purpose: Purpose): Promise<number> {
    const { clears, channel } = this.names
    await this.connection.run(purpose, DELETE, [clears], [channel, ''])
    let count = 0
    for await (const found of this.#scan(prefix, purpose))
      count += Number(await this.connection.send(purpose, 'unlink', ...found))
    await this.connection.send(purpose, 'publish', channel, message)
    return count
  }

  /** The names of the entries whose key begins with `prefix`, in batches. */
  async *#scan(prefix: string, purpose: Purpose): AsyncGenerator<string[]> {
    const { pattern, exact } = patternOf(prefix)
    const match = literal(this.names.entries) + pattern
    let cursor = '0'
    do {
      const answer = await this.connection.send(
        purpose,
        ...(['scan', cursor, 'MATCH', match, 'COUNT', BATCH] as const),
      )
      const [next, found] = answer as [Buffer, Buffer[]]
      const names = found.map(String)
      const wanted = exact ? names : await this.#having(names, prefix, purpose)
      if (wanted.length > 0) yield wanted
      cursor = String(next)
    } while (cursor !== '0')
  }

  /** Those whose whole key, which is in the record, begins with `prefix`. */
  async #having(names: string[], prefix: string, purpose: Purpose): Promise<string[]> {
    if (names.length === 0) return []
    const records = (await this.connection.send(purpose, 'mget', ...names)) as (Buffer | null)[]
    return names.filter((_, at) => {
      const record = records[at]
      return record && decode(record.subarray(record.indexOf(0x0a) + 1), 0)?.key.startsWith(prefix)
    })
  }

  /** Redis may have given `name` without our knowing, or not have heard that it is given back: it is told when it is there again. */
  orphan(token: string, back: Script, name: string): void {
    // Leases end by themselves sooner than more than a few could be given back.
    if (back !== RELEASE || this.#orphans.size < 1000) this.#orphans.set(token, [back, name])
  }

  async #giveBack(purpose: Purpose): Promise<void> {
    const all = Array.from(this.#orphans, async ([token, [back, name]]) => {
      await this.connection.run(purpose, back, [name], [token, 0])
      this.#orphans.delete(token)
    })
    await Promise.all(all)
  }

  /** Redis is told as soon as it takes it. */
  #remember(change: Change): void {
    this.#untold.add(change)
    this.#tellSoon()
  }

  #tellSoon(wait = 100): void {
    if (this.#ended) return
    this.#telling ??= this.#outside(
      setTimeout,
      async () => {
        this.#telling = undefined
        // One that is away is told before it counts as back.
        if (!this.isBehind || this.connection.isAway) return
        await this.#tell('change').catch(() => this.#tellSoon(Math.min(2 * wait, 1000)))
      },
      wait,
    ).unref()
  }

  async #tell(purpose: Purpose): Promise<void> {
    const count = this.#untold.size
    const changes = this.#untold.take()
    this.#beingTold += count
    try {
      for (const change of changes) await this.#apply(change, purpose)
    } catch (error) {
      for (const change of changes) this.#untold.add(change)
      throw error
    } finally {
      this.#beingTold -= count
    }
  }

  // Before Redis is used again: leases whose fate is unknown, and what was changed meanwhile.
  async #recover(): Promise<void> {
    await this.#live('recover')
    await this.#giveBack('recover')
    // One that refuses it is there: it is told later.
    await this.#tell('recover').catch((error: Error) => {
      if (error.name !== 'ReplyError') throw error
      this.#tellSoon()
    })
  }

  /** Adds what this process has counted to what all have. */
  async #tellCounts(): Promise<void> {
    const now = { ...this.#counts }
    const added = Object.entries(now)
      .map(([name, count]) => [name, count - this.#told[name as keyof CacheCounts]] as const)
      .filter(([, count]) => count > 0)
    // Before it is known to have been added: better too few than the same twice.
    this.#told = now
    const { counts } = this.names
    await Promise.all(
      added.map(([name, count]) => this.connection.send('change', 'hincrby', counts, name, count)),
    )
  }
}

interface LeaseOptions {
  keys: readonly string[]
  token: string
  /** Told when Redis did not answer, so that the lease may still be there. */
  onUnknown: () => void
}

type Store = (
  item: Item,
  compress?: boolean,
  announce?: boolean,
) => Promise<unknown | typeof UNAVAILABLE>

/**
 * The right to store an entry: one process has it at a time, and loses it where the entry is invalidated while
 * it is loaded.
 */
export class Lease {
  readonly #connection: RedisConnection
  readonly #options: LeaseOptions
  readonly #store: Store
  readonly #timer: NodeJS.Timeout

  constructor(connection: RedisConnection, options: LeaseOptions, store: Store) {
    this.#connection = connection
    this.#options = options
    this.#store = store
    this.#timer = setInterval(() => this.#renew(), LEASE / 4).unref()
  }

  /**
   * Stores what was loaded and gives the lease back.
   *
   * @param announce whether the other processes are to forget what they have; default false
   * @returns false where the lease was lost: what was loaded is out of date
   */
  async store(...how: Parameters<Store>): Promise<boolean> {
    clearInterval(this.#timer)
    const stored = await this.#store(...how)
    if (stored === UNAVAILABLE) this.#options.onUnknown()
    return stored !== 0
  }

  /** Gives it back; for `pause` ms nobody is to load in the background then. */
  async release(pause = 0): Promise<void> {
    clearInterval(this.#timer)
    const { keys, token, onUnknown } = this.#options
    const lease = keys[1] as string
    const done = await this.#connection.tryRun('change', RELEASE, [lease], [token, pause])
    if (done === UNAVAILABLE) onUnknown()
  }

  async #renew(): Promise<void> {
    const { keys, token } = this.#options
    const args = [token, LEASE, LEASE_KEPT]
    const kept = await this.#connection.tryRun('change', RENEW, keys, args)
    if (kept === 0) clearInterval(this.#timer)
  }
}

/** Milliseconds that it lives in Redis, which takes no less than one. */
const lifeOf = ({ until }: Item): number => Math.max(1, Math.ceil(until - steady.now()))

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
const ACQUIRE: Script = script(`${LEASES}
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
const RENEW: Script = script(`${LEASES}
local held = read(#KEYS)
if not held or held.token ~= ARGV[1] or not held.valid then return 0 end
hold(ARGV[1], tonumber(ARGV[2]), ARGV[3], held.since, generations(#KEYS, ARGV[1], tonumber(ARGV[3])))
return 1
`)

/** KEYS: lease. ARGV: token, milliseconds during which nobody is to try again in the background. */
const RELEASE: Script = script(`
local held = redis.call('GET', KEYS[1])
if not held or string.match(held, '^%d+:([^:]*):') ~= ARGV[1] then return 0 end
if tonumber(ARGV[2]) > 0 then redis.call('SET', KEYS[1], 'failed', 'PX', ARGV[2])
else redis.call('DEL', KEYS[1]) end
return 1
`)

/** Milliseconds for which it is known that a tag was invalidated: longer than nearly every load. */
const MARKED = 600_000

/**
 * KEYS: as above, with the tags that were known when the lease was taken, then all tags of the entry. ARGV: token, number of the
 * first, epoch, record, its life, channel, message or nothing. Whether it was stored: the lease is gone in any case.
 */
const STORE: Script = script(`${LEASES}
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
const PUT: Script = script(`${GENERATIONS}
local all = {ARGV[2]}
for i = 3, #KEYS do all[i - 1] = begin(KEYS[i], generation(KEYS[i]), ARGV[1], tonumber(ARGV[4])) end
redis.call('SET', KEYS[1], table.concat(all, ' ') .. '\\n' .. ARGV[3], 'PX', ARGV[4])
redis.call('DEL', KEYS[2])
redis.call('PUBLISH', ARGV[5], ARGV[6])
return 1
`)

/** KEYS: what is taken away. ARGV: channel, message or nothing. */
const DELETE: Script = script(`
for i = 1, #KEYS do redis.call('UNLINK', KEYS[i]) end
if ARGV[2] ~= '' then redis.call('PUBLISH', ARGV[1], ARGV[2]) end
return 1
`)

/** KEYS: tags. ARGV: token, channel, message. A Redis that is full can do it, too: without a generation it is none as well. */
const INVALIDATE: Script = script(`${GENERATIONS}
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
const ENDED = 30 * 24 * 60 * 60 * 1000

/**
 * A sign of life. KEYS: state. ARGV: which run of Redis this is, the epoch that is known here or nothing, a new one, milliseconds
 * without a sign after which somebody may have died who had something to tell. [milliseconds since 1970, epoch]
 *
 * Entries of another epoch are none: it is a new one when Redis was started anew, or is another after a failover, as it may have
 * lost invalidations then, and when nobody has reached it for a while and the last one has not said that it had told everything.
 * One that is full takes the sign, too.
 */
const BEAT: Script = script(`
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
