import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { errors } from '../errors.ts'
import { steady } from '../steady.ts'
import type { Lock, LockOptions } from './types.ts'

/** Where locks are kept. */
export interface LockPlace {
  /** Whether a lock that is not renewed is given to another. */
  readonly expires: boolean
  /** The fence, or `undefined` where another holder has it. @throws {PlinthError} CACHE_UNAVAILABLE */
  take(name: string, token: string, life: number): Promise<number | undefined>
  /** Whether it is still held. @throws where that cannot be told */
  renew(name: string, token: string, life: number): Promise<boolean>
  free(name: string, token: string): Promise<void>
}

/**
 * @throws {PlinthError} LOCK_HELD, CACHE_UNAVAILABLE
 * @throws the reason of `signal` where it is aborted while waiting
 */
export async function acquireLock(
  place: LockPlace,
  name: string,
  options: LockOptions,
): Promise<Lock> {
  const { ttl, wait = 0, signal } = options
  assertSeconds('ttl', ttl, 0.001)
  assertSeconds('wait', wait, 0)
  const until = steady.now() + wait * 1000
  for (let pause = 10; ; pause = Math.min(2 * pause, 200)) {
    signal?.throwIfAborted()
    const token = randomUUID()
    const asked = steady.now()
    const fence = await place.take(name, token, ttl * 1000)
    if (fence !== undefined) return new HeldLock(place, { name, token, fence, ttl, asked })
    const left = until - steady.now()
    if (left <= 0) throw errors.LOCK_HELD(name, wait)
    await delay(
      Math.min(pause * (0.5 + Math.random()), left),
      undefined,
      signal ? { signal } : {},
    ).catch(() => signal?.throwIfAborted())
  }
}

function assertSeconds(option: string, seconds: number, least: number): void {
  if (seconds >= least && seconds <= 24 * 60 * 60) return
  throw new RangeError(`${option} of a lock is ${seconds}; expected seconds, ${least} to 86400`)
}

interface Held {
  name: string
  token: string
  fence: number
  ttl: number
  /** When it was asked for, as `steady` tells: its time runs from then at the earliest. */
  asked: number
}

class HeldLock implements Lock {
  readonly name: string
  readonly fence: number
  readonly signal: AbortSignal
  readonly #place: LockPlace
  readonly #token: string
  readonly #life: number
  readonly #lost = new AbortController()
  #renewal: NodeJS.Timeout | undefined
  #end: NodeJS.Timeout | undefined

  constructor(place: LockPlace, { name, token, fence, ttl, asked }: Held) {
    this.name = name
    this.fence = fence
    this.signal = this.#lost.signal
    this.#place = place
    this.#token = token
    this.#life = ttl * 1000
    if (!place.expires) return
    this.#holdUntil(asked + this.#life)
    this.#renewal = setInterval(() => this.#renew(), this.#life / 3).unref()
  }

  async release(): Promise<void> {
    clearInterval(this.#renewal)
    clearTimeout(this.#end)
    if (!this.signal.aborted) await this.#place.free(this.name, this.#token)
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
    this.#end = setTimeout(() => this.#lose('it could not be renewed in time'), time - steady.now())
    this.#end.unref()
  }

  #lose(problem: string): void {
    clearInterval(this.#renewal)
    clearTimeout(this.#end)
    this.#lost.abort(new Error(`The lock ${this.name} is lost: ${problem}`))
  }
}
