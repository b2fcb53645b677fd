import { errors } from '../errors.ts'
import type { LockPlace } from './lock.ts'
import type { RedisLink } from './redis-link.ts'
import type { RedisNames } from './redis-names.ts'
import { KEEP, LOCK } from './redis-scripts.ts'

/** For one process: a holder that has died has taken everything with it. */
export class MemoryLocks implements LockPlace {
  readonly expires = false
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

/** For any number of processes. */
export class RedisLocks implements LockPlace {
  readonly expires = true
  readonly #link: RedisLink
  readonly #names: RedisNames

  constructor(link: RedisLink, names: RedisNames) {
    this.#link = link
    this.#names = names
  }

  async take(name: string, token: string, life: number): Promise<number | undefined> {
    const keys = [this.#names.lock(name), this.#names.fence]
    try {
      const fence = await this.#link.attempt((client) => LOCK.run(client, keys, [token, life]))
      return fence === null ? undefined : Number(fence)
    } catch (cause) {
      // It may have been taken all the same.
      void this.free(name, token)
      throw errors.CACHE_UNAVAILABLE.with({ cause }, (cause as Error).message)
    }
  }

  async renew(name: string, token: string, life: number): Promise<boolean> {
    const keys = [this.#names.lock(name)]
    return (await this.#link.attempt((client) => KEEP.run(client, keys, [token, life]))) === 1
  }

  async free(name: string, token: string): Promise<void> {
    await this.#link.run((client) => KEEP.run(client, [this.#names.lock(name)], [token, 0]))
  }
}
