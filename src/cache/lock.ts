import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { toMilliseconds } from '../duration.ts'
import { errors } from '../errors.ts'
import { steady } from '../steady.ts'
import { NotSentError, type Script, script, UNAVAILABLE } from './redis-connection.ts'
import type { RedisLevel } from './redis-level.ts'
import type { Lock, LockOptions } from './types.ts'

/** Where locks are kept. Times are milliseconds. */
interface LockPlace {
  /** Whether a lock that is not renewed is given to another. */
  readonly expires: boolean
  /** The fence, or `undefined` where another holder has it. @throws {PlinthError} CACHE_UNAVAILABLE */
  take(name: string, token: string, life: number): Promise<number | undefined>
  /** Whether it is still held. @throws where that cannot be told */
  renew(name: string, token: string, life: number): Promise<boolean>
  free(name: string, token: string): Promise<void>
  /** Whether one that could not be taken may be tried again: the place may be back at once. */
  readonly hasJustGone: boolean
}

/** For one process: a holder that has died has taken everything with it. */
export class MemoryLocks implements LockPlace {
  readonly expires = false
  readonly hasJustGone = false
  readonly #tokens = new Map<string, string>()
  #fence = 0

  async take(name: string, token: string): Promise<number | undefined> {
    if (this.#tokens.has(name)) return undefined
    this.#tokens.set(name, token)
    return ++this.#fence
  }

  async renew(name: string, token: string): Promise<boolean> {
    return this.#tokens.get(name) === token
  }

  async free(name: string, token: string): Promise<void> {
    if (this.#tokens.get(name) === token) this.#tokens.delete(name)
  }
}

// It begins with the time, so that it grows even where Redis has forgotten it.
/** KEYS: lock, fence. ARGV: token, life. The fence, or nothing where it is held. */
const LOCK: Script = script(`
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return false end
if redis.call('EXISTS', KEYS[2]) == 0 then
  local time = redis.call('TIME')
  redis.call('SET', KEYS[2], string.format('%.0f', time[1] * 1000000 + time[2]))
end
return redis.call('INCR', KEYS[2])
`)

/** KEYS: lock. ARGV: token, life, or 0 to give it back. Whether it was held. */
const KEEP: Script = script(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then redis.call('DEL', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
`)

/** For any number of processes. */
export class RedisLocks implements LockPlace {
  readonly expires = true
  readonly #redis: RedisLevel

  constructor(redis: RedisLevel) {
    this.#redis = redis
  }

  get hasJustGone(): boolean {
    return this.#redis.connection.hasJustGone
  }

  async take(name: string, token: string, life: number): Promise<number | undefined> {
    const { connection, names } = this.#redis
    const keys = [names.lock(name), names.fence]
    try {
      const fence = await connection.run('change', LOCK, keys, [token, life])
      return fence === null ? undefined : Number(fence)
    } catch (cause) {
      // It may have been taken all the same.
      if (!(cause instanceof NotSentError)) void this.free(name, token)
      throw errors.CACHE_UNAVAILABLE.with({ cause }, (cause as Error).message)
    }
  }

  async renew(name: string, token: string, life: number): Promise<boolean> {
    const { connection, names } = this.#redis
    return (await connection.run('change', KEEP, [names.lock(name)], [token, life])) === 1
  }

  async free(name: string, token: string): Promise<void> {
    const { connection, names } = this.#redis
    const freed = await connection.tryRun('change', KEEP, [names.lock(name)], [token, 0])
    if (freed === UNAVAILABLE) this.#redis.orphan(token, KEEP, names.lock(name))
  }
}

const DAY = 24 * 60 * 60 * 1000
/** Milliseconds between two looks at whether a lock is free: at first, and at most on the average. */
const LOOK = { first: 10, most: 50 }
/** Milliseconds for which a process may hand a lock on within itself before others get one look at it. */
const TENURE = 500
/** Milliseconds that are longer than between two looks. */
const YIELD = 2 * LOOK.most

interface Wanted {
  name: string
  life: number
  wait: number
  /** When it is no longer waited for, as `steady` tells. */
  until: number
  signal: AbortSignal | undefined
}

/** Those of this process who wait for a lock, behind the one who looks whether it is free, or has it. */
interface Line {
  readonly waiting: Set<() => void>
  /** When others had their last look, as `steady` tells. */
  since: number
}

/** The locks of a place. Of those who wait for one in a process only the first looks at it: a thousand would keep it from getting on. */
export class Locks {
  readonly #place: LockPlace
  readonly #lines = new Map<string, Line>()

  constructor(place: LockPlace) {
    this.#place = place
  }

  /**
   * @throws {PlinthError} LOCK_HELD, CACHE_UNAVAILABLE
   * @throws the reason of `signal` where it is aborted while waiting
   */
  async acquire(name: string, options: LockOptions): Promise<Lock> {
    const { signal } = options
    const life = toMilliseconds(options.ttl, 'ttl of a lock', { least: 1, most: DAY })
    const wait = toMilliseconds(options.wait ?? 0, 'wait of a lock', { most: DAY })
    signal?.throwIfAborted()
    const wanted: Wanted = { name, life, wait, until: steady.now() + wait, signal }
    if (wait === 0) return await this.#take(wanted, () => {})
    const line = await this.#turn(wanted)
    const pass = () => this.#pass(name, line)
    try {
      if (this.#place.expires && steady.now() - line.since > TENURE) {
        await pause(YIELD, signal)
        line.since = steady.now()
      }
      return await this.#take(wanted, pass)
    } catch (error) {
      pass()
      throw error
    }
  }

  /** Waits until nobody of this process is before it. */
  #turn({ name, wait, signal }: Wanted): Promise<Line> {
    const line = this.#lines.get(name)
    if (!line) {
      const first: Line = { waiting: new Set(), since: steady.now() }
      this.#lines.set(name, first)
      return Promise.resolve(first)
    }
    const { promise, resolve, reject } = Promise.withResolvers<Line>()
    const leave = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      line.waiting.delete(begin)
    }
    const begin = () => {
      leave()
      resolve(line)
    }
    const abort = () => {
      leave()
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      leave()
      reject(errors.LOCK_HELD(name, wait))
    }, wait)
    signal?.addEventListener('abort', abort)
    line.waiting.add(begin)
    return promise
  }

  /** Lets the next one begin. */
  #pass(name: string, { waiting }: Line): void {
    const [next] = waiting
    if (next) next()
    else this.#lines.delete(name)
  }

  async #take({ name, life, wait, until, signal }: Wanted, onEnd: () => void): Promise<Lock> {
    const place = this.#place
    for (let look = LOOK.first; ; look = Math.min(2 * look, LOOK.most)) {
      signal?.throwIfAborted()
      const token = randomUUID()
      const asked = steady.now()
      const fence = await place.take(name, token, life).catch((error) => {
        if (steady.now() >= until || !place.hasJustGone) throw error
        return undefined
      })
      if (fence !== undefined) {
        if (!place.expires || steady.now() < asked + life)
          return new HeldLock(place, { name, token, fence, life, asked, onEnd })
        // This process has stood still for longer than it lasts: others may have it by now.
        void place.free(name, token)
        continue
      }
      const left = until - steady.now()
      if (left <= 0) throw errors.LOCK_HELD(name, wait)
      await pause(Math.min(look * (0.5 + Math.random()), left), signal)
    }
  }
}

/** @throws the reason of `signal` where it is aborted meanwhile */
async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  const sleep = delay(milliseconds, undefined, signal && { signal })
  await sleep.catch(() => signal?.throwIfAborted())
}

interface Held {
  name: string
  token: string
  fence: number
  life: number
  /** When it was asked for, as `steady` tells: its time runs from then at the earliest. */
  asked: number
  /** Told once, when it is given back or lost. */
  onEnd: () => void
}

class HeldLock implements Lock {
  readonly name: string
  readonly fence: number
  readonly signal: AbortSignal
  readonly #place: LockPlace
  readonly #token: string
  readonly #life: number
  readonly #lost = new AbortController()
  readonly #onEnd: () => void
  #hasEnded = false
  #renewal: NodeJS.Timeout | undefined
  #end: NodeJS.Timeout | undefined

  constructor(place: LockPlace, { name, token, fence, life, asked, onEnd }: Held) {
    this.name = name
    this.fence = fence
    this.signal = this.#lost.signal
    this.#place = place
    this.#token = token
    this.#life = life
    this.#onEnd = onEnd
    if (!place.expires) return
    this.#holdUntil(asked + life)
    this.#renewal = setInterval(() => this.#renew(), life / 3).unref()
  }

  async release(): Promise<void> {
    const freed = this.signal.aborted ? undefined : this.#place.free(this.name, this.#token)
    this.#stop()
    await freed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release()
  }

  async #renew(): Promise<void> {
    const asked = steady.now()
    try {
      const held = await this.#place.renew(this.name, this.#token, this.#life)
      if (held) this.#holdUntil(asked + this.#life)
      else this.#lose('another may hold it by now')
    } catch {
      // Tried again, as long as there is time.
    }
  }

  #holdUntil(time: number): void {
    clearTimeout(this.#end)
    const left = time - steady.now()
    this.#end = setTimeout(() => this.#lose('it could not be renewed in time'), left)
    this.#end.unref()
  }

  #lose(problem: string): void {
    this.#lost.abort(new Error(`The lock ${this.name} is lost: ${problem}`))
    this.#stop()
  }

  #stop(): void {
    clearInterval(this.#renewal)
    clearTimeout(this.#end)
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#onEnd()
  }
}
