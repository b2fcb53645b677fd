import { setTimeout as delay } from 'node:timers/promises'
import { errors } from '../errors.ts'
import { steady } from '../steady.ts'
import { type Item, toItem } from './entry.ts'
import { type Flight, Flights } from './flights.ts'
import { Lease, type StoreOptions } from './lease.ts'
import type { MemoryLevel } from './memory-level.ts'
import type { Change } from './redis-bus.ts'
import type { LeaseMode, RedisLevel } from './redis-level.ts'
import type { CacheCounts, EntryOptions, Load as LoadOf, LoadOptions } from './types.ts'

type Load = LoadOf<string | undefined>

export interface Answer {
  readonly text: string | undefined
  readonly from: 'hits_redis' | 'misses' | 'stale'
}

interface Loading {
  /** What is stored already, where another process was quicker. */
  lease: Lease | Item | undefined
  announce?: boolean
  pause?: number
}

/** Seconds that a load may take. */
const TIMEOUT = 60
/** Milliseconds between two tries in the background of a load that failed. */
const PAUSE = 2000
/** The same of loads that did not fail. */
const GLANCE = 100

/** What is under way: reads, loads and stores, and which of them may be kept. */
export class Loader {
  readonly #memory: MemoryLevel
  readonly #redis: RedisLevel | undefined
  readonly #counts: CacheCounts
  readonly #flights = new Flights<Answer>()
  /** Loads in the background; one that leaves it to another process has no answer. */
  readonly #reloads = new Flights<Answer | undefined>()
  readonly #pauses = new Map<string, number>()
  /** How many changes there have been: what was read before one is not kept. */
  #changes = 0

  constructor(memory: MemoryLevel, redis: RedisLevel | undefined, counts: CacheCounts) {
    this.#memory = memory
    this.#redis = redis
    this.#counts = counts
  }

