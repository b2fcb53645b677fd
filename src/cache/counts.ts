import type { Redis } from 'ioredis'
import type { RedisLink } from './redis-link.ts'
import type { CacheCounts } from './types.ts'

export const noCounts = (): CacheCounts => ({
  hits_memory: 0,
  hits_redis: 0,
  misses: 0,
  stale: 0,
  failures: 0,
  garbage: 0,
  errors: 0,
})

/** Adds what this process has counted to what all have, every few seconds. */
export class CountsShare {
  readonly #link: RedisLink
  readonly #name: string
  readonly #counts: CacheCounts
  readonly #period: number
  #told: CacheCounts = noCounts()
  #timer: NodeJS.Timeout | undefined

  /** @param period milliseconds */
  constructor(link: RedisLink, name: string, counts: CacheCounts, period = 5000) {
    this.#link = link
    this.#name = name
    this.#counts = counts
    this.#period = period
  }

  start(): void {
    // What is not told is missing in the sum: no reason to end.
    this.#timer ??= setInterval(() => this.#tell().catch(() => {}), this.#period).unref()
  }

  /** What all processes have counted; `undefined` where Redis is away. */
  async total(): Promise<CacheCounts | undefined> {
    try {
      await this.#tell()
      const told = await this.#link.attempt((client) => client.hgetall(this.#name))
      const total = Object.keys(this.#counts).map((name) => [name, Number(told[name]) || 0])
      return Object.fromEntries(total)
    } catch {
      return undefined
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#tell().catch(() => {})
  }

  async #tell(): Promise<void> {
    const now = { ...this.#counts }
    const added = Object.entries(now)
      .map(([name, count]) => [name, count - this.#told[name as keyof CacheCounts]] as const)
      .filter(([, count]) => count > 0)
    if (added.length === 0) return
    // Before it is known to have been added: better too few than the same twice.
    this.#told = now
    await this.#link.attempt((client) => add(client, this.#name, added))
  }
}

async function add(
  client: Redis,
  name: string,
  added: readonly (readonly [field: string, count: number])[],
): Promise<void> {
  await client.pipeline(added.map(([field, count]) => ['hincrby', name, field, count])).exec()
}