  /** What is under way, else what Redis has, else what is loaded. */
  find(key: string, load: Load, options: LoadOptions): Promise<Answer> {
    const flight =
      this.#flights.get(key) ??
      this.#flights.begin(key, options.tags, async (flight) => {
        try {
          const item = this.#take(key, this.#changes, await this.#redis?.read(key))
          if (item !== undefined) return toAnswer(item)
          const reloaded = await this.#reloads.get(key)?.result
          if (reloaded !== undefined) return reloaded
          const lease = await this.#acquire(flight, 'wait')
          return await this.#load(flight, load, options, { lease })
        } finally {
          this.#flights.finish(flight)
        }
      })
    return flight.result
  }

  /** Loads in the background, unless that is done already or has just failed. */
  reload(key: string, load: Load, options: LoadOptions): void {
    const pause = this.#pauses.get(key) ?? 0
    if (this.#reloads.get(key) || steady.now() < pause) return
    const flight = this.#reloads.begin(key, options.tags, async (flight) => {
      let rest = PAUSE
      try {
        const answer = await this.#loadAside(flight, load, options)
        rest = GLANCE
        return answer
      } finally {
        this.#pause(key, rest)
        this.#reloads.finish(flight)
      }
    })
    // Whoever waits for it is told; what there is is served to the others.
    flight.result.catch(() => {})
  }

  /** Loads whatever there is; what began earlier is not stored. */
  async refresh(key: string, load: Load, options: LoadOptions): Promise<Answer> {
    this.#reloads.end((other) => other.key === key)
    const flight = this.#flights.begin(key, options.tags, async (flight) => {
      try {
        const lease = await this.#acquire(flight, 'force')
        return await this.#load(flight, load, options, { lease, announce: true })
      } finally {
        this.#flights.finish(flight)
      }
    })
    return await flight.result
  }

  async put(key: string, item: Item, { tags, compress }: EntryOptions): Promise<void> {
    this.forget(['key', key])
    const flight = this.#flights.begin(key, tags, async (flight) => {
      try {
        await this.#redis?.put(key, item, compress)
        this.#changes++
        if (flight.current) this.#keep(key, item)
        return toAnswer(item)
      } finally {
        this.#flights.finish(flight)
      }
    })
    await flight.result
  }

  /** What Redis has, kept in level 1 unless anything was changed meanwhile. */
  async read(key: string): Promise<Item | undefined> {
    return this.#take(key, this.#changes, await this.#redis?.read(key))
  }

  /** @param before how many changes there had been when it was asked for */
  #take(key: string, before: number, item: Item | undefined): Item | undefined {
    if (item !== undefined && before === this.#changes) this.#keep(key, item)
    return item
  }

  /** Takes away what level 1 has, and keeps what is under way from being stored. */
  forget([kind, ...names]: Change): number {
    this.#changes++
    const isMeant = ({ key, tags }: { key: string; tags: readonly string[] }) =>
      names.some((name) => {
        if (kind === 'tag') return tags.includes(name)
        return kind === 'key' ? key === name : key.startsWith(name)
      })
    this.#flights.end(isMeant)
    this.#reloads.end(isMeant)
    if (kind === 'tag') this.#memory.invalidate(names)
    else if (kind === 'key') this.#memory.delete(names)
    else return this.#memory.clear(names[0] as string)
    return 0
  }

  async #loadAside(
    flight: Flight<unknown>,
    load: Load,
    options: LoadOptions,
  ): Promise<Answer | undefined> {
    const item = await this.read(flight.key)
    if (item !== undefined && steady.now() < item.fresh) return toAnswer(item)
    const lease = await this.#redis?.acquire(flight.key, flight.tags, 'background')
    if (lease === 'held') return undefined
    return await this.#load(flight, load, options, { lease, pause: PAUSE })
  }

  /** Waits as long as another process loads. */
  async #acquire(
    { key, tags }: Flight<unknown>,
    mode: LeaseMode,
  ): Promise<Lease | Item | undefined> {
    for (let wait = 5; ; wait = Math.min(2 * wait, 50)) {
      const got = await this.#redis?.acquire(key, tags, mode)
      if (got !== 'held') return got
      await delay(wait)
    }
  }

  /** Without a lease it is stored in level 1 alone. */
  async #load(
    flight: Flight<unknown>,
    load: Load,
    options: LoadOptions,
    { lease, announce, pause }: Loading,
  ): Promise<Answer> {
    if (lease !== undefined && !(lease instanceof Lease)) {
      if (flight.current) this.#keep(flight.key, lease)
      return toAnswer(lease)
    }
    try {
      const text = await bounded(load, options)
      if (text === undefined || options.when?.(text) === false) await lease?.release()
      else await this.#store(flight, toItem(text, options), lease, { ...options, announce })
      return { text, from: 'misses' }
    } catch (error) {
      this.#counts.failures++
      await lease?.release(pause)
      throw error
    }
  }

  async #store(
    flight: Flight<unknown>,
    item: Item,
    lease: Lease | undefined,
    options: StoreOptions,
  ): Promise<void> {
    const stored = await lease?.store(item, options)
    if (stored !== false && flight.current) this.#keep(flight.key, item)
  }

  #pause(key: string, milliseconds: number): void {
    if (this.#pauses.size > 1000) this.#pauses.clear()
    this.#pauses.set(key, steady.now() + milliseconds)
  }

  #keep(key: string, item: Item): void {
    if (this.#redis?.trusted ?? true) this.#memory.set(key, item)
  }
}

/** Loads in the time that there is for it. @throws {PlinthError} DEADLINE_EXCEEDED */
export async function bounded(
  load: Load,
  { loadTimeout = TIMEOUT }: LoadOptions,
): Promise<string | undefined> {
  const end = new AbortController()
  if (loadTimeout === 0) return await load(end.signal)
  const late = Promise.withResolvers<never>()
  const milliseconds = loadTimeout * 1000
  const timer = setTimeout(() => {
    const error = errors.DEADLINE_EXCEEDED(milliseconds)
    end.abort(error)
    late.reject(error)
  }, milliseconds)
  return await Promise.race([load(end.signal), late.promise]).finally(() => clearTimeout(timer))
}

function toAnswer({ text, fresh }: Item): Answer {
  return { text, from: steady.now() < fresh ? 'hits_redis' : 'stale' }
}
